//! The outline of a blob: BLAKE3's own tree, cut at one level.

use std::io::{self, Read};

use blake3::hazmat::{
    HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

use crate::market::Digest;

/// The largest blob that is served or fetched: 256 GiB, whose groups are 4 MiB.
pub const LARGEST: u64 = 1 << 38;

/// Bytes of the chaining value of one group.
pub(super) const VALUE: usize = 32;

const LEAST_GROUP: u64 = 256 * 1024;
const MOST_GROUPS: u64 = 65_536;

/// How a file of a known size is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// Bytes in the file.
    pub(super) size: u64,
    /// Bytes in a group: a power of two; the last group may be shorter.
    pub(super) group: u64,
}

impl Cut {
    pub(super) fn of(size: u64) -> Self {
        let mut group = LEAST_GROUP;
        while size.div_ceil(group) > MOST_GROUPS {
            group *= 2;
        }
        Self { size, group }
    }

    /// Groups in the file; an empty file has one, empty.
    pub(super) fn groups(&self) -> u64 {
        self.size.div_ceil(self.group).max(1)
    }

    /// The bytes of the outline.
    pub(super) fn outline_bytes(&self) -> usize {
        self.groups() as usize * VALUE
    }

    /// The group in which the byte at `position` lies, and where that group begins and ends.
    pub(super) fn group_at(&self, position: u64) -> (u64, u64, u64) {
        let index = position / self.group;
        let begin = index * self.group;
        (index, begin, (begin + self.group).min(self.size))
    }

    /// The chaining value of one whole group.
    pub(super) fn value(&self, index: u64, bytes: &[u8]) -> [u8; VALUE] {
        if self.groups() == 1 {
            return *blake3::hash(bytes).as_bytes();
        }
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(index * self.group);
        hasher.update(bytes);
        hasher.finalize_non_root()
    }

    fn subtree(&self, values: &[[u8; VALUE]], len: u64) -> [u8; VALUE] {
        if let [value] = values {
            return *value;
        }
        let (left, right, left_len) = self.halves(values, len);
        let left = self.subtree(left, left_len);
        let right = self.subtree(right, len - left_len);
        merge_subtrees_non_root(&left, &right, Mode::Hash)
    }

    fn halves<'a>(
        &self,
        values: &'a [[u8; VALUE]],
        len: u64,
    ) -> (&'a [[u8; VALUE]], &'a [[u8; VALUE]], u64) {
        let left_len = left_subtree_len(len);
        let (left, right) = values.split_at((left_len / self.group) as usize);
        (left, right, left_len)
    }
}

/// The chaining values of all groups of one blob, proved to be those of its hash.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) cut: Cut,
    values: Vec<[u8; VALUE]>,
}

impl Outline {
    /// Takes `values` only if they are the outline of `blob`.
    pub(super) fn proved(cut: Cut, values: Vec<[u8; VALUE]>, blob: &Digest) -> Option<Self> {
        if values.len() as u64 != cut.groups() {
            return None;
        }
        let root = match values.as_slice() {
            [only] => *only,
            _ => {
                let (left, right, left_len) = cut.halves(&values, cut.size);
                let left = cut.subtree(left, left_len);
                let right = cut.subtree(right, cut.size - left_len);
                *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
            }
        };
        (root == blob.0).then_some(Self { cut, values })
    }

    /// Whether these are the bytes of group `index`.
    pub(super) fn holds(&self, index: u64, bytes: &[u8]) -> bool {
        self.value(index).is_some_and(|value| *value == self.cut.value(index, bytes))
    }

    /// The chaining value of group `index`.
    pub(super) fn value(&self, index: u64) -> Option<&[u8; VALUE]> {
        self.values.get(index as usize)
    }

    /// As it goes over the wire.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.values.concat()
    }
}

/// The chaining values of the whole groups in the next `len` bytes of `source`, which starts at a file's
/// first byte, and the bytes of the unfinished group after them.
///
/// # Errors
/// What reading says; `UnexpectedEof` if there are fewer than `len` bytes.
pub(super) fn read_values(
    mut source: impl Read,
    cut: Cut,
    len: u64,
) -> io::Result<(Vec<[u8; VALUE]>, Vec<u8>)> {
    let mut values = Vec::new();
    let mut buffer = Vec::new();
    let mut at = 0;
    loop {
        let (index, begin, end) = cut.group_at(at);
        let take = end.min(len) - begin;
        buffer.resize(take as usize, 0);
        source.read_exact(&mut buffer)?;
        at += take;
        if at < end {
            return Ok((values, buffer));
        }
        values.push(cut.value(index, &buffer));
        if at == cut.size {
            return Ok((values, Vec::new()));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outline(bytes: &[u8]) -> Option<Outline> {
        let cut = Cut::of(bytes.len() as u64);
        let (values, tail) = read_values(bytes, cut, cut.size).unwrap();
        assert!(tail.is_empty());
        Outline::proved(cut, values, &Digest(*blake3::hash(bytes).as_bytes()))
    }

    fn file(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(b"a file").finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn an_outline_gives_the_plain_hash_at_every_edge() {
        let group = LEAST_GROUP as usize;
        for groups in 0..6 {
            for edge in [-1025i64, -1, 0, 1, 1024] {
                let len = (groups * group) as i64 + edge;
                if let Ok(len) = usize::try_from(len) {
                    assert!(outline(&file(len)).is_some(), "{len} bytes");
                }
            }
        }
    }

    #[test]
    fn an_outline_never_grows_past_two_mebibytes() {
        for size in [0, 1, 16 << 30, (16 << 30) + 1, LARGEST - 1, LARGEST] {
            let cut = Cut::of(size);
            assert!(cut.outline_bytes() <= 2 << 20, "{size}");
            assert!(cut.group <= 4 << 20, "{size}");
        }
        assert_eq!(Cut::of(16 << 30).group, LEAST_GROUP);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_wrong_byte_is_found_in_its_own_group(len in 1usize..1_500_000, at in any::<prop::sample::Index>(), flip in 1u8..) {
            let honest = file(len);
            let outline = outline(&honest).unwrap();
            let mut bytes = honest;
            let at = at.index(len);
            bytes[at] ^= flip;
            for index in 0..outline.cut.groups() {
                let (_, begin, end) = outline.cut.group_at(index * outline.cut.group);
                let wrong = (begin..end).contains(&(at as u64));
                prop_assert_eq!(outline.holds(index, &bytes[begin as usize..end as usize]), !wrong);
            }
        }

        #[test]
        fn an_outline_with_a_wrong_value_is_refused(len in 300_000usize..1_500_000, at in any::<prop::sample::Index>(), flip in 1u8..) {
            let bytes = file(len);
            let cut = Cut::of(len as u64);
            let (mut values, _) = read_values(&bytes[..], cut, cut.size).unwrap();
            let at = at.index(values.len() * VALUE);
            values[at / VALUE][at % VALUE] ^= flip;
            prop_assert_eq!(Outline::proved(cut, values, &Digest(*blake3::hash(&bytes).as_bytes())), None);
        }
    }
}
