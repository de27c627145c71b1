//! Receiving: the requester's half: inspect before paying, open after, prove if it does not open.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::bundle;
use super::deliver::{seal_mode, sentence};
use super::fault::{KEY_KEPT, NOTHING_PAID, disk};
use super::place::{Folder, free_names, half, make_dir, put, sync_parent};
use super::{hash, tranche_keys, tranche_secret};
use crate::engine::{Fault, Inspection, OpenedTranche, SealedAt};
use crate::market::{Digest, Mode, Msat, Preimage};
use crate::seal::{
    self, Cut, Entry, Expected, InspectError, MAX_CHUNKS, Manifest, OpenError, TrancheSecret,
};
use crate::text::{Raw, file_name};

/// What is added to the name of a delivery by files that is no folder: a list that is none, or names that are not
/// for every disk.
const NO_FOLDER: &str = ".names-refused";
/// Bytes read or written at a time.
const BUFFER: usize = 1 << 18;
/// What each of several tranches is worth at least (PROTOCOL.md 5.7).
const LEAST_TRANCHE: Option<Msat> = Msat::sats(1000);

/// See [`crate::engine::Files::inspect`].
pub(super) fn inspect_files(at: &SealedAt, workers: NonZeroUsize) -> Result<Inspection, Fault> {
    let (terms, job) = (&at.terms.terms, hash(at.terms.job.0));
    let secrets: Vec<TrancheSecret> = match terms.mode {
        Mode::Sealed | Mode::Escrow => {
            (0..terms.tranches).map(|t| tranche_secret(&at.terms, t)).collect()
        }
        Mode::Direct => Vec::new(),
    };
    let least = LEAST_TRANCHE.filter(|_| terms.tranches > 1).map_or(0, Msat::get);
    let pinned: Vec<seal::Hash32> = terms.quality.checks.iter().map(|c| hash(c.hash.0)).collect();
    // Where the terms leave the cut open, a record is a chunk's worth of bytes or lines: another cut could
    // make one record of everything, and no audit of it.
    let open = matches!(at.manifest.cut, Cut::Bytes | Cut::Lines).then_some(at.manifest.cut);
    let expected = Expected {
        job,
        delivery: at.terms.delivery,
        mode: seal_mode(terms.mode),
        cut: Some(terms.quality.cut.or(open).unwrap_or(Cut::Bytes)),
        chunks: None,
        secrets: &secrets,
        price_msat: terms.price.get(),
        least_tranche_msat: least,
        checks: &pinned,
        max_total: terms.max_bytes,
        max_chunks: MAX_CHUNKS,
        // The ledger knows which hashes were seen; whoever commits asks it.
        seen: &|_| false,
    };
    let (blob, vector) = both(at, NOTHING_PAID)?;
    match seal::inspect(blob, vector, &at.manifest, &expected, workers) {
        Ok(_) => Ok(Inspection::Sound),
        Err(InspectError::Refused(refused)) => Ok(Inspection::Refused {
            code: refused.code().to_owned(),
            sentence: format!("{}.", sentence(&refused.to_string())),
        }),
        Err(InspectError::Fault(why)) => Err(disk(&at.blob, why, NOTHING_PAID)),
    }
}

pub(super) fn both(at: &SealedAt, money: &str) -> Result<(File, File), Fault> {
    let blob = File::open(&at.blob).map_err(|why| disk(&at.blob, why, money))?;
    let vector = File::open(&at.vector).map_err(|why| disk(&at.vector, why, money))?;
    Ok((blob, vector))
}

/// See [`crate::engine::Files::open`]. Tranches are written one after the other into one file, which
/// gets its name with the last; any of them may be opened again after a crash.
pub(super) fn open_tranche(
    folder: &Folder,
    at: &SealedAt,
    t: u32,
    key: &Preimage,
    name: &Raw,
    workers: NonZeroUsize,
) -> Result<OpenedTranche, Fault> {
    let (dir, sealed) = (folder.out(), folder.sealed());
    let failed = |why| disk(&dir, why, KEY_KEPT);
    make_dir(&dir).and_then(|()| make_dir(&sealed)).map_err(failed)?;
    // Not in `out/`, where strangers name the files.
    let part = sealed.join(format!("opening-{}.part", at.terms.delivery));
    let note = sealed.join(format!("opened-{}", at.terms.delivery));
    let last = t + 1 == at.manifest.tranches();
    if last && let Some((path, digest)) = Finished::read(&note, &dir) {
        // The crash may have come between the name and this.
        if part.exists() {
            fs::remove_file(&part).map_err(failed)?;
        }
        return Ok(OpenedTranche::Right { path, digest: Some(digest) });
    }

    if !at.blob.exists() || !at.vector.exists() {
        return Ok(OpenedTranche::Damaged);
    }
    let (blob, vector) = both(at, KEY_KEPT)?;
    let Some(start) = offset(&at.manifest, t, &at.vector)? else {
        return Ok(OpenedTranche::Damaged);
    };
    let mut out = private().open(&part).map_err(failed)?;
    if out.metadata().map_err(failed)?.len() < start {
        return Err(Fault::Never(format!(
            "The tranches before tranche {t} are not in {}: something removed them. {KEY_KEPT}",
            part.display()
        )));
    }
    out.set_len(start).and_then(|()| out.seek(SeekFrom::Start(start))).map_err(failed)?;
    let keys = match at.manifest.mode {
        seal::Mode::Sealed => Some(tranche_keys(&at.terms, t, key)),
        seal::Mode::Direct => None,
    };
    let mut writer = BufWriter::with_capacity(BUFFER, &out);
    let opened = seal::open(&at.manifest, t, keys.as_ref(), blob, vector, &mut writer, workers);
    drop(writer);
    match opened {
        Ok(_) => {}
        Err(OpenError::Fault(why)) => return Err(failed(why)),
        Err(error) => {
            // What came out of a wrong key is nothing; what was right before stays.
            out.set_len(start).map_err(failed)?;
            // Before anybody is accused: a disk that forgets looks just the same.
            if is_damaged(at)? {
                return Ok(OpenedTranche::Damaged);
            }
            if let OpenError::Mismatch { i } = error {
                return Ok(OpenedTranche::Wrong { chunk: i });
            }
            let said = sentence(&error.to_string());
            return Err(Fault::Never(format!("{said}. {KEY_KEPT}")));
        }
    }
    out.sync_all().map_err(failed)?;
    if !last {
        sync_parent(&part).map_err(failed)?;
        return Ok(OpenedTranche::Right { path: part, digest: None });
    }
    let digest = digest_of(&part).map_err(failed)?;
    let unpacked = match at.manifest.cut {
        Cut::Files => Some(bundle::unpack(&part, &at.vector, &sealed).map_err(failed)?),
        _ => None,
    };
    let name = file_name(name);
    let path = match unpacked {
        None => finish(&part, &note, &dir, &name, digest),
        Some(Some(folder)) => finish_folder(&folder, &part, &note, &dir, &name, digest),
        // It is paid and it is theirs: all its bytes are kept, and no name in it is believed.
        Some(None) => finish(&part, &note, &dir, &format!("{name}{NO_FOLDER}"), digest),
    };
    let path = path.map_err(failed)?;
    Ok(OpenedTranche::Right { path, digest: Some(digest) })
}

/// Whether the files here are not those that were inspected.
fn is_damaged(at: &SealedAt) -> Result<bool, Fault> {
    for (path, signed) in [(&at.blob, at.manifest.blob), (&at.vector, at.manifest.vector)] {
        let there = digest_of(path).map_err(|why| disk(path, why, KEY_KEPT))?;
        if hash(there.0) != signed {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The byte at which tranche `t` starts: the lengths of all chunks before it. `None` if the vector file is
/// not what it was.
fn offset(manifest: &Manifest, t: u32, vector: &Path) -> Result<Option<u64>, Fault> {
    let failed = |why| disk(vector, why, KEY_KEPT);
    let before = manifest.chunks_of(t).map_or(0, |chunks| chunks.start);
    let mut from = BufReader::with_capacity(BUFFER, File::open(vector).map_err(failed)?);
    let mut bytes = [0; seal::ENTRY];
    let mut sum = 0;
    for _ in 0..before {
        match from.read_exact(&mut bytes) {
            Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read.map_err(failed)?,
        }
        let Some(entry) = Entry::decode(&bytes) else { return Ok(None) };
        sum += u64::from(entry.len);
    }
    Ok(Some(sum))
}

/// A note beside the finished file: after a crash between its name and the commit that says so, the
/// last tranche opened again finds it instead of making a second one.
struct Finished;

impl Finished {
    fn write(note: &Path, name: &str, digest: Digest) -> io::Result<()> {
        let mut file = half(note.parent().unwrap_or(note))?;
        write!(file, "{digest}\n{name}\n")?;
        put(file, note)
    }

    fn read(note: &Path, dir: &Path) -> Option<(PathBuf, Digest)> {
        let text = fs::read_to_string(note).ok()?;
        let (digest, name) = text.trim_end().split_once('\n')?;
        let (digest, path) = (digest.parse().ok()?, dir.join(name));
        (digest_of(&path).ok()? == digest).then_some((path, digest))
    }
}

/// Gives the whole plaintext its name without ever taking one that is in use.
fn finish(part: &Path, note: &Path, dir: &Path, name: &str, digest: Digest) -> io::Result<PathBuf> {
    for name in free_names(name) {
        let path = dir.join(&name);
        Finished::write(note, &name, digest)?;
        // A link fails where a file stands; a rename would take its place.
        match fs::hard_link(part, &path) {
            Ok(()) => fs::remove_file(part)?,
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(_) if path.exists() => continue,
            // A file system without links.
            Err(_) => fs::rename(part, &path)?,
        }
        sync_parent(&path)?;
        return Ok(path);
    }
    Err(io::Error::other("no name is free"))
}

/// The same for a folder whose files were written beside; what they were opened from goes.
fn finish_folder(
    folder: &TempDir,
    part: &Path,
    note: &Path,
    dir: &Path,
    name: &str,
    digest: Digest,
) -> io::Result<PathBuf> {
    for name in free_names(name) {
        let path = dir.join(&name);
        // A rename would take the place of an empty folder.
        if fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        Finished::write(note, &name, digest)?;
        fs::rename(folder.path(), &path)?;
        sync_parent(&path)?;
        fs::remove_file(part)?;
        return Ok(path);
    }
    Err(io::Error::other("no name is free"))
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(bundle::reader(path, 0)?)?;
    Ok(Digest(*hasher.finalize().as_bytes()))
}

/// Options of a file that only its owner reads.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
