//! The ladder of secrets: channel, tranche, chunk.
//!
//! Every type here erases itself when dropped and shows nothing in `Debug`; the bytes come out by
//! `expose` alone, so that a reader can find every place where they do.

use std::fmt;

use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit, StreamCipher},
};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::digest::{self, Hash32};

macro_rules! secret {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Takes the 32 bytes as they are.
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The bytes. Whoever calls this answers for where they go.
            pub const fn expose(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

secret! {
    /// S: what the two sessions of one job share and nobody else has (PROTOCOL section 3). It keeps
    /// routing hops, who learn every K_t, and hosts, who hold the ciphertext, from reading.
    ChannelSecret;
    /// K_t: 32 fresh bytes, the payment preimage of tranche t. On disk before anything is published.
    TrancheKey;
    /// S_t: the channel's share in the keys of tranche t. Both sides derive it.
    TrancheSecret;
    /// k_i: the cipher key of one chunk, used for that chunk and nothing else.
    ChunkKey;
    /// s_R: the requester's audit seed, secret until the manifest is signed.
    AuditSeed;
}

impl ChannelSecret {
    /// S_t = KDF(S, J, delivery, t).
    pub fn tranche(&self, job: &Hash32, delivery: u32, t: u32) -> TrancheSecret {
        TrancheSecret(derive(
            &digest::TRANCHE_SECRET,
            &[&self.0, job.as_bytes(), &delivery.to_le_bytes(), &t.to_le_bytes()],
        ))
    }
}

impl TrancheKey {
    /// h_t = SHA-256(K_t): the payment hash.
    pub fn hash(&self) -> Hash32 {
        Hash32::new(Sha256::digest(self.0).into())
    }
}

impl TrancheSecret {
    /// `c_S[t]`: tagged hash of S_t, which lets a verifier be shown S_t later and no other.
    pub fn commitment(&self) -> Hash32 {
        digest::SECRET_COMMITMENT.hash(&[&self.0])
    }
}

impl AuditSeed {
    /// a_R = SHA-256(s_R): stands in the award, before there is a manifest to choose it for.
    pub fn commitment(&self) -> Hash32 {
        Hash32::new(Sha256::digest(self.0).into())
    }
}

/// What opens one tranche: the key that was paid for and the secret that both sides derive.
#[derive(Clone, Debug)]
pub struct TrancheKeys {
    /// K_t.
    pub key: TrancheKey,
    /// S_t.
    pub secret: TrancheSecret,
}

/// KM_t: what the chunk keys of one tranche are drawn from. Never leaves this room.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct MasterKey([u8; 32]);

impl MasterKey {
    /// KM_t = KDF(K_t, S_t, J, delivery, t).
    pub(super) fn derive(keys: &TrancheKeys, job: &Hash32, delivery: u32, t: u32) -> Self {
        Self(derive(
            &digest::TRANCHE_MASTER,
            &[
                &keys.key.0,
                &keys.secret.0,
                job.as_bytes(),
                &delivery.to_le_bytes(),
                &t.to_le_bytes(),
            ],
        ))
    }

    #[cfg(test)]
    pub(super) fn expose_to_test(&self) -> &[u8; 32] {
        &self.0
    }

    /// k_i = KDF(KM_t, i).
    pub(super) fn chunk(&self, i: u64) -> ChunkKey {
        ChunkKey(derive(&digest::CHUNK_KEY, &[&self.0, &i.to_le_bytes()]))
    }
}

impl ChunkKey {
    /// r_i = KDF'(k_i): what hides a short plaintext in its own hash.
    pub(super) fn blind(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(derive(&digest::CHUNK_BLIND, &[&self.0]))
    }

    /// ChaCha20 (RFC 8439), counter 0, zero nonce: the key belongs to one chunk, so the nonce need
    /// not differ. Its own inverse. No tag: an AEAD would not commit to its key, the hashes do.
    pub(super) fn apply(&self, bytes: &mut [u8]) {
        ChaCha20::new((&self.0).into(), &[0; 12].into()).apply_keystream(bytes);
    }
}

fn derive(domain: &digest::Domain, parts: &[&[u8]]) -> [u8; 32] {
    *domain.hash(parts).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> TrancheKeys {
        TrancheKeys { key: TrancheKey::new([1; 32]), secret: TrancheSecret::new([2; 32]) }
    }

    #[test]
    fn no_secret_shows_itself() {
        let shown = format!("{:?} {:?}", keys(), ChannelSecret::new([7; 32]));
        assert!(!shown.contains('7') && !shown.contains('1') && !shown.contains('2'), "{shown}");
    }

    #[test]
    fn every_input_changes_the_chunk_key() {
        let job = Hash32::new([3; 32]);
        let base = *MasterKey::derive(&keys(), &job, 0, 0).chunk(0).expose();
        let other_key = TrancheKeys { key: TrancheKey::new([9; 32]), ..keys() };
        let other_secret = TrancheKeys { secret: TrancheSecret::new([9; 32]), ..keys() };
        let others = [
            MasterKey::derive(&other_key, &job, 0, 0).chunk(0),
            MasterKey::derive(&other_secret, &job, 0, 0).chunk(0),
            MasterKey::derive(&keys(), &Hash32::new([4; 32]), 0, 0).chunk(0),
            MasterKey::derive(&keys(), &job, 1, 0).chunk(0),
            MasterKey::derive(&keys(), &job, 0, 1).chunk(0),
            MasterKey::derive(&keys(), &job, 0, 0).chunk(1),
        ];
        assert!(others.iter().all(|other| *other.expose() != base));
    }

    #[test]
    fn the_cipher_is_rfc_8439_with_counter_zero() {
        // RFC 8439, appendix A.1, test vector 1: zero key, zero nonce, block 0.
        let mut block = [0; 32];
        ChunkKey::new([0; 32]).apply(&mut block);
        assert_eq!(
            hex::encode(block),
            "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        );
    }
}
