//! The two types of text and the one way from the first to the second.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use super::scan::{Class, class, escape_len, is_pictograph, is_skin_tone, joins_in_writing};

/// Marks that one character may carry. Vietnamese needs two, pointed Hebrew three, Tibetan four.
const MAX_MARKS: usize = 4;
/// Spaces that a tab becomes where lines are kept.
const TAB: &str = "    ";
/// Ends a text that was cut.
const ELLIPSIS: char = '…';
/// Characters of a [`Raw`] that its `Debug` shows.
const DEBUG_CHARS: usize = 64;

/// Text as a stranger sent it: kept for hashes and signatures, never shown.
///
/// It has no `Display`; its `Debug` is ASCII, escaped and bounded, so that even a careless log line
/// cannot move a cursor. Its length is bounded where it is decoded (`wire`), not here.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Raw(pub String);

impl Raw {
    /// Exactly what was received, for hashing, signing and storing.
    pub fn as_received(&self) -> &str {
        &self.0
    }

    /// The printable part of it, within `limit`.
    pub fn clean(&self, limit: Limit) -> Clean {
        self.clean_flagged(limit).0
    }

    /// The printable part of it, and what had to go to make it so.
    pub fn clean_flagged(&self, limit: Limit) -> (Clean, Removed) {
        let (text, removed) = wash(&self.0, limit);
        (Clean(text), removed)
    }
}

impl From<String> for Raw {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Raw {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw(\"")?;
        for c in self.0.chars().take(DEBUG_CHARS) {
            write!(f, "{}", c.escape_default())?;
        }
        let cut = self.0.chars().nth(DEBUG_CHARS).is_some();
        write!(f, "\"{} {} bytes)", if cut { ".." } else { "" }, self.0.len())
    }
}

/// Text that a terminal, a log, a notification or a model may see.
///
/// Only cleaning makes one, so holding it is the proof. There is no `Deserialize`: what comes from
/// outside is [`Raw`] again, also when we once wrote it.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Clean(String);

impl Clean {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, or `other` where nothing printable was left: a row must not be blank.
    pub fn or<'a>(&'a self, other: &'a str) -> &'a str {
        if self.0.is_empty() { other } else { &self.0 }
    }
}

impl Deref for Clean {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Clean {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Clean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Clean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// How many lines a text may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// One: line ends become spaces, runs of spaces become one, frame characters become dots.
    One,
    /// At most so many; indentation is kept, runs of empty lines become one.
    Many(usize),
}

/// How much of a text is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Unicode scalar values, line ends and the closing `…` of a cut text included.
    pub chars: usize,
    /// Lines.
    pub lines: Lines,
}

impl Limit {
    /// What people call themselves.
    pub const NAME: Self = Self::one_line(32);
    /// A title or a label.
    pub const TITLE: Self = Self::one_line(120);
    /// A description, an instruction, a chat message.
    pub const BLOCK: Self = Self::multi_line(8_192, 400);

    /// One line of at most `chars`.
    pub const fn one_line(chars: usize) -> Self {
        Self { chars, lines: Lines::One }
    }

    /// At most `lines` lines and `chars` characters in all.
    pub const fn multi_line(chars: usize, lines: usize) -> Self {
        Self { chars, lines: Lines::Many(lines) }
    }

    /// Bytes that are looked at: work is bounded by what is wanted, not by what was sent.
    fn bytes(self) -> usize {
        self.chars.saturating_mul(32).saturating_add(1_024)
    }
}

/// What cleaning took away, counted in characters unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// C0 and C1 controls that were not part of an escape sequence.
    pub controls: usize,
    /// Whole terminal escape sequences.
    pub escapes: usize,
    /// Characters that turn the direction of writing.
    pub bidi: usize,
    /// Characters that show nothing: zero width, tags, fillers, annotations, stray joiners.
    pub invisibles: usize,
    /// Private use and unassigned characters.
    pub unknown: usize,
    /// Combining marks beyond what one character may carry, or without a character to carry them.
    pub marks: usize,
    /// Frame-drawing characters replaced by a dot.
    pub frames: usize,
    /// Characters or lines were cut from the end.
    pub truncated: bool,
}

impl Removed {
    /// Nothing had to go.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Somebody tried to steer the terminal or to hide something from the reader. Worth a warning;
    /// a cut text or a stray tab is not.
    pub fn is_suspicious(&self) -> bool {
        self.controls + self.escapes + self.bidi + self.invisibles + self.unknown + self.marks > 0
    }
}

/// Cleans until nothing changes: taking one thing away may bring two others together.
fn wash(text: &str, limit: Limit) -> (String, Removed) {
    let mut removed = Removed::default();
    let seen = &text[..text.floor_char_boundary(limit.bytes())];
    removed.truncated = seen.len() < text.len();
    let mut text = without_escapes(seen, &mut removed);
    // Each round but the last shortens the text, except that composing may spell one out once.
    loop {
        let shown: String = visible(&text, limit.lines, &mut removed).nfc().collect();
        let settled = within(&limited_marks(&shown, &mut removed), limit, &mut removed);
        if settled == text {
            return (settled, removed);
        }
        text = settled;
    }
}

/// Drops escape sequences whole, so that no `]0;` or `[31m` is left over.
fn without_escapes(text: &str, removed: &mut Removed) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) =
        rest.find(|c| matches!(c, '\u{1b}' | '\u{90}' | '\u{98}' | '\u{9b}' | '\u{9d}'..='\u{9f}'))
    {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        removed.escapes += 1;
        rest = &rest[escape_len(rest).max(1)..];
    }
    out.push_str(rest);
    out
}

/// Drops what does not show or steers, and brings spaces and line ends to one form.
fn visible(text: &str, lines: Lines, removed: &mut Removed) -> String {
    let one = lines == Lines::One;
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match class(c) {
            Class::Print | Class::Mark => out.push(c),
            Class::Space if c == '\t' && !one => out.push_str(TAB),
            Class::Space => out.push(' '),
            Class::LineEnd => {
                if c == '\r' {
                    chars.next_if_eq(&'\n');
                }
                out.push(if one { ' ' } else { '\n' });
            }
            Class::Frame if one => {
                removed.frames += 1;
                out.push('·');
            }
            Class::Frame => out.push(c),
            Class::Joiner if joins(&out, c, chars.peek().copied()) => out.push(c),
            Class::Style if styles(&out, chars.peek().copied()) => out.push(c),
            Class::Joiner | Class::Style | Class::Invisible => removed.invisibles += 1,
            Class::Control => removed.controls += 1,
            Class::Bidi => removed.bidi += 1,
            Class::Unknown => removed.unknown += 1,
        }
    }
    out
}

/// Whether a joiner between `before` and `next` is part of an emoji or of a word.
fn joins(before: &str, joiner: char, next: Option<char>) -> bool {
    let mut back = before.chars().rev().skip_while(|c| *c == '\u{fe0f}' || is_skin_tone(*c));
    let (Some(last), Some(next)) = (before.chars().next_back(), next) else { return false };
    let in_emoji =
        joiner == '\u{200d}' && is_pictograph(next) && back.next().is_some_and(is_pictograph);
    in_emoji || (joins_in_writing(last) && joins_in_writing(next))
}

/// Whether U+FE0E or U+FE0F after `before` chooses the look of an emoji or of a key cap.
fn styles(before: &str, next: Option<char>) -> bool {
    match before.chars().next_back() {
        Some('0'..='9' | '#' | '*') => next == Some('\u{20e3}'),
        Some(last) => is_pictograph(last),
        None => false,
    }
}

/// Drops marks piled up on one character, and marks that would climb on a space or a frame.
fn limited_marks(text: &str, removed: &mut Removed) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = MAX_MARKS;
    for c in text.chars() {
        match class(c) {
            Class::Mark if marks >= MAX_MARKS => {
                removed.marks += 1;
                continue;
            }
            Class::Mark => marks += 1,
            // A style or joiner does not give a fresh allowance of marks.
            Class::Style | Class::Joiner => {}
            Class::Print if c != ' ' => marks = 0,
            _ => marks = MAX_MARKS,
        }
        out.push(c);
    }
    out
}

/// Brings spaces, lines and length within the limit; a cut falls on a grapheme border.
fn within(text: &str, limit: Limit, removed: &mut Removed) -> String {
    let text = match limit.lines {
        Lines::One => text.split(' ').filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" "),
        Lines::Many(most) => {
            let mut kept: Vec<&str> = Vec::new();
            for line in text.split('\n').map(|l| l.trim_end_matches(' ')) {
                if !(line.is_empty() && kept.last().is_none_or(|l| l.is_empty())) {
                    kept.push(line);
                }
            }
            if kept.last().is_some_and(|l| l.is_empty()) {
                kept.pop();
            }
            if kept.len() > most {
                removed.truncated = true;
                kept.truncate(most);
                while kept.last().is_some_and(|l| l.is_empty()) {
                    kept.pop();
                }
            }
            kept.join("\n")
        }
    };
    if text.chars().nth(limit.chars).is_none() {
        return text;
    }
    removed.truncated = true;
    if limit.chars == 0 {
        return String::new();
    }
    let (mut end, mut chars) = (0, 0);
    for (at, grapheme) in text.grapheme_indices(true) {
        chars += grapheme.chars().count();
        if chars > limit.chars - 1 {
            break;
        }
        end = at + grapheme.len();
    }
    let mut cut = text[..end].trim_end_matches([' ', '\n']).to_owned();
    cut.push(ELLIPSIS);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str) -> String {
        Raw::from(text).clean(Limit::TITLE).to_string()
    }

    fn block(text: &str) -> String {
        Raw::from(text).clean(Limit::BLOCK).to_string()
    }

    #[test]
    fn attacks_on_a_title_leave_plain_text() {
        for (attack, what, shown) in [
            ("\u{1b}[2J\u{1b}[Hpaid", "clear screen", "paid"),
            ("\u{1b}]0;pwned\u{7}logo", "set the window title", "logo"),
            ("\u{1b}]52;c;cm0gLXJmIH4=\u{1b}\\logo", "write the clipboard", "logo"),
            ("\u{1b}]8;;http://evil\u{1b}\\bank\u{1b}]8;;\u{1b}\\", "a link that lies", "bank"),
            ("\u{1b}P+q544e\u{1b}\\logo", "ask the terminal to answer", "logo"),
            ("\u{9b}31mred\u{9b}0m", "colour by C1", "red"),
            ("a\u{8}\u{8}b", "backspace over", "ab"),
            ("100 sat\r1 sat", "carriage return over", "100 sat 1 sat"),
            ("one\ntwo", "a second row", "one two"),
            ("pay\u{202e}tas 01\u{202c}", "bidi override", "paytas 01"),
            ("a\u{2067}b\u{2069}\u{200f}\u{61c}c", "bidi isolate and marks", "abc"),
            ("ad\u{200b}min\u{feff}\u{2060}", "zero width", "admin"),
            ("alice\u{e0069}\u{e0067}\u{e006e}", "tag characters aimed at a model", "alice"),
            ("alice\u{fe0f}\u{fe0f}\u{e0100}\u{fe01}", "bytes in variation selectors", "alice"),
            ("\u{fff9}a\u{fffa}b\u{fffb}", "interlinear annotation", "ab"),
            ("\u{3164}\u{115f}\u{ffa0}", "a name that looks empty", ""),
            ("\u{2800}\u{3000}\u{a0}x", "blank that is not space", "x"),
            ("\u{e000}\u{f8ff}x\u{10ffff}\u{ffff}", "private use and noncharacters", "x"),
            ("─┐ Balance █", "drawing our frame", "·· Balance ·"),
            ("a                                     b", "pushing a label off", "a b"),
            ("\u{301}\u{301}x", "marks that climb on the border", "x"),
            ("soft\u{ad}hyphen\u{34f}", "soft hyphen, grapheme joiner", "softhyphen"),
            ("a\u{200d}b", "joiner in Latin", "ab"),
        ] {
            assert_eq!(line(attack), shown, "{what}");
            let (_, removed) = Raw::from(attack).clean_flagged(Limit::TITLE);
            let only_layout = ["a second row", "pushing a label off", "blank that is not space"];
            let quiet = only_layout.contains(&what)
                || ["carriage return over", "drawing our frame"].contains(&what);
            assert_eq!(removed.is_suspicious(), !quiet, "{what}: {removed:?}");
        }
    }

    #[test]
    fn honest_text_of_every_script_is_left_alone() {
        for text in [
            "Label 500 street signs, 12 sat each",
            "Việt Nam, Ångström, naïve",
            "Здравствуйте",
            "עברית שָׁלוֹם",
            "می\u{200c}خواهم",
            "क्\u{200d}ष श्री",
            "ภาษาไทย ที่นี่",
            "日本語とカナ、한국어",
            "👩\u{200d}👩\u{200d}👧 👍🏽 ❤\u{fe0f} 🏳\u{fe0f}\u{200d}🌈 1\u{fe0f}\u{20e3} 🇨🇭",
            "√2 ≈ 1.414 → ∞",
        ] {
            let (clean, removed) = Raw::from(text).clean_flagged(Limit::TITLE);
            assert_eq!(clean.as_str(), text);
            assert!(removed.is_nothing(), "{text}: {removed:?}");
        }
    }

    #[test]
    fn zalgo_keeps_its_letters_and_four_marks() {
        let zalgo = format!("H{}i{}", "\u{335}".repeat(200), "\u{489}".repeat(50));
        let (clean, removed) = Raw::from(zalgo).clean_flagged(Limit::TITLE);
        assert_eq!(clean.chars().filter(|c| c.is_alphabetic()).collect::<String>(), "Hi");
        assert_eq!(clean.chars().count(), 2 + 2 * MAX_MARKS);
        assert_eq!(removed.marks, 242);
    }

    #[test]
    fn a_block_keeps_its_lines_and_indentation() {
        assert_eq!(block("a\r\n\tb\u{2028}c\u{b}d"), "a\n    b\nc\nd");
        assert_eq!(block("\n\n a \n\n\n\n\nb\n\n"), " a\n\nb");
        assert_eq!(block("┌─┐"), "┌─┐");
        let tall = Raw::from("x\n".repeat(1_000));
        let (clean, removed) = tall.clean_flagged(Limit::multi_line(10_000, 20));
        assert_eq!(clean.lines().count(), 20);
        assert!(removed.truncated);
    }

    #[test]
    fn an_open_escape_string_takes_its_own_line_only() {
        assert_eq!(block("before \u{1b}]0;never closed\nafter"), "before\nafter");
    }

    #[test]
    fn a_cut_falls_between_graphemes() {
        let family = "👩\u{200d}👩\u{200d}👧";
        let (clean, removed) = Raw::from(family.repeat(3)).clean_flagged(Limit::one_line(12));
        assert_eq!(clean.as_str(), format!("{family}{family}…"));
        assert!(removed.truncated && !removed.is_suspicious());
        assert_eq!(Raw::from("abc").clean(Limit::one_line(3)).as_str(), "abc");
        assert_eq!(Raw::from("abcd").clean(Limit::one_line(3)).as_str(), "ab…");
        assert_eq!(Raw::from("abcd").clean(Limit::one_line(1)).as_str(), "…");
        assert_eq!(Raw::from("abcd").clean(Limit::one_line(0)).as_str(), "");
    }

    #[test]
    fn work_is_bounded_by_the_limit_and_not_by_what_was_sent() {
        let bomb = Raw::from("\u{200b}".repeat(5_000_000) + "x");
        let (clean, removed) = bomb.clean_flagged(Limit::NAME);
        assert_eq!((clean.as_str(), removed.truncated), ("", true));
        assert!(removed.invisibles < 2_000);
    }

    #[test]
    fn debug_of_raw_is_short_ascii() {
        let debug = format!("{:?}", Raw::from("\u{1b}[31mä".repeat(1_000)));
        assert!(debug.len() < 800 && debug.is_ascii() && !debug.contains('\u{1b}'), "{debug}");
        assert_eq!(format!("{:?}", Raw::from("hi")), "Raw(\"hi\" 2 bytes)");
    }

    #[test]
    fn json_carries_raw_as_it_is_and_clean_as_text() {
        let raw: Raw = serde_json::from_str("\"a\\u202eb\"").unwrap();
        assert_eq!(raw.as_received(), "a\u{202e}b");
        assert_eq!(serde_json::to_string(&raw.clean(Limit::NAME)).unwrap(), "\"ab\"");
        assert_eq!(raw.clean(Limit::NAME).or("(no name)"), "ab");
        assert_eq!(Raw::default().clean(Limit::NAME).or("(no name)"), "(no name)");
    }

    /// Any text, with far more than its share of what hurts.
    fn nasty() -> impl Strategy<Value = String> {
        let hostile = prop::sample::select(vec![
            "\u{1b}[",
            "\u{1b}]",
            "\u{1b}\\",
            "\u{7}",
            "\u{9b}",
            "\u{9d}",
            "\u{200d}",
            "\u{200c}",
            "\u{fe0f}",
            "\u{202e}",
            "\u{2069}",
            "\u{200b}",
            "\u{e0041}",
            "\u{301}",
            "\u{327}",
            "\u{489}",
            "\u{20e3}",
            "👩",
            "👍🏽",
            "❤",
            "1",
            "#",
            "e",
            "क",
            "\u{94d}",
            "\u{93c}",
            "ش",
            "ᄀ",
            "\u{1161}",
            "\u{11a8}",
            "\u{9c7}",
            "\u{9be}",
            "\n",
            "\r",
            "\t",
            " ",
            "─",
            "\u{e000}",
            "\u{958}",
            "\u{fb1d}",
            "\u{f73}",
            "🇨",
            "…",
        ]);
        prop::collection::vec(
            prop_oneof![
                3 => hostile.prop_map(str::to_owned),
                1 => any::<char>().prop_map(String::from),
                1 => "[a-zA-Z0-9 ;]{0,6}",
            ],
            0..60,
        )
        .prop_map(|parts| parts.concat())
    }

    fn any_limit() -> impl Strategy<Value = Limit> {
        (0usize..80, prop_oneof![Just(Lines::One), (0usize..8).prop_map(Lines::Many)])
            .prop_map(|(chars, lines)| Limit { chars, lines })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn cleaning_twice_is_cleaning_once(text in nasty(), limit in any_limit()) {
            let once = Raw::from(text).clean(limit);
            let (twice, removed) = Raw::from(once.as_str()).clean_flagged(limit);
            prop_assert_eq!(&once, &twice);
            prop_assert!(removed.is_nothing(), "{:?}", removed);
        }

        #[test]
        fn nothing_forbidden_and_nothing_too_long_comes_out(text in nasty(), limit in any_limit()) {
            let clean = Raw::from(text).clean(limit);
            prop_assert!(clean.chars().count() <= limit.chars);
            let lines = clean.split('\n').count();
            match limit.lines {
                Lines::One => prop_assert_eq!(lines, 1),
                Lines::Many(most) => prop_assert!(lines <= most.max(1)),
            }
            let mut run = 0;
            for c in clean.chars() {
                prop_assert!(c == '\n' || !c.is_control(), "{}", c.escape_unicode());
                let fine = matches!(
                    class(c),
                    Class::Print | Class::Mark | Class::Joiner | Class::Style | Class::Frame
                );
                prop_assert!(fine || c == '\n', "{}", c.escape_unicode());
                run = if class(c) == Class::Mark { run + 1 } else { 0 };
                prop_assert!(run <= MAX_MARKS);
            }
            prop_assert_eq!(clean.nfc().collect::<String>(), clean.as_str());
        }
    }
}
