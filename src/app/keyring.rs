//! The keys of a data directory: where they lie, how they are made and how they are opened.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nostr::{FromBech32 as _, PublicKey};

use crate::config::Config;
use crate::engine::{Clock as _, Dice as _};
use crate::keys::{OsDice, ask, ask_new, find};
use crate::market::{Pubkey, Time};

pub use crate::keys::{
    BackupCheck, Cost, ImportError, Imported, Keys, Lock, Opened, Passphrase, PassphraseError,
    Phrase, PhraseError, Secrets, SystemClock, Vault, VaultError, WORDS, npub,
};

/// The file of the keys in a data directory: one phrase for every network.
const FILE: &str = "keys.json";

/// Where the keys lie.
pub fn vault_path(config: &Config) -> PathBuf {
    config.data_dir.join(FILE)
}

/// The vault of a data directory; looks at nothing yet.
pub fn vault(config: &Config) -> Vault {
    Vault::at(&vault_path(config))
}

/// Fresh words.
pub fn new_phrase() -> Phrase {
    Phrase::new(&OsDice.nonce().0)
}

/// Fresh questions about them.
pub fn new_backup_check() -> BackupCheck {
    BackupCheck::new(&OsDice.nonce())
}

/// Writes a new vault, and before it the data directory, which only its owner enters.
///
/// # Errors
/// [`VaultError::Exists`] if there are keys; nothing is ever replaced.
pub fn create_vault(config: &Config, secrets: &Secrets, lock: &Lock) -> Result<(), VaultError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir);
    made.map_err(|why| VaultError::Io {
        path: config.data_dir.clone(),
        what: "written",
        why: why.kind(),
    })?;
    vault(config).create(secrets, lock, &OsDice)
}

/// Every key, derived.
pub fn keys_of(secrets: &Secrets) -> Arc<Keys> {
    Arc::new(Keys::new(secrets, Arc::new(OsDice), Arc::new(SystemClock)))
}

/// A passphrase that can be had without asking: from a file, or from systemd.
///
/// # Errors
/// It is there and cannot be used.
pub fn find_passphrase(file: Option<&Path>) -> Result<Option<Passphrase>, PassphraseError> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    find(file, credentials.as_deref())
}

/// Asks for a passphrase on the terminal.
///
/// # Errors
/// There is no terminal, or nothing was typed.
pub fn ask_passphrase(prompt: &str) -> Result<Passphrase, PassphraseError> {
    ask(prompt)
}

/// Asks twice for a new passphrase on the terminal.
///
/// # Errors
/// There is no terminal, nothing was typed, or the two differ.
pub fn ask_new_passphrase(prompt: &str, again: &str) -> Result<Passphrase, PassphraseError> {
    ask_new(prompt, again)
}

/// A public key as people pass it on, read (NIP-19).
pub fn read_npub(text: &str) -> Option<Pubkey> {
    PublicKey::from_bech32(text).ok().map(|key| Pubkey(key.to_bytes()))
}

/// The machine's clock.
pub fn now() -> Time {
    SystemClock.now()
}
