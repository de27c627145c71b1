//! Sealing: the worker's half, one pass over the deliverable.

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    num::NonZeroUsize,
};

use thiserror::Error;

use super::{
    batch,
    cut::{Cut, Cutter},
    digest::Hash32,
    key::{MasterKey, TrancheKeys},
    manifest::{BadManifest, MAX_CHUNKS, MAX_TOTAL, Manifest, Mode, VERSION},
    tranche::{Coinciding, MAX_TRANCHES, Mapper},
    tree::Growing,
    vector::Entry,
};

/// What is to be sealed, and for whom.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// J.
    pub job: Hash32,
    /// Number of the delivery within the job.
    pub delivery: u32,
    /// Bytes of the deliverable; the reader must give exactly as many.
    pub total: u64,
    /// How it falls into records.
    pub cut: Cut,
    /// For [`Cut::Files`]: the byte at which each file starts, rising from 0. Empty otherwise.
    pub starts: &'a [u64],
    /// Sealed or direct.
    pub mode: Mode,
    /// Hashes of the checks in the terms.
    pub checks: Vec<Hash32>,
    /// The nonce that K_t was drawn with.
    pub nonce: Hash32,
    /// Threads that may compute. The result does not depend on it.
    pub workers: NonZeroUsize,
}

/// A sealed deliverable: what is to be signed, and what was written.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The manifest, complete.
    pub manifest: Manifest,
    /// Records that the marks of the vector file count.
    pub records: u64,
}

/// Why nothing was sealed. What the writers got is to be thrown away; no key has left the machine.
#[derive(Debug, Error)]
pub enum SealError {
    /// There is nothing to sell.
    #[error("the deliverable is empty; nothing was sealed")]
    Empty,
    /// More than the format carries.
    #[error(
        "the deliverable is longer than {MAX_TOTAL} bytes or {MAX_CHUNKS} chunks; nothing was sealed"
    )]
    TooLong,
    /// The reader gave another number of bytes than planned: the file changed meanwhile.
    #[error(
        "the deliverable changed while it was being sealed: {planned} bytes were expected, {read} came; seal it again"
    )]
    Length {
        /// Bytes in the plan.
        planned: u64,
        /// Bytes read, at least.
        read: u64,
    },
    /// No keys, too many, two alike, or keys for a direct delivery.
    #[error("a sealed delivery needs 1 to {MAX_TRANCHES} distinct tranche keys, a direct one none")]
    Keys,
    /// The starts of files do not rise from 0 and stay inside.
    #[error("the starts of the files do not rise from 0 within the deliverable")]
    Starts,
    /// The deliverable is not a whole number of items.
    #[error(
        "the deliverable is not a whole number of items; pad every item to the length in the terms"
    )]
    Items,
    /// Fewer chunks than tranches, or nearly.
    #[error("{0}; agree on fewer tranches")]
    Coinciding(#[from] Coinciding),
    /// The plan breaks a rule of the manifest.
    #[error(transparent)]
    Manifest(#[from] BadManifest),
    /// Reading or writing failed.
    #[error("sealing stopped: {0}")]
    Fault(#[from] io::Error),
}

/// Seals `plaintext` under `keys`, one pair a tranche (none in mode `direct`), writing the blob and
/// the vector file as it goes. Memory does not grow with the deliverable; it asks the writers for
/// no buffering of their own beyond what makes 16 KiB and 37 byte writes cheap.
pub fn seal(
    plaintext: impl Read,
    plan: &Plan<'_>,
    keys: &[TrancheKeys],
    blob: &mut impl Write,
    vector: &mut impl Write,
) -> Result<Sealed, SealError> {
    let tranches = check(plan, keys)?;
    let masters: Vec<MasterKey> = (0..)
        .zip(keys)
        .map(|(t, keys)| MasterKey::derive(keys, &plan.job, plan.delivery, t))
        .collect();
    let mut cutter = Cutter::new(plaintext, plan.cut, plan.starts, plan.total);
    let mut mapper = Mapper::new(plan.total, tranches);
    let mut growing = Growing::default();
    let (mut blob_hash, mut vector_hash) = (blake3::Hasher::new(), blake3::Hasher::new());
    let mut records = 0;

    batch::run(
        plan.workers,
        |slot| {
            if !cutter.next(slot)? {
                return Ok(false);
            }
            if cutter.offset() > plan.total {
                return Err(SealError::Length { planned: plan.total, read: cutter.offset() });
            }
            slot.index = mapper.count();
            if slot.index >= MAX_CHUNKS {
                return Err(SealError::TooLong);
            }
            slot.tranche = mapper.push(slot.len())?;
            Ok(true)
        },
        |slot| {
            let key = masters.get(slot.tranche as usize).map(|master| master.chunk(slot.index));
            slot.lock(key.as_ref());
        },
        |slot| {
            let entry =
                Entry { len: slot.len(), starts_record: slot.starts_record, promise: slot.promise }
                    .encode();
            records += u64::from(slot.starts_record);
            growing.push(slot.leaf());
            blob_hash.update(slot.body());
            vector_hash.update(&entry);
            blob.write_all(slot.body())?;
            vector.write_all(&entry)?;
            Ok(())
        },
    )?;

    if mapper.offset() != plan.total {
        return Err(SealError::Length { planned: plan.total, read: mapper.offset() });
    }
    blob.flush()?;
    vector.flush()?;
    let n = mapper.count();
    let manifest = Manifest {
        blob: blob_hash.finalize().into(),
        blob_len: plan.total,
        checks: plan.checks.clone(),
        cut: plan.cut,
        delivery: plan.delivery,
        first: mapper.finish()?,
        h: keys.iter().map(|keys| keys.key.hash()).collect(),
        job: plan.job,
        mode: plan.mode,
        n,
        nonce: plan.nonce,
        root: growing.root().ok_or(SealError::Empty)?,
        secrets: keys.iter().map(|keys| keys.secret.commitment()).collect(),
        total: plan.total,
        v: VERSION,
        vector: vector_hash.finalize().into(),
    };
    manifest.check()?;
    Ok(Sealed { manifest, records })
}

/// What can be refused before a byte is read; returns T.
fn check(plan: &Plan<'_>, keys: &[TrancheKeys]) -> Result<u32, SealError> {
    if plan.total == 0 {
        return Err(SealError::Empty);
    }
    if plan.total > MAX_TOTAL {
        return Err(SealError::TooLong);
    }
    let tranches = match plan.mode {
        Mode::Sealed => keys.len() as u32,
        Mode::Direct if keys.is_empty() => 1,
        Mode::Direct => return Err(SealError::Keys),
    };
    let distinct: BTreeSet<Hash32> = keys.iter().map(|keys| keys.key.hash()).collect();
    if !(1..=MAX_TRANCHES).contains(&tranches) || distinct.len() != keys.len() {
        return Err(SealError::Keys);
    }
    if let Cut::Items { len } = plan.cut
        && (len == 0 || !plan.total.is_multiple_of(u64::from(len)))
    {
        return Err(SealError::Items);
    }
    let starts = plan.starts;
    let starts_fit = if plan.cut == Cut::Files {
        starts.first() == Some(&0)
            && starts.windows(2).all(|pair| pair[0] < pair[1])
            && starts.last().is_some_and(|last| *last < plan.total)
    } else {
        starts.is_empty()
    };
    if !starts_fit {
        return Err(SealError::Starts);
    }
    Ok(tranches)
}
