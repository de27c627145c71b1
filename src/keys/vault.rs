//! The vault: the phrase and an imported identity, at rest in one file of mode 0600, under a passphrase.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::import::Imported;
use super::passphrase::Passphrase;
use super::phrase::Phrase;
use crate::engine::Dice;

/// The version of the file.
const VERSION: u32 = 1;
/// Bytes of the file, at most: it has less than 1,000.
const LONGEST: u64 = 16 * 1024;
/// Bytes of what is encrypted: version, phrase, whether an identity was imported, that identity. Always
/// as many, so the size of the file says nothing.
const PLAIN: usize = 1 + 32 + 1 + 32;

/// What a vault keeps. Erased when dropped, never shown.
#[derive(Clone)]
pub struct Secrets {
    /// The recovery phrase.
    pub phrase: Phrase,
    /// An identity that does not follow from the phrase and is *not* restored by it.
    pub imported: Option<Imported>,
}

/// How a vault is locked.
#[derive(Debug, Clone)]
pub enum Lock {
    /// Under a passphrase: scrypt and XChaCha20-Poly1305.
    Passphrase(Passphrase, Cost),
    /// Not at all, because the user said so in so many words: file permissions are all there is.
    Plain,
}

/// scrypt's work: 2^n rounds of r = 8, p = 1; 1 KiB of memory a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost(u8);

impl Cost {
    /// 2^17: 128 MiB and about a second, the recommendation of the scrypt crate and of OWASP.
    pub const DEFAULT: Self = Self(17);
    /// 2^10: for tests; opens at once, to anybody who tries passphrases too.
    pub const LEAST: Self = Self(10);
    /// 2^20: 1 GiB.
    const MOST: Self = Self(20);
}

/// An opened vault.
#[derive(Debug)]
pub struct Opened {
    /// What it keeps.
    pub secrets: Secrets,
    /// What the owner should know: others can read the encrypted file.
    pub warning: Option<String>,
}

/// Where a vault lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vault {
    path: PathBuf,
}

/// Why a vault was not opened or written. Never quotes what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// No file.
    #[error("there are no keys at {0} yet: run `earnest init`")]
    Missing(PathBuf),
    /// A file is there already, and it may hold money.
    #[error("{0} holds keys already and was left as it is: nothing was changed")]
    Exists(PathBuf),
    /// An unencrypted vault that others can read.
    #[error(
        "{path} holds unencrypted keys and can be read by other users (mode {mode:03o}). It was not \
         used. If nobody read it, `chmod 600` it; else move your money to new keys"
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a file of ours, or cut off.
    #[error("{0} is not an earnest key file, or it is damaged; nothing was changed")]
    Damaged(PathBuf),
    /// Written by a newer program.
    #[error("{path} is of version {v}, which this program does not know; nothing was changed")]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        v: u32,
    },
    /// It is locked and nobody gave the passphrase.
    #[error("the keys at {0} are locked: the passphrase is needed")]
    NeedsPassphrase(PathBuf),
    /// The passphrase does not open it.
    #[error("wrong passphrase for the keys at {0} (or the file is damaged); nothing was changed")]
    WrongPassphrase(PathBuf),
    /// The file system said no.
    #[error("the keys at {path} could not be {what} ({why}); nothing was changed")]
    Io {
        /// The file.
        path: PathBuf,
        /// Read or written.
        what: &'static str,
        /// Why.
        why: io::ErrorKind,
    },
}

/// The file: JSON, so that a person can see what it is.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    /// Always `keys`.
    earnest: String,
    v: u32,
    lock: LockForm,
    /// Hex: the ciphertext, or the secrets themselves.
    sealed: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum LockForm {
    None,
    Scrypt { log_n: u8, salt: String, nonce: String },
}

impl Vault {
    /// At this path; looks at nothing yet.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Whether a file is there.
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Whether it takes a passphrase to open it.
    pub fn is_locked(&self) -> Result<bool, VaultError> {
        Ok(!matches!(self.read()?.0.lock, LockForm::None))
    }

    /// Writes a new vault. Refuses to replace one.
    pub fn create(
        &self,
        secrets: &Secrets,
        lock: &Lock,
        dice: &dyn Dice,
    ) -> Result<(), VaultError> {
        self.write(&self.seal(secrets, lock, dice)?, false)
    }

    /// Opens it. A plain vault that others can read is refused; a locked one is opened with a warning.
    pub fn open(&self, passphrase: Option<&Passphrase>) -> Result<Opened, VaultError> {
        let (form, mode) = self.read()?;
        let open_to_others = mode & 0o077 != 0;
        let damaged = || VaultError::Damaged(self.path.clone());
        let sealed = Zeroizing::new(hex::decode(&form.sealed).map_err(|_| damaged())?);
        let plain = match &form.lock {
            LockForm::None if open_to_others => {
                return Err(VaultError::OpenToOthers { path: self.path.clone(), mode });
            }
            LockForm::None => sealed,
            LockForm::Scrypt { log_n, salt, nonce } => {
                let salt = hex32(salt).ok_or_else(damaged)?;
                let nonce: [u8; 24] =
                    hex::decode(nonce).ok().and_then(|n| n.try_into().ok()).ok_or_else(damaged)?;
                if !(Cost::LEAST.0..=Cost::MOST.0).contains(log_n) {
                    return Err(damaged());
                }
                let passphrase =
                    passphrase.ok_or_else(|| VaultError::NeedsPassphrase(self.path.clone()))?;
                let payload = Payload { msg: &sealed, aad: &header(*log_n, &salt) };
                let opened = cipher(passphrase, *log_n, &salt)
                    .decrypt(XNonce::from_slice(&nonce), payload)
                    .map_err(|_| VaultError::WrongPassphrase(self.path.clone()))?;
                Zeroizing::new(opened)
            }
        };
        let secrets = Secrets::from_bytes(&plain).ok_or_else(damaged)?;
        let warning = open_to_others.then(|| {
            format!(
                "{} can be read by other users (mode {mode:03o}): `chmod 600` it. It is encrypted, so \
                 your keys are as safe as your passphrase is long",
                self.path.display()
            )
        });
        Ok(Opened { secrets, warning })
    }

    /// Opens the vault with the old passphrase and writes these secrets under a new lock in its place,
    /// atomically: for a new passphrase, or after an import.
    pub fn replace(
        &self,
        old: Option<&Passphrase>,
        secrets: &Secrets,
        lock: &Lock,
        dice: &dyn Dice,
    ) -> Result<(), VaultError> {
        self.open(old)?;
        self.write(&self.seal(secrets, lock, dice)?, true)
    }

    fn seal(
        &self,
        secrets: &Secrets,
        lock: &Lock,
        dice: &dyn Dice,
    ) -> Result<Zeroizing<String>, VaultError> {
        let plain = secrets.to_bytes();
        let damaged = || VaultError::Damaged(self.path.clone());
        let (lock, sealed) = match lock {
            Lock::Plain => (LockForm::None, plain.to_vec()),
            Lock::Passphrase(passphrase, Cost(log_n)) => {
                let salt = dice.nonce().0;
                let mut nonce = [0; 24];
                nonce.copy_from_slice(&dice.nonce().0[..24]);
                let payload = Payload { msg: &plain[..], aad: &header(*log_n, &salt) };
                let sealed = cipher(passphrase, *log_n, &salt)
                    .encrypt(XNonce::from_slice(&nonce), payload)
                    .map_err(|_| damaged())?;
                let (salt, nonce) = (hex::encode(salt), hex::encode(nonce));
                (LockForm::Scrypt { log_n: *log_n, salt, nonce }, sealed)
            }
        };
        let sealed = Zeroizing::new(sealed);
        let mut form =
            Form { earnest: "keys".into(), v: VERSION, lock, sealed: hex::encode(&sealed) };
        let text = serde_json::to_string_pretty(&form).map(Zeroizing::new).map_err(|_| damaged());
        zeroize::Zeroize::zeroize(&mut form.sealed);
        text
    }

    /// The form and the file's permission bits. Size before work.
    fn read(&self) -> Result<(Form, u32), VaultError> {
        let io = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => VaultError::Missing(self.path.clone()),
            why => VaultError::Io { path: self.path.clone(), what: "read", why },
        };
        let damaged = || VaultError::Damaged(self.path.clone());
        let file = File::open(&self.path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        let mut text = Zeroizing::new(String::new());
        file.take(LONGEST).read_to_string(&mut text).map_err(|e| match e.kind() {
            io::ErrorKind::InvalidData => damaged(),
            _ => io(e),
        })?;
        // The version first: the rest of a newer file may look different.
        #[derive(Deserialize)]
        struct Head {
            earnest: String,
            v: u32,
        }
        let head: Head = serde_json::from_str(&text).map_err(|_| damaged())?;
        if head.earnest != "keys" {
            return Err(damaged());
        }
        if head.v != VERSION {
            return Err(VaultError::UnknownVersion { path: self.path.clone(), v: head.v });
        }
        Ok((serde_json::from_str(&text).map_err(|_| damaged())?, mode))
    }

    /// Whole or not at all: a temporary file of mode 0600 beside it, synced, renamed, directory synced.
    fn write(&self, text: &str, over: bool) -> Result<(), VaultError> {
        let io = |e: io::Error| match e.kind() {
            io::ErrorKind::AlreadyExists => VaultError::Exists(self.path.clone()),
            why => VaultError::Io { path: self.path.clone(), what: "written", why },
        };
        let dir = match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let mut file = tempfile::Builder::new()
            .prefix(".keys-")
            .permissions(std::fs::Permissions::from_mode(0o600))
            .tempfile_in(dir)
            .map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        file.as_file().sync_all().map_err(io)?;
        if over {
            file.persist(&self.path).map_err(|e| io(e.error))?;
        } else {
            file.persist_noclobber(&self.path).map_err(|e| io(e.error))?;
        }
        File::open(dir).and_then(|d| d.sync_all()).map_err(io)
    }
}

impl Secrets {
    fn to_bytes(&self) -> Zeroizing<[u8; PLAIN]> {
        let mut out = Zeroizing::new([0; PLAIN]);
        out[0] = 1;
        out[1..33].copy_from_slice(self.phrase.entropy());
        if let Some(imported) = &self.imported {
            out[33] = 1;
            out[34..].copy_from_slice(imported.bytes());
        }
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; PLAIN] = bytes.try_into().ok()?;
        let mut entropy = Zeroizing::new([0; 32]);
        entropy.copy_from_slice(&bytes[1..33]);
        let mut identity = Zeroizing::new([0; 32]);
        identity.copy_from_slice(&bytes[34..]);
        let imported = match (bytes[0], bytes[33]) {
            (1, 0) if *identity == [0; 32] => None,
            (1, 1) => Some(Imported::from_bytes(identity)?),
            _ => return None,
        };
        Some(Self { phrase: Phrase::new(&entropy), imported })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// What the tag of the cipher covers besides the secrets: nobody can make the next opening cheaper.
fn header(log_n: u8, salt: &[u8; 32]) -> Vec<u8> {
    [b"earnest/v1/vault".as_slice(), &VERSION.to_le_bytes(), &[log_n], salt].concat()
}

fn cipher(passphrase: &Passphrase, log_n: u8, salt: &[u8; 32]) -> XChaCha20Poly1305 {
    let params = scrypt::Params::new(log_n, 8, 1, 32).expect("log_n is 10 to 20");
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(passphrase.expose().as_bytes(), salt, &params, &mut *key)
        .expect("scrypt gives 32 bytes");
    XChaCha20Poly1305::new(chacha20poly1305::Key::from_slice(&*key))
}

fn hex32(text: &str) -> Option<[u8; 32]> {
    hex::decode(text).ok()?.try_into().ok()
}
