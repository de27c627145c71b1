//! Gauges: a bar that is also words, so that it is never the colour alone.

use crate::market::{Span, Time};
use crate::tui::part::pane::Line;
use crate::tui::theme::Role;

/// `[████░░░░] 50 %`.
pub(crate) fn bar(done: u64, whole: u64, width: usize, role: Role) -> Line {
    let cells = width.clamp(3, 40);
    let share = u128::from(done.min(whole)) * cells as u128 / u128::from(whole.max(1));
    let full = usize::try_from(share).unwrap_or(cells).min(cells);
    Line::of("█".repeat(full), role).and("░".repeat(cells - full), Role::Muted)
}

/// How much is left of a phase: a bar that shrinks, and the text that says so.
pub(crate) fn deadline(since: Time, until: Time, now: Time, width: usize) -> Line {
    let (left, whole) = (now.until(until), since.until(until));
    // A fifth of the time, or an hour: whichever is shorter is the time to hurry.
    let short = (whole.0 / 5).min(Span::HOUR.0);
    let role = match left.0 {
        0 => Role::Bad,
        left if left <= short => Role::Warn,
        _ => Role::Good,
    };
    let words = match left.0 {
        0 => " time is up".to_owned(),
        _ => format!(" {left} left"),
    };
    bar(left.0, whole.0, width, role).and(words, role)
}

/// How long ago something was.
pub(crate) fn ago(at: Time, now: Time) -> String {
    match at.until(now) {
        Span(0..=59) => "just now".to_owned(),
        // Nothing redraws for it, so it is only as fine as stays true for a while.
        Span(s @ 60..=3_599) => format!("{} ago", Span(s / 60 * 60)),
        Span(s @ 3_600..=86_399) => format!("{} ago", Span(s / 3_600 * 3_600)),
        Span(s) => format!("{} ago", Span(s / 86_400 * 86_400)),
    }
}

/// Bytes, as people write them.
pub(crate) fn bytes(n: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, size) in units {
        if n >= size {
            let tenths = u128::from(n) * 10 / u128::from(size);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{n} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_by_people() {
        for (n, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10 << 20, "10.0 MiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(bytes(n), shown);
        }
    }

    #[test]
    fn what_was_is_told_by_its_largest_unit() {
        for (seconds, said) in [
            (0, "just now"),
            (59, "just now"),
            (382, "6 min ago"),
            (8_040, "2 h ago"),
            (90_000, "1 d ago"),
        ] {
            assert_eq!(ago(Time(0), Time(seconds)), said);
        }
    }

    #[test]
    fn a_bar_never_runs_over() {
        for (done, whole) in [(0, 0), (1, 0), (u64::MAX, 1), (1, u64::MAX), (5, 10)] {
            assert_eq!(bar(done, whole, 10, Role::Good).cells(), 10, "{done}/{whole}");
        }
    }

    #[test]
    fn a_deadline_says_in_words_how_much_is_left() {
        let line = deadline(Time(0), Time(8_040), Time(0), 10);
        assert_eq!(line.0.last().unwrap().0, " 2 h 14 min left");
        let line = deadline(Time(0), Time(10), Time(20), 10);
        assert_eq!(line.0.last().unwrap(), &(" time is up".to_owned(), Role::Bad));
    }
}
