//! The real dice and the real clock: the only places where either is read.

use rand::TryRngCore as _;
use rand::rngs::OsRng;

use crate::engine::{Clock, Dice};
use crate::market::{Nonce, Time};

/// The operating system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDice;

impl Dice for OsDice {
    /// Asks the operating system every time, so nothing that could be copied by a fork or a snapshot
    /// is kept here. A system without randomness stops the program: going on would lose money.
    fn nonce(&self) -> Nonce {
        let mut bytes = [0; 32];
        let drawn = OsRng.try_fill_bytes(&mut bytes);
        assert!(drawn.is_ok(), "the operating system gives no randomness; no key can be made");
        Nonce(bytes)
    }
}

/// The machine's clock, in whole seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock adapter")]
    fn now(&self) -> Time {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Time(since.map_or(0, |d| d.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_do_not_repeat_and_the_clock_is_set() {
        assert_ne!(OsDice.nonce(), OsDice.nonce());
        assert!(SystemClock.now() > Time(1_700_000_000));
    }
}
