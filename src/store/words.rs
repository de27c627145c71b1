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
    let mut out = String::with_capacity(text.len());
    for c in text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase) {
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

/// One asked word: a part of an FTS5 expression, and, where tokens alone do not say it all, the folded
/// text that must occur in the listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) expression: String,
    pub(super) literal: Option<String>,
}

/// Reads one word of a question: the prefix of a word, or several words that stand together. `None`
/// if there is no letter or digit in it.
pub(super) fn ask(word: &str) -> Option<Asked> {
    let folded = fold(word);
    let folded = folded.trim();
    let parts: Vec<&str> = tokens(folded).collect();
    let open_end = folded.ends_with(|c: char| c.is_alphanumeric());
    let (last, before) = parts.split_last()?;
    // A token has letters and digits only, so quoting it is safe.
    let mut all: Vec<String> = before.iter().map(|token| format!("\"{token}\"")).collect();
    let whole = open_end && last.chars().count() < TOKEN_CHARS;
    all.push(if whole { format!("\"{last}\"*") } else { format!("\"{last}\"") });
    let literal = (parts.len() > 1 || *last != folded).then(|| folded.to_owned());
    Some(Asked { expression: all.join(" AND "), literal })
}

/// The octave of a price: which power of two it reaches.
pub(super) fn octave(price: i64) -> u32 {
    price.max(1).ilog2()
}

/// The shelf of a price: a quarter of its octave, growing with the price.
pub(super) fn shelf(price: i64) -> u32 {
    let price = price.max(1);
    let octave = price.ilog2();
    let quarter = if octave >= 2 { (price >> (octave - 2)) & 3 } else { 0 };
    octave * 4 + u32::try_from(quarter).unwrap_or(0)
}

/// The lowest price on the shelf of this one.
pub(super) fn shelf_floor(price: i64) -> i64 {
    let price = price.max(1);
    let octave = price.ilog2();
    // Below four msat a shelf is a whole octave, and the first one holds nothing at all as well.
    match octave {
        0 => 0,
        1 => 2,
        _ => (price >> (octave - 2)) << (octave - 2),
    }
}

/// The day on which a listing closes.
pub(super) fn day(closes: i64) -> i64 {
    closes / 86_400
}

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
        assert_eq!(ask("Rust").unwrap(), Asked { expression: "\"rust\"*".into(), literal: None });
        let cpp = ask("C++").unwrap();
        assert_eq!((cpp.expression.as_str(), cpp.literal.as_deref()), ("\"c\"", Some("c++")));
        let two = ask("label  images").unwrap();
        assert_eq!(two.expression, "\"label\" AND \"images\"*");
        assert_eq!(two.literal.as_deref(), Some("label images"));
        assert_eq!(ask("++"), None);
        assert_eq!(
            ask("\" OR *"),
            Some(Asked { expression: "\"or\"".into(), literal: Some("\" or *".into()) })
        );
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
                prop_assert!(asked.expression.contains(token), "{token:?} {asked:?}");
            }
        }

        #[test]
        fn shelves_grow_with_the_price(a in 0i64..=i64::MAX, b in 0i64..=i64::MAX) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(shelf(low) <= shelf(high));
            prop_assert_eq!(shelf(low) / 4, octave(low));
            let floor = shelf_floor(low);
            prop_assert_eq!(shelf(floor), shelf(low));
            prop_assert!(floor <= low && (floor == 0 || shelf(floor - 1) < shelf(low)));
        }
    }
}
