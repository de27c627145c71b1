//! A Nostr identity from elsewhere: `nsec` (NIP-19) or `ncryptsec` (NIP-49), kept beside the phrase.

use std::fmt;

use nostr::nips::nip49::{EncryptedSecretKey, Error as Nip49};
use nostr::{FromBech32 as _, PublicKey, SecretKey, ToBech32 as _};
use zeroize::Zeroizing;

use super::passphrase::Passphrase;
use crate::market::Pubkey;
use crate::wire::SigningKey;

/// An imported identity. Erased when dropped, never shown.
#[derive(Clone)]
pub struct Imported(Zeroizing<[u8; 32]>);

/// Why a text is not an identity. Never quotes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Neither form.
    #[error("this is neither an nsec nor an ncryptsec; nothing was changed")]
    Form,
    /// It is encrypted and nobody gave the passphrase.
    #[error("an ncryptsec needs the passphrase it was made with; nothing was changed")]
    NeedsPassphrase,
    /// The passphrase does not open it.
    #[error("the passphrase does not open this ncryptsec, or it is damaged; nothing was changed")]
    WrongPassphrase,
    /// It asks for more memory than is sensible.
    #[error(
        "this ncryptsec asks for more than 256 MiB of memory to open (scrypt 2^{log_n}); nothing was \
         changed"
    )]
    TooDear {
        /// Its work factor.
        log_n: u8,
    },
}

impl Imported {
    /// Whether a text is an `ncryptsec`, which needs a passphrase.
    pub fn is_encrypted(text: &str) -> bool {
        text.trim().starts_with("ncryptsec1")
    }

    /// Reads an `nsec`, or an `ncryptsec` with its passphrase.
    pub fn read(text: &str, passphrase: Option<&Passphrase>) -> Result<Self, ImportError> {
        let text = text.trim();
        let secret = if Self::is_encrypted(text) {
            let passphrase = passphrase.ok_or(ImportError::NeedsPassphrase)?;
            let sealed = EncryptedSecretKey::from_bech32(text).map_err(|_| ImportError::Form)?;
            sealed.decrypt(passphrase.expose()).map_err(|e| match e {
                Nip49::LogNTooBig { log_n, .. } => ImportError::TooDear { log_n },
                _ => ImportError::WrongPassphrase,
            })?
        } else if text.starts_with("nsec1") {
            SecretKey::from_bech32(text).map_err(|_| ImportError::Form)?
        } else {
            return Err(ImportError::Form);
        };
        Ok(Self(Zeroizing::new(secret.to_secret_bytes())))
    }

    pub(crate) fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Option<Self> {
        SigningKey::new(&bytes).map(|_| Self(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn key(&self) -> SigningKey {
        SigningKey::new(&self.0).expect("checked when it was read")
    }
}

impl fmt::Debug for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Imported(..)")
    }
}

/// A public key as people pass it on (NIP-19).
pub fn npub(key: &Pubkey) -> String {
    PublicKey::from_byte_array(key.0).to_bech32().unwrap_or_else(|e| match e {})
}
