//! The clock of a relay that runs alone.

use crate::engine::Clock;
use crate::market::Time;

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wall;

impl Clock for Wall {
    #[expect(clippy::disallowed_methods, reason = "the relay's clock is the machine's")]
    fn now(&self) -> Time {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Time(since.map_or(0, |since| since.as_secs()))
    }
}
