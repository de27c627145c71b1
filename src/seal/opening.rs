//! Opening: the requester's half, after a tranche is paid.

use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    num::NonZeroUsize,
};

use thiserror::Error;

use super::{
    batch,
    cut::read_full,
    digest::Hash32,
    key::{MasterKey, TrancheKeys},
    manifest::{Manifest, Mode},
    vector::{Entries, Entry, VectorError},
};

/// One tranche, opened and found to be what was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Chunks written.
    pub chunks: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Plain BLAKE3 of the bytes written.
    pub hash: Hash32,
}

/// Why a tranche did not open. What the writer got is to be thrown away.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The key is the one paid for, and chunk `i` is not what was promised: make a proof of it.
    #[error(
        "the key you paid for does not open chunk {i} to what the worker signed; this can be proved, pay no further tranche"
    )]
    Mismatch {
        /// The first chunk that differs.
        i: u64,
    },
    /// There is no such tranche.
    #[error("the delivery has no tranche {t}")]
    NoTranche {
        /// The tranche asked for.
        t: u32,
    },
    /// SHA-256 of the key is not h_t.
    #[error(
        "this is not the key of tranche {t}; its payment gave another one, which the node still has"
    )]
    WrongKey {
        /// The tranche.
        t: u32,
    },
    /// The tagged hash of the secret is not `c_S[t]`.
    #[error("this is not the secret of tranche {t}: the session keys here are of another job")]
    WrongSecret {
        /// The tranche.
        t: u32,
    },
    /// Keys for a direct delivery, or none for a sealed one.
    #[error("a sealed delivery opens with keys, a direct one without")]
    Mode,
    /// The files are not the ones that were inspected.
    #[error(
        "the delivery on disk is not the one inspected before paying; fetch it again, the key you hold still opens it"
    )]
    Changed,
    /// Reading or writing failed.
    #[error("opening stopped: {0}; the key you hold still opens it, try again")]
    Fault(#[from] io::Error),
}

impl From<VectorError> for OpenError {
    fn from(error: VectorError) -> Self {
        match error {
            VectorError::Fault(error) => Self::Fault(error),
            VectorError::Short(_) | VectorError::Entry(_) => Self::Changed,
        }
    }
}

/// Decrypts tranche `t` of an *inspected* delivery to `plaintext`, checking K_t, S_t and every
/// P_i; stops at the first chunk that is not what was promised. In mode `direct` there are no keys
/// and only the promises are checked. Memory does not grow with the delivery.
pub fn open(
    manifest: &Manifest,
    t: u32,
    keys: Option<&TrancheKeys>,
    mut blob: impl Read + Seek,
    mut vector: impl Read + Seek,
    plaintext: &mut impl Write,
    workers: NonZeroUsize,
) -> Result<Opened, OpenError> {
    let chunks = manifest.chunks_of(t).ok_or(OpenError::NoTranche { t })?;
    let master = match (manifest.mode, keys) {
        (Mode::Sealed, Some(keys)) => {
            if manifest.h.get(t as usize) != Some(&keys.key.hash()) {
                return Err(OpenError::WrongKey { t });
            }
            if manifest.secrets.get(t as usize) != Some(&keys.secret.commitment()) {
                return Err(OpenError::WrongSecret { t });
            }
            Some(MasterKey::derive(keys, &manifest.job, manifest.delivery, t))
        }
        (Mode::Direct, None) => None,
        _ => return Err(OpenError::Mode),
    };

    vector.seek(SeekFrom::Start(0))?;
    let mut entries = Entries::new(&mut vector, 0);
    let mut offset = 0;
    for _ in 0..chunks.start {
        offset += u64::from(entries.next()?.len);
    }
    blob.seek(SeekFrom::Start(offset))?;

    let mut next = chunks.start;
    let (mut bytes, mut hasher) = (0, blake3::Hasher::new());
    batch::run(
        workers,
        |slot| {
            if next == chunks.end {
                return Ok(false);
            }
            let Entry { len, promise, .. } = entries.next()?;
            if read_full(&mut blob, slot.resize(len as usize))? < len as usize {
                return Err(OpenError::Changed);
            }
            slot.index = next;
            slot.promise = promise;
            next += 1;
            Ok(true)
        },
        |slot| {
            let key = master.as_ref().map(|master| master.chunk(slot.index));
            // `tranche` carries the verdict to the sink.
            slot.tranche = u32::from(slot.unlock(key.as_ref()) != slot.promise);
        },
        |slot| {
            if slot.tranche != 0 {
                return Err(OpenError::Mismatch { i: slot.index });
            }
            plaintext.write_all(slot.body())?;
            hasher.update(slot.body());
            bytes += u64::from(slot.len());
            Ok(())
        },
    )?;
    plaintext.flush()?;
    Ok(Opened { chunks: chunks.end - chunks.start, bytes, hash: hasher.finalize().into() })
}
