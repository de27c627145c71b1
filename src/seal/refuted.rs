//! The check proof: one record, by which anyone can see that what the worker signed does not pass a check that it
//! signed with it.
//!
//! It shows k_i alone and so opens one chunk: P_i, which the worker signed, commits to k_i and the plaintext, and
//! nobody can find another pair for it.

use std::io::{self, Read, Seek, SeekFrom};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::{
    chunk::{MAX_CHUNK, Slot, leaf},
    cut::{Cut, read_full},
    digest::Hash32,
    key::{ChunkKey, MasterKey, TrancheKeys},
    manifest::{Manifest, Mode},
    proof::{BadProof, Flaw, ProveError, Signed},
    tree::{Climbing, Growing, MAX_PATH, climb},
    vector::Entries,
};

/// The version of the proof's JSON.
const PROOF_VERSION: u32 = 1;
/// The longest proof that is read, in bytes: a check of 64 KiB and a record of 28 KiB, with room for what JSON
/// escapes.
pub const MAX_CHECK_PROOF_JSON: usize = 256 * 1024;
/// The longest body of a check.
const MAX_BODY: usize = 64 * 1024;
/// What tells the JSON of this proof from that of others.
const KIND: &str = "check";

/// Everything a stranger needs, and no more.
#[derive(Clone, Debug)]
pub struct CheckProof {
    /// The worker's session certificate: a signed event, as it was received.
    pub certificate: String,
    /// The record that carries the manifest: signed, as it was received.
    pub manifest: String,
    /// The body of the check.
    pub check: String,
    /// The chunk.
    pub i: u64,
    /// k_i.
    pub key: ChunkKey,
    /// mark_i: a record starts with the chunk.
    pub starts_record: bool,
    /// c_i.
    pub ciphertext: Vec<u8>,
    /// P_i.
    pub promise: Hash32,
    /// Siblings from the leaf up.
    pub path: Vec<Hash32>,
    /// The chunk after, which starts a record; `None` where the chunk is the last.
    pub next: Option<Boundary>,
}

/// A chunk's leaf without the chunk: where a record ends because the next begins.
#[derive(Clone, Debug)]
pub struct Boundary {
    /// Its length.
    pub len: u32,
    /// Its P.
    pub promise: Hash32,
    /// Its C.
    pub cipher: Hash32,
    /// Siblings from its leaf up.
    pub path: Vec<Hash32>,
}

/// What a check says of a record, as `verify` found it. `seal` runs no check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// It passes.
    Passes,
    /// It does not.
    Fails,
    /// Nothing: a trap, exhausted fuel, more than it may look at, or no check at all.
    Nothing,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    certificate: String,
    check: String,
    ciphertext: String,
    i: u64,
    key: Hash32,
    kind: String,
    manifest: String,
    mark: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<NextForm>,
    path: String,
    promise: Hash32,
    v: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NextForm {
    cipher: Hash32,
    len: u32,
    path: String,
    promise: Hash32,
}

/// Judges a check proof. `resolve` checks the two signed texts, as in [`super::verify`]; `look` runs the check whose
/// body is given on a record, and is told whether the chunk is the whole delivery. What is signed, and by whom, if
/// the worker is guilty.
///
/// # Errors
/// Why it proves nothing.
pub fn verify_check<E: std::fmt::Display>(
    proof: &CheckProof,
    resolve: impl FnOnce(&str, &str) -> Result<Signed, E>,
    look: impl FnOnce(&str, &[u8], bool) -> Looked,
) -> Result<Signed, Flaw> {
    let len = proof.ciphertext.len();
    let paths = proof.next.iter().map(|next| &next.path).chain([&proof.path]);
    let long = paths.into_iter().any(|path| path.len() > MAX_PATH);
    let Ok(short) = u32::try_from(len) else { return Err(Flaw::Length) };
    if len == 0 || len > MAX_CHUNK || long || proof.check.len() > MAX_BODY {
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
    if proof.i >= manifest.n {
        return Err(Flaw::NoChunk(proof.i));
    }
    if !manifest.checks.contains(&Hash32::from(blake3::hash(proof.check.as_bytes()))) {
        return Err(Flaw::Unpinned);
    }
    let mut slot = Slot::new();
    slot.resize(len).copy_from_slice(&proof.ciphertext);
    let cipher = slot.committed();
    let own = leaf(proof.i, short, proof.starts_record, &proof.promise, &cipher);
    if climb(own, proof.i, manifest.n, &proof.path) != Some(manifest.root) {
        return Err(Flaw::Path);
    }
    let ends = match &proof.next {
        Some(next) => {
            let at = proof.i + 1;
            let leaf = leaf(at, next.len, true, &next.promise, &next.cipher);
            if climb(leaf, at, manifest.n, &next.path) != Some(manifest.root) {
                return Err(Flaw::Path);
            }
            true
        }
        None => proof.i + 1 == manifest.n,
    };
    if !proof.starts_record || !ends {
        return Err(Flaw::Part);
    }
    // The list that a folder begins with is no work of anybody's: no check is run on it.
    if manifest.cut == Cut::Files && proof.i == 0 {
        return Err(Flaw::NoVerdict);
    }
    // What is looked at is what the worker signed, and nothing that somebody else could bring about.
    if slot.unlock(Some(&proof.key)) != proof.promise {
        return Err(Flaw::Closed);
    }
    match look(&proof.check, slot.body(), manifest.n == 1) {
        Looked::Fails => Ok(signed),
        Looked::Passes => Err(Flaw::Passes),
        Looked::Nothing => Err(Flaw::NoVerdict),
    }
}

/// Makes the proof for chunk `i`, of which `check` says no: one pass over blob and vector, in the memory of two
/// paths. `certificate` and `record` are the worker's signed texts, `keys` those of the chunk's tranche.
///
/// # Errors
/// [`ProveError::Chunk`] where the chunk is no whole record: a proof shows one chunk.
#[expect(clippy::too_many_arguments, reason = "everything that a proof is made of")]
pub fn refute(
    certificate: &str,
    record: &str,
    check: &str,
    manifest: &Manifest,
    keys: &TrancheKeys,
    i: u64,
    mut blob: impl Read + Seek,
    mut vector: impl Read + Seek,
) -> Result<CheckProof, ProveError> {
    let t = manifest.tranche_of(i).ok_or(ProveError::Chunk(i))?;
    if usize::try_from(t).ok().and_then(|t| manifest.h.get(t)) != Some(&keys.key.hash()) {
        return Err(ProveError::Chunk(i));
    }
    blob.seek(SeekFrom::Start(0))?;
    vector.seek(SeekFrom::Start(0))?;
    let mut blob = io::BufReader::with_capacity(16 * MAX_CHUNK, blob);
    let mut entries = Entries::new(vector, 0);
    let mut climbing = Climbing::new(i, manifest.n);
    let last = i + 1 == manifest.n;
    let mut beside = (!last).then(|| Climbing::new(i + 1, manifest.n));
    let mut growing = Growing::default();
    let mut slot = Slot::new();
    let (mut found, mut boundary) = (None, None);
    for index in 0..manifest.n {
        let entry = entries.next()?;
        let len = usize::try_from(entry.len).unwrap_or(usize::MAX);
        if read_full(&mut blob, slot.resize(len))? < len {
            return Err(ProveError::Damaged);
        }
        slot.index = index;
        slot.starts_record = entry.starts_record;
        slot.promise = entry.promise;
        slot.cipher = slot.committed();
        let leaf = slot.leaf();
        climbing.push(leaf);
        if let Some(beside) = &mut beside {
            beside.push(leaf);
        }
        growing.push(leaf);
        if index == i {
            found = Some((entry, slot.body().to_vec()));
        }
        if index == i + 1 {
            boundary = Some((entry, slot.cipher));
        }
    }
    if growing.root() != Some(manifest.root) {
        return Err(ProveError::Damaged);
    }
    let (entry, ciphertext) = found.ok_or(ProveError::Chunk(i))?;
    let whole = entry.starts_record && boundary.is_none_or(|(next, _)| next.starts_record);
    if !whole {
        return Err(ProveError::Chunk(i));
    }
    let next = boundary.zip(beside).map(|((entry, cipher), beside)| Boundary {
        len: entry.len,
        promise: entry.promise,
        cipher,
        path: beside.path(),
    });
    Ok(CheckProof {
        certificate: certificate.to_owned(),
        manifest: record.to_owned(),
        check: check.to_owned(),
        i,
        key: MasterKey::derive(keys, &manifest.job, manifest.delivery, t).chunk(i),
        starts_record: entry.starts_record,
        ciphertext,
        promise: entry.promise,
        path: climbing.path(),
        next,
    })
}

fn joined(path: &[Hash32]) -> String {
    STANDARD.encode(path.iter().flat_map(|hash| *hash.as_bytes()).collect::<Vec<u8>>())
}

fn siblings(path: &str) -> Result<Vec<Hash32>, BadProof> {
    let bytes = STANDARD.decode(path).map_err(|_| BadProof("the path is not base64".into()))?;
    let (siblings, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() || siblings.len() > MAX_PATH {
        return Err(BadProof("the path is too long".into()));
    }
    Ok(siblings.iter().copied().map(Hash32::new).collect())
}

impl CheckProof {
    /// Reads a proof of at most [`MAX_CHECK_PROOF_JSON`] bytes. Whether it proves anything, [`verify_check`] says.
    pub fn from_json(bytes: &[u8]) -> Result<Self, BadProof> {
        let bad = |what: &str| BadProof(what.to_owned());
        if bytes.len() > MAX_CHECK_PROOF_JSON {
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
        let next = form
            .next
            .map(|next| {
                let NextForm { cipher, len, path, promise } = next;
                Ok(Boundary { len, promise, cipher, path: siblings(&path)? })
            })
            .transpose()?;
        Ok(Self {
            certificate: form.certificate,
            manifest: form.manifest,
            check: form.check,
            i: form.i,
            key: ChunkKey::new(*form.key.as_bytes()),
            starts_record: form.mark == 1,
            ciphertext,
            promise: form.promise,
            path: siblings(&form.path)?,
            next,
        })
    }

    /// The proof for publication. It shows k_i, and so the record: that is what it is for.
    pub fn to_json(&self) -> Vec<u8> {
        let next = self.next.as_ref().map(|next| NextForm {
            cipher: next.cipher,
            len: next.len,
            path: joined(&next.path),
            promise: next.promise,
        });
        let form = Form {
            certificate: self.certificate.clone(),
            check: self.check.clone(),
            ciphertext: STANDARD.encode(&self.ciphertext),
            i: self.i,
            key: Hash32::new(*self.key.expose()),
            kind: KIND.to_owned(),
            manifest: self.manifest.clone(),
            mark: u8::from(self.starts_record),
            next,
            path: joined(&self.path),
            promise: self.promise,
            v: PROOF_VERSION,
        };
        // Strings and numbers: there is nothing in it that JSON cannot say.
        serde_json::to_vec(&form).unwrap_or_default()
    }
}
