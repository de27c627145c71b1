//! From the seed to every key (PROTOCOL.md 1): NIP-06 for the identity, HKDF-SHA256 for the rest.

use std::fmt;

use bitcoin::Network;
use bitcoin::bip32::{ChildNumber, Xpriv};
use bitcoin::secp256k1::Secp256k1;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::market::Nonce;
use crate::wire::SigningKey;

const SESSION: &str = "earnest/v1/key/session";
const INBOX: &str = "earnest/v1/key/inbox";
const TRANCHE: &str = "earnest/v1/key/tranche";
const ESCROW: &str = "earnest/v1/key/escrow";
const AUDIT: &str = "earnest/v1/key/audit";
const ALONE: &str = "earnest/v1/key/alone";
const ENDPOINT: &str = "earnest/v1/key/endpoint";

/// The 64-byte BIP-39 seed.
pub(crate) struct Seed(Zeroizing<[u8; 64]>);

impl Seed {
    pub(crate) fn new(seed: Zeroizing<[u8; 64]>) -> Self {
        Self(seed)
    }

    /// Lightning takes it as it is, so that on-chain funds stay recoverable in any BIP-84 wallet.
    pub(crate) fn lightning(&self) -> Zeroizing<[u8; 64]> {
        self.0.clone()
    }

    /// The NIP-06 identity: m/44'/1237'/0'/0/0.
    pub(crate) fn identity(&self) -> Option<SigningKey> {
        let hard = |i| ChildNumber::from_hardened_idx(i).ok();
        let soft = |i| ChildNumber::from_normal_idx(i).ok();
        let path = [hard(44)?, hard(1237)?, hard(0)?, soft(0)?, soft(0)?];
        let secp = Secp256k1::signing_only();
        let mut master = Xpriv::new_master(Network::Bitcoin, &*self.0).ok()?;
        let mut child = master.derive_priv(&secp, &path).ok()?;
        master.private_key.non_secure_erase();
        let secret = Zeroizing::new(child.private_key.secret_bytes());
        child.private_key.non_secure_erase();
        SigningKey::new(&secret)
    }

    /// A job's session key.
    pub(crate) fn session(&self, nonce: &Nonce) -> SigningKey {
        self.scalar(SESSION, nonce)
    }

    /// A listing's inbox key.
    pub(crate) fn inbox(&self, nonce: &Nonce) -> SigningKey {
        self.scalar(INBOX, nonce)
    }

    /// K_t: one nonce a manifest, t in the tag.
    pub(crate) fn tranche(&self, nonce: &Nonce, t: u32) -> Zeroizing<[u8; 32]> {
        self.bytes(&nonce.0, &[TRANCHE.as_bytes(), &t.to_le_bytes()])
    }

    /// x of an escrow's lock.
    pub(crate) fn escrow(&self, nonce: &Nonce) -> Zeroizing<[u8; 32]> {
        self.bytes(&nonce.0, &[ESCROW.as_bytes()])
    }

    /// s_R.
    pub(crate) fn audit(&self, nonce: &Nonce) -> Zeroizing<[u8; 32]> {
        self.bytes(&nonce.0, &[AUDIT.as_bytes()])
    }

    /// What stands for a secret shared with a peer that has no key.
    pub(crate) fn alone(&self, nonce: &Nonce) -> Zeroizing<[u8; 32]> {
        self.bytes(&nonce.0, &[ALONE.as_bytes()])
    }

    /// The Ed25519 secret of the iroh endpoint: one for this phrase.
    pub(crate) fn endpoint(&self) -> Zeroizing<[u8; 32]> {
        self.bytes(&[], &[ENDPOINT.as_bytes()])
    }

    /// A secp256k1 scalar. One in 2^128 is not a key; then the next.
    fn scalar(&self, tag: &str, nonce: &Nonce) -> SigningKey {
        let mut counter = 0u8;
        loop {
            let bytes = self.bytes(&nonce.0, &[tag.as_bytes(), &[counter]]);
            if let Some(key) = SigningKey::new(&bytes) {
                return key;
            }
            counter = counter.wrapping_add(1);
        }
    }

    /// HKDF-SHA256: the seed is the key material, the nonce the salt, the tag the info.
    fn bytes(&self, salt: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(salt), &*self.0)
            .expand_multi_info(info, &mut *out)
            .expect("HKDF-SHA256 gives up to 8,160 bytes");
        out
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[cfg(test)]
mod tests {
    use nostr::prelude::FromMnemonic as _;

    use super::*;
    use crate::market::Pubkey;

    /// The two test vectors of NIP-06.
    #[test]
    fn nip_06() {
        for (words, key) in [
            (
                "leader monkey parrot ring guide accident before fence cannon height naive bean",
                "17162c921dc4d2518f9a101db33695df1afb56ab82f5ff3e5da6eec3ca5cd917",
            ),
            (
                "what bleak badge arrange retreat wolf trade produce cricket blur garlic valid \
                 proud rude strong choose busy staff weather area salt hollow arm fade",
                "d41b22899549e1f3d335a31002cfd382174006e166d3e658e3a5eecdb6463573",
            ),
        ] {
            let seed = bip39::Mnemonic::parse(words).unwrap().to_seed("");
            let ours = Seed::new(Zeroizing::new(seed)).identity().unwrap().pubkey();
            assert_eq!(ours, key.parse::<Pubkey>().unwrap());
            let theirs = nostr::Keys::from_mnemonic(words, None).unwrap();
            assert_eq!(ours.0, theirs.public_key().to_bytes());
        }
    }

    #[test]
    fn no_two_purposes_share_a_key() {
        let seed = Seed::new(Zeroizing::new([7; 64]));
        let n = Nonce([1; 32]);
        let mut all = vec![
            seed.session(&n).pubkey().0,
            seed.inbox(&n).pubkey().0,
            seed.session(&Nonce([2; 32])).pubkey().0,
            *seed.tranche(&n, 0),
            *seed.tranche(&n, 1),
            *seed.tranche(&n, 256),
            *seed.escrow(&n),
            *seed.audit(&n),
            *seed.alone(&n),
            *seed.endpoint(),
            seed.identity().unwrap().pubkey().0,
        ];
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
