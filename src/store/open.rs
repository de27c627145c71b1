//! Opening: the directory, the lock that names its owner, the connection and its settings.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::migrate::migrate;

const DATABASE: &str = "store.sqlite";
const LOCK: &str = "owner.lock";

/// Why the store does not open. No money was touched: nothing runs before the store is open.
#[derive(Debug, thiserror::Error)]
pub enum NotOpen {
    /// Another process owns the data directory.
    #[error(
        "{dir} is in use by `{what}`{}. Two at once could lose channel funds, so this one stops. \
         Use that one, end it first, or give another --data-dir.",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Owned {
        /// The data directory.
        dir: String,
        /// Its owner, as it named itself.
        what: String,
        /// The owner's process id, if it was readable.
        pid: Option<u32>,
    },
    /// Written by a newer earnest.
    #[error(
        "the database has version {found} and this earnest knows up to {known}: start the newer \
         earnest that wrote it. Nothing was changed."
    )]
    Newer {
        /// Its version.
        found: usize,
        /// The newest this program knows.
        known: usize,
    },
    /// Not a database of ours.
    #[error(
        "the file store.sqlite in the data directory was not written by earnest. Move it away or \
         give another --data-dir. Nothing was changed."
    )]
    Foreign,
    /// The memory is held by another handle.
    #[error("this memory is in use by another handle")]
    MemoryInUse,
    /// The disk says no.
    #[error("cannot use {path}: {why}. Nothing was changed.")]
    Disk {
        /// Which file or directory.
        path: String,
        /// What the system said.
        why: std::io::Error,
    },
    /// SQLite says no.
    #[error(
        "cannot open the database: {0}. Coins and channels are kept by the node, not in this file; \
         make a copy of the data directory before you try anything."
    )]
    Database(#[from] rusqlite::Error),
}

impl NotOpen {
    fn disk(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |why| Self::Disk { path, why }
    }
}

/// The lock of a data directory. It lasts as long as the value and ends with the process, however
/// that ends. Whoever starts a Lightning node in the directory must hold it before.
#[derive(Debug)]
pub struct Owner {
    // Closing the file gives the lock back.
    _file: File,
}

impl Owner {
    /// Takes the lock of `dir`, made with mode 0700 if it is missing. `what` names this process to
    /// whoever comes second: `earnest tui`.
    ///
    /// # Errors
    /// [`NotOpen::Owned`] names the owner if there is one; [`NotOpen::Disk`].
    pub fn take(dir: &Path, what: &str) -> Result<Self, NotOpen> {
        make_dir(dir)?;
        let path = dir.join(LOCK);
        let mut file = private().open(&path).map_err(NotOpen::disk(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(owned(dir, &mut file)),
            Err(TryLockError::Error(why)) => return Err(NotOpen::disk(&path)(why)),
        }
        let line = what.lines().next().unwrap_or("earnest");
        file.set_len(0)
            .and_then(|()| write!(file, "{}\n{line}\n", std::process::id()))
            .and_then(|()| file.sync_all())
            .map_err(NotOpen::disk(&path))?;
        Ok(Self { _file: file })
    }
}

/// What the owner wrote into the lock file. It may just be starting and not have written yet.
fn owned(dir: &Path, file: &mut File) -> NotOpen {
    let mut text = String::new();
    // Whatever cannot be read only makes the sentence poorer.
    let read = file.rewind().and_then(|()| file.take(400).read_to_string(&mut text));
    let mut lines = if read.is_ok() { text.lines() } else { "".lines() };
    let pid = lines.next().and_then(|line| line.parse().ok());
    let what: String =
        lines.next().unwrap_or("another earnest").chars().filter(|c| !c.is_control()).collect();
    NotOpen::Owned { dir: dir.display().to_string(), what, pid }
}

/// Makes a directory that only its owner enters, if it is missing. One that is there keeps its mode:
/// it may be the user's own, used for more than this.
fn make_dir(dir: &Path) -> Result<(), NotOpen> {
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(NotOpen::disk(dir))
}

/// Options of a file that only its owner reads.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Opens the database in `dir` for one process alone.
pub(super) fn on_disk(dir: &Path) -> Result<Connection, NotOpen> {
    let path: PathBuf = dir.join(DATABASE);
    // SQLite gives its journals the mode of the database, so the database must have the right one first.
    let file = private().open(&path).map_err(NotOpen::disk(&path))?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        file.set_permissions(mode).map_err(NotOpen::disk(&path))?;
    }
    drop(file);
    let mut conn = Connection::open(&path)?;
    conn.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // The first access takes the lock; a failure here is a process without our lock file.
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let why = std::io::Error::other("this file system cannot hold a write-ahead log");
        return Err(NotOpen::disk(&path)(why));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
    conn.pragma_update(None, "cache_size", -32_768)?;
    set_up(&mut conn)?;
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(NotOpen::disk(dir))?;
    Ok(conn)
}

/// Opens a database in memory.
pub(super) fn in_memory() -> Result<Connection, NotOpen> {
    let mut conn = Connection::open_in_memory()?;
    conn.pragma_update(None, "journal_mode", "MEMORY")?;
    set_up(&mut conn)?;
    Ok(conn)
}

fn set_up(conn: &mut Connection) -> Result<(), NotOpen> {
    conn.pragma_update(None, "foreign_keys", true)?;
    // Without these a replacing insert would pass the triggers that guard facts.
    conn.pragma_update(None, "recursive_triggers", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.set_prepared_statement_cache_capacity(96);
    migrate(conn)
}
