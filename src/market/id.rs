//! Names of things: 32-byte ids and keys, each its own type so that none is taken for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {bytes} bytes as {} hex characters", bytes * 2)]
pub struct NotAnId {
    bytes: usize,
}

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
            /// The first eight hex characters: enough for a person to tell two apart.
            pub fn short(&self) -> String {
                hex::encode(&self.0[..4])
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), hex::encode(&self.0[..4]))
            }
        }
        impl FromStr for $name {
            type Err = NotAnId;
            /// Lower-case hex only: an id has one spelling.
            fn from_str(s: &str) -> Result<Self, NotAnId> {
                let wrong = NotAnId { bytes: $len };
                if s.len() != $len * 2 || s.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(wrong);
                }
                let mut out = [0u8; $len];
                hex::decode_to_slice(s, &mut out).map_err(|_| wrong)?;
                Ok(Self(out))
            }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let pattern = format!("^[0-9a-f]{{{}}}$", $len * 2);
                schemars::json_schema!({"type": "string", "pattern": pattern})
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&hex::encode(self.0))
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

bytes_id!(
    /// A Nostr event id (NIP-01): SHA-256 of the canonical event. A record's hash is this.
    EventId, 32
);
bytes_id!(
    /// A BIP-340 x-only public key: an identity or a session key.
    Pubkey, 32
);
bytes_id!(
    /// The id J of an awarded job: `H("earnest/v1/job", bid id, award id)`.
    JobId, 32
);
bytes_id!(
    /// A Lightning payment hash: SHA-256 of the preimage.
    PaymentHash, 32
);
bytes_id!(
    /// BLAKE3 of a file or of canonical bytes under a context.
    Digest, 32
);
bytes_id!(
    /// An iroh endpoint id: an Ed25519 public key.
    EndpointId, 32
);
bytes_id!(
    /// A Lightning node id: a compressed secp256k1 public key.
    NodeId, 33
);
bytes_id!(
    /// A BIP-340 signature by an identity.
    Signature, 64
);
bytes_id!(
    /// Public randomness from which one secret is derived; published with what it made, so that the
    /// phrase and the transcript restore every open job (PROTOCOL.md 1).
    Nonce, 32
);

/// The name of a job's log on this machine: the id of the bid that began it.
pub type BidId = EventId;

/// A payment preimage. Never shown, never logged.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Preimage(Secret32);

/// Thirty-two secret bytes with a hex form for the store and no `Debug` form at all.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Secret32([u8; 32]);

impl Preimage {
    /// Wraps the bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Secret32(bytes))
    }
    /// The bytes, for the node and the seal.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0.0
    }
    /// SHA-256, the payment hash that this preimage settles (BOLT 2).
    pub fn hash(&self) -> PaymentHash {
        use sha2::Digest as _;
        PaymentHash(sha2::Sha256::digest(self.0.0).into())
    }
}

impl fmt::Debug for Preimage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Preimage(..)")
    }
}
impl Serialize for Secret32 {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(self.0))
    }
}
impl<'de> Deserialize<'de> for Secret32 {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Digest::deserialize(d).map(|bytes| Self(bytes.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = EventId([0xab; 32]);
        assert_eq!(id.to_string().parse::<EventId>(), Ok(id));
        assert!(id.to_string().to_uppercase().parse::<EventId>().is_err());
        assert!("ab".parse::<EventId>().is_err());
    }

    #[test]
    fn a_preimage_is_not_shown() {
        assert_eq!(format!("{:?}", Preimage::new([7; 32])), "Preimage(..)");
    }
}
