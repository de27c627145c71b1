//! The map from chunks to tranches and from the price to amounts. Neither is the worker's to choose.

use thiserror::Error;

/// The most tranches a delivery may have.
pub const MAX_TRANCHES: u32 = 64;

/// What each tranche costs, in millisatoshi: `floor(price (t+1) / T) - floor(price t / T)`. Their
/// sum is the price. Empty for `tranches` = 0.
pub fn amounts(price_msat: u64, tranches: u32) -> Vec<u64> {
    let upto = |t: u32| u128::from(price_msat) * u128::from(t) / u128::from(tranches);
    (0..tranches).map(|t| (upto(t + 1) - upto(t)) as u64).collect()
}

/// Two tranches would begin at the same chunk, or one would have none: the delivery has too few
/// chunks for so many tranches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("tranche {0} would be empty: there are too few chunks for so many tranches")]
pub struct Coinciding(pub u32);

/// Computes `first[t]`, the first chunk that starts at or after byte `ceil(t * total / T)`, while
/// chunks pass by.
pub(super) struct Mapper {
    total: u64,
    tranches: u32,
    offset: u64,
    index: u64,
    first: Vec<u64>,
}

impl Mapper {
    pub(super) fn new(total: u64, tranches: u32) -> Self {
        Self { total, tranches, offset: 0, index: 0, first: Vec::new() }
    }

    fn boundary(&self, t: u32) -> u64 {
        (u128::from(t) * u128::from(self.total)).div_ceil(u128::from(self.tranches)) as u64
    }

    /// Takes the next chunk's length and returns its tranche.
    pub(super) fn push(&mut self, len: u32) -> Result<u32, Coinciding> {
        while (self.first.len() as u32) < self.tranches
            && self.offset >= self.boundary(self.first.len() as u32)
        {
            if self.first.last() == Some(&self.index) {
                return Err(Coinciding(self.first.len() as u32));
            }
            self.first.push(self.index);
        }
        self.index += 1;
        self.offset = self.offset.saturating_add(u64::from(len));
        Ok((self.first.len() as u32).saturating_sub(1))
    }

    /// Bytes so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Chunks so far.
    pub(super) fn count(&self) -> u64 {
        self.index
    }

    /// The map, when every tranche found its first chunk.
    pub(super) fn finish(self) -> Result<Vec<u64>, Coinciding> {
        match self.first.len() as u32 {
            found if found == self.tranches => Ok(self.first),
            found => Err(Coinciding(found)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(lens: &[u32], tranches: u32) -> Result<Vec<u64>, Coinciding> {
        let mut mapper = Mapper::new(lens.iter().map(|len| u64::from(*len)).sum(), tranches);
        lens.iter().try_for_each(|len| mapper.push(*len).map(drop))?;
        mapper.finish()
    }

    #[test]
    fn a_tranche_begins_at_the_first_chunk_at_or_after_its_share() {
        assert_eq!(map(&[10; 4], 2), Ok(vec![0, 2]));
        assert_eq!(map(&[10; 5], 2), Ok(vec![0, 3])); // byte 25: the chunk at 30
        assert_eq!(map(&[10; 3], 3), Ok(vec![0, 1, 2]));
        assert_eq!(map(&[7], 1), Ok(vec![0]));
    }

    #[test]
    fn tranches_that_coincide_are_refused() {
        assert_eq!(map(&[10; 2], 3), Err(Coinciding(2)));
        assert_eq!(map(&[1, 30, 1], 3), Err(Coinciding(2))); // bytes 11 and 22: both the chunk at 31
        assert_eq!(map(&[1, 30], 2), Err(Coinciding(1))); // byte 16: no chunk starts after it
    }

    proptest! {
        #[test]
        fn the_amounts_sum_to_the_price(price: u64, tranches in 1..=MAX_TRANCHES) {
            let amounts = amounts(price, tranches);
            prop_assert_eq!(amounts.iter().map(|a| u128::from(*a)).sum::<u128>(), u128::from(price));
            let (least, most) = (amounts.iter().min().unwrap(), amounts.iter().max().unwrap());
            prop_assert!(most - least <= 1);
        }

        #[test]
        fn the_map_is_the_definition(lens in proptest::collection::vec(1u32..50, 1..40), tranches in 1u32..9) {
            let total: u64 = lens.iter().map(|len| u64::from(*len)).sum();
            let starts: Vec<u64> = lens.iter().scan(0, |at, len| {
                let start = *at;
                *at += u64::from(*len);
                Some(start)
            }).collect();
            let wanted: Option<Vec<u64>> = (0..u64::from(tranches)).map(|t| {
                let byte = (t * total).div_ceil(u64::from(tranches));
                starts.iter().position(|start| *start >= byte).map(|i| i as u64)
            }).collect();
            let wanted = wanted.filter(|first| first.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(map(&lens, tranches).ok(), wanted);
        }
    }
}
