//! The manifest: everything a worker must have signed for fraud to be provable. D is the record
//! that carries it; its hash is made by `wire` and comes in here as 32 bytes.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{chunk::MAX_CHUNK, cut::Cut, digest::Hash32, tranche::MAX_TRANCHES, vector::ENTRY};

/// The version of everything in this room: layouts, domains, cipher, tree.
pub const VERSION: u32 = 1;
/// The most chunks of a delivery: 1 TiB of full ones.
pub const MAX_CHUNKS: u64 = 1 << 26;
/// The most bytes of a delivery.
pub const MAX_TOTAL: u64 = MAX_CHUNKS * MAX_CHUNK as u64;
/// The most checks a manifest names.
pub const MAX_CHECKS: usize = 32;
/// The longest canonical form, in bytes; 64 tranches and 32 checks stay below it.
pub const MAX_MANIFEST_JSON: usize = 16 * 1024;

/// Whether the blob is ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The blob is ciphertext, opened tranche by tranche with what was paid for.
    Sealed,
    /// The blob is the plaintext: no cipher, zero blinds, no tranches. The same tree.
    Direct,
}

/// What the worker commits to. Fields stand in the order of their JSON names, so that what serde
/// writes is canonical (RFC 8785); every number is below 2^53.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Manifest {
    /// Plain BLAKE3 of the blob: the ciphertext, or in mode `direct` the plaintext.
    pub blob: Hash32,
    /// Bytes of the blob; equal to `total`, since the cipher adds nothing.
    pub blob_len: u64,
    /// Hashes of the checks the terms pin, in the order of the terms.
    pub checks: Vec<Hash32>,
    /// How the deliverable falls into records.
    pub cut: Cut,
    /// Number of the delivery within the job, from 0.
    pub delivery: u32,
    /// `first[t]`: the first chunk of tranche t. Recomputed, never believed.
    pub first: Vec<u64>,
    /// h_t = SHA-256(K_t). Empty in mode `direct`.
    pub h: Vec<Hash32>,
    /// J.
    pub job: Hash32,
    /// Sealed or direct.
    pub mode: Mode,
    /// Chunks.
    pub n: u64,
    /// What K_t is drawn with from the worker's seed.
    pub nonce: Hash32,
    /// Root of the tree over the chunks.
    pub root: Hash32,
    /// `c_S[t]`: tagged hashes of S_t. Empty in mode `direct`.
    pub secrets: Vec<Hash32>,
    /// Bytes of the deliverable.
    pub total: u64,
    /// [`VERSION`].
    pub v: u32,
    /// Plain BLAKE3 of the vector file.
    pub vector: Hash32,
}

/// Why bytes are no manifest of this version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadManifest {
    /// Not the JSON of a manifest.
    #[error("not a manifest: {0}")]
    Json(String),
    /// The right values in another spelling than the canonical one.
    #[error("the manifest is not in canonical form")]
    NotCanonical,
    /// Over [`MAX_MANIFEST_JSON`].
    #[error("the manifest is longer than {MAX_MANIFEST_JSON} bytes")]
    TooLong,
    /// Made by a program newer than this one, or by none.
    #[error("manifest version {0} is unknown here; a newer earnest may read it")]
    Version(u32),
    /// A number is outside its limits or contradicts another.
    #[error("the manifest contradicts itself or its limits: {0}")]
    Limit(&'static str),
}

impl Manifest {
    /// Reads the canonical bytes, and nothing but them.
    pub fn from_json(bytes: &[u8]) -> Result<Self, BadManifest> {
        if bytes.len() > MAX_MANIFEST_JSON {
            return Err(BadManifest::TooLong);
        }
        let unchecked: Unchecked =
            serde_json::from_slice(bytes).map_err(|error| BadManifest::Json(error.to_string()))?;
        let manifest = Self::try_from(unchecked)?;
        if manifest.to_json() == bytes { Ok(manifest) } else { Err(BadManifest::NotCanonical) }
    }

    /// The canonical bytes.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and lists of them: there is nothing in it that JSON cannot say.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether the fields keep to the limits and to each other. Decoding does this; whoever builds
    /// a manifest by hand does it here.
    pub fn check(&self) -> Result<(), BadManifest> {
        if self.v != VERSION {
            return Err(BadManifest::Version(self.v));
        }
        let tranches = self.first.len();
        let keys = if self.mode == Mode::Sealed { tranches } else { 0 };
        let rules = [
            ((1..=MAX_CHUNKS).contains(&self.n), "n"),
            (self.total <= MAX_TOTAL, "total"),
            (
                self.total >= self.n && self.total <= self.n.saturating_mul(MAX_CHUNK as u64),
                "n against total",
            ),
            (self.blob_len == self.total, "blob_len"),
            ((1..=MAX_TRANCHES as usize).contains(&tranches), "first"),
            (self.first.first() == Some(&0), "first[0]"),
            (self.first.windows(2).all(|pair| pair[0] < pair[1]), "first does not rise"),
            (self.first.last().is_some_and(|last| *last < self.n), "first against n"),
            (self.mode == Mode::Sealed || tranches == 1, "tranches of a direct delivery"),
            (self.h.len() == keys, "h"),
            (self.secrets.len() == keys, "secrets"),
            (self.checks.len() <= MAX_CHECKS, "checks"),
            (!matches!(self.cut, Cut::Items { len } if len == 0), "cut"),
            (
                !matches!(self.cut, Cut::Items { len } if !self.total.is_multiple_of(u64::from(len))),
                "items",
            ),
        ];
        match rules.iter().find(|(kept, _)| !kept) {
            Some((_, rule)) => Err(BadManifest::Limit(rule)),
            None => Ok(()),
        }
    }

    /// T.
    pub fn tranches(&self) -> u32 {
        self.first.len() as u32
    }

    /// The tranche that chunk `i` belongs to; `None` past the end.
    pub fn tranche_of(&self, i: u64) -> Option<u32> {
        let upto = self.first.partition_point(|first| *first <= i);
        if i < self.n { (upto as u32).checked_sub(1) } else { None }
    }

    /// The chunks of tranche `t`, from the first to past the last; `None` past the end.
    pub fn chunks_of(&self, t: u32) -> Option<std::ops::Range<u64>> {
        let first = *self.first.get(t as usize)?;
        Some(first..self.first.get(t as usize + 1).copied().unwrap_or(self.n))
    }

    /// Bytes of the vector file.
    pub fn vector_len(&self) -> u64 {
        self.n * ENTRY as u64
    }
}

/// A manifest as it was written, before its limits are looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    blob: Hash32,
    blob_len: u64,
    checks: Vec<Hash32>,
    cut: Cut,
    delivery: u32,
    first: Vec<u64>,
    h: Vec<Hash32>,
    job: Hash32,
    mode: Mode,
    n: u64,
    nonce: Hash32,
    root: Hash32,
    secrets: Vec<Hash32>,
    total: u64,
    v: u32,
    vector: Hash32,
}

impl TryFrom<Unchecked> for Manifest {
    type Error = BadManifest;

    fn try_from(from: Unchecked) -> Result<Self, BadManifest> {
        let Unchecked { blob, blob_len, checks, cut, delivery, first, h, job, mode, .. } = from;
        let Unchecked { n, nonce, root, secrets, total, v, vector, .. } = from;
        let manifest = Self {
            blob,
            blob_len,
            checks,
            cut,
            delivery,
            first,
            h,
            job,
            mode,
            n,
            nonce,
            root,
            secrets,
            total,
            v,
            vector,
        };
        manifest.check()?;
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn manifest() -> Manifest {
        let hash = |byte| Hash32::new([byte; 32]);
        Manifest {
            blob: hash(1),
            blob_len: 40_000,
            checks: vec![hash(2)],
            cut: Cut::Bytes,
            delivery: 0,
            first: vec![0, 2],
            h: vec![hash(3), hash(4)],
            job: hash(5),
            mode: Mode::Sealed,
            n: 3,
            nonce: hash(6),
            root: hash(7),
            secrets: vec![hash(8), hash(9)],
            total: 40_000,
            v: 1,
            vector: hash(10),
        }
    }

    #[test]
    fn it_comes_back_from_its_canonical_bytes() {
        let json = manifest().to_json();
        assert_eq!(Manifest::from_json(&json), Ok(manifest()));
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        // serde_json's map is sorted, and sorted is what RFC 8785 asks for.
        assert_eq!(serde_json::to_vec(&value).unwrap(), json);
    }

    #[test]
    fn any_other_spelling_is_refused() {
        let json = String::from_utf8(manifest().to_json()).unwrap();
        let bad = [
            json.replace(":3,", ": 3,"),
            json.replace("\"n\":3", "\"n\":3.0"),
            json.replace("\"n\":3", "\"n\":3,\"n\":3"),
            json.replace("\"n\":3", "\"n\":3,\"more\":1"),
            json.replace("\"n\":3,", ""),
            json.replace("0a0a", "0A0A"),
            json.replace("\"sealed\"", "\"Sealed\""),
            json.replace("\"bytes\"", "\"slices\""),
            json.replace("\"total\":40000", "\"total\":-40000"),
            json.clone() + "\n",
            json[..json.len() - 1].to_owned(),
            json.replace("\"v\":1", "\"v\":2"),
            " ".repeat(MAX_MANIFEST_JSON) + &json,
        ];
        for bad in bad {
            assert!(bad != json && Manifest::from_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_manifest_outside_its_limits_is_refused_on_any_road() {
        type Bend = fn(&mut Manifest);
        let bends: [Bend; 19] = [
            |m| m.v = 0,
            |m| m.n = 0,
            |m| m.n = MAX_CHUNKS + 1,
            |m| m.n = 2,
            |m| m.n = u64::MAX,
            |m| m.n = 50_000,
            |m| m.total = u64::MAX,
            |m| m.blob_len = 1,
            |m| m.first = vec![],
            |m| m.first = vec![1, 2],
            |m| m.first = vec![0, 0],
            |m| m.first = vec![0, 3],
            |m| m.first = (0..65).collect(),
            |m| m.h.push(m.root),
            |m| m.secrets.truncate(1),
            |m| m.mode = Mode::Direct,
            |m| m.checks = vec![m.root; MAX_CHECKS + 1],
            |m| m.cut = Cut::Items { len: 0 },
            |m| m.cut = Cut::Items { len: 7 },
        ];
        for (i, bend) in bends.iter().enumerate() {
            let mut bent = manifest();
            bend(&mut bent);
            assert!(bent.check().is_err(), "bend {i}");
            assert!(Manifest::from_json(&bent.to_json()).is_err(), "bend {i}");
            assert!(serde_json::from_slice::<Manifest>(&bent.to_json()).is_err(), "bend {i}");
        }
    }

    #[test]
    fn the_largest_manifest_fits() {
        let mut large = manifest();
        large.total = MAX_TOTAL;
        large.blob_len = MAX_TOTAL;
        large.n = MAX_CHUNKS;
        large.first = (0..64).map(|t| t * (MAX_CHUNKS / 64)).collect();
        large.h = vec![large.root; 64];
        large.secrets = vec![large.root; 64];
        large.checks = vec![large.root; MAX_CHECKS];
        let json = large.to_json();
        assert!(json.len() <= MAX_MANIFEST_JSON, "{} bytes", json.len());
        assert_eq!(Manifest::from_json(&json), Ok(large));
    }

    #[test]
    fn chunks_and_tranches_find_each_other() {
        let manifest = manifest();
        assert_eq!(manifest.chunks_of(0), Some(0..2));
        assert_eq!(manifest.chunks_of(1), Some(2..3));
        assert_eq!(manifest.chunks_of(2), None);
        let of: Vec<_> = (0..4).map(|i| manifest.tranche_of(i)).collect();
        assert_eq!(of, [Some(0), Some(0), Some(1), None]);
    }
}
