//! A folder as one file, which is what is sealed: a line that lists its files, then their bytes one after the
//! other (PROTOCOL.md 5.1). Both sides make the same bytes of the same folder.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Cursor, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::place::{HALF, make_dir, sync_parent};
use crate::seal::{ENTRY, Entry};
use crate::text::{Raw, file_name};

/// The longest line, in bytes.
const MOST_LIST: u64 = 1 << 20;
/// The most files.
pub(super) const MOST_FILES: usize = 10_000;
/// The most folders within each other.
const MOST_DEEP: usize = 16;
/// Bytes read or written at a time.
const BUFFER: usize = 1 << 18;

/// One file, by its path within the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    name: String,
    size: u64,
}

/// The line, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    files: Vec<Listed>,
    v: u32,
}

/// Why a folder cannot be handed over, for the person whose it is.
pub(super) enum Unfit {
    Fault(PathBuf, io::Error),
    No(String),
}

impl List {
    /// The line with its end. Names have nothing that JSON would escape, so this is the canonical form.
    pub(super) fn line(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }

    /// Bytes of the whole, the line among them.
    pub(super) fn total(&self) -> Option<u64> {
        let line = u64::try_from(self.line().ok()?.len()).ok()?;
        self.files.iter().try_fold(line, |sum, file| sum.checked_add(file.size))
    }

    /// Where records start: the line, and every file that has bytes.
    pub(super) fn starts(&self) -> Option<Vec<u64>> {
        let mut at = u64::try_from(self.line().ok()?.len()).ok()?;
        let mut starts = vec![0];
        for file in self.files.iter().filter(|file| file.size > 0) {
            starts.push(at);
            at = at.checked_add(file.size)?;
        }
        Some(starts)
    }

    /// Whether it can be written to any disk as it stands: names that are rebuilt already, in order, of which no
    /// two are one where upper case is lower case, and none lies where another is a folder (!). Why not, else.
    fn check(&self) -> Result<(), String> {
        if self.v != 1 || self.files.is_empty() || self.files.len() > MOST_FILES {
            return Err(format!("it has no files, or more than {MOST_FILES}"));
        }
        if !self.files.windows(2).all(|pair| pair[0].name < pair[1].name) {
            return Err("two of its files would have one name".into());
        }
        let mut names: Vec<String> = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let parts: Vec<&str> = file.name.split('/').collect();
            let plain = |part: &&str| file_name(&Raw::from(*part)).as_str() == *part;
            if parts.len() > MOST_DEEP || !parts.iter().all(plain) {
                return Err("a name in it is none that every disk takes".into());
            }
            names.push(file.name.to_lowercase());
        }
        names.sort_unstable();
        // `a-b` sorts between `a` and `a/b`: the place of the file itself is looked up.
        let folded = |at: usize, name: &str| names.binary_search(&name[..at].to_owned()).is_ok();
        let within = |name: &String| name.match_indices('/').any(|(at, _)| folded(at, name));
        if names.windows(2).any(|pair| pair[0] == pair[1]) || names.iter().any(within) {
            return Err("two of its files would have one name on some disks".into());
        }
        Ok(())
    }

    /// Reads the line that a stream begins with; `None` if it begins with none.
    pub(super) fn read(from: &mut impl io::BufRead) -> io::Result<Option<Self>> {
        let mut line = Vec::new();
        from.take(MOST_LIST).read_until(b'\n', &mut line)?;
        let Ok(list) = serde_json::from_slice::<Self>(&line) else { return Ok(None) };
        // One spelling, its end among it.
        let same = list.line().is_ok_and(|own| own == line);
        Ok((same && list.check().is_ok()).then_some(list))
    }
}

/// Every file of a folder, with the place where it lies, in the order of the list; or the file alone that was named
/// in place of a folder.
pub(super) fn list(root: &Path) -> Result<(List, Vec<(PathBuf, Metadata)>), Unfit> {
    let about = |path: &Path| {
        // The link itself, not what it points at: what is handed over must be what was named.
        fs::symlink_metadata(path).map_err(|why| Unfit::Fault(path.to_owned(), why))
    };
    let own = |path: &Path| {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        file_name(&Raw::from(name.as_ref())).to_string()
    };
    let mut found = Vec::new();
    let mut seen = 0usize;
    let mut ahead = vec![(root.to_owned(), String::new(), 0usize)];
    while let Some((path, name, depth)) = ahead.pop() {
        let meta = about(&path)?;
        let kind = meta.file_type();
        let shown = || match name.is_empty() {
            true => own(&path),
            false => name.clone(),
        };
        if kind.is_dir() {
            if depth >= MOST_DEEP {
                return Err(Unfit::No(format!(
                    "has folders more than {MOST_DEEP} deep: `{}`.",
                    shown()
                )));
            }
            let failed = |why| Unfit::Fault(path.clone(), why);
            for entry in fs::read_dir(&path).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                seen += 1;
                if seen > 2 * MOST_FILES {
                    return Err(Unfit::No(format!("has more than {MOST_FILES} files.")));
                }
                let name = match name.is_empty() {
                    true => own(&path),
                    false => format!("{name}/{}", own(&path)),
                };
                ahead.push((path, name, depth + 1));
            }
        } else if kind.is_file() {
            found.push((Listed { name: shown(), size: meta.len() }, (path, meta)));
        } else {
            let what = if kind.is_symlink() { "a link" } else { "a device, a pipe or a socket" };
            return Err(Unfit::No(format!(
                "holds {what}, `{}`: only plain files can be handed over.",
                shown()
            )));
        }
    }
    found.sort_by(|one, other| one.0.name.cmp(&other.0.name));
    let (files, places): (Vec<Listed>, Vec<_>) = found.into_iter().unzip();
    if files.iter().all(|file| file.size == 0) {
        return Err(Unfit::No("is empty: there is nothing to hand over.".into()));
    }
    let list = List { files, v: 1 };
    if let Err(why) = list.check() {
        return Err(Unfit::No(format!("cannot be handed over: {why}.")));
    }
    if list.line().is_ok_and(|line| line.len() as u64 > MOST_LIST) {
        return Err(Unfit::No("has too many files, or names that are too long.".into()));
    }
    Ok((list, places))
}

/// The bytes of a folder, as they are sealed.
pub(super) struct Stream {
    now: Box<dyn Read + Send>,
    ahead: std::vec::IntoIter<PathBuf>,
}

impl Stream {
    pub(super) fn of(list: &List, places: impl Iterator<Item = PathBuf>) -> io::Result<Self> {
        let ahead = places.collect::<Vec<_>>().into_iter();
        Ok(Self { now: Box::new(Cursor::new(list.line()?)), ahead })
    }
}

impl Read for Stream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.now.read(room)? {
                0 if room.is_empty() => return Ok(0),
                0 => match self.ahead.next() {
                    Some(path) => self.now = Box::new(File::open(path)?),
                    None => return Ok(0),
                },
                read => return Ok(read),
            }
        }
    }
}

/// What was opened, from this byte on, whether it lies there as one file or as a folder.
pub(super) fn reader(path: &Path, from: u64) -> io::Result<Box<dyn Read + Send>> {
    if !fs::symlink_metadata(path)?.is_dir() {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(from))?;
        return Ok(Box::new(file));
    }
    let (list, places) = list(path).map_err(|why| match why {
        Unfit::Fault(_, why) => why,
        Unfit::No(why) => io::Error::other(format!("the folder {why}")),
    })?;
    let mut stream = Stream::of(&list, places.into_iter().map(|(path, _)| path))?;
    io::copy(&mut (&mut stream).take(from), &mut io::sink())?;
    Ok(Box::new(stream))
}

/// Writes the files of an opened stream into a folder of their own below `dir`. `None` where it is not what its line
/// says, or its line is none: nobody else's names are written then.
pub(super) fn unpack(stream: &Path, vector: &Path, dir: &Path) -> io::Result<Option<TempDir>> {
    let total = fs::metadata(stream)?.len();
    let mut from = BufReader::with_capacity(BUFFER, File::open(stream)?);
    let Some(list) = List::read(&mut from)? else { return Ok(None) };
    if list.total() != Some(total) || list.starts() != starts(vector)? {
        return Ok(None);
    }
    make_dir(dir)?;
    let to = tempfile::Builder::new().prefix(HALF).tempdir_in(dir)?;
    let mut folders = vec![to.path().to_owned()];
    for file in &list.files {
        // Each part is a plain name: nothing leads out of the folder.
        let path = file.name.split('/').fold(to.path().to_owned(), |path, part| path.join(part));
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            make_dir(folder)?;
            folders.push(folder.to_owned());
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let out = options.open(&path)?;
        let mut writer = BufWriter::with_capacity(BUFFER, &out);
        if io::copy(&mut (&mut from).take(file.size), &mut writer)? != file.size {
            return Ok(None);
        }
        writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        out.sync_all()?;
    }
    for folder in folders {
        // An entry of its own, so that the folder's is durable.
        sync_parent(&folder.join("."))?;
        sync_parent(&folder)?;
    }
    Ok(Some(to))
}

/// Where records start by the marks of the vector file; `None` where it is damaged.
fn starts(vector: &Path) -> io::Result<Option<Vec<u64>>> {
    let mut from = BufReader::with_capacity(BUFFER, File::open(vector)?);
    let (mut starts, mut at, mut bytes) = (Vec::new(), 0u64, [0; ENTRY]);
    while !from.fill_buf()?.is_empty() {
        from.read_exact(&mut bytes)?;
        let Some(entry) = Entry::decode(&bytes) else { return Ok(None) };
        if entry.starts_record {
            if starts.len() > MOST_FILES {
                return Ok(None);
            }
            starts.push(at);
        }
        at += u64::from(entry.len);
    }
    Ok(Some(starts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<List> {
        List::read(&mut line.as_bytes()).unwrap()
    }

    fn of(names: &[&str]) -> Option<List> {
        let files: Vec<String> =
            names.iter().map(|name| format!(r#"{{"name":"{name}","size":1}}"#)).collect();
        read(&format!("{{\"files\":[{}],\"v\":1}}\n", files.join(",")))
    }

    #[test]
    fn only_names_that_every_disk_takes_are_listed() {
        for good in [&["a"][..], &["a-b", "a.txt", "b/a", "b/c/d"], &["Straße.svg"]] {
            assert!(of(good).is_some(), "{good:?}");
        }
        for bad in [
            &["/etc/passwd"][..],
            &["../a"],
            &["a/../b"],
            &["a/./b"],
            &["a//b"],
            &["a/"],
            &[""],
            &[".ssh"],
            &["a\\\\b"],
            &["a\\u0000"],
            &["a\\nb"],
            &["C:"],
            &["con"],
            &["a b"],
            // Out of order, twice, one on some disks, a file where a folder is.
            &["b", "a"],
            &["a", "a"],
            &["A", "a"],
            &["a", "a/b"],
            &["A", "a-b", "a/b"],
            &["a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a"],
        ] {
            assert!(of(bad).is_none(), "{bad:?}");
        }
        assert!(of(&[&"a".repeat(300)]).is_none());
        assert!(of(&[]).is_none());
    }

    #[test]
    fn the_line_has_one_spelling() {
        let good = "{\"files\":[{\"name\":\"a\",\"size\":1}],\"v\":1}\n";
        assert_eq!(read(good).unwrap().total(), Some(good.len() as u64 + 1));
        for bad in [
            good.trim_end(),
            "{\"files\": [{\"name\":\"a\",\"size\":1}],\"v\":1}\n",
            "{\"files\":[{\"name\":\"a\",\"size\":1}],\"v\":2}\n",
            "{\"files\":[{\"name\":\"a\",\"size\":-1}],\"v\":1}\n",
            "{\"files\":[{\"mode\":\"0777\",\"name\":\"a\",\"size\":1}],\"v\":1}\n",
            "{\"files\":[{\"name\":\"\\u0061\",\"size\":1}],\"v\":1}\n",
            "",
            "\n",
        ] {
            assert!(read(bad).is_none(), "{bad}");
        }
        // Sizes that overflow are none.
        let large = format!(
            "{{\"files\":[{{\"name\":\"a\",\"size\":{0}}},{{\"name\":\"b\",\"size\":{0}}}],\"v\":1}}\n",
            u64::MAX
        );
        assert_eq!(read(&large).unwrap().total(), None);
    }
}
