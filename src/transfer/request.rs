//! What is asked and answered on a stream, as bytes.

use iroh::endpoint::VarInt;

use super::outline::Cut;
use crate::market::Digest;

/// Lanes of one fetch, at most: together they carry 7 MiB a round trip, 590 Mbit/s where that is 100 ms.
pub(super) const MOST_LANES: u8 = 8;

/// The first byte of every answer, and the code of a reset stream or a closed connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Answer {
    Here = 0,
    NotForYou = 1,
    Gone = 2,
    Busy = 3,
}

impl Answer {
    /// As a QUIC application error code.
    pub(super) fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }

    /// From a status byte or an error code; `None` for one that this version does not know.
    pub(super) fn of(code: u64) -> Option<Self> {
        [Self::Here, Self::NotForYou, Self::Gone, Self::Busy]
            .into_iter()
            .find(|answer| *answer as u64 == code)
    }
}

/// Every `of`-th group of a file, of which this is the `index`-th series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) of: u8,
    pub(super) index: u8,
}

impl Lane {
    /// In which lane a group travels.
    pub(super) fn of_group(of: u8, group: u64) -> u8 {
        (group % u64::from(of)) as u8
    }

    /// The pieces of the file from `start` on that travel in this lane, in order: group, first byte, end.
    pub(super) fn pieces(self, cut: Cut, start: u64) -> impl Iterator<Item = (u64, u64, u64)> {
        let first = start / cut.group;
        (first..cut.groups())
            .filter(move |group| Self::of_group(self.of, *group) == self.index)
            .map(move |group| {
                let (_, begin, end) = cut.group_at(group * cut.group);
                (group, begin.max(start), end)
            })
            .filter(|(_, begin, end)| begin < end)
    }
}

/// What a stream asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Size and outline.
    Outline,
    /// The bytes of one lane from `start` on.
    Bytes { start: u64, lane: Lane },
}

/// The one message of the asking side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) blob: Digest,
    pub(super) want: Want,
}

impl Request {
    pub(super) const BYTES: usize = 43;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[1..33].copy_from_slice(&self.blob.0);
        if let Want::Bytes { start, lane } = self.want {
            bytes[0] = 1;
            bytes[33..41].copy_from_slice(&start.to_le_bytes());
            bytes[41] = lane.of;
            bytes[42] = lane.index;
        }
        bytes
    }

    /// `None` for anything that has no meaning.
    pub(super) fn of_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let blob = Digest(*bytes[1..].first_chunk()?);
        let start = u64::from_le_bytes(*bytes[33..].first_chunk()?);
        let lane = Lane { of: bytes[41], index: bytes[42] };
        let want = match bytes[0] {
            0 if bytes[33..] == [0; 10] => Want::Outline,
            1 if lane.index < lane.of && lane.of <= MOST_LANES => Want::Bytes { start, lane },
            _ => return None,
        };
        Some(Self { blob, want })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_request_is_what_it_was(blob: [u8; 32], start: u64, of in 1..=MOST_LANES, index in 0..MOST_LANES) {
            for want in [Want::Outline, Want::Bytes { start, lane: Lane { of, index: index % of } }] {
                let request = Request { blob: Digest(blob), want };
                prop_assert_eq!(Request::of_bytes(&request.to_bytes()), Some(request));
            }
        }

        #[test]
        fn a_request_has_one_spelling(bytes in prop::array::uniform32(any::<u8>()), kind in 0u8..4, of in 0u8..12, index in 0u8..12) {
            let mut request = [0; Request::BYTES];
            request[0] = kind;
            request[1..33].copy_from_slice(&bytes);
            request[41] = of;
            request[42] = index;
            if let Some(read) = Request::of_bytes(&request) {
                prop_assert_eq!(read.to_bytes(), request);
            }
        }

        #[test]
        fn the_lanes_are_the_file(size in 0u64..20_000_000, start in 0u64..20_000_000, of in 1..=MOST_LANES) {
            let cut = Cut::of(size);
            let mut pieces: Vec<_> = (0..of).flat_map(|index| Lane { of, index }.pieces(cut, start)).collect();
            pieces.sort();
            let mut at = start.min(size);
            for (group, begin, end) in pieces {
                prop_assert_eq!((begin, group), (at, at / cut.group));
                at = end;
            }
            prop_assert_eq!(at, size);
        }
    }
}
