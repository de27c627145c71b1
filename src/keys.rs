//! One recovery phrase and every key that follows from it. No secret leaves this room but those that a
//! job needs at that moment; none is ever shown, logged or part of an error.

mod chance;
mod derive;
mod import;
mod passphrase;
mod phrase;
mod ring;
mod scribe;
mod vault;

pub use chance::{OsDice, SystemClock};
pub use import::{ImportError, Imported, npub};
pub use passphrase::{CREDENTIAL, Passphrase, PassphraseError, ask, ask_new, find};
pub use phrase::{BackupCheck, Phrase, PhraseError, WORDS};
pub use scribe::Keys;
pub use vault::{Cost, Lock, Opened, Secrets, Vault, VaultError};
