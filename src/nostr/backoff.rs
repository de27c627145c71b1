//! How long to wait before trying again: doubling, capped, with jitter.

use std::time::Duration;

/// Never longer than this many times the first wait.
const MOST: u32 = 256;

/// The wait after `failures` failures in a row: `first`, doubled for each further one up to 256 times
/// `first`, and then anything between three and five quarters of it, so that relays which died together
/// are not asked together.
pub(super) fn wait(first: Duration, failures: u32) -> Duration {
    let times = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(MOST).clamp(1, MOST);
    jitter(first.saturating_mul(times))
}

/// Between three and five quarters of it.
#[expect(
    clippy::disallowed_methods,
    reason = "when to knock again is no part of the market's state"
)]
pub(super) fn jitter(wait: Duration) -> Duration {
    wait.mul_f64(0.75 + rand::random::<f64>() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stop_growing() {
        let first = Duration::from_secs(1);
        for (failures, about) in [(0, 1), (1, 1), (2, 2), (5, 16), (9, 256), (40, 256)] {
            let wait = wait(first, failures).as_secs_f64();
            let about = f64::from(about);
            assert!(wait >= about * 0.75 && wait <= about * 1.25, "{failures}: {wait}");
        }
    }
}
