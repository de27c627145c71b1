//! 32-byte values that may be shown, and the domains under which this room hashes.

use std::{fmt, sync::LazyLock};

use blake3::Hasher;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// 32 bytes that are public: a hash, an id, a nonce. 64 lowercase hex digits in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash32([u8; 32]);

impl Hash32 {
    /// Takes the bytes as they are.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads exactly 64 lowercase hex digits; anything else is `None`, so that a value has one
    /// spelling.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return None;
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<blake3::Hash> for Hash32 {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl Serialize for Hash32 {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Hash32 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::from_hex(&text).ok_or_else(|| D::Error::custom("expected 64 lowercase hex digits"))
    }
}

/// A BLAKE3 `derive_key` context. The context string itself is hashed once a process; after that a
/// hash costs what its input costs, which matters when a chunk is one label of 32 bytes.
pub(super) struct Domain(LazyLock<Hasher>);

impl Domain {
    const fn new(make: fn() -> Hasher) -> Self {
        Self(LazyLock::new(make))
    }

    /// Hashes the parts one after the other. Every part but the last must be of fixed width or
    /// preceded by its length: nothing is added here.
    pub(super) fn hash(&self, parts: &[&[u8]]) -> Hash32 {
        let mut hasher = self.0.clone();
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize().into()
    }

    /// As [`Domain::hash`], but as long a stream as is read.
    pub(super) fn stream(&self, parts: &[&[u8]]) -> blake3::OutputReader {
        let mut hasher = self.0.clone();
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize_xof()
    }
}

macro_rules! domains {
    ($($name:ident = $context:literal;)*) => {
        $(pub(super) static $name: Domain = Domain::new(|| Hasher::new_derive_key($context));)*
        /// Every context, for the test that no two are alike.
        #[cfg(test)]
        const CONTEXTS: &[&str] = &[$($context),*];
    };
}

domains! {
    TRANCHE_SECRET = "earnest/v1/tranche-secret";
    SECRET_COMMITMENT = "earnest/v1/tranche-secret-commitment";
    TRANCHE_MASTER = "earnest/v1/tranche-master";
    CHUNK_KEY = "earnest/v1/chunk-key";
    CHUNK_BLIND = "earnest/v1/chunk-blind";
    CHUNK_PLAIN = "earnest/v1/chunk-plaintext";
    CHUNK_CIPHER = "earnest/v1/chunk-ciphertext";
    LEAF = "earnest/v1/leaf";
    NODE = "earnest/v1/node";
    AUDIT = "earnest/v1/audit";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_domains_are_alike_and_all_are_of_this_version() {
        let distinct: std::collections::BTreeSet<_> = CONTEXTS.iter().collect();
        assert_eq!(distinct.len(), CONTEXTS.len());
        assert!(CONTEXTS.iter().all(|c| c.starts_with("earnest/v1/")));
    }

    #[test]
    fn a_value_has_one_spelling() {
        let hash = Hash32::new([0xab; 32]);
        assert_eq!(Hash32::from_hex(&hash.to_string()), Some(hash));
        assert_eq!(Hash32::from_hex(&"AB".repeat(32)), None);
        assert_eq!(Hash32::from_hex(&"ab".repeat(31)), None);
        assert_eq!(Hash32::from_hex(&format!("{} ", "ab".repeat(32))), None);
        assert_eq!(Hash32::from_hex(&"zz".repeat(32)), None);
    }
}
