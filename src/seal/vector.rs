//! The vector file: length, record mark and P_i of every chunk, 37 bytes each, no header.

use std::io::{self, Read};

use thiserror::Error;

use super::{chunk::MAX_CHUNK, cut::read_full, digest::Hash32};

/// Bytes of one entry: `len_i` u32 LE, mark u8, P_i.
pub const ENTRY: usize = 4 + 1 + 32;

/// One chunk as the vector file tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// len_i: 1 to [`MAX_CHUNK`] bytes.
    pub len: u32,
    /// A record starts with this chunk; otherwise the chunk goes on with the one before.
    pub starts_record: bool,
    /// P_i: the blinded hash of the plaintext.
    pub promise: Hash32,
}

impl Entry {
    /// The 37 bytes.
    pub fn encode(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..4].copy_from_slice(&self.len.to_le_bytes());
        bytes[4] = u8::from(self.starts_record);
        bytes[5..].copy_from_slice(self.promise.as_bytes());
        bytes
    }

    /// Reads the 37 bytes; `None` for a length of 0 or over [`MAX_CHUNK`], or a mark but 0 and 1.
    pub fn decode(bytes: &[u8; ENTRY]) -> Option<Self> {
        let [a, b, c, d, mark, promise @ ..] = *bytes;
        let len = u32::from_le_bytes([a, b, c, d]);
        let fits = (1..=MAX_CHUNK as u32).contains(&len) && mark <= 1;
        fits.then(|| Self { len, starts_record: mark == 1, promise: Hash32::new(promise) })
    }
}

/// Why the next entry cannot be had.
#[derive(Debug, Error)]
pub enum VectorError {
    /// The file ends inside or before this entry.
    #[error("the vector file ends before chunk {0}")]
    Short(u64),
    /// The bytes of this entry mean nothing.
    #[error("the vector file has no valid entry for chunk {0}")]
    Entry(u64),
    /// The file could not be read.
    #[error(transparent)]
    Fault(#[from] io::Error),
}

/// Reads entries in order, in blocks.
pub(super) struct Entries<R> {
    from: R,
    index: u64,
    block: Vec<u8>,
    at: usize,
}

/// Entries read at a time.
const BLOCK: usize = 1024;

impl<R: Read> Entries<R> {
    /// `from` must stand at the entry of chunk `index`.
    pub(super) fn new(from: R, index: u64) -> Self {
        Self { from, index, block: Vec::new(), at: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Entry, VectorError> {
        if self.at == self.block.len() {
            self.block.resize(BLOCK * ENTRY, 0);
            let filled = read_full(&mut self.from, &mut self.block)?;
            self.block.truncate(filled);
            self.at = 0;
        }
        let i = self.index;
        let bytes = self.block.get(self.at..).and_then(|rest| rest.first_chunk::<ENTRY>());
        let entry = Entry::decode(bytes.ok_or(VectorError::Short(i))?);
        self.at += ENTRY;
        self.index += 1;
        entry.ok_or(VectorError::Entry(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_37_bytes_and_comes_back() {
        let entry = Entry { len: 513, starts_record: true, promise: Hash32::new([9; 32]) };
        let bytes = entry.encode();
        assert_eq!(bytes[..5], [1, 2, 0, 0, 1]);
        assert_eq!(Entry::decode(&bytes), Some(entry));
    }

    #[test]
    fn nonsense_is_refused() {
        let good = Entry { len: 1, starts_record: false, promise: Hash32::new([0; 32]) }.encode();
        for (at, value) in [(0, 0), (2, 1), (3, 255), (4, 2)] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(Entry::decode(&bad), None, "byte {at} = {value}");
        }
        let mut entries = Entries::new(&good[..ENTRY - 1], 4);
        assert!(matches!(entries.next(), Err(VectorError::Short(4))));
    }

    #[test]
    fn many_entries_come_in_order() {
        let entry = |i: u32| Entry {
            len: i + 1,
            starts_record: i.is_multiple_of(3),
            promise: Hash32::new([i as u8; 32]),
        };
        let file: Vec<u8> = (0..3000).flat_map(|i| entry(i).encode()).collect();
        let mut entries = Entries::new(&file[..], 0);
        for i in 0..3000 {
            assert_eq!(entries.next().unwrap(), entry(i));
        }
        assert!(matches!(entries.next(), Err(VectorError::Short(3000))));
    }
}
