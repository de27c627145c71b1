//! Inspection: everything the requester can refuse before a coin moves.

use std::{
    collections::BTreeSet,
    io::{self, Read, Seek, SeekFrom},
    num::NonZeroUsize,
};

use thiserror::Error;

use super::{
    batch,
    chunk::MAX_CHUNK,
    cut::{Cut, read_full},
    digest::Hash32,
    key::TrancheSecret,
    manifest::{BadManifest, Manifest, Mode},
    tranche::{Coinciding, Mapper, amounts},
    tree::Growing,
    vector::{Entries, VectorError},
};

/// What the bid, the award and the requester's own policy say the delivery must be.
pub struct Expected<'a> {
    /// J.
    pub job: Hash32,
    /// The delivery that is awaited.
    pub delivery: u32,
    /// Sealed or direct.
    pub mode: Mode,
    /// The cut the terms name, if they do.
    pub cut: Option<Cut>,
    /// The number of chunks the terms name (labels: one an item), if they do.
    pub chunks: Option<u64>,
    /// S_t for every tranche of the bid, derived by the requester itself; T is their number. In
    /// mode `direct` none.
    pub secrets: &'a [TrancheSecret],
    /// The price, in millisatoshi.
    pub price_msat: u64,
    /// The least a tranche may cost, in millisatoshi: below it the chain enforces nothing.
    pub least_tranche_msat: u64,
    /// The checks of the terms, in their order.
    pub checks: &'a [Hash32],
    /// The most bytes this requester takes.
    pub max_total: u64,
    /// The most chunks this requester takes.
    pub max_chunks: u64,
    /// Whether a payment hash was ever seen before, in any job.
    pub seen: &'a dyn Fn(&Hash32) -> bool,
}

/// Why a delivery is not to be paid. Nothing has been paid, and the key is still the worker's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refused {
    /// The manifest contradicts itself.
    #[error("{0}. Nothing was paid")]
    Manifest(#[from] BadManifest),
    /// Another J.
    #[error("the manifest belongs to another job. Nothing was paid")]
    Job,
    /// Another delivery number.
    #[error("the manifest is of delivery {got}, delivery {want} is awaited. Nothing was paid")]
    Delivery {
        /// Awaited.
        want: u32,
        /// In the manifest.
        got: u32,
    },
    /// Sealed for direct or the reverse.
    #[error("the terms settle in another mode than this delivery. Nothing was paid")]
    Mode,
    /// T differs.
    #[error("the manifest has {got} tranches, the bid {want}. Nothing was paid")]
    Tranches {
        /// In the bid.
        want: u32,
        /// In the manifest.
        got: u32,
    },
    /// The terms name another cut.
    #[error("the deliverable is not cut as the terms say. Nothing was paid")]
    Cut,
    /// The terms name another number of chunks.
    #[error("the manifest has {got} chunks, the terms say {want}. Nothing was paid")]
    Chunks {
        /// In the terms.
        want: u64,
        /// In the manifest.
        got: u64,
    },
    /// The checks are not those of the terms.
    #[error("the manifest names other checks than the terms. Nothing was paid")]
    Checks,
    /// Over the requester's own caps.
    #[error(
        "the delivery is larger than the limit set here. Nothing was paid or fetched; raise the limit to take it"
    )]
    TooLarge,
    /// `c_S[t]` is not the tagged hash of the requester's own S_t.
    #[error(
        "the secret of tranche {t} is not the one both sides derive: a paid key would prove nothing. Nothing was paid"
    )]
    Secret {
        /// The tranche.
        t: u32,
    },
    /// One h_t twice in the manifest.
    #[error("tranche {t} has the payment hash of an earlier one. Nothing was paid")]
    HashRepeated {
        /// The tranche.
        t: u32,
    },
    /// An h_t this node knows already: whoever routed the old payment knows the key.
    #[error("the payment hash of tranche {t} was seen before. Nothing was paid")]
    HashSeen {
        /// The tranche.
        t: u32,
    },
    /// A tranche is worth less than the least.
    #[error(
        "tranche {t} would cost {msat} msat, too little for the chain to enforce. Nothing was paid"
    )]
    TrancheTooSmall {
        /// The tranche.
        t: u32,
        /// Its amount.
        msat: u64,
    },
    /// The vector file does not have n entries.
    #[error("the vector file is not of {want} chunks. Nothing was paid; fetch it again")]
    VectorLength {
        /// Chunks in the manifest.
        want: u64,
    },
    /// The vector file is not the one the manifest names.
    #[error("the vector file is not the one the worker signed. Nothing was paid; fetch it again")]
    VectorHash,
    /// An entry of the vector file means nothing.
    #[error("the vector file has no valid entry for chunk {i}. Nothing was paid")]
    VectorEntry {
        /// The chunk.
        i: u64,
    },
    /// A chunk is not as long, or does not start a record, as the cut says.
    #[error("chunk {i} is not cut as the manifest says. Nothing was paid")]
    Shape {
        /// The chunk.
        i: u64,
    },
    /// The lengths do not sum to the total.
    #[error("the chunks are {got} bytes together, the manifest says {want}. Nothing was paid")]
    Total {
        /// In the manifest.
        want: u64,
        /// Their sum.
        got: u64,
    },
    /// Tranches coincide.
    #[error("{0}. Nothing was paid")]
    Coinciding(#[from] Coinciding),
    /// `first` is not what the rule gives.
    #[error("the worker moved the boundaries between tranches. Nothing was paid")]
    Map,
    /// The blob is shorter or longer than signed.
    #[error("the blob is not {want} bytes long. Nothing was paid; fetch it again")]
    BlobLength {
        /// In the manifest.
        want: u64,
    },
    /// The blob is not the one the manifest names.
    #[error("the blob is not the one the worker signed. Nothing was paid; fetch it again")]
    BlobHash,
    /// Blob and vector are the signed ones, and do not make the signed root.
    #[error(
        "the worker signed a root that its own chunks do not have: a paid key would prove nothing. Nothing was paid"
    )]
    Root,
    /// Mode `direct`: a chunk of the plaintext is not what was promised.
    #[error("chunk {i} is not what the worker promised. Nothing was paid")]
    Promise {
        /// The chunk.
        i: u64,
    },
}

impl Refused {
    /// A name that never changes, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Manifest(_) => "seal.manifest",
            Self::Job => "seal.job",
            Self::Delivery { .. } => "seal.delivery",
            Self::Mode => "seal.mode",
            Self::Tranches { .. } => "seal.tranches",
            Self::Cut => "seal.cut",
            Self::Chunks { .. } => "seal.chunks",
            Self::Checks => "seal.checks",
            Self::TooLarge => "seal.too_large",
            Self::Secret { .. } => "seal.secret",
            Self::HashRepeated { .. } => "seal.hash_repeated",
            Self::HashSeen { .. } => "seal.hash_seen",
            Self::TrancheTooSmall { .. } => "seal.tranche_too_small",
            Self::VectorLength { .. } => "seal.vector_length",
            Self::VectorHash => "seal.vector_hash",
            Self::VectorEntry { .. } => "seal.vector_entry",
            Self::Shape { .. } => "seal.shape",
            Self::Total { .. } => "seal.total",
            Self::Coinciding(_) => "seal.coinciding",
            Self::Map => "seal.map",
            Self::BlobLength { .. } => "seal.blob_length",
            Self::BlobHash => "seal.blob_hash",
            Self::Root => "seal.root",
            Self::Promise { .. } => "seal.promise",
        }
    }
}

/// Why an inspection did not end well.
#[derive(Debug, Error)]
pub enum InspectError {
    /// The delivery is not what was agreed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The files could not be read; this says nothing about the worker.
    #[error("the delivery could not be read here: {0}. Nothing was paid; try again")]
    Fault(#[from] io::Error),
}

/// One tranche of an inspected delivery: what is paid, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tranche {
    /// Its chunks, from the first to past the last.
    pub chunks: std::ops::Range<u64>,
    /// Its bytes in the blob and, in the same place, in the deliverable.
    pub bytes: std::ops::Range<u64>,
    /// Its amount, in millisatoshi.
    pub msat: u64,
    /// h_t; `None` in mode `direct`.
    pub hash: Option<Hash32>,
}

/// A delivery of which nothing but the keys is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The tranches, in order.
    pub tranches: Vec<Tranche>,
    /// Records that the marks count.
    pub records: u64,
}

/// What the manifest alone can be refused for: do this before a byte is fetched.
pub fn agree(manifest: &Manifest, expected: &Expected<'_>) -> Result<(), Refused> {
    manifest.check()?;
    if manifest.job != expected.job {
        return Err(Refused::Job);
    }
    if manifest.delivery != expected.delivery {
        return Err(Refused::Delivery { want: expected.delivery, got: manifest.delivery });
    }
    if manifest.mode != expected.mode {
        return Err(Refused::Mode);
    }
    let want = match expected.mode {
        Mode::Sealed => expected.secrets.len() as u32,
        Mode::Direct => 1,
    };
    if manifest.tranches() != want {
        return Err(Refused::Tranches { want, got: manifest.tranches() });
    }
    if expected.cut.is_some_and(|cut| cut != manifest.cut) {
        return Err(Refused::Cut);
    }
    if let Some(want) = expected.chunks.filter(|want| *want != manifest.n) {
        return Err(Refused::Chunks { want, got: manifest.n });
    }
    if manifest.checks != expected.checks {
        return Err(Refused::Checks);
    }
    if manifest.total > expected.max_total || manifest.n > expected.max_chunks {
        return Err(Refused::TooLarge);
    }
    for ((t, secret), committed) in (0..).zip(expected.secrets).zip(&manifest.secrets) {
        if secret.commitment() != *committed {
            return Err(Refused::Secret { t });
        }
    }
    let mut hashes = BTreeSet::new();
    for (t, hash) in (0..).zip(&manifest.h) {
        if !hashes.insert(hash) {
            return Err(Refused::HashRepeated { t });
        }
        if (expected.seen)(hash) {
            return Err(Refused::HashSeen { t });
        }
    }
    for (t, msat) in (0..).zip(amounts(expected.price_msat, want)) {
        if msat < expected.least_tranche_msat {
            return Err(Refused::TrancheTooSmall { t, msat });
        }
    }
    Ok(())
}

/// Reads the whole blob and the whole vector file, from their starts, and refuses whatever would
/// leave the requester without goods or without a proof once it has paid. The answer is the same
/// for any number of workers; memory does not grow with the delivery.
pub fn inspect(
    mut blob: impl Read + Seek,
    mut vector: impl Read + Seek,
    manifest: &Manifest,
    expected: &Expected<'_>,
    workers: NonZeroUsize,
) -> Result<Inspected, InspectError> {
    agree(manifest, expected)?;
    check_vector(&mut vector, manifest)?;

    blob.seek(SeekFrom::Start(0))?;
    let mut entries = Entries::new(&mut vector, 0);
    let mut mapper = Mapper::new(manifest.total, manifest.tranches());
    let mut growing = Growing::default();
    let mut blob_hash = blake3::Hasher::new();
    let (mut records, mut starts) = (0, Vec::new());
    let (mut last, mut broken_promise) = (0, None);
    let direct = manifest.mode == Mode::Direct;

    batch::run(
        workers,
        |slot| {
            if mapper.count() == manifest.n {
                return Ok(false);
            }
            let i = mapper.count();
            let entry = entries.next().map_err(|error| unreadable(error, manifest))?;
            let want = manifest.cut.shape(mapper.offset(), manifest.total);
            // A record goes on only after a full chunk; before the first there is none.
            let kept = (entry.starts_record || last == MAX_CHUNK as u32)
                && want.is_none_or(|shape| shape == (entry.len, entry.starts_record));
            if !kept {
                return Err(Refused::Shape { i }.into());
            }
            last = entry.len;
            let tranche = mapper.push(entry.len).map_err(Refused::from)?;
            if starts.len() as u32 == tranche {
                starts.push(mapper.offset() - u64::from(entry.len));
            }
            let room = slot.resize(entry.len as usize);
            if read_full(&mut blob, room)? < entry.len as usize {
                return Err(Refused::BlobLength { want: manifest.blob_len }.into());
            }
            slot.index = i;
            slot.starts_record = entry.starts_record;
            slot.promise = entry.promise;
            Ok::<_, InspectError>(true)
        },
        |slot| {
            // `tranche` carries the verdict on a direct chunk to the sink.
            slot.tranche = u32::from(direct && slot.promised(None) != slot.promise);
            slot.cipher = slot.committed();
        },
        |slot| {
            growing.push(slot.leaf());
            blob_hash.update(slot.body());
            records += u64::from(slot.starts_record);
            if slot.tranche != 0 {
                broken_promise.get_or_insert(slot.index);
            }
            Ok(())
        },
    )?;

    if mapper.offset() != manifest.total {
        return Err(Refused::Total { want: manifest.total, got: mapper.offset() }.into());
    }
    if read_full(&mut blob, &mut [0])? != 0 {
        return Err(Refused::BlobLength { want: manifest.blob_len }.into());
    }
    if mapper.finish().map_err(Refused::from)? != manifest.first {
        return Err(Refused::Map.into());
    }
    if Hash32::from(blob_hash.finalize()) != manifest.blob {
        return Err(Refused::BlobHash.into());
    }
    if growing.root() != Some(manifest.root) {
        return Err(Refused::Root.into());
    }
    if let Some(i) = broken_promise {
        return Err(Refused::Promise { i }.into());
    }
    Ok(Inspected { tranches: tranches(manifest, expected, &starts), records })
}

fn tranches(manifest: &Manifest, expected: &Expected<'_>, starts: &[u64]) -> Vec<Tranche> {
    let ends = starts.iter().skip(1).chain([&manifest.total]);
    let amounts = amounts(expected.price_msat, manifest.tranches());
    let places = starts.iter().zip(ends).zip(amounts);
    (0..)
        .zip(places)
        .filter_map(|(t, ((start, end), msat))| {
            let chunks = manifest.chunks_of(t)?;
            Some(Tranche {
                chunks,
                bytes: *start..*end,
                msat,
                hash: manifest.h.get(t as usize).copied(),
            })
        })
        .collect()
}

/// The vector file first, as a whole: after this its entries are the worker's own words.
fn check_vector(vector: &mut (impl Read + Seek), manifest: &Manifest) -> Result<(), InspectError> {
    vector.seek(SeekFrom::Start(0))?;
    let mut hasher = blake3::Hasher::new();
    let mut len = 0;
    let mut room = vec![0; 64 * 1024];
    loop {
        let filled = read_full(vector, &mut room)?;
        if filled == 0 {
            break;
        }
        len += filled as u64;
        if len > manifest.vector_len() {
            break;
        }
        hasher.update(&room[..filled]);
    }
    if len != manifest.vector_len() {
        return Err(Refused::VectorLength { want: manifest.n }.into());
    }
    if Hash32::from(hasher.finalize()) != manifest.vector {
        return Err(Refused::VectorHash.into());
    }
    vector.seek(SeekFrom::Start(0))?;
    Ok(())
}

fn unreadable(error: VectorError, manifest: &Manifest) -> InspectError {
    match error {
        VectorError::Short(_) => Refused::VectorLength { want: manifest.n }.into(),
        VectorError::Entry(i) => Refused::VectorEntry { i }.into(),
        VectorError::Fault(error) => InspectError::Fault(error),
    }
}
