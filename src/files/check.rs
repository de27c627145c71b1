//! Checking: the checks of the terms on a file, record by record or whole, and the sample of an audit.
//!
//! What is read may be a file or anything else that can be: the simulator looks at memory with the same eyes.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::ops::Range;
use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::bundle;
use super::fault::{NOTHING_PAID, disk};
use super::{hash, tranche_keys};
use crate::engine::{Fault, SealedAt};
use crate::market::{Audited, CheckVerdict, Checked, Digest, EventId, Pinned, Preimage};
use crate::seal::{
    self, AuditError, AuditSeed, ChunkKey, Cut, ENTRY, Entry, Manifest, Opening, Request, Sampled,
    TrancheKeys,
};
use crate::verify::{Checker, MAX_FUEL, Run, Scope, Verdict};

/// Bytes read at a time.
const BUFFER: usize = 1 << 18;

/// A check made ready, or why it cannot be.
struct Loaded {
    check: Digest,
    ready: Result<Checker, String>,
    /// Fuel of all looks together: a check of many records may not keep anybody busy for ever.
    fuel: u64,
    /// It looks at every record by itself.
    each: bool,
    verdict: Option<Checked>,
}

impl Loaded {
    fn of(pinned: &Pinned, cut: Cut) -> Self {
        let ready = match &pinned.body {
            None => Err("the check is not here".to_owned()),
            Some(body) => Checker::from_json(body.as_bytes()).map_err(|why| why.to_string()),
        };
        let scope = ready.as_ref().ok().map(Checker::scope);
        // A delivery that is not cut by files is one file, so a file is the whole.
        let each = match scope {
            Some(Scope::File) => cut == Cut::Files,
            scope => scope == Some(Scope::Chunk),
        };
        Self { check: pinned.hash, ready, fuel: 2 * MAX_FUEL, each, verdict: None }
    }

    /// The first failure stands; having nothing to say stands unless there is one.
    fn say(&mut self, verdict: Verdict, chunk: Option<u64>) {
        let verdict = match verdict {
            Verdict::Pass => return,
            Verdict::Fail { reason, place } if place.is_empty() => CheckVerdict::Fail { reason },
            Verdict::Fail { reason, place } => {
                CheckVerdict::Fail { reason: format!("{place}: {reason}") }
            }
            Verdict::None { reason } => CheckVerdict::None { reason },
        };
        let new = Checked { check: self.check, verdict, chunk };
        if self.verdict.as_ref().is_none_or(|old| !old.failed() && new.failed()) {
            self.verdict = Some(new);
        }
    }

    fn end(self) -> Checked {
        let Self { check, ready, verdict, .. } = self;
        verdict.unwrap_or(match ready {
            Ok(_) => Checked { check, verdict: CheckVerdict::Pass, chunk: None },
            Err(reason) => Checked { check, verdict: CheckVerdict::None { reason }, chunk: None },
        })
    }

    /// The chunk that a proof can show: one that looks at files proves nothing of a chunk.
    fn shown(&self, only: Option<u64>) -> Option<u64> {
        only.filter(|_| self.ready.as_ref().is_ok_and(|checker| checker.scope() == Scope::Chunk))
    }

    /// Whether there is anything left to look for, in each record or in the whole.
    fn looks(&self, each: bool) -> bool {
        let scoped = self.ready.is_ok() && self.each == each;
        scoped && !self.verdict.as_ref().is_some_and(Checked::failed) && self.fuel > 0
    }

    fn ended(&mut self, run_fuel: u64, verdict: Verdict, chunk: Option<u64>) {
        self.fuel = self.fuel.saturating_sub(run_fuel);
        self.say(verdict, chunk);
        if self.fuel == 0 {
            self.say(Verdict::None { reason: "the check is too much work".into() }, None);
        }
    }
}

/// Whether this record is the list of a folder's files, and no work of anybody's (PROTOCOL.md 5.1).
fn is_list(manifest: &Manifest, record: u64) -> bool {
    manifest.cut == Cut::Files && record == 0
}

/// What a folder was asked for and none was handed over passes no check: nobody can look at its files.
pub(super) fn no_folder(
    opened: &Path,
    manifest: &Manifest,
    checks: &[Pinned],
) -> Result<Option<Vec<Checked>>, Fault> {
    let about = fs::symlink_metadata(opened);
    let about = about.map_err(|why| disk(opened, why, "Whatever was paid is safe."))?;
    if manifest.cut != Cut::Files || about.is_dir() {
        return Ok(None);
    }
    let reason =
        "it is no folder: its list of files is none, or has names that are not for every disk";
    let verdict = CheckVerdict::Fail { reason: reason.into() };
    let failed =
        |pinned: &Pinned| Checked { check: pinned.hash, verdict: verdict.clone(), chunk: None };
    Ok(Some(checks.iter().map(failed).collect()))
}

/// Runs the checks on a file that is there up to the end of `chunks`: those of scope `chunk` on every
/// record that ends in them, the others on the whole file, if `whole` says that it is there. Memory does
/// not grow with the file.
///
/// `file` reads it from a byte on.
pub(crate) fn run<R: Read>(
    file: impl Fn(u64) -> io::Result<R>,
    mut vector: impl Read + Seek,
    manifest: &Manifest,
    chunks: Range<u64>,
    whole: bool,
    checks: &[Pinned],
) -> io::Result<Vec<Checked>> {
    let mut loaded: Vec<Loaded> =
        checks.iter().map(|pinned| Loaded::of(pinned, manifest.cut)).collect();
    if loaded.iter().any(|one| one.looks(true)) {
        for_records(&file, &mut vector, manifest, &chunks, &mut loaded)?;
    }
    for one in loaded.iter_mut().filter(|one| whole && one.looks(false)) {
        let Ok(checker) = &one.ready else { continue };
        let verdict = checker.read(BufReader::with_capacity(BUFFER, file(0)?))?;
        let only = (manifest.n == 1).then_some(0);
        one.say(verdict, only);
    }
    Ok(loaded.into_iter().map(Loaded::end).collect())
}

/// [`run`] on what lies on the disk: a file, or a folder of which each file is a record.
pub(super) fn run_files(
    file: &Path,
    vector: &Path,
    manifest: &Manifest,
    chunks: Range<u64>,
    whole: bool,
    checks: &[Pinned],
) -> Result<Vec<Checked>, Fault> {
    let failed = |why| disk(file, why, "Whatever was paid is safe.");
    let vector = File::open(vector).map_err(failed)?;
    run(|at| bundle::reader(file, at), vector, manifest, chunks, whole, checks).map_err(failed)
}

/// Entries of the vector file, in order.
fn entries(vector: &mut (impl Read + Seek)) -> io::Result<impl FnMut() -> io::Result<Entry>> {
    vector.rewind()?;
    let mut from = BufReader::with_capacity(BUFFER, vector);
    Ok(move || {
        let mut bytes = [0; ENTRY];
        from.read_exact(&mut bytes)?;
        Entry::decode(&bytes).ok_or_else(|| io::Error::other("the vector file was damaged here"))
    })
}

fn for_records<R: Read>(
    file: impl Fn(u64) -> io::Result<R>,
    vector: &mut (impl Read + Seek),
    manifest: &Manifest,
    chunks: &Range<u64>,
    loaded: &mut [Loaded],
) -> io::Result<()> {
    // Where the record that the first chunk goes on with began: it may lie in an earlier tranche.
    let mut next = entries(vector)?;
    let (mut begins, mut offset, mut begins_at) = (0, 0, 0);
    for i in 0..=chunks.start.min(manifest.n.saturating_sub(1)) {
        let entry = next()?;
        if entry.starts_record {
            (begins, begins_at) = (i, offset);
        }
        offset += u64::from(entry.len);
    }
    drop(next);
    let mut from = BufReader::with_capacity(BUFFER, file(begins_at)?);
    let mut next = entries(vector)?;
    for _ in 0..begins {
        next()?;
    }
    let mut room = vec![0; seal::MAX_CHUNK];
    let mut ahead = Some(next()?);
    let mut i = begins;
    while let Some(first) = ahead.take() {
        let begin = i;
        let ends_in = |end: u64| end > chunks.start && end <= chunks.end;
        let mut runs: Vec<Option<Run<'_>>> = loaded
            .iter()
            .map(|one| match &one.ready {
                Ok(checker) if one.looks(true) && !is_list(manifest, begin) => {
                    Some(checker.begin())
                }
                _ => None,
            })
            .collect();
        let mut entry = first;
        loop {
            let chunk = &mut room[..entry.len as usize];
            from.read_exact(chunk)?;
            runs.iter_mut().flatten().for_each(|run| run.feed(chunk));
            i += 1;
            if i == manifest.n {
                break;
            }
            // The mark after the last paid chunk says whether its record ends there.
            entry = next()?;
            if entry.starts_record {
                ahead = Some(entry);
                break;
            }
            if i == chunks.end {
                return Ok(());
            }
        }
        let only = (i == begin + 1).then_some(begin);
        let ended: Vec<Option<(u64, Verdict)>> =
            runs.into_iter().map(|run| run.map(|run| (run.fuel_used(), run.end()))).collect();
        for (one, ended) in loaded.iter_mut().zip(ended) {
            if let Some((fuel, verdict)) = ended.filter(|_| ends_in(i)) {
                one.ended(fuel, verdict, one.shown(only));
            }
        }
        if i >= chunks.end {
            break;
        }
    }
    Ok(())
}

/// What an audit asks of a delivery.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// What was signed.
    pub(crate) manifest: &'a Manifest,
    /// D, its record.
    pub(crate) d: &'a EventId,
    /// s_R.
    pub(crate) seed: &'a Preimage,
    /// Records that the terms allow.
    pub(crate) wanted: u64,
}

impl<'a> Asked<'a> {
    fn of(at: &'a SealedAt, d: &'a EventId, seed: &'a Preimage) -> Self {
        Self { manifest: &at.manifest, d, seed, wanted: at.terms.terms.quality.audit }
    }

    /// What its seed draws.
    fn drawn(&self, vector: impl Read + Seek) -> Result<Vec<Sampled>, AuditError> {
        let seed = AuditSeed::new(*self.seed.expose());
        let request = Request {
            d: hash(self.d.0),
            seed: Some(&seed),
            wanted: self.wanted,
            gold: &[],
            gold_is_paid: false,
        };
        seal::sample(self.manifest, BufReader::with_capacity(BUFFER, vector), &request)
    }

    /// The worker's answer: the keys of the sample.
    pub(crate) fn answer(
        &self,
        vector: impl Read + Seek,
        keys: &[TrancheKeys],
    ) -> Result<String, AuditError> {
        let openings = seal::openings(self.manifest, &self.drawn(vector)?, keys)?;
        let bytes: Vec<u8> = openings.iter().flat_map(|opening| *opening.key.expose()).collect();
        Ok(STANDARD.encode(bytes))
    }

    /// What the answer shows: how much of it, what is wrong with it, and what the checks say of what it opens.
    pub(crate) fn look(
        &self,
        blob: impl Read + Seek,
        mut vector: impl Read + Seek,
        answer: &str,
        checks: &[Pinned],
    ) -> Result<(Audited, Option<String>, Vec<Checked>), AuditError> {
        let sample = self.drawn(&mut vector)?;
        let records = records(self.manifest, &mut vector).map_err(AuditError::Fault)?;
        let audited = Audited { records, sampled: sample.len() as u64 };
        let wrong = |why: &str| Ok((audited, Some(why.to_owned()), Vec::new()));
        let bytes = STANDARD.decode(answer).unwrap_or_default();
        let chunks = sample.iter().flat_map(|sampled| sampled.chunks.clone());
        let keys = bytes.as_chunks::<32>().0;
        if keys.len() != chunks.clone().count() || bytes.len() != keys.len() * 32 {
            return wrong(
                "the worker did not open exactly the records that were drawn. Nothing was paid.",
            );
        }
        let openings: Vec<Opening> =
            chunks.zip(keys).map(|(i, key)| Opening { i, key: ChunkKey::new(*key) }).collect();
        let mut loaded: Vec<Loaded> =
            checks.iter().map(|pinned| Loaded::of(pinned, self.manifest.cut)).collect();
        // Opened first and looked at after: no check sees a record that is not what was promised.
        let mut opened: Vec<Vec<u8>> = vec![Vec::new(); sample.len()];
        let mut place = 0;
        let see = |sampled: &Sampled, _: u64, text: &[u8]| {
            while sample.get(place).is_some_and(|s| s.record != sampled.record) {
                place += 1;
            }
            opened[place].extend_from_slice(text);
            Ok(())
        };
        match seal::check_openings(self.manifest, &sample, &openings, blob, vector, see) {
            Ok(()) => {}
            Err(why @ (AuditError::Promise { .. } | AuditError::Openings)) => {
                return wrong(&format!("{}.", why.to_string().trim_end_matches('.')));
            }
            Err(why) => return Err(why),
        }
        let work = |(sampled, _): &(&Sampled, &Vec<u8>)| !is_list(self.manifest, sampled.record);
        for (sampled, text) in sample.iter().zip(&opened).filter(work) {
            let only =
                (sampled.chunks.end == sampled.chunks.start + 1).then_some(sampled.chunks.start);
            for one in loaded.iter_mut().filter(|one| one.looks(true)) {
                let Ok(checker) = &one.ready else { continue };
                let mut run = checker.begin();
                run.feed(text);
                let fuel = run.fuel_used();
                let verdict = run.end();
                one.ended(fuel, verdict, one.shown(only));
            }
        }
        let results = loaded.into_iter().filter(|one| one.each).map(Loaded::end).collect();
        Ok((audited, None, results))
    }
}

/// The disk failed at this file, or the delivery is none that an audit can be of.
fn gone(at: &Path, why: AuditError) -> Fault {
    match why {
        AuditError::Fault(why) => disk(at, why, NOTHING_PAID),
        other => Fault::Never(other.to_string()),
    }
}

/// See [`crate::engine::Files::reveal`].
pub(super) fn reveal(
    at: &SealedAt,
    d: &EventId,
    seed: &Preimage,
    keys: &[Preimage],
) -> Result<String, Fault> {
    let vector = File::open(&at.vector).map_err(|why| disk(&at.vector, why, NOTHING_PAID))?;
    let keys: Vec<_> = (0..).zip(keys).map(|(t, key)| tranche_keys(&at.terms, t, key)).collect();
    Asked::of(at, d, seed).answer(vector, &keys).map_err(|why| gone(&at.vector, why))
}

/// See [`crate::engine::Files::audit`].
pub(super) fn audit(
    at: &SealedAt,
    d: &EventId,
    seed: &Preimage,
    answer: &str,
    checks: &[Pinned],
) -> Result<(Audited, Option<String>, Vec<Checked>), Fault> {
    let open = |path: &Path| File::open(path).map_err(|why| disk(path, why, NOTHING_PAID));
    let (blob, vector) = (open(&at.blob)?, open(&at.vector)?);
    let looked = Asked::of(at, d, seed).look(blob, vector, answer, checks);
    looked.map_err(|why| gone(&at.blob, why))
}

/// Records that the marks of the vector file count.
fn records(manifest: &Manifest, vector: &mut (impl Read + Seek)) -> io::Result<u64> {
    let mut next = entries(vector)?;
    let mut records = 0;
    for _ in 0..manifest.n {
        records += u64::from(next()?.starts_record);
    }
    Ok(records)
}
