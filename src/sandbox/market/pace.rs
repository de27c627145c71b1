//! The pace: lively, but no more than a small machine carries.

use std::time::Duration;

use crate::market::Span;

/// How lively a market is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// About so often somebody posts a gig.
    pub every: Duration,
    /// Gigs for programs that are open at once; those to be done by hand come on top.
    pub most_open: usize,
    /// Between two blocks.
    pub block: Duration,
}

impl Default for Pace {
    /// A gig every twelve seconds, at most eight open, a block every thirty seconds.
    fn default() -> Self {
        Self::of(Duration::from_secs(12))
    }
}

/// The pace at which people think as fast as people do.
const NATURAL: f64 = 12.0;
/// Jobs of one person after which it posts half as often: a market that is left alone calms down.
const CALM_AFTER: f64 = 60.0;
/// How many people there are, roughly: each posts its share.
const PEOPLE: f64 = 7.0;

impl Pace {
    /// A gig about so often, a second to an hour.
    pub fn of(every: Duration) -> Self {
        let every = every.clamp(Duration::from_secs(1), Duration::from_secs(3_600));
        let block = (every * 2).clamp(Duration::from_secs(4), Duration::from_secs(30));
        Self { every, most_open: 8, block }
    }

    /// How long people think, against their natural pace: never longer, and not in no time.
    pub(in crate::sandbox) fn haste(&self) -> f64 {
        (self.every.as_secs_f64() / NATURAL).clamp(0.1, 1.0)
    }

    /// How long one person waits before it thinks of the next gig; `chance` is about one.
    pub(in crate::sandbox) fn until_next(&self, jobs: usize, chance: f64) -> Duration {
        let jobs = u32::try_from(jobs).map_or(f64::MAX, f64::from);
        let calm = 1.0 + jobs / CALM_AFTER;
        let secs = self.every.as_secs_f64() * PEOPLE * calm * chance;
        Duration::from_secs_f64(secs.min(3_600.0))
    }

    /// How long a gig on which nobody bids stays.
    pub(in crate::sandbox) fn life(&self, by_hand: bool) -> Span {
        if by_hand { Span::MINUTE.times(15) } else { Span::MINUTE.times(3) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_market_that_is_left_alone_calms_down() {
        let pace = Pace::default();
        assert!(pace.until_next(0, 1.0) < pace.until_next(60, 1.0));
        assert!(pace.until_next(usize::MAX, 1.5) <= Duration::from_secs(3_600));
        assert_eq!(Pace::of(Duration::ZERO).every, Duration::from_secs(1));
        assert!(Pace::of(Duration::from_secs(1)).haste() >= 0.1);
        assert!(Pace::of(Duration::from_secs(3_600)).haste() <= 1.0);
    }
}
