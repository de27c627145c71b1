//! The lock on a node's directory: two processes on one directory are two nodes with one set of
//! channels, and the first to publish an old state loses them.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, bail};
use fs4::fs_std::FileExt;

/// Held as long as the node may write. The file stays; what counts is the operating system's lock on
/// it, which ends with the process.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock or says who has it.
    pub(super) fn take(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join("owner");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let ours = FileExt::try_lock_exclusive(&file)
            .with_context(|| format!("cannot lock {}", path.display()))?;
        if !ours {
            let mut owner = String::new();
            // Best effort: the refusal stands without the number.
            let _ = file.read_to_string(&mut owner);
            let owner = match owner.trim().parse::<u32>() {
                Ok(pid) => format!("process {pid}"),
                Err(_) => "another process".to_owned(),
            };
            bail!(
                "{owner} is already running the Lightning node in {}. Two at once would lose \
                 channels, so this one did not start; no money was touched. Use the one that runs, \
                 or stop it first.",
                dir.display()
            );
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        file.sync_all()?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        let refused = Lock::take(dir.path()).err().unwrap().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        Lock::take(dir.path()).unwrap();
    }
}
