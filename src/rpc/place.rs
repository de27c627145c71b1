//! Where the socket is, and who may stand at either end of it.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

const SOCKET: &str = "owner.sock";
/// Where the socket is, if its path would be too long here.
const POINTER: &str = "owner.sock.at";
/// `sun_path` has 108 bytes on Linux and 104 elsewhere, its end included; a name of ours while it is
/// being made is four longer.
const LONGEST: usize = 99;

/// Why nobody was reached.
#[derive(Debug, thiserror::Error)]
pub enum NotReached {
    /// There is no socket, or nobody listens on it: nobody owns the directory, or not yet.
    #[error("no earnest is running in {0}")]
    Nobody(String),
    /// Somebody else's.
    #[error(
        "the socket of {dir} is served by user {uid}, and the directory is not theirs. Nothing was \
         sent to it."
    )]
    Stranger {
        /// The data directory.
        dir: String,
        /// Who serves it.
        uid: u32,
    },
    /// It answers, and not in a way that can be used.
    #[error("the earnest that owns {dir} cannot be talked to: {why}")]
    Unusable {
        /// The data directory.
        dir: String,
        /// Why.
        why: String,
    },
    /// The system says no.
    #[error("the socket of {dir} cannot be used: {why}")]
    Io {
        /// The data directory.
        dir: String,
        /// What the system said.
        why: io::Error,
    },
}

/// The place of an owner's socket: `owner.sock` in the directory of its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    dir: PathBuf,
}

impl Place {
    /// The place of this directory.
    pub fn new(dir: &Path) -> Self {
        Self { dir: std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()) }
    }

    /// The directory, as people see it.
    pub fn dir(&self) -> String {
        self.dir.display().to_string()
    }

    /// Where the socket is now: in the directory, or where the pointer says.
    pub fn path(&self) -> PathBuf {
        let near = self.dir.join(SOCKET);
        if fits(&near) {
            return near;
        }
        let said = fs::read_to_string(self.dir.join(POINTER)).unwrap_or_default();
        match said.trim_end() {
            "" => near,
            far => PathBuf::from(far),
        }
    }

    /// Listens, for the owner of the directory's lock only: what an owner before left is replaced in one
    /// step, and nobody sees the socket with another mode than 0600.
    pub(super) fn listen(&self) -> io::Result<(UnixListener, PathBuf, u32)> {
        let near = self.dir.join(SOCKET);
        let path = if fits(&near) { near } else { self.far()? };
        let new = path.with_extension("new");
        remove(&new)?;
        let listener = UnixListener::bind(&new)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        // What we make is ours: this is who we are.
        let uid = fs::symlink_metadata(&new)?.uid();
        fs::rename(&new, &path)?;
        Ok((listener, path, uid))
    }

    /// A short path in a directory of our own, and the pointer to it.
    fn far(&self) -> io::Result<PathBuf> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let runtime =
            runtime.filter(|dir| dir.is_absolute() && fits(&dir.join("earnest-xxxxxxxx/s")));
        let base = runtime.unwrap_or_else(std::env::temp_dir);
        // A name that nobody can have taken before us: in a directory for all it may be a stranger's.
        let dir =
            tempfile::Builder::new().prefix("earnest-").rand_bytes(8).tempdir_in(base)?.keep();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        let path = dir.join("s");
        if !fits(&path) {
            let why = format!("every place for it has too long a name, {} too", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let pointer = self.dir.join(POINTER);
        self.forget_far();
        fs::write(&pointer, format!("{}\n", path.display()))?;
        fs::set_permissions(&pointer, fs::Permissions::from_mode(0o600))?;
        Ok(path)
    }

    /// Removes what the pointer leads to, if a process that was killed left it.
    fn forget_far(&self) {
        let Ok(said) = fs::read_to_string(self.dir.join(POINTER)) else { return };
        let old = PathBuf::from(said.trim_end());
        let ours = old.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        if ours.is_some_and(|name| name.starts_with("earnest-")) {
            let _ = fs::remove_file(&old);
            let _ = old.parent().map(fs::remove_dir);
        }
    }

    /// Takes the socket away. Only whoever still holds the lock may.
    pub(super) fn clear(&self, path: &Path) {
        let _ = fs::remove_file(path);
        if path.parent() != Some(&self.dir) {
            self.forget_far();
            let _ = fs::remove_file(self.dir.join(POINTER));
        }
    }

    /// Connects to the owner, and makes sure that it is of the user whose directory this is.
    pub(super) async fn dial(&self) -> Result<UnixStream, NotReached> {
        let io = |why| NotReached::Io { dir: self.dir(), why };
        let stream = match UnixStream::connect(self.path()).await {
            Ok(stream) => stream,
            Err(why) => {
                return Err(match why.kind() {
                    // The last: a path too long for a socket, and no pointer to another.
                    io::ErrorKind::NotFound
                    | io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::InvalidInput => NotReached::Nobody(self.dir()),
                    _ => io(why),
                });
            }
        };
        let uid = stream.peer_cred().map_err(io)?.uid();
        if uid != fs::metadata(&self.dir).map_err(io)?.uid() {
            return Err(NotReached::Stranger { dir: self.dir(), uid });
        }
        Ok(stream)
    }
}

fn fits(path: &Path) -> bool {
    path.as_os_str().len() <= LONGEST
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}
