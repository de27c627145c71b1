//! The passphrase of the vault, and where it comes from: a file, systemd, or the terminal.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// The name of the systemd credential (`LoadCredential=earnest-passphrase:...`).
pub const CREDENTIAL: &str = "earnest-passphrase";

/// Bytes of a passphrase, at most.
const LONGEST: u64 = 4096;

/// A passphrase, in NFKC (NIP-49) so that two keyboards type the same one. Erased when dropped.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

/// Why there is no passphrase. Never quotes one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// Nothing but white space, or nothing.
    #[error("the passphrase is empty; nothing was changed")]
    Empty,
    /// A file of 4 KiB and more is not a passphrase.
    #[error("the passphrase in {0} is longer than 4 KiB, or not text; nothing was changed")]
    Form(PathBuf),
    /// Others could have read it.
    #[error(
        "{path} can be read by other users (mode {mode:03o}): `chmod 600` it; nothing was changed"
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file could not be read.
    #[error("the passphrase file {path} could not be read ({why}); nothing was changed")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        why: io::ErrorKind,
    },
    /// There is no terminal to ask on.
    #[error(
        "there is no terminal to ask for the passphrase: give --passphrase-file, or the systemd \
         credential earnest-passphrase; nothing was changed"
    )]
    NoTerminal,
    /// Typed twice, differently.
    #[error("the two passphrases differ; nothing was changed")]
    Differ,
}

impl Passphrase {
    /// From text, without the line end that editors add.
    pub fn new(text: &str) -> Result<Self, PassphraseError> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.trim().is_empty() {
            return Err(PassphraseError::Empty);
        }
        Ok(Self(Zeroizing::new(text.nfkc().collect())))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Looks where a passphrase may lie without asking anybody: the file, if one is named; else the systemd
/// credential in `credentials` (`$CREDENTIALS_DIRECTORY`), if it is there. `None` when neither is.
pub fn find(
    file: Option<&Path>,
    credentials: Option<&Path>,
) -> Result<Option<Passphrase>, PassphraseError> {
    if let Some(path) = file {
        return read(path, true).map(Some);
    }
    match credentials.map(|dir| dir.join(CREDENTIAL)) {
        // systemd guards its directory by mount and access list; the mode bits there say nothing.
        Some(path) if path.exists() => read(&path, false).map(Some),
        _ => Ok(None),
    }
}

/// Asks on the terminal, without showing what is typed.
pub fn ask(prompt: &str) -> Result<Passphrase, PassphraseError> {
    let typed = rpassword::prompt_password(prompt).map_err(|_| PassphraseError::NoTerminal)?;
    Passphrase::new(&Zeroizing::new(typed))
}

/// Asks twice for a new one.
pub fn ask_new(prompt: &str, again: &str) -> Result<Passphrase, PassphraseError> {
    let first = ask(prompt)?;
    if first.expose() == ask(again)?.expose() { Ok(first) } else { Err(PassphraseError::Differ) }
}

fn read(path: &Path, guarded: bool) -> Result<Passphrase, PassphraseError> {
    let io = |e: io::Error| PassphraseError::Io { path: path.to_owned(), why: e.kind() };
    let file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
    if guarded && mode & 0o077 != 0 {
        return Err(PassphraseError::OpenToOthers { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    let form = |_| PassphraseError::Form(path.to_owned());
    let bytes = file.take(LONGEST + 1).read_to_string(&mut text).map_err(form)?;
    if bytes as u64 > LONGEST {
        return Err(PassphraseError::Form(path.to_owned()));
    }
    Passphrase::new(&text)
}
