//! A blob on its way to disk: what is held, whether it is right, and the one rename at the end.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::outline::{Cut, Outline, VALUE, read_values};
use crate::engine::{Fault, FetchOrder};
use crate::market::Digest;

/// A path that is being fetched to, by one fetch only.
pub(super) struct Place {
    places: Arc<Mutex<BTreeSet<PathBuf>>>,
    path: PathBuf,
}

impl Place {
    /// Takes the path.
    ///
    /// # Errors
    /// `Later` while another fetch has it.
    pub(super) fn take(places: &Arc<Mutex<BTreeSet<PathBuf>>>, path: &Path) -> Result<Self, Fault> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut taken = places.lock().unwrap_or_else(PoisonError::into_inner);
        if !taken.insert(absolute.clone()) {
            return Err(Fault::Later(format!(
                "{} is already being fetched; this try leaves it alone.",
                path.display()
            )));
        }
        Ok(Self { places: places.clone(), path: absolute })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}

/// What lies at an order's path.
pub(super) enum Found {
    /// The blob itself.
    Whole,
    /// The beginning of it, or nothing yet.
    Part(Partial),
}

/// Why writing ended.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The disk.
    Disk(Fault),
    /// A group whose beginning was kept from an earlier try is wrong. It has been dropped: which part of it
    /// was wrong cannot be told.
    WrongTail,
    /// The group that begins here is wrong, and all of it came from the peer just now.
    Wrong(u64),
}

/// `<path>.partial`: never more than the order's size, every group in it proved but the last, unfinished one.
pub(super) struct Partial {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    cut: Cut,
    held: u64,
    values: Vec<[u8; VALUE]>,
    tail: Vec<u8>,
    // A fetch that is dropped leaves its writer to finish: the place is free only after both.
    _place: Place,
}

impl Partial {
    /// Looks at what is there and reads all of it. Blocks.
    ///
    /// # Errors
    /// `Never` if something that is not a file is in the way, `Later` for anything the disk says.
    pub(super) fn open(order: &FetchOrder, place: Place) -> Result<Found, Fault> {
        let cut = Cut::of(order.size);
        let path = order.path.clone();
        let disk = |error| disk_fault(&path, &error);
        if let Some(folder) = parent(&path) {
            create_folder(folder).map_err(disk)?;
        }
        let mut name = OsString::from(&path);
        name.push(".partial");
        let partial = PathBuf::from(name);
        if lies_whole_at(&path, cut, &order.blob)? {
            // Of an earlier try, if it is there; it may as well stay if it will not go.
            let _ = fs::remove_file(&partial);
            return Ok(Found::Whole);
        }
        refuse_unless_file(&partial, fs::symlink_metadata(&partial))?;
        let mut file = private_file().open(&partial).map_err(disk)?;
        let mut held = file.metadata().map_err(disk)?.len();
        if held > cut.size {
            file.set_len(cut.size).map_err(disk)?;
            held = cut.size;
        }
        let (values, tail) = read_values(&file, cut, held).map_err(disk)?;
        file.seek(SeekFrom::Start(held)).map_err(disk)?;
        let missing = cut.size - held;
        let room = parent(&path).and_then(|folder| fs4::available_space(folder).ok());
        if let Some(room) = room.filter(|room| *room < missing) {
            return Err(Fault::Later(format!(
                "The disk is too full for {}: {missing} bytes are missing and {room} are free. Make \
                 room; what arrived before is kept. No money moved.",
                path.display()
            )));
        }
        Ok(Found::Part(Self { path, partial, file, cut, held, values, tail, _place: place }))
    }

    /// Bytes held.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Whether all of it is here and right, which needs no peer.
    pub(super) fn is_whole(&self, blob: &Digest) -> bool {
        self.held == self.cut.size && Outline::proved(self.cut, self.values.clone(), blob).is_some()
    }

    /// Drops what is held from the first wrong group on.
    pub(super) fn agree(&mut self, outline: &Outline) -> Result<(), Fault> {
        let wrong = (0..).zip(&self.values).find(|(i, value)| outline.value(*i) != Some(*value));
        match wrong {
            Some((index, _)) => self.truncate(index * self.cut.group),
            None => Ok(()),
        }
    }

    fn truncate(&mut self, len: u64) -> Result<(), Fault> {
        let cut = self.file.set_len(len).and_then(|()| self.file.seek(SeekFrom::Start(len)));
        cut.map_err(|error| disk_fault(&self.path, &error))?;
        self.values.truncate((len / self.cut.group) as usize);
        self.tail.clear();
        self.held = len;
        Ok(())
    }

    /// Writes what comes: each block is the rest of a group, or less if it is the last there will be. Blocks.
    pub(super) fn write(
        mut self,
        outline: &Outline,
        mut blocks: mpsc::Receiver<Vec<u8>>,
    ) -> (Self, Result<(), Trouble>) {
        while let Some(block) = blocks.blocking_recv() {
            if let Err(trouble) = self.take(outline, block) {
                return (self, Err(trouble));
            }
        }
        (self, Ok(()))
    }

    fn take(&mut self, outline: &Outline, block: Vec<u8>) -> Result<(), Trouble> {
        let (index, begin, end) = self.cut.group_at(self.held);
        let after = self.held + block.len() as u64;
        if after < end {
            self.append(&block)?;
            self.tail.extend(block);
            return Ok(());
        }
        let right = if self.tail.is_empty() {
            outline.holds(index, &block)
        } else {
            let mut group = std::mem::take(&mut self.tail);
            group.extend(&block);
            outline.holds(index, &group)
        };
        if !right && begin < self.held {
            self.truncate(begin).map_err(Trouble::Disk)?;
            return Err(Trouble::WrongTail);
        }
        if !right {
            return Err(Trouble::Wrong(begin));
        }
        self.append(&block)?;
        self.values.extend(outline.value(index));
        Ok(())
    }

    fn append(&mut self, block: &[u8]) -> Result<(), Trouble> {
        self.file
            .write_all(block)
            .map_err(|error| Trouble::Disk(disk_fault(&self.path, &error)))?;
        self.held += block.len() as u64;
        Ok(())
    }

    /// Gives the whole blob its name, once it is on the disk for good. Blocks.
    pub(super) fn finish(self) -> Result<(), Fault> {
        let disk = |error| disk_fault(&self.path, &error);
        self.file.sync_all().map_err(disk)?;
        fs::rename(&self.partial, &self.path).map_err(disk)?;
        // The name too must outlive a power cut; where folders cannot be synced, nothing is lost but that.
        if let Some(folder) = parent(&self.path).and_then(|folder| File::open(folder).ok()) {
            let _ = folder.sync_all();
        }
        Ok(())
    }

    /// Removes it.
    pub(super) fn discard(self) {
        let _ = fs::remove_file(&self.partial);
    }
}

fn parent(path: &Path) -> Option<&Path> {
    let parent = path.parent()?;
    Some(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

/// Whether the blob itself lies there; anything else there is replaced when the blob is whole.
fn lies_whole_at(path: &Path, cut: Cut, blob: &Digest) -> Result<bool, Fault> {
    let metadata = fs::metadata(path);
    let len = metadata.as_ref().map(fs::Metadata::len).ok();
    refuse_unless_file(path, metadata)?;
    if len != Some(cut.size) {
        return Ok(false);
    }
    let read = File::open(path).and_then(|file| read_values(&file, cut, cut.size));
    let (values, _) = read.map_err(|error| disk_fault(path, &error))?;
    Ok(Outline::proved(cut, values, blob).is_some())
}

fn refuse_unless_file(path: &Path, metadata: io::Result<fs::Metadata>) -> Result<(), Fault> {
    match metadata {
        Ok(metadata) if !metadata.is_file() => Err(Fault::Never(format!(
            "{} is in the way and is not a file, so nothing was fetched. No money moved.",
            path.display()
        ))),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk_fault(path, &error)),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn create_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// What the disk said, for the one who can do something about it.
fn disk_fault(path: &Path, error: &io::Error) -> Fault {
    let full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    );
    let path = path.display();
    Fault::Later(if full {
        format!(
            "No room on the disk for {path}: {error}. Make room; what arrived is kept and the next try \
             goes on there. No money moved."
        )
    } else {
        format!("Cannot write {path}: {error}. What arrived is kept. No money moved.")
    })
}
