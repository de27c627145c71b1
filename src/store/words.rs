//! Words: how text becomes tokens of the index, the same for what is stored and for what is asked.
//!
//! SQLite's own tokenisers split in ways that a question could not foresee, so we fold here and give
//! FTS5 plain tokens: its `ascii` tokeniser keeps every character outside ASCII.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Longest token kept, in characters; what is longer is cut, here and in questions alike.
const TOKEN_CHARS: usize = 40;
/// Begins a mark. It is in no token made of a stranger's text, so nobody can write a mark.
const MARK: char = '\u{E000}';

/// Compatibility forms unified, accents taken off, lower case, white space single.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return fold_chars(text.len(), text.bytes().map(|b| char::from(b.to_ascii_lowercase())));
    }
    let chars = text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase);
    fold_chars(text.len(), chars)
}

fn fold_chars(len: usize, chars: impl Iterator<Item = char>) -> String {
    let mut out = String::with_capacity(len);
    for c in chars {
        if !c.is_whitespace() {
            out.push(c);
        } else if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out
}

/// The tokens of folded text: runs of letters and digits.
pub(super) fn tokens(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(|c: char| !c.is_alphanumeric()).filter(|token| !token.is_empty()).map(cut)
}

fn cut(token: &str) -> &str {
    token.char_indices().nth(TOKEN_CHARS).map_or(token, |(end, _)| &token[..end])
}

/// A mark: one letter for what it says, then its value. No stranger's text can be one.
pub(super) fn mark(what: char, value: impl std::fmt::Display) -> String {
    format!("{MARK}{what}{value}")
}

/// The mark of a hashtag: its folded bytes in hex, so that `c++` and `c` stay two.
pub(super) fn tag(tag: &str) -> String {
    mark('t', hex::encode(fold(tag.trim()).as_bytes()))
}

/// One asked word, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Tokens that must be there.
    pub(super) whole: Vec<String>,
    /// What a token that must be there begins with.
    pub(super) prefix: Option<String>,
    /// Where tokens alone do not say it all: the folded text that must occur in the listing.
    pub(super) literal: Option<String>,
}

/// Reads one word of a question: the beginning of a word, or several words that stand together.
/// `None` if there is no letter or digit in it.
pub(super) fn ask(word: &str) -> Option<Asked> {
    let folded = fold(word);
    let folded = folded.trim();
    let mut whole: Vec<String> = tokens(folded).map(str::to_owned).collect();
    let last = whole.last()?;
    let literal = (whole.len() > 1 || last != folded).then(|| folded.to_owned());
    // `c++` asks for c, not for what begins with c; a token that was cut is not one that goes on.
    let goes_on = folded.ends_with(char::is_alphanumeric) && last.chars().count() < TOKEN_CHARS;
    let prefix = if goes_on { whole.pop() } else { None };
    Some(Asked { whole, prefix, literal })
}

/// The octave of a price: which power of two it reaches.
pub(super) fn octave(price: i64) -> u32 {
    price.max(1).ilog2()
}

/// Bits of a price below its octave that tell shelves apart: sixteen shelves an octave.
const SHELF_BITS: u32 = 4;

/// The shelf of a price: a sixteenth of its octave, growing with the price.
pub(super) fn shelf(price: i64) -> u32 {
    let price = price.max(1);
    let octave = price.ilog2();
    let below = price ^ 1 << octave;
    let part = if octave >= SHELF_BITS { below >> (octave - SHELF_BITS) } else { 0 };
    octave << SHELF_BITS | u32::try_from(part).unwrap_or(0)
}

/// The lowest price on the shelf of this one.
pub(super) fn shelf_floor(price: i64) -> i64 {
    let price = price.max(1);
    match price.ilog2() {
        // The first shelf holds what is for nothing as well.
        0 => 0,
        octave if octave < SHELF_BITS => 1 << octave,
        octave => price >> (octave - SHELF_BITS) << (octave - SHELF_BITS),
    }
}

/// The hour in which a listing closes.
pub(super) fn hour(closes: i64) -> i64 {
    closes / HOUR
}

/// Seconds in an hour.
pub(super) const HOUR: i64 = 3600;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_fold_the_same_way_on_both_sides() {
        assert_eq!(fold("Café\u{301}  CRÈME\n"), "cafe creme ");
        let all: Vec<String> = tokens(&fold("Ｎode.js, C++ & 標注")).map(str::to_owned).collect();
        assert_eq!(all, ["node", "js", "c", "標注"]);
    }

    #[test]
    fn what_is_asked_says_when_tokens_do_not_suffice() {
        let asked = |whole: &[&str], prefix: Option<&str>, literal: Option<&str>| Asked {
            whole: whole.iter().map(|s| s.to_string()).collect(),
            prefix: prefix.map(str::to_owned),
            literal: literal.map(str::to_owned),
        };
        assert_eq!(ask("Rust").unwrap(), asked(&[], Some("rust"), None));
        assert_eq!(ask("C++").unwrap(), asked(&["c"], None, Some("c++")));
        let two = asked(&["label"], Some("images"), Some("label images"));
        assert_eq!(ask("label  images").unwrap(), two);
        assert_eq!(ask("\" OR *").unwrap(), asked(&["or"], None, Some("\" or *")));
        assert_eq!(ask("++"), None);
        let long = "x".repeat(99);
        assert_eq!(ask(&long).unwrap(), asked(&[&long[..40]], None, Some(&long)));
    }

    proptest! {
        #[test]
        fn no_text_writes_a_mark(text in "\\PC{0,40}|.{0,40}") {
            let with = format!("{MARK}t00 {text}{MARK}");
            let folded = fold(&with);
            prop_assert!(tokens(&folded).all(|token| !token.contains(MARK)));
        }

        #[test]
        fn every_token_finds_itself(text in ".{0,40}") {
            let folded = fold(&text);
            for token in tokens(&folded) {
                let asked = ask(token).unwrap();
                let found = asked.prefix.iter().chain(&asked.whole).all(|part| part == token);
                prop_assert!(found, "{token:?} {asked:?}");
            }
        }

        #[test]
        fn shelves_grow_with_the_price(a in 0i64..=i64::MAX, b in 0i64..=i64::MAX) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(shelf(low) <= shelf(high));
            prop_assert_eq!(shelf(low) >> SHELF_BITS, octave(low));
            let floor = shelf_floor(low);
            prop_assert_eq!(shelf(floor), shelf(low));
            prop_assert!(floor <= low && (floor == 0 || shelf(floor - 1) < shelf(low)));
        }
    }
}
