//! Where chunks end and records start.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::chunk::{MAX_CHUNK, Slot};

/// How a deliverable falls into records, the unit an audit draws. A chunk never holds parts of two
/// records that are cut apart; a record longer than [`MAX_CHUNK`] spans chunks.
///
/// In JSON: `"bytes"`, `"lines"`, `"items:LEN"`, `"files"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Cut {
    /// Full chunks, the last one shorter; each is a record.
    Bytes,
    /// As many whole lines (ending in `\n`) as fit a chunk are a record; so is a line that is
    /// longer than a chunk.
    Lines,
    /// Every `len` bytes are a record: items padded to one length, for what a length would tell.
    Items {
        /// Length of an item in bytes, at least 1.
        len: u32,
    },
    /// Every file of a folder is a record; the plan names where each starts.
    Files,
}

impl Cut {
    /// The length that chunk at byte `offset` must have in a delivery of `total` bytes, and whether
    /// a record starts there, where the cut alone says it; `None` where the content does.
    pub(super) fn shape(&self, offset: u64, total: u64) -> Option<(u32, bool)> {
        let left = total.saturating_sub(offset);
        let full = MAX_CHUNK as u64;
        match *self {
            Self::Bytes => Some((left.min(full) as u32, true)),
            Self::Items { len } => {
                let inside = offset % u64::from(len.max(1));
                Some(((u64::from(len) - inside).min(full).min(left) as u32, inside == 0))
            }
            Self::Lines | Self::Files => None,
        }
    }
}

impl From<Cut> for String {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Bytes => "bytes".into(),
            Cut::Lines => "lines".into(),
            Cut::Items { len } => format!("items:{len}"),
            Cut::Files => "files".into(),
        }
    }
}

impl TryFrom<String> for Cut {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let cut = match text.as_str() {
            "bytes" => Self::Bytes,
            "lines" => Self::Lines,
            "files" => Self::Files,
            other => {
                let len = other.strip_prefix("items:").and_then(|len| len.parse().ok());
                Self::Items { len: len.filter(|len| *len > 0).ok_or("unknown cut")? }
            }
        };
        // One spelling: "items:+8" and "items:08" parse, and are not what we would write.
        if String::from(cut) == text { Ok(cut) } else { Err("unknown cut") }
    }
}

/// Cuts a stream into chunks. Holds at most one chunk of what it has read ahead.
pub(super) struct Cutter<R> {
    from: R,
    cut: Cut,
    total: u64,
    offset: u64,
    /// `Files`: the starts still ahead, the last first.
    starts: Vec<u64>,
    /// `Lines`: read and not yet cut.
    ahead: Vec<u8>,
    /// `Lines`: the chunk to come continues a line.
    inside: bool,
}

impl<R: Read> Cutter<R> {
    /// `starts` is read for [`Cut::Files`] alone: strictly ascending, the first 0, all below
    /// `total`; the caller has checked it.
    pub(super) fn new(from: R, cut: Cut, starts: &[u64], total: u64) -> Self {
        let starts =
            if cut == Cut::Files { starts.iter().rev().copied().collect() } else { vec![] };
        Self { from, cut, total, offset: 0, starts, ahead: Vec::new(), inside: false }
    }

    /// Bytes cut so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Puts the next chunk into the slot; false at the end of the stream. The stream may turn out
    /// shorter or longer than `total`: the caller compares.
    pub(super) fn next(&mut self, slot: &mut Slot) -> io::Result<bool> {
        let filled = match self.cut {
            Cut::Lines => self.next_lines(slot)?,
            Cut::Files => {
                slot.starts_record = self.starts.pop_if(|start| *start == self.offset).is_some();
                let end = self.starts.last().copied().unwrap_or(u64::MAX);
                self.next_span(slot, end - self.offset)?
            }
            cut => {
                let ends = self.total.max(self.offset.saturating_add(MAX_CHUNK as u64));
                let (len, starts) = cut.shape(self.offset, ends).unwrap_or((0, true));
                slot.starts_record = starts;
                self.next_span(slot, u64::from(len))?
            }
        };
        self.offset += filled as u64;
        Ok(filled > 0)
    }

    fn next_span(&mut self, slot: &mut Slot, most: u64) -> io::Result<usize> {
        let most = most.min(MAX_CHUNK as u64) as usize;
        let filled = read_full(&mut self.from, slot.resize(most))?;
        slot.resize(filled);
        Ok(filled)
    }

    fn next_lines(&mut self, slot: &mut Slot) -> io::Result<usize> {
        slot.starts_record = !self.inside;
        let room = slot.resize(MAX_CHUNK);
        let held = self.ahead.len();
        room[..held].copy_from_slice(&self.ahead);
        let filled = held + read_full(&mut self.from, &mut room[held..])?;
        let text = &room[..filled];
        let newline = |byte: &u8| *byte == b'\n';
        let end = if self.inside {
            text.iter().position(newline)
        } else if filled < MAX_CHUNK {
            // All that is left fits: its last line need not end in a newline.
            filled.checked_sub(1)
        } else {
            text.iter().rposition(newline)
        };
        self.inside = end.is_none();
        let len = end.map_or(filled, |at| at + 1);
        self.ahead.zeroize();
        self.ahead.extend_from_slice(&text[len..]);
        slot.resize(len);
        Ok(len)
    }
}

impl<R> Drop for Cutter<R> {
    fn drop(&mut self) {
        self.ahead.zeroize();
    }
}

/// Reads until the room is full or the stream ends; returns how much.
pub(super) fn read_full(from: &mut impl Read, room: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < room.len() {
        match from.read(&mut room[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(cut: Cut, starts: &[u64], text: &[u8]) -> Vec<(bool, Vec<u8>)> {
        let mut cutter = Cutter::new(text, cut, starts, text.len() as u64);
        let (mut slot, mut out) = (Slot::new(), Vec::new());
        while cutter.next(&mut slot).unwrap() {
            out.push((slot.starts_record, slot.body().to_vec()));
        }
        assert!(!cutter.next(&mut slot).unwrap(), "the end stays the end");
        assert_eq!(out.concat_bodies(), text);
        assert!(out.iter().all(|(_, body)| (1..=MAX_CHUNK).contains(&body.len())));
        out
    }

    trait Bodies {
        fn concat_bodies(&self) -> Vec<u8>;
        fn shape(&self) -> Vec<(bool, usize)>;
    }

    impl Bodies for Vec<(bool, Vec<u8>)> {
        fn concat_bodies(&self) -> Vec<u8> {
            self.iter().flat_map(|(_, body)| body.clone()).collect()
        }
        fn shape(&self) -> Vec<(bool, usize)> {
            self.iter().map(|(starts, body)| (*starts, body.len())).collect()
        }
    }

    #[test]
    fn bytes_fall_into_full_chunks_and_a_rest() {
        assert_eq!(
            cut(Cut::Bytes, &[], &[7; MAX_CHUNK + 5]).shape(),
            [(true, MAX_CHUNK), (true, 5)]
        );
        assert_eq!(cut(Cut::Bytes, &[], &[7; MAX_CHUNK]).shape(), [(true, MAX_CHUNK)]);
        assert!(cut(Cut::Bytes, &[], &[]).is_empty());
    }

    #[test]
    fn lines_are_never_cut_apart_unless_longer_than_a_chunk() {
        let mut text = b"a\nbb\n".to_vec();
        text.extend(vec![b'x'; MAX_CHUNK + 10]);
        text.extend(b"\nlast, without an end");
        let shape = cut(Cut::Lines, &[], &text).shape();
        assert_eq!(shape, [(true, 5), (true, MAX_CHUNK), (false, 11), (true, 20)]);
    }

    #[test]
    fn a_line_as_long_as_a_chunk_is_one_record() {
        let mut text = vec![b'x'; MAX_CHUNK - 1];
        text.extend(b"\ny\n");
        assert_eq!(cut(Cut::Lines, &[], &text).shape(), [(true, MAX_CHUNK), (true, 2)]);
    }

    #[test]
    fn items_are_one_chunk_each_and_long_ones_span() {
        assert_eq!(cut(Cut::Items { len: 4 }, &[], b"catsdogsowls").shape(), [(true, 4); 3]);
        let long = MAX_CHUNK as u32 + 1;
        let shape = cut(Cut::Items { len: long }, &[], &vec![0; 2 * long as usize]).shape();
        assert_eq!(shape, [(true, MAX_CHUNK), (false, 1), (true, MAX_CHUNK), (false, 1)]);
    }

    #[test]
    fn files_start_records() {
        let text = vec![1; MAX_CHUNK + 30];
        let shape = cut(Cut::Files, &[0, 10, 20], &text).shape();
        assert_eq!(shape, [(true, 10), (true, 10), (true, MAX_CHUNK), (false, 10)]);
    }

    #[test]
    fn a_cut_has_one_spelling() {
        for cut in [Cut::Bytes, Cut::Lines, Cut::Files, Cut::Items { len: 64 }] {
            assert_eq!(Cut::try_from(String::from(cut)), Ok(cut));
        }
        for text in ["", "Bytes", "items", "items:", "items:0", "items:08", "items:+8", "items:-1"]
        {
            assert!(Cut::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn lines_start_records_after_newlines_only(
            lines in proptest::collection::vec((0usize..40_000, any::<bool>()), 0..12),
        ) {
            let mut text: Vec<u8> = Vec::new();
            for (len, newline) in lines {
                text.extend(std::iter::repeat_n(b'.', len));
                if newline { text.push(b'\n') }
            }
            let chunks = cut(Cut::Lines, &[], &text);
            for pair in chunks.windows(2) {
                prop_assert_eq!(pair[1].0, pair[0].1.ends_with(b"\n"));
            }
        }
    }
}
