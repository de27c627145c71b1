//! The fraud proof: one chunk, by which anyone can see that a paid key does not open what the worker
//! signed.
//!
//! A verifier must never say guilty by default. [`verify`] says it in one place only, after every
//! other step held: where the plaintext has another P_i than the one signed.

use std::io::{self, Read, Seek, SeekFrom};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    chunk::{MAX_CHUNK, Slot, leaf},
    cut::read_full,
    digest::Hash32,
    key::{MasterKey, TrancheKey, TrancheKeys, TrancheSecret},
    manifest::{Manifest, Mode},
    tree::{Climbing, Growing, MAX_PATH, climb},
    vector::{Entries, VectorError},
};

/// The version of the proof's JSON.
const PROOF_VERSION: u32 = 1;
/// The longest proof that is read, in bytes.
pub const MAX_PROOF_JSON: usize = 48 * 1024;

/// Everything a stranger needs, and no more: it opens at most one tranche.
#[derive(Clone, Debug)]
pub struct FraudProof {
    /// The worker's session certificate: a signed event, as it was received.
    pub certificate: String,
    /// The record that carries the manifest: signed, as it was received.
    pub manifest: String,
    /// K_t and S_t.
    pub keys: TrancheKeys,
    /// The chunk.
    pub i: u64,
    /// len_i.
    pub len: u32,
    /// mark_i: a record starts with the chunk.
    pub starts_record: bool,
    /// c_i.
    pub ciphertext: Vec<u8>,
    /// P_i.
    pub promise: Hash32,
    /// Siblings from the leaf up.
    pub path: Vec<Hash32>,
}

/// The proof as JSON: hashes and keys in hex, the ciphertext and the path (32 bytes a sibling, one
/// after the other) in padded base64, since it has to fit one event.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    certificate: String,
    ciphertext: String,
    i: u64,
    key: Hash32,
    kind: String,
    len: u32,
    manifest: String,
    mark: u8,
    path: String,
    promise: Hash32,
    secret: Hash32,
    v: u32,
}

/// What tells the JSON of this proof from that of others.
const KIND: &str = "key";

/// What the signatures vouch for, as `wire` found it. `seal` takes no event apart.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The worker's identity, that signed the certificate.
    pub identity: Hash32,
    /// The worker's session key, that the certificate names and that signed the record.
    pub session: Hash32,
    /// J of the record.
    pub job: Hash32,
    /// The hash of the record, D.
    pub d: Hash32,
    /// The manifest in it.
    pub manifest: Manifest,
}

/// What a proof proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The worker signed a manifest that its own key does not open.
    Guilty {
        /// Who.
        identity: Hash32,
        /// In which job.
        job: Hash32,
        /// By which record.
        d: Hash32,
        /// In which tranche.
        t: u32,
    },
    /// Nothing. Says nothing against the worker, and nothing for it.
    Invalid(Flaw),
}

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Flaw {
    /// A signature, a role or a record is not what it must be.
    #[error("the certificate or the manifest is not validly signed by a worker: {0}")]
    Unsigned(String),
    /// The manifest breaks its own rules.
    #[error("the manifest is not valid: {0}")]
    Manifest(String),
    /// A direct delivery has no key that could fail.
    #[error("the delivery was not sealed")]
    Direct,
    /// Past the end.
    #[error("the delivery has no chunk {0}")]
    NoChunk(u64),
    /// SHA-256 of K_t is not h_t.
    #[error("the key is not the one of the chunk's tranche")]
    Key,
    /// The tagged hash of S_t is not `c_S[t]`.
    #[error("the secret is not the one of the chunk's tranche")]
    Secret,
    /// |c_i| is not len_i, or no length a chunk may have.
    #[error("the ciphertext does not have the length stated")]
    Length,
    /// The leaf is not at this place under the root.
    #[error("the chunk is not part of what the worker signed")]
    Path,
    /// The chunk opens to what was signed: the worker was honest about it.
    #[error("the chunk opens to exactly what the worker signed")]
    Opens,
    /// In a check proof: the key does not open the chunk to what was signed, so nothing was looked at.
    #[error("the key given does not open the chunk to what the worker signed")]
    Closed,
    /// In a check proof: the chunk is not a whole record, and not the whole delivery.
    #[error("the chunk is not the whole of what the check looks at")]
    Part,
    /// In a check proof: not a check that the worker signed.
    #[error("the check is not one of those that the worker signed")]
    Unpinned,
    /// In a check proof: the check passes the chunk.
    #[error("the chunk passes the check")]
    Passes,
    /// In a check proof: the check cannot say. That proves nothing, for anybody.
    #[error("the check says nothing of the chunk")]
    NoVerdict,
}

impl Flaw {
    /// A name that never changes, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unsigned(_) => "proof.unsigned",
            Self::Manifest(_) => "proof.manifest",
            Self::Direct => "proof.direct",
            Self::NoChunk(_) => "proof.no_chunk",
            Self::Key => "proof.key",
            Self::Secret => "proof.secret",
            Self::Length => "proof.length",
            Self::Path => "proof.path",
            Self::Opens => "proof.opens",
            Self::Closed => "proof.closed",
            Self::Part => "proof.part",
            Self::Unpinned => "proof.unpinned",
            Self::Passes => "proof.passes",
            Self::NoVerdict => "proof.no_verdict",
        }
    }
}

/// Judges a proof. `resolve` checks the two signed texts, the certificate and the manifest's record,
/// and that the record's author is the worker of that certificate and of that job; what it refuses is
/// an invalid proof. Needs no network and no clock.
pub fn verify<E: std::fmt::Display>(
    proof: &FraudProof,
    resolve: impl FnOnce(&str, &str) -> Result<Signed, E>,
) -> Verdict {
    match judge(proof, resolve) {
        Ok(guilty) => guilty,
        Err(flaw) => Verdict::Invalid(flaw),
    }
}

fn judge<E: std::fmt::Display>(
    proof: &FraudProof,
    resolve: impl FnOnce(&str, &str) -> Result<Signed, E>,
) -> Result<Verdict, Flaw> {
    let len = proof.ciphertext.len();
    if len == 0 || len > MAX_CHUNK || len != proof.len as usize || proof.path.len() > MAX_PATH {
        return Err(Flaw::Length);
    }
    let signed = resolve(&proof.certificate, &proof.manifest)
        .map_err(|error| Flaw::Unsigned(error.to_string()))?;
    let manifest = &signed.manifest;
    manifest.check().map_err(|error| Flaw::Manifest(error.to_string()))?;
    if manifest.job != signed.job {
        return Err(Flaw::Manifest("it is of another job than its record".into()));
    }
    if manifest.mode != Mode::Sealed {
        return Err(Flaw::Direct);
    }
    // t follows from i: a proof that could name both could pair a chunk with another tranche's key.
    let t = manifest.tranche_of(proof.i).ok_or(Flaw::NoChunk(proof.i))?;
    if manifest.h.get(t as usize) != Some(&proof.keys.key.hash()) {
        return Err(Flaw::Key);
    }
    if manifest.secrets.get(t as usize) != Some(&proof.keys.secret.commitment()) {
        return Err(Flaw::Secret);
    }
    let mut slot = Slot::new();
    slot.resize(len).copy_from_slice(&proof.ciphertext);
    let leaf = leaf(proof.i, proof.len, proof.starts_record, &proof.promise, &slot.committed());
    if climb(leaf, proof.i, manifest.n, &proof.path) != Some(manifest.root) {
        return Err(Flaw::Path);
    }
    // Everything that goes into the key and everything the key is turned on is now the worker's own.
    let master = MasterKey::derive(&proof.keys, &manifest.job, manifest.delivery, t);
    if slot.unlock(Some(&master.chunk(proof.i))) == proof.promise {
        return Err(Flaw::Opens);
    }
    Ok(Verdict::Guilty { identity: signed.identity, job: signed.job, d: signed.d, t })
}

/// Why a proof could not be made.
#[derive(Debug, Error)]
pub enum ProveError {
    /// No such chunk, or keys of another tranche.
    #[error("there is no chunk {0} that these keys should open")]
    Chunk(u64),
    /// The files do not make the signed root: they were damaged here, after the inspection. Fetch
    /// them again and open again.
    #[error(
        "the delivery on disk is not the one that was signed: it was damaged here, so this proves nothing. Fetch it again and open it with the key you hold"
    )]
    Damaged,
    /// Reading failed.
    #[error("the proof could not be made: {0}; try again")]
    Fault(#[from] io::Error),
}

impl From<VectorError> for ProveError {
    fn from(error: VectorError) -> Self {
        match error {
            VectorError::Fault(error) => Self::Fault(error),
            VectorError::Short(_) | VectorError::Entry(_) => Self::Damaged,
        }
    }
}

/// Makes the proof for chunk `i`, which [`super::open`] named: one pass over blob and vector, in the
/// memory of one path. `certificate` and `record` are the worker's signed texts.
pub fn prove(
    certificate: &str,
    record: &str,
    manifest: &Manifest,
    keys: &TrancheKeys,
    i: u64,
    mut blob: impl Read + Seek,
    mut vector: impl Read + Seek,
) -> Result<FraudProof, ProveError> {
    let t = manifest.tranche_of(i).ok_or(ProveError::Chunk(i))?;
    if manifest.h.get(t as usize) != Some(&keys.key.hash()) {
        return Err(ProveError::Chunk(i));
    }
    blob.seek(SeekFrom::Start(0))?;
    vector.seek(SeekFrom::Start(0))?;
    let mut blob = io::BufReader::with_capacity(16 * MAX_CHUNK, blob);
    let mut entries = Entries::new(vector, 0);
    let mut climbing = Climbing::new(i, manifest.n);
    let mut growing = Growing::default();
    let mut slot = Slot::new();
    let mut found = None;
    for index in 0..manifest.n {
        let entry = entries.next()?;
        if read_full(&mut blob, slot.resize(entry.len as usize))? < entry.len as usize {
            return Err(ProveError::Damaged);
        }
        slot.index = index;
        slot.starts_record = entry.starts_record;
        slot.promise = entry.promise;
        slot.cipher = slot.committed();
        let leaf = slot.leaf();
        climbing.push(leaf);
        growing.push(leaf);
        if index == i {
            found = Some((entry, slot.body().to_vec()));
        }
    }
    if growing.root() != Some(manifest.root) {
        return Err(ProveError::Damaged);
    }
    let (entry, ciphertext) = found.ok_or(ProveError::Chunk(i))?;
    Ok(FraudProof {
        certificate: certificate.to_owned(),
        manifest: record.to_owned(),
        keys: keys.clone(),
        i,
        len: entry.len,
        starts_record: entry.starts_record,
        ciphertext,
        promise: entry.promise,
        path: climbing.path(),
    })
}

/// Why bytes are no proof of this version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a fraud proof: {0}")]
pub struct BadProof(pub(super) String);

impl FraudProof {
    /// Reads a proof of at most [`MAX_PROOF_JSON`] bytes. Whether it proves anything, [`verify`] says.
    pub fn from_json(bytes: &[u8]) -> Result<Self, BadProof> {
        let bad = |what: &str| BadProof(what.to_owned());
        if bytes.len() > MAX_PROOF_JSON {
            return Err(bad("it is too long"));
        }
        let form: Form =
            serde_json::from_slice(bytes).map_err(|error| BadProof(error.to_string()))?;
        if form.kind != KIND || form.mark > 1 {
            return Err(bad("it is of another kind, or its mark is none"));
        }
        if form.v != PROOF_VERSION {
            return Err(bad("its version is unknown here; a newer earnest may read it"));
        }
        let ciphertext =
            STANDARD.decode(&form.ciphertext).map_err(|_| bad("the ciphertext is not base64"))?;
        let path = STANDARD.decode(&form.path).map_err(|_| bad("the path is not base64"))?;
        let (siblings, rest) = path.as_chunks::<32>();
        if ciphertext.len() > MAX_CHUNK || !rest.is_empty() || siblings.len() > MAX_PATH {
            return Err(bad("the ciphertext or the path is too long"));
        }
        Ok(Self {
            certificate: form.certificate,
            manifest: form.manifest,
            keys: TrancheKeys {
                key: TrancheKey::new(*form.key.as_bytes()),
                secret: TrancheSecret::new(*form.secret.as_bytes()),
            },
            i: form.i,
            len: form.len,
            starts_record: form.mark == 1,
            ciphertext,
            promise: form.promise,
            path: siblings.iter().copied().map(Hash32::new).collect(),
        })
    }

    /// The proof for publication. It shows K_t and S_t: that is what it is for.
    pub fn to_json(&self) -> Vec<u8> {
        let path: Vec<u8> = self.path.iter().flat_map(|hash| *hash.as_bytes()).collect();
        let form = Form {
            certificate: self.certificate.clone(),
            ciphertext: STANDARD.encode(&self.ciphertext),
            i: self.i,
            key: Hash32::new(*self.keys.key.expose()),
            kind: KIND.to_owned(),
            len: self.len,
            manifest: self.manifest.clone(),
            mark: u8::from(self.starts_record),
            path: STANDARD.encode(path),
            promise: self.promise,
            secret: Hash32::new(*self.keys.secret.expose()),
            v: PROOF_VERSION,
        };
        // Strings and numbers: there is nothing in it that JSON cannot say.
        serde_json::to_vec(&form).unwrap_or_default()
    }
}
