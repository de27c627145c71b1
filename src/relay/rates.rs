//! How often somebody may do something: counts in windows of a fixed length.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::market::{Span, Time};

/// Names that are counted at once; in a window with more, a new one is refused. A flood of names must not
/// fill the memory.
const NAMES: usize = 200_000;

/// Counts by name. A window that has passed is forgotten.
#[derive(Debug)]
pub(super) struct Rates {
    most: u32,
    window: Span,
    now: u64,
    counts: BTreeMap<String, u32>,
}

impl Rates {
    /// At most so often in each window; 0 is no limit.
    pub(super) fn new(most: u32, window: Span) -> Self {
        Self { most, window, now: 0, counts: BTreeMap::new() }
    }

    /// Counts one more of this name, and whether it is one too many.
    pub(super) fn over(&mut self, name: &str, now: Time) -> bool {
        if self.most == 0 {
            return false;
        }
        let window = now.0 / self.window.0.max(1);
        if window != self.now {
            self.now = window;
            self.counts.clear();
        }
        if let Some(count) = self.counts.get_mut(name) {
            *count = count.saturating_add(1);
            return *count > self.most;
        }
        if self.counts.len() >= NAMES {
            return true;
        }
        self.counts.insert(name.to_owned(), 1);
        false
    }
}

/// Whose address it is: of IPv6 the first 64 bits, which are one customer's.
pub(super) fn neighbourhood(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_counts_each_name_and_then_forgets() {
        let mut rates = Rates::new(2, Span::MINUTE);
        let at = Time(600);
        assert_eq!([1, 2, 3].map(|_| rates.over("a", at)), [false, false, true]);
        assert!(!rates.over("b", at));
        assert!(rates.over("a", Time(659)));
        assert!(!rates.over("a", Time(660)));
        let mut none = Rates::new(0, Span::MINUTE);
        assert!((0..1000).all(|_| !none.over("a", at)));
    }

    #[test]
    fn names_are_bounded() {
        let mut rates = Rates::new(5, Span::DAY);
        for n in 0..NAMES {
            assert!(!rates.over(&n.to_string(), Time(0)));
        }
        assert!(rates.over("one more", Time(0)));
        assert!(!rates.over("7", Time(0)));
        assert_eq!(rates.counts.len(), NAMES);
    }

    #[test]
    fn one_customer_has_one_neighbourhood() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
