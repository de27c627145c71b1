//! Names that a reader cannot tell apart. A name proves nothing; this says when one borrows another.
//!
//! The method is the skeleton of UTS #39 on a small table of our own: the letters of Latin, Cyrillic,
//! Greek and Armenian, the digits, and the letter pairs that are used to pass for others. It errs
//! towards *alike*: the price of a false alarm is a line of warning, of a missed one a payment.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::clean::{Limit, Raw};

/// Each row: what it looks like, and the lower-case characters that look like it. Upper case is
/// covered by the second table before folding, as `Н` looks like H while `н` looks like nothing.
const LOWER: &[(char, &str)] = &[
    ('a', "аɑα@ꭺ"),
    ('b', "ьъƅß8"),
    ('c', "сϲᴄⅽ¢"),
    ('d', "ԁɗⅾ"),
    ('e', "еєҽɛεℯ℮"),
    ('f', "ſƒꞙẝ"),
    ('g', "ɡցƍ9"),
    ('h', "һհн"),
    ('j', "јϳʝ"),
    ('k', "кκᴋĸқ"),
    ('l', "1іıɩιӏ|!ǀⅼℓⅰ"),
    ('m', "мⅿᴍ"),
    ('n', "пηոռҥŋ"),
    ('o', "0оοσօө°ᴏ"),
    ('p', "рρϱҏ"),
    ('q', "ԛգզ"),
    ('r', "гᴦꭇɾ"),
    ('s', "5ѕꜱ$ʂ"),
    ('t', "тτᴛ+"),
    ('u', "υսʋцᴜµ"),
    ('v', "νѵⅴᴠ"),
    ('w', "ѡԝωшщɯᴡ"),
    ('x', "хχⅹ×"),
    ('y', "уγүʏყ"),
    ('z', "2ᴢʐ"),
    ('3', "зҙӡʒ"),
    ('4', "ч"),
    ('6', "б"),
];

/// Upper-case letters whose look is not that of their own lower case.
const UPPER: &[(char, &str)] = &[
    ('a', "ΑАᎪ"),
    ('b', "ΒВᏴ"),
    ('c', "СϹᏟ"),
    ('e', "ΕЕ"),
    ('f', "Ϝ"),
    ('g', "Ԍ"),
    ('h', "ΗНҢ"),
    ('l', "IΙІӀ"),
    ('j', "Ј"),
    ('k', "ΚКK"),
    ('m', "ΜМ"),
    ('n', "Ν"),
    ('o', "ΟО"),
    ('p', "ΡР"),
    ('r', "Я"),
    ('s', "Ѕ"),
    ('t', "ΤТ"),
    ('u', "Ս"),
    ('v', "Ѵ"),
    ('x', "ΧХ"),
    ('y', "ΥҮУ"),
    ('z', "Ζ"),
];

/// What a name comes down to for the eye: two names with one skeleton look alike.
///
/// For comparing only, never to be shown. Case, accents, spaces, punctuation and everything
/// invisible are gone; what looks like another character has become it.
pub fn skeleton(name: &str) -> String {
    let seen = Raw::from(name).clean(Limit::one_line(256));
    let mut out = String::with_capacity(seen.len());
    // Compatibility decomposition turns bold, fullwidth, circled and ligature letters into plain ones.
    for c in seen.nfkd().filter(|c| !is_combining_mark(*c)) {
        if let Some(looks) = prototype(UPPER, c) {
            out.push(looks);
            continue;
        }
        for c in c.to_lowercase() {
            match prototype(LOWER, c).unwrap_or(c) {
                'i' => out.push('l'),
                c if c.is_whitespace() || is_separator(c) => {}
                c if is_combining_mark(c) || matches!(c, '\u{200c}' | '\u{200d}') => {}
                c => out.push(c),
            }
        }
    }
    out.replace("rn", "m").replace("vv", "w")
}

/// Whether a reader could take one name for the other. Equal names look alike.
pub fn looks_like(a: &str, b: &str) -> bool {
    let (left, right) = (skeleton(a), skeleton(b));
    left == right && (!left.is_empty() || a == b)
}

/// Whether a word of the name takes letters from two of Latin, Greek, Cyrillic and Armenian: hardly
/// any language writes so, and most imitations do.
pub fn mixes_scripts(name: &str) -> bool {
    name.split(|c: char| !c.is_alphabetic()).any(|word| {
        let mut scripts = word.chars().filter_map(script);
        scripts.next().is_some_and(|first| scripts.any(|s| s != first))
    })
}

fn prototype(table: &[(char, &str)], c: char) -> Option<char> {
    table.iter().find(|(_, alike)| alike.contains(c)).map(|(looks, _)| *looks)
}

fn is_separator(c: char) -> bool {
    matches!(c, '_' | '-' | '.' | ',' | '·' | '\'' | '"' | '’' | '‘' | '`' | '‐'..='―' | '~' | '*')
}

fn script(c: char) -> Option<u8> {
    match c {
        'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => Some(0),
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Some(1),
        '\u{400}'..='\u{52f}' | '\u{1c80}'..='\u{1c8f}' => Some(2),
        '\u{531}'..='\u{58f}' => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn imitations_are_seen() {
        for (real, fake) in [
            ("alice", "Alice"),
            ("alice", "аlice"),
            ("alice", "aIice"),
            ("alice", "a1ice"),
            ("alice", "ALICE"),
            ("alice", "ΑLІСЕ"),
            ("alice", "al\u{200b}ice"),
            ("alice", "alice\u{e0041}"),
            ("alice", "àlíçé"),
            ("alice", "𝐚𝓵𝖎𝒄𝚎"),
            ("alice", "ａｌｉｃｅ"),
            ("alice", "a.l_i-c e"),
            ("bob", "b0b"),
            ("bob", "ВОВ"),
            ("satoshi", "5at0sh1"),
            ("satoshi", "ѕаtоѕһі"),
            ("market", "rnarket"),
            ("wallet", "vvallet"),
            ("paypal", "раураl"),
            ("kraken", "κraκen"),
            ("Иван", "иван"),
        ] {
            assert!(looks_like(real, fake), "{real} {fake}: {} {}", skeleton(real), skeleton(fake));
            assert!(looks_like(fake, real));
        }
    }

    #[test]
    fn different_names_are_told_apart() {
        for (a, b) in [
            ("alice", "bob"),
            ("alice", "alicia"),
            ("anna", "hanna"),
            ("worker 3", "worker 4"),
            ("", "alice"),
            ("🦊", "🐻"),
            ("Иван", "Олег"),
            ("李雷", "韩梅梅"),
        ] {
            assert!(!looks_like(a, b), "{a} {b}");
        }
        assert!(looks_like("---", "---") && !looks_like("---", "..."));
    }

    #[test]
    fn mixed_scripts_within_a_word_are_seen() {
        for name in ["аlice", "pаypal", "Bοb", "x Иvan"] {
            assert!(mixes_scripts(name), "{name}");
        }
        for name in ["alice", "Иван", "Ivan Иван", "Ångström", "李 Lei", "Αθήνα", "R2D2", ""]
        {
            assert!(!mixes_scripts(name), "{name}");
        }
    }

    #[test]
    fn no_character_stands_for_two() {
        let all = LOWER.iter().chain(UPPER).flat_map(|(_, alike)| alike.chars());
        let mut all: Vec<char> = all.collect();
        all.sort_unstable();
        assert!(all.windows(2).all(|w| w[0] != w[1]));
    }

    proptest! {
        #[test]
        fn a_name_looks_like_itself_in_any_case(name in "\\PC{0,40}") {
            prop_assert!(looks_like(&name, &name));
            let ascii: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
            prop_assert!(looks_like(&ascii, &ascii.to_ascii_uppercase()));
        }
    }
}
