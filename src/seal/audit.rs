//! The audit: which records are opened before payment, the openings, and what they tell.
//!
//! The requester committed to s_R before the manifest existed, the worker signed the manifest before
//! s_R was revealed: neither side can choose the sample. Opened chunks show that the *committed
//! plaintext* is good; they do not show that K_t opens the rest. Only paying does.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
};

use thiserror::Error;

use super::{
    chunk::Slot,
    cut::read_full,
    digest::{self, Hash32},
    key::{AuditSeed, ChunkKey, MasterKey, TrancheKeys},
    manifest::Manifest,
    vector::{ENTRY, Entries, VectorError},
};

/// The most that is opened unpaid, random and gold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// A tenth of the records, rounded down.
    pub records: u64,
    /// A tenth of the bytes, rounded down.
    pub bytes: u64,
}

/// The budget of a delivery. With fewer than ten records it is nothing: no free audit.
pub fn budget(records: u64, total: u64) -> Budget {
    Budget { records: records / 10, bytes: total / 10 }
}

/// The most chunks that one answer opens: their keys have to fit one record.
pub const MAX_OPENED: u64 = 512;

/// What the requester asks to see.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The hash of the manifest's record, D.
    pub d: Hash32,
    /// s_R, for random records.
    pub seed: Option<&'a AuditSeed>,
    /// How many random records, at most.
    pub wanted: u64,
    /// Gold records, distinct, by number.
    pub gold: &'a [u64],
    /// The terms pay for the gold, so that it does not count against the budget.
    pub gold_is_paid: bool,
}

/// One record of the sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampled {
    /// Its number among the records.
    pub record: u64,
    /// Its chunks.
    pub chunks: Range<u64>,
    /// Its bytes.
    pub bytes: Range<u64>,
    /// Asked for as gold rather than drawn.
    pub gold: bool,
}

/// k_i of one chunk of the sample.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The chunk.
    pub i: u64,
    /// Its key.
    pub key: ChunkKey,
}

/// Why there is no audit, or a failed one. Nothing was paid.
#[derive(Debug, Error)]
pub enum AuditError {
    /// Gold twice, or a record that is not there.
    #[error("the gold names a record twice, or one that the delivery does not have")]
    Gold,
    /// The gold alone is over the budget and is not paid for.
    #[error(
        "the gold is more than a tenth of the work and the terms do not pay for it: nothing is opened"
    )]
    OverBudget,
    /// A direct delivery has nothing to open.
    #[error("a direct delivery is in the open already")]
    Direct,
    /// Not exactly the keys of the sample, in its order, or keys that belong to no tranche.
    #[error("the openings are not those of the sample. Nothing was paid")]
    Openings,
    /// A chunk does not open to what was promised: refuse to pay. This is no proof of fraud, since
    /// an opening is not signed with the manifest.
    #[error(
        "chunk {i} does not open to what the worker promised. Nothing was paid; refuse the delivery"
    )]
    Promise {
        /// The chunk.
        i: u64,
    },
    /// The files are not those of the manifest.
    #[error(
        "the delivery on disk is not the one that was inspected; fetch it again. Nothing was paid"
    )]
    Changed,
    /// Reading failed.
    #[error("the audit stopped: {0}. Nothing was paid; try again")]
    Fault(#[from] io::Error),
}

impl From<VectorError> for AuditError {
    fn from(error: VectorError) -> Self {
        match error {
            VectorError::Fault(error) => Self::Fault(error),
            VectorError::Short(_) | VectorError::Entry(_) => Self::Changed,
        }
    }
}

/// Draws `wanted` distinct numbers below `records`, none of them in `without`, in the order in
/// which they are drawn: 8-byte LE words of XOF(H(J, D, s_R)), words past the last whole multiple of
/// `records` and repetitions thrown away. Fewer when there are fewer.
pub fn draw(
    job: &Hash32,
    d: &Hash32,
    seed: &AuditSeed,
    records: u64,
    wanted: u64,
    without: &BTreeSet<u64>,
) -> Vec<u64> {
    let left = records.saturating_sub(without.len() as u64);
    let wanted = wanted.min(left) as usize;
    let mut words = digest::AUDIT.stream(&[job.as_bytes(), d.as_bytes(), seed.expose()]);
    let (mut drawn, mut taken) = (Vec::new(), BTreeSet::new());
    while drawn.len() < wanted {
        let mut word = [0; 8];
        words.fill(&mut word);
        let word = u64::from_le_bytes(word);
        // 2^64 mod records, without 2^64.
        let excess = (u64::MAX % records + 1) % records;
        if word > u64::MAX - excess {
            continue;
        }
        let record = word % records;
        if !without.contains(&record) && taken.insert(record) {
            drawn.push(record);
        }
    }
    drawn
}

/// The sample, gold first (in rising order), then what was drawn (in its order). Both sides compute
/// it alike from the vector file of the manifest. Draws stop before the first record that would pass
/// the budget: which is why a sample may be empty, and then there is no free audit.
pub fn sample(
    manifest: &Manifest,
    mut vector: impl Read + Seek,
    request: &Request<'_>,
) -> Result<Vec<Sampled>, AuditError> {
    let nothing = BTreeMap::new();
    let (records, _) = spans(manifest, &mut vector, &nothing)?;
    let gold: BTreeSet<u64> = request.gold.iter().copied().collect();
    if gold.len() != request.gold.len() || gold.last().is_some_and(|last| *last >= records) {
        return Err(AuditError::Gold);
    }
    let mut budget = budget(records, manifest.total);
    let unpaid_gold = if request.gold_is_paid { 0 } else { gold.len() as u64 };
    budget.records = budget.records.checked_sub(unpaid_gold).ok_or(AuditError::OverBudget)?;
    let wanted = request.wanted.min(budget.records);
    let drawn = request.seed.map_or_else(Vec::new, |seed| {
        draw(&manifest.job, &request.d, seed, records, wanted, &gold)
    });

    let mut order: BTreeMap<u64, bool> = drawn.iter().map(|record| (*record, false)).collect();
    order.extend(gold.iter().map(|record| (*record, true)));
    let (_, mut found) = spans(manifest, &mut vector, &order)?;
    let mut sample = Vec::new();
    for record in &gold {
        let sampled = found.remove(record).ok_or(AuditError::Changed)?;
        if !request.gold_is_paid {
            let size = sampled.bytes.end - sampled.bytes.start;
            budget.bytes = budget.bytes.checked_sub(size).ok_or(AuditError::OverBudget)?;
        }
        sample.push(sampled);
    }
    let mut room = MAX_OPENED;
    for record in &drawn {
        let sampled = found.remove(record).ok_or(AuditError::Changed)?;
        let left = budget.bytes.checked_sub(sampled.bytes.end - sampled.bytes.start);
        let fits = room.checked_sub(sampled.chunks.end - sampled.chunks.start);
        match (left, fits) {
            (Some(left), Some(fits)) => (budget.bytes, room) = (left, fits),
            _ => break,
        }
        sample.push(sampled);
    }
    Ok(sample)
}

/// Counts the records of the vector file and finds the wanted ones (with whether they are gold).
fn spans(
    manifest: &Manifest,
    vector: &mut (impl Read + Seek),
    wanted: &BTreeMap<u64, bool>,
) -> Result<(u64, BTreeMap<u64, Sampled>), AuditError> {
    vector.seek(SeekFrom::Start(0))?;
    let mut entries = Entries::new(vector, 0);
    let (mut records, mut offset) = (0u64, 0u64);
    let mut found: BTreeMap<u64, Sampled> = BTreeMap::new();
    for i in 0..manifest.n {
        let entry = entries.next()?;
        records += u64::from(entry.starts_record);
        let end = offset + u64::from(entry.len);
        let record = records.checked_sub(1).ok_or(AuditError::Changed)?;
        if let Some(gold) = wanted.get(&record) {
            let sampled = found.entry(record).or_insert_with(|| Sampled {
                record,
                chunks: i..i,
                bytes: offset..offset,
                gold: *gold,
            });
            sampled.chunks.end = i + 1;
            sampled.bytes.end = end;
        }
        offset = end;
    }
    Ok((records, found))
}

/// The worker's answer: the k_i of every chunk of the sample, in its order. `keys` are those of all
/// tranches.
pub fn openings(
    manifest: &Manifest,
    sample: &[Sampled],
    keys: &[TrancheKeys],
) -> Result<Vec<Opening>, AuditError> {
    if manifest.h.is_empty() {
        return Err(AuditError::Direct);
    }
    let masters: Vec<MasterKey> = (0..)
        .zip(keys)
        .map(|(t, keys)| MasterKey::derive(keys, &manifest.job, manifest.delivery, t))
        .collect();
    let chunks = sample.iter().flat_map(|sampled| sampled.chunks.clone());
    chunks
        .map(|i| {
            let t = manifest.tranche_of(i).ok_or(AuditError::Openings)?;
            let master = masters.get(t as usize).ok_or(AuditError::Openings)?;
            Ok(Opening { i, key: master.chunk(i) })
        })
        .collect()
}

/// Checks the worker's answer against the promises of an *inspected* delivery and hands every
/// opened chunk, in the order of the sample, to `see`.
pub fn check_openings(
    manifest: &Manifest,
    sample: &[Sampled],
    openings: &[Opening],
    mut blob: impl Read + Seek,
    mut vector: impl Read + Seek,
    mut see: impl FnMut(&Sampled, u64, &[u8]) -> io::Result<()>,
) -> Result<(), AuditError> {
    let asked = sample.iter().flat_map(|sampled| sampled.chunks.clone());
    if manifest.h.is_empty() || !asked.eq(openings.iter().map(|opening| opening.i)) {
        return Err(AuditError::Openings);
    }
    let mut openings = openings.iter();
    let mut slot = Slot::new();
    for sampled in sample {
        vector.seek(SeekFrom::Start(sampled.chunks.start * ENTRY as u64))?;
        blob.seek(SeekFrom::Start(sampled.bytes.start))?;
        let mut entries = Entries::new(&mut vector, sampled.chunks.start);
        for (i, opening) in sampled.chunks.clone().zip(&mut openings) {
            let entry = entries.next()?;
            if read_full(&mut blob, slot.resize(entry.len as usize))? < entry.len as usize {
                return Err(AuditError::Changed);
            }
            if slot.unlock(Some(&opening.key)) != entry.promise {
                return Err(AuditError::Promise { i });
            }
            see(sampled, i, slot.body())?;
        }
    }
    Ok(())
}

/// What a sample without a bad record says about all of them, with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// At most so many records are bad,
    pub bad: u64,
    /// of so many.
    pub of: u64,
}

impl Bound {
    /// The share, 0 to 1.
    pub fn share(&self) -> f64 {
        if self.of == 0 { 1.0 } else { self.bad as f64 / self.of as f64 }
    }
}

/// The exact hypergeometric bound: the most bad records among `of` that `sampled` random ones
/// without replacement would all have missed with a probability over 5 %.
pub fn confidence(sampled: u64, of: u64) -> Bound {
    let sampled = sampled.min(of);
    let escapes = |bad: u64| escape(bad, sampled, of) > 0.05;
    // `escape` falls as `bad` rises: find the last that still escapes.
    let (mut low, mut high) = (0, of - sampled);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if escapes(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Bound { bad: low, of }
}

/// C(of - bad, sampled) / C(of, sampled), which is C(of - sampled, bad) / C(of, bad): the product
/// is taken over the shorter of the two. Asked for `bad + sampled <= of` alone.
fn escape(bad: u64, sampled: u64, of: u64) -> f64 {
    let (few, many) = if bad < sampled { (bad, sampled) } else { (sampled, bad) };
    let mut chance = 1.0;
    for j in 0..few {
        chance *= (of - many - j) as f64 / (of - j) as f64;
        if chance < 0.01 {
            break;
        }
    }
    chance
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash(byte: u8) -> Hash32 {
        Hash32::new([byte; 32])
    }

    #[test]
    fn a_tenth_and_never_more() {
        assert_eq!(budget(9, 1000), Budget { records: 0, bytes: 100 });
        assert_eq!(budget(109, 1009), Budget { records: 10, bytes: 100 });
    }

    #[test]
    fn the_draw_is_a_function_of_job_manifest_and_seed() {
        let none = BTreeSet::new();
        let seed = AuditSeed::new([7; 32]);
        let base = draw(&hash(1), &hash(2), &seed, 10_000, 20, &none);
        assert_eq!(base, draw(&hash(1), &hash(2), &seed, 10_000, 20, &none));
        assert_eq!(base[..5], draw(&hash(1), &hash(2), &seed, 10_000, 5, &none));
        assert_ne!(base, draw(&hash(9), &hash(2), &seed, 10_000, 20, &none));
        assert_ne!(base, draw(&hash(1), &hash(9), &seed, 10_000, 20, &none));
        assert_ne!(base, draw(&hash(1), &hash(2), &AuditSeed::new([8; 32]), 10_000, 20, &none));
    }

    #[test]
    fn every_record_is_drawn_about_as_often_as_any_other() {
        let mut times = [0u32; 7];
        for seed in 0..7000u16 {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&seed.to_le_bytes());
            let drawn = draw(&hash(1), &hash(2), &AuditSeed::new(bytes), 7, 1, &BTreeSet::new());
            times[drawn[0] as usize] += 1;
        }
        // 1000 each; the standard deviation is 29. Fixed seeds: this cannot fail by luck.
        assert!(times.iter().all(|times| (850..1150).contains(times)), "{times:?}");
    }

    #[test]
    fn a_word_past_the_last_whole_multiple_is_thrown_away() {
        // Half of all words are too large for so many records; `%` alone would fold them back.
        let records = (1 << 63) + 1;
        let seed = AuditSeed::new([7; 32]);
        let mut words = digest::AUDIT.stream(&[&[1; 32], &[2; 32], seed.expose()]);
        let kept = std::iter::from_fn(|| {
            let mut word = [0; 8];
            words.fill(&mut word);
            Some(u64::from_le_bytes(word))
        });
        let kept: Vec<u64> = kept.filter(|word| *word < records).take(20).collect();
        assert_eq!(draw(&hash(1), &hash(2), &seed, records, 20, &BTreeSet::new()), kept);
    }

    proptest! {
        #[test]
        fn draws_are_distinct_in_range_and_without_the_gold(
            records in 1u64..500, wanted in 0u64..600, gold in proptest::collection::btree_set(0u64..500, 0..20),
        ) {
            let gold: BTreeSet<u64> = gold.into_iter().filter(|g| *g < records).collect();
            let drawn = draw(&hash(1), &hash(2), &AuditSeed::new([3; 32]), records, wanted, &gold);
            let distinct: BTreeSet<u64> = drawn.iter().copied().collect();
            prop_assert_eq!(distinct.len(), drawn.len());
            prop_assert_eq!(drawn.len() as u64, wanted.min(records - gold.len() as u64));
            prop_assert!(distinct.iter().all(|r| *r < records) && distinct.is_disjoint(&gold));
        }

        #[test]
        fn the_bound_is_the_last_that_escapes(of in 1u64..400, sampled in 0u64..400) {
            let sampled = sampled.min(of);
            let bound = confidence(sampled, of);
            let chance = |bad: u64| (0..sampled).map(|j| {
                (of - bad).saturating_sub(j) as f64 / (of - j) as f64
            }).product::<f64>();
            prop_assert!(chance(bound.bad) > 0.05 - 1e-9);
            if bound.bad < of - sampled {
                prop_assert!(chance(bound.bad + 1) <= 0.05 + 1e-9);
            }
        }
    }

    #[test]
    fn the_bound_agrees_with_the_tables() {
        // n=1000: 59 samples exclude 5 % only just not exactly as (1-0.05)^59 = 0.0485 would.
        assert_eq!(confidence(59, 1000), Bound { bad: 48, of: 1000 });
        assert_eq!(confidence(0, 1000).bad, 1000);
        assert_eq!(confidence(1000, 1000).bad, 0);
        assert_eq!(confidence(0, 0).share(), 1.0);
        // n=20, b=2, m=4: escapes with 0.63; n=100, b=5, m=10: 0.58.
        assert!((escape(2, 4, 20) - 0.6316).abs() < 1e-4);
        assert!((escape(5, 10, 100) - 0.5838).abs() < 1e-4);
        // rule of three, for a sample small against the whole
        assert!((confidence(300, 1_000_000).share() - 0.00994).abs() < 1e-4);
    }
}
