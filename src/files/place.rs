//! Places: where each file of a job lies, with which mode, and how a name is made that is free.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::market::{Attachment, Purpose};
use crate::text::file_name;

/// What a half-written file is called; whatever is called so at start is what a crash left.
pub(super) const HALF: &str = ".half-";

/// One job's folder.
#[derive(Debug, Clone)]
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn ours(&self) -> PathBuf {
        self.0.join("ours")
    }
    pub(super) fn sealed(&self) -> PathBuf {
        self.0.join("sealed")
    }
    pub(super) fn out(&self) -> PathBuf {
        self.0.join("out")
    }

    /// See [`crate::engine::Files::place`]. Two files never share a place: the name begins with the
    /// hash.
    pub(super) fn place(&self, purpose: Purpose, file: &Attachment) -> PathBuf {
        match purpose {
            Purpose::Input => self.0.join("inputs").join(named(file)),
            Purpose::Blob => self.sealed().join(format!("{}.blob", file.blob)),
            Purpose::Vector => self.sealed().join(format!("{}.vector", file.blob)),
        }
    }
}

/// Enough of the hash to tell files apart, then a safe form of the name.
pub(super) fn named(file: &Attachment) -> String {
    format!("{}-{}", hex::encode(&file.blob.0[..8]), file_name(&file.name))
}

/// A directory that only its owner enters.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// A file to write beside where it will stand: mode 0600, gone again unless it is put in place.
pub(super) fn half(dir: &Path) -> io::Result<NamedTempFile> {
    make_dir(dir)?;
    tempfile::Builder::new().prefix(HALF).tempfile_in(dir)
}

/// Puts a written file in its place, replacing what stands there, and makes that durable.
pub(super) fn put(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_parent(path)
}

/// Makes the entry of `path` in its directory durable.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if cfg!(unix) => File::open(dir)?.sync_all(),
        _ => Ok(()),
    }
}

/// The names a file may get: its own, then with a number before the extension.
pub(super) fn free_names(name: &str) -> impl Iterator<Item = String> {
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
        _ => (name, String::new()),
    };
    (0u32..).map(move |n| match n {
        0 => format!("{stem}{extension}"),
        n => format!("{stem}-{n}{extension}"),
    })
}

/// Removes what a crash left half-written. What cannot be removed only takes room.
pub(super) fn sweep(jobs: &Path) {
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    for job in entries(jobs) {
        for room in entries(&job.path()) {
            for file in entries(&room.path()) {
                if file.file_name().to_string_lossy().starts_with(HALF) {
                    let _ = match file.file_type() {
                        Ok(kind) if kind.is_dir() => fs::remove_dir_all(file.path()),
                        _ => fs::remove_file(file.path()),
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_gets_a_number_before_its_extension() {
        let first = |name| free_names(name).take(3).collect::<Vec<_>>();
        assert_eq!(first("logo.svg"), ["logo.svg", "logo-1.svg", "logo-2.svg"]);
        assert_eq!(first("README"), ["README", "README-1", "README-2"]);
        assert_eq!(first("a.tar.gz"), ["a.tar.gz", "a.tar-1.gz", "a.tar-2.gz"]);
    }
}
