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
    assert_eq!(serde_json::from_str::<Clean>("\"a\\u202eb\"").unwrap().as_str(), "ab");
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
    fn what_is_clean_crosses_a_socket_as_it_is(text in nasty(), limit in any_limit()) {
        let clean = Raw::from(text).clean(limit);
        let json = serde_json::to_string(&clean).unwrap();
        prop_assert_eq!(serde_json::from_str::<Clean>(&json).unwrap(), clean);
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

#[test]
fn every_character_there_is_settles_at_once() {
    for c in '\0'..=char::MAX {
        for text in [format!("a{c}b"), format!("{c}"), format!("क{c}\u{200d}{c}\u{301}")] {
            let once = Raw(text).clean(Limit::TITLE);
            let twice = Raw::from(once.as_str()).clean(Limit::TITLE);
            assert_eq!(once, twice, "U+{:04X}", c as u32);
            assert!(!once.contains(char::is_control), "U+{:04X}", c as u32);
        }
    }
}
