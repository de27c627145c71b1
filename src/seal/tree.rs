//! The tree over a delivery's chunks: the shape of RFC 6962, section 2.1 (no leaf is ever doubled),
//! leaves and nodes under domains of their own.

use super::digest::{self, Hash32};

/// The longest path that can be: the depth of a tree of 2^26 leaves ([`super::MAX_CHUNKS`]).
pub(super) const MAX_PATH: usize = 26;

fn node(left: &Hash32, right: &Hash32) -> Hash32 {
    digest::NODE.hash(&[left.as_bytes(), right.as_bytes()])
}

/// A root in the making: leaves go in one by one, memory stays at one hash a level.
#[derive(Default)]
pub(super) struct Growing {
    count: u64,
    /// Roots of the complete subtrees so far, largest first: one for each set bit of `count`.
    peaks: Vec<Hash32>,
}

impl Growing {
    pub(super) fn push(&mut self, leaf: Hash32) {
        let mut hash = leaf;
        for _ in 0..self.count.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.count += 1;
    }

    /// The root, or `None` of an empty tree.
    pub(super) fn root(&self) -> Option<Hash32> {
        let mut peaks = self.peaks.iter().rev();
        let smallest = *peaks.next()?;
        Some(peaks.fold(smallest, |right, left| node(left, &right)))
    }
}

/// The path of one leaf in the making: all leaves of the tree pass by once, in order.
pub(super) struct Climbing {
    index: u64,
    next: u64,
    /// The subtrees beside the path, as ranges of leaves, in the order of their leaves.
    siblings: Vec<(u64, u64, Growing)>,
}

impl Climbing {
    /// For leaf `index` of `count`; `index < count`.
    pub(super) fn new(index: u64, count: u64) -> Self {
        let (mut start, mut end) = (0, count);
        let mut siblings = Vec::new();
        while end - start > 1 {
            let split = start + largest_power_below(end - start);
            if index < split {
                siblings.push((split, end, Growing::default()));
                end = split;
            } else {
                siblings.push((start, split, Growing::default()));
                start = split;
            }
        }
        Self { index, next: 0, siblings }
    }

    pub(super) fn push(&mut self, leaf: Hash32) {
        let at = self.next;
        self.next += 1;
        if at == self.index {
            return;
        }
        if let Some((.., growing)) =
            self.siblings.iter_mut().find(|(start, end, _)| (*start..*end).contains(&at))
        {
            growing.push(leaf);
        }
    }

    /// The siblings from the leaf up.
    pub(super) fn path(&self) -> Vec<Hash32> {
        self.siblings.iter().rev().filter_map(|(.., growing)| growing.root()).collect()
    }
}

/// For `size >= 2`: the largest power of two smaller than it.
fn largest_power_below(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// The root that `leaf` at `index` of `count` has under `path` (RFC 9162, section 2.1.3.2), or
/// `None` when the path is not of the length that this place in this tree has.
pub(super) fn climb(leaf: Hash32, index: u64, count: u64, path: &[Hash32]) -> Option<Hash32> {
    if index >= count {
        return None;
    }
    let (mut at, mut last) = (index, count - 1);
    let mut hash = leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            hash = node(sibling, &hash);
            // A last node without a right neighbour rises until it has a left one.
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(count: u64) -> Vec<Hash32> {
        (0..count).map(|i| blake3::hash(&i.to_le_bytes()).into()).collect()
    }

    /// RFC 6962, section 2.1, word for word.
    fn by_definition(leaves: &[Hash32]) -> Hash32 {
        match leaves {
            [leaf] => *leaf,
            _ => {
                let k = largest_power_below(leaves.len() as u64) as usize;
                node(&by_definition(&leaves[..k]), &by_definition(&leaves[k..]))
            }
        }
    }

    fn root_of(leaves: &[Hash32]) -> Hash32 {
        let mut growing = Growing::default();
        leaves.iter().for_each(|leaf| growing.push(*leaf));
        growing.root().unwrap()
    }

    fn path_of(leaves: &[Hash32], index: u64) -> Vec<Hash32> {
        let mut climbing = Climbing::new(index, leaves.len() as u64);
        leaves.iter().for_each(|leaf| climbing.push(*leaf));
        climbing.path()
    }

    #[test]
    fn every_leaf_of_every_small_tree_climbs_to_the_root_of_the_definition() {
        for count in 1..=70 {
            let leaves = leaves(count);
            let root = root_of(&leaves);
            assert_eq!(root, by_definition(&leaves), "{count} leaves");
            for index in 0..count {
                let path = path_of(&leaves, index);
                assert!(path.len() <= MAX_PATH);
                assert_eq!(climb(leaves[index as usize], index, count, &path), Some(root));
            }
        }
        assert_eq!(Growing::default().root(), None);
    }

    #[test]
    fn doubling_the_last_leaf_is_another_tree() {
        for count in [1, 3, 5, 7, 11] {
            let mut leaves = leaves(count);
            let root = root_of(&leaves);
            leaves.push(leaves[count as usize - 1]);
            assert_ne!(root_of(&leaves), root);
        }
    }

    proptest! {
        #[test]
        fn another_place_or_another_path_does_not_climb(
            count in 1u64..200, index in 0u64..200, other in 0u64..220, cut in 0usize..9,
        ) {
            let index = index % count;
            let leaves = leaves(count);
            let root = root_of(&leaves);
            let path = path_of(&leaves, index);
            let leaf = leaves[index as usize];
            if other != index {
                // The index stands in the leaf; here even a leaf without it finds its place.
                prop_assert_ne!(climb(leaves[(other % count) as usize], index, count, &path),
                    (other % count != index).then_some(root));
                prop_assert_ne!(climb(leaf, other, count, &path), Some(root));
            }
            if !path.is_empty() {
                let cut = cut % path.len();
                prop_assert_ne!(climb(leaf, index, count, &path[..cut]), Some(root));
                let mut bent = path.clone();
                bent[cut] = Hash32::new([0; 32]);
                prop_assert_ne!(climb(leaf, index, count, &bent), Some(root));
            }
            let mut longer = path;
            longer.push(root);
            prop_assert_eq!(climb(leaf, index, count, &longer), None);
        }
    }
}
