//! Results: what was bought, in a folder: `results.jsonl`, one line an item, and the files beside it.
//!
//! A line is written once its file lies there. A run that was cut short leaves a whole line or none: what
//! follows the last end of line is cut off before the next is written.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::command::copy;
use crate::market::{Digest, EventId, Msat, Pubkey};

/// One result.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    /// The version of this form.
    pub v: u32,
    /// Which item.
    pub id: &'a str,
    /// Which job.
    pub job: EventId,
    /// Who did it.
    pub worker: Pubkey,
    /// What it cost, without routing.
    pub price_msat: Msat,
    /// What routing cost.
    pub fee_msat: Msat,
    /// The file, below the folder.
    pub file: PathBuf,
    /// BLAKE3 of it.
    pub digest: Option<Digest>,
}

/// The folder.
#[derive(Debug)]
pub struct Results {
    folder: PathBuf,
    list: File,
    there: BTreeSet<String>,
}

impl Results {
    /// Opens the folder, made if it is missing, and reads which items are there.
    ///
    /// # Errors
    /// What the disk says, or a list that is another program's.
    pub fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder.join("files"))?;
        let path = folder.join("results.jsonl");
        let mut list = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut text = Vec::new();
        list.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let mut there = BTreeSet::new();
        for line in text[..whole].split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let id = serde_json::from_slice::<Value>(line).ok();
            let id = id.and_then(|line| Some(line.get("id")?.as_str()?.to_owned()));
            let Some(id) = id else {
                let why = "results.jsonl holds a line that is not a result: name another folder";
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            };
            there.insert(id);
        }
        list.set_len(whole as u64)?;
        list.seek(SeekFrom::End(0))?;
        Ok(Self { folder: folder.to_owned(), list, there })
    }

    /// Whether this item's result is there.
    pub fn has(&self, id: &str) -> bool {
        self.there.contains(id)
    }

    /// How many are there.
    pub fn len(&self) -> usize {
        self.there.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.there.is_empty()
    }

    /// Copies a result in and lists it, once.
    ///
    /// # Errors
    /// What the disk says. Nothing is listed then; try again.
    pub fn add(&mut self, line: Line<'_>, from: &Path) -> io::Result<()> {
        if self.has(line.id) {
            return Ok(());
        }
        let name = from.file_name().unwrap_or_default();
        let file = Path::new("files").join(line.id).join(name);
        let to = self.folder.join(&file);
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let part = to.with_extension("part");
        // Of a folder that was not listed yet, what an earlier try left is in the way.
        if from.is_dir() {
            for left in [&part, &to].into_iter().filter(|left| left.is_dir()) {
                std::fs::remove_dir_all(left)?;
            }
        }
        copy(from, &part)?;
        std::fs::rename(&part, &to)?;
        let id = line.id.to_owned();
        let mut text = serde_json::to_vec(&Line { file, ..line })?;
        text.push(b'\n');
        self.list.write_all(&text)?;
        self.list.sync_data()?;
        self.there.insert(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str) -> Line<'_> {
        Line {
            v: 1,
            id,
            job: EventId([1; 32]),
            worker: Pubkey([2; 32]),
            price_msat: Msat::ZERO,
            fee_msat: Msat::ZERO,
            file: PathBuf::new(),
            digest: None,
        }
    }

    #[test]
    fn a_result_is_listed_once_and_half_a_line_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let (out, file) = (dir.path().join("out"), dir.path().join("a.txt"));
        std::fs::write(&file, "A").unwrap();
        let mut results = Results::open(&out).unwrap();
        results.add(line("1"), &file).unwrap();
        results.add(line("1"), &file).unwrap();
        let list = out.join("results.jsonl");
        let mut text = std::fs::read(&list).unwrap();
        assert_eq!(text.iter().filter(|b| **b == b'\n').count(), 1);
        assert_eq!(std::fs::read(out.join("files/1/a.txt")).unwrap(), b"A");
        // Killed in the middle of the second line.
        text.extend_from_slice(b"{\"v\":1,\"id\":\"2\",\"jo");
        std::fs::write(&list, &text).unwrap();
        let mut results = Results::open(&out).unwrap();
        assert!(results.has("1") && !results.has("2"));
        results.add(line("2"), &file).unwrap();
        let text = std::fs::read_to_string(&list).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
        std::fs::write(&list, "not ours\n").unwrap();
        assert!(Results::open(&out).is_err());
    }

    #[test]
    fn a_folder_is_put_away_with_all_that_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (out, site) = (dir.path().join("out"), dir.path().join("site"));
        std::fs::create_dir_all(site.join("img")).unwrap();
        std::fs::write(site.join("img/a.svg"), "A").unwrap();
        // Killed before it was listed: what lies there is of that try.
        std::fs::create_dir_all(out.join("files/1/site/old")).unwrap();
        Results::open(&out).unwrap().add(line("1"), &site).unwrap();
        assert_eq!(std::fs::read(out.join("files/1/site/img/a.svg")).unwrap(), b"A");
        assert!(!out.join("files/1/site/old").exists());
        assert_eq!(std::fs::read_dir(out.join("files/1")).unwrap().count(), 1);
    }
}
