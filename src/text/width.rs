//! Terminal cells: measure, cut, pad and wrap on grapheme borders.
//!
//! A grapheme takes the cells that `unicode-width` gives it, and a text the sum of its graphemes,
//! which is how a cell grid draws it. For a few Arabic ligatures that is more than `unicode-width`
//! says of the whole text, never less, so nothing measured here can run over.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Which side the text stands on when it is padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text first.
    Left,
    /// Text last: numbers.
    Right,
    /// Text in the middle, the odd cell after it.
    Center,
}

/// Cells that `text` takes on one line.
pub fn cells(text: &str) -> usize {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return text.len();
    }
    text.graphemes(true).map(UnicodeWidthStr::width).sum()
}

/// `text` in at most `most` cells; a cut text ends with `…`.
pub fn truncate(text: &str, most: usize) -> Cow<'_, str> {
    if cells(text) <= most {
        return Cow::Borrowed(text);
    }
    if most == 0 {
        return Cow::Borrowed("");
    }
    let head = &text[..fitting(text, most - 1)];
    Cow::Owned(format!("{}…", head.trim_end_matches(' ')))
}

/// `text` in exactly `width` cells: cut if longer, filled with spaces if shorter.
pub fn pad(text: &str, width: usize, align: Align) -> String {
    let text = truncate(text, width);
    let spaces = width - cells(&text);
    let before = match align {
        Align::Left => 0,
        Align::Right => spaces,
        Align::Center => spaces / 2,
    };
    format!("{:before$}{text}{:after$}", "", "", after = spaces - before)
}

/// The lines of `text`, each at most `width` cells, broken between words where it can be.
///
/// A word longer than a line is broken between graphemes; indentation is kept, the space at a break
/// is not. A grapheme wider than `width` is dropped rather than let run over.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        wrap_line(line, width, &mut lines);
    }
    lines
}

fn wrap_line(line: &str, width: usize, lines: &mut Vec<String>) {
    let (mut shown, mut used) = (String::new(), 0);
    for word in pieces(line) {
        let wide = cells(word);
        if used + wide <= width {
            shown.push_str(word);
            used += wide;
            continue;
        }
        if word.trim_matches(' ').is_empty() {
            // The space that would not fit is the break.
            lines.push(std::mem::take(&mut shown));
            used = 0;
            continue;
        }
        if used > 0 && wide <= width {
            lines.push(shown.trim_end_matches(' ').to_owned());
            shown.clear();
            used = 0;
            shown.push_str(word);
            used += wide;
            continue;
        }
        for grapheme in word.graphemes(true) {
            let wide = grapheme.width();
            if used + wide > width {
                if !shown.is_empty() {
                    lines.push(std::mem::take(&mut shown));
                }
                used = 0;
            }
            if wide <= width {
                shown.push_str(grapheme);
                used += wide;
            }
        }
    }
    lines.push(shown.trim_end_matches(' ').to_owned());
}

/// Words, with what may not stand apart from them: a comma begins no line, an open bracket ends none.
fn pieces(line: &str) -> Vec<&str> {
    let mut pieces: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, word) in line.split_word_bound_indices() {
        let end = at + word.len();
        let closes = word.starts_with([',', '.', ';', ':', '!', '?', ')', ']', '}', '%']);
        match pieces.last_mut() {
            Some(last)
                if !line[last.clone()].ends_with(' ')
                    && (closes || line[..at].ends_with(['(', '['])) =>
            {
                last.end = end;
            }
            _ => pieces.push(at..end),
        }
    }
    pieces.into_iter().map(|piece| &line[piece]).collect()
}

/// Bytes of the longest run of whole graphemes from the start that takes at most `most` cells.
fn fitting(text: &str, most: usize) -> usize {
    let (mut end, mut used) = (0, 0);
    for (at, grapheme) in text.grapheme_indices(true) {
        used += grapheme.width();
        if used > most {
            break;
        }
        end = at + grapheme.len();
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Limit, Raw};
    use proptest::prelude::*;

    #[test]
    fn wide_narrow_and_joined_are_measured_as_drawn() {
        for (text, wide) in [
            ("", 0),
            ("abc", 3),
            ("日本", 4),
            ("é", 1),
            ("e\u{301}", 1),
            ("👍🏽", 2),
            ("👩\u{200d}👩\u{200d}👧", 2),
            ("🇨🇭", 2),
            ("❤\u{fe0f}", 2),
            ("한", 2),
        ] {
            assert_eq!(cells(text), wide, "{text}");
        }
    }

    #[test]
    fn a_cut_text_ends_with_an_ellipsis_within_its_cells() {
        for (text, most, shown) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("abcd", 1, "…"),
            ("abcd", 0, ""),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("ab cd", 4, "ab…"),
            ("👩\u{200d}👧👩\u{200d}👧", 3, "👩\u{200d}👧…"),
        ] {
            assert_eq!(truncate(text, most), shown, "{text} {most}");
        }
    }

    #[test]
    fn padding_fills_to_the_cell() {
        assert_eq!(pad("日", 5, Align::Left), "日   ");
        assert_eq!(pad("12", 5, Align::Right), "   12");
        assert_eq!(pad("ab", 5, Align::Center), " ab  ");
        assert_eq!(pad("日本", 3, Align::Left), "日…");
        assert_eq!(pad("日本", 2, Align::Left), "… ");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("label the street signs", 10), ["label the", "street", "signs"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("a\n\nb", 3), ["a", "", "b"]);
        assert_eq!(wrap("  in dent", 6), ["  in", "dent"]);
        assert_eq!(wrap("of fraud, not (so)", 8), ["of", "fraud,", "not (so)"]);
        assert_eq!(wrap("not (so)", 5), ["not", "(so)"]);
        assert_eq!(wrap("日本語", 4), ["日本", "語"]);
        assert_eq!(wrap("日", 1), [""]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("x", 0), [""]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn nothing_runs_over(text in "\\PC{0,60}", width in 0usize..30) {
            let clean = Raw::from(text).clean(Limit::BLOCK);
            let sum: usize = clean.graphemes(true).map(|g| g.width()).sum();
            prop_assert_eq!(cells(&clean), sum);
            prop_assert!(clean.as_str().width() <= sum);
            let cut = truncate(&clean, width);
            prop_assert!(cells(&cut) <= width && cut.width() <= width);
            prop_assert_eq!(cells(&pad(&clean, width, Align::Center)), width);
            for line in wrap(&clean, width) {
                prop_assert!(cells(&line) <= width, "{:?}", line);
            }
        }

        #[test]
        fn wrapping_loses_no_letter(text in "[a-z日é ]{0,80}", width in 2usize..20) {
            let letters = |s: &str| s.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(letters(&wrap(&text, width).concat()), letters(&text));
        }

        #[test]
        fn latin_greek_cyrillic_and_cjk_agree_with_unicode_width(text in "[a-zα-ωа-я一-龥 ]{0,40}") {
            prop_assert_eq!(cells(&text), text.width());
        }
    }
}
