//! The two types of text and the one way from the first to the second.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize};
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
/// Only cleaning makes one, so holding it is the proof. Its `Deserialize` cleans again, within
/// [`Limit::AGAIN`]: what comes from outside is as raw as ever, also when we once wrote it, and what
/// was clean already stays as it is.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema)]
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

impl<'de> Deserialize<'de> for Clean {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Raw::deserialize(from).map(|raw| raw.clean(Limit::AGAIN))
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
    /// What was cleaned once and comes from another process of ours: wider than every limit above, so
    /// that nothing is cut twice.
    pub const AGAIN: Self = Self::multi_line(65_536, 4_096);

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
mod tests;
