//! Adopting: a stable copy of a person's file.
//!
//! A copy and not a hard link: a link would change with the file, and what is served must stay what
//! was promised.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::NamedTempFile;

use super::bundle::{self, Unfit};
use super::fault::{NOTHING_PAID, disk};
use super::place::{Folder, half, named, put};
use crate::engine::Fault;
use crate::market::{Attachment, Digest};
use crate::text::Raw;

/// Bytes read at a time.
const BLOCK: usize = 1 << 20;

/// See [`crate::engine::Files::adopt`]. The same file twice is one copy.
pub(super) fn adopt(
    folder: &Folder,
    source: &Path,
    most: u64,
) -> Result<(Attachment, PathBuf), Fault> {
    let name = source.file_name().unwrap_or(source.as_os_str()).to_string_lossy();
    let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    let never = |why: &str| Fault::Never(format!("`{shown}` {why} Nothing was sent or paid."));
    // The link itself, not what it points at: what is handed over must be what was named.
    let before = match fs::symlink_metadata(source) {
        Ok(about) => about,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Err(never("is not there.")),
        Err(why) => return Err(disk(source, why, NOTHING_PAID)),
    };
    let kind = before.file_type();
    if kind.is_symlink() {
        return Err(never("is a link: name the file that it points at."));
    }
    if kind.is_dir() {
        return Err(never(
            "is a folder: pack it into one file, a .zip or a .tar, and hand that over.",
        ));
    }
    if !kind.is_file() {
        return Err(never(
            "is a device, a pipe or a socket: only a plain file can be handed over.",
        ));
    }
    if before.len() == 0 {
        return Err(never("is empty: there is nothing to hand over."));
    }
    if before.len() > most {
        return Err(never(&format!("is larger than the {most} bytes agreed on.")));
    }

    let dir = folder.ours();
    let mut copy = half(&dir).map_err(|why| disk(&dir, why, NOTHING_PAID))?;
    let mut hasher = blake3::Hasher::new();
    let mut size = 0;
    let add = |bytes: &[u8]| {
        size += bytes.len() as u64;
        hasher.update(bytes);
        copy.write_all(bytes).map_err(|why| disk(&dir, why, NOTHING_PAID))
    };
    copied(source, &before, &never, add)?;
    kept(copy, &dir, Digest(*hasher.finalize().as_bytes()), size, name.as_ref())
}

/// See [`crate::engine::Files::adopt_folder`]: one file of all in it, in the order of the list that it begins with.
pub(super) fn adopt_folder(
    folder: &Folder,
    source: &Path,
    most: u64,
) -> Result<(Attachment, PathBuf), Fault> {
    let name = source.file_name().unwrap_or(source.as_os_str()).to_string_lossy();
    let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    let never = |why: &str| Fault::Never(format!("`{shown}` {why} Nothing was sent or paid."));
    let (list, places) = bundle::list(source).map_err(|why| match why {
        Unfit::No(why) => never(&why),
        Unfit::Fault(path, why) if path == source && why.kind() == io::ErrorKind::NotFound => {
            never("is not there.")
        }
        Unfit::Fault(path, why) => disk(&path, why, NOTHING_PAID),
    })?;
    let size = list.total().filter(|size| *size <= most);
    let size = size.ok_or_else(|| never(&format!("is larger than the {most} bytes agreed on.")))?;
    let dir = folder.ours();
    let mut copy = half(&dir).map_err(|why| disk(&dir, why, NOTHING_PAID))?;
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(bytes);
        copy.write_all(bytes).map_err(|why| disk(&dir, why, NOTHING_PAID))
    };
    add(&list.line().map_err(|why| disk(source, why, NOTHING_PAID))?)?;
    for (path, before) in &places {
        copied(path, before, &never, &mut add)?;
    }
    kept(copy, &dir, Digest(*hasher.finalize().as_bytes()), size, name.as_ref())
}

/// Hands on every byte of a file that stays what it was when it was looked at.
fn copied(
    source: &Path,
    before: &Metadata,
    never: &impl Fn(&str) -> Fault,
    mut add: impl FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let failed = |why| disk(source, why, NOTHING_PAID);
    let changed = || never("changed while it was copied: try again when it is finished.");
    let mut from = File::open(source).map_err(failed)?;
    if state(&from.metadata().map_err(failed)?) != state(before) {
        return Err(changed());
    }
    let mut size = 0;
    let mut block = vec![0; BLOCK];
    loop {
        let read = match from.read(&mut block) {
            Ok(0) => break,
            Ok(read) => read,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
            Err(why) => return Err(failed(why)),
        };
        size += read as u64;
        if size > before.len() {
            return Err(changed());
        }
        add(&block[..read])?;
    }
    if state(&from.metadata().map_err(failed)?) != state(before) || size != before.len() {
        return Err(changed());
    }
    Ok(())
}

/// Gives a written copy its name.
fn kept(
    copy: NamedTempFile,
    dir: &Path,
    blob: Digest,
    size: u64,
    name: &str,
) -> Result<(Attachment, PathBuf), Fault> {
    let file = Attachment { blob, size, name: Raw::from(name) };
    let path = dir.join(named(&file));
    put(copy, &path).map_err(|why| disk(&path, why, NOTHING_PAID))?;
    Ok((file, path))
}

/// What tells that a file is still the same and unchanged.
fn state(about: &Metadata) -> (u64, Option<SystemTime>, Option<(u64, u64)>) {
    #[cfg(unix)]
    let place = {
        use std::os::unix::fs::MetadataExt as _;
        Some((about.dev(), about.ino()))
    };
    #[cfg(not(unix))]
    let place = None;
    (about.len(), about.modified().ok(), place)
}
