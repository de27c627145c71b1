//! Chance: every draw follows from the seed and from what is drawn, never from how much was drawn before.
//!
//! So two runs of one seed that differ in one place (a restart more) draw alike everywhere else.

/// The one seed of a world.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seed(pub(super) u64);

/// A short stream of numbers for one thing that happens (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Draw(u64);

/// The first eight bytes of an id, to name it in a draw.
pub(super) fn word(id: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let n = id.len().min(8);
    bytes[..n].copy_from_slice(&id[..n]);
    u64::from_le_bytes(bytes)
}

impl Seed {
    /// The stream of the thing that `what` and `key` name.
    pub(super) fn draw(self, what: &str, key: &[u64]) -> Draw {
        Draw(word(&self.bytes(what, key)))
    }

    /// Thirty-two bytes for the thing that `what` and `key` name.
    pub(super) fn bytes(self, what: &str, key: &[u64]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0.to_le_bytes());
        hasher.update(&[u8::try_from(what.len()).unwrap_or(u8::MAX)]);
        hasher.update(what.as_bytes());
        for n in key {
            hasher.update(&n.to_le_bytes());
        }
        hasher.finalize().into()
    }
}

impl Draw {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to below `high`; the bias of the remainder does not matter to a game.
    pub(super) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low).max(1)
    }

    /// True so many times in a thousand.
    pub(super) fn permille(&mut self, p: u64) -> bool {
        self.next() % 1000 < p
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_follows_from_its_name_alone() {
        let seed = Seed(7);
        assert_eq!(seed.draw("a", &[1]).next(), seed.draw("a", &[1]).next());
        assert_ne!(seed.draw("a", &[1]).next(), seed.draw("a", &[2]).next());
        assert_ne!(seed.draw("a", &[1]).next(), Seed(8).draw("a", &[1]).next());
        let mut draw = seed.draw("often", &[]);
        let hits = (0..10_000).filter(|_| draw.permille(250)).count();
        assert!((2300..2700).contains(&hits), "{hits}");
        assert!((0..1000).all(|_| (3..9).contains(&draw.range(3, 9))));
    }
}
