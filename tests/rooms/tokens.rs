//! Rust source as words and signs, without comments, strings and lifetimes.

/// One word, `::`, or one other sign, and the line it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// The word or sign; a raw identifier without its `r#`.
    pub(super) text: String,
    /// Counted from 1.
    pub(super) line: usize,
}

/// The tokens of `source`. A string leaves the one token `""`.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut out = Vec::new();
    let (mut i, mut line) = (0, 1);
    while i < chars.len() {
        let start = i;
        let mut text = String::new();
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => i = after_comment(&chars, i),
            '"' => (i, text) = (after_string(&chars, i), "\"\"".into()),
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            '\'' => i = after_word(&chars, i + 1),
            c if is_word(c) => {
                i = after_word(&chars, i);
                text = chars[start..i].iter().collect();
                let hashes = (i..).take_while(|j| at(*j) == '#').count();
                let raw = matches!(&*text, "r" | "br" | "cr");
                if raw && at(i + hashes) == '"' {
                    (i, text) = (after_raw_string(&chars, i + hashes + 1, hashes), "\"\"".into());
                } else if matches!(&*text, "b" | "c") && at(i) == '"' {
                    (i, text) = (after_string(&chars, i), "\"\"".into());
                } else if text == "r" && hashes == 1 && is_word(at(i + 1)) {
                    let end = after_word(&chars, i + 1);
                    (text, i) = (chars[i + 1..end].iter().collect(), end);
                }
            }
            ':' if at(i + 1) == ':' => (i, text) = (i + 2, "::".into()),
            c => {
                i += 1;
                if !c.is_whitespace() {
                    text.push(c);
                }
            }
        }
        if !text.is_empty() {
            out.push(Token { text, line });
        }
        i = i.min(chars.len());
        line += chars[start..i].iter().filter(|c| **c == '\n').count();
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn after_word(chars: &[char], from: usize) -> usize {
    from + chars[from.min(chars.len())..].iter().take_while(|c| is_word(**c)).count()
}

fn after_comment(chars: &[char], from: usize) -> usize {
    let (mut i, mut depth) = (from, 0);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

fn after_string(chars: &[char], from: usize) -> usize {
    let mut i = from + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

fn after_raw_string(chars: &[char], from: usize, hashes: usize) -> usize {
    let mut i = from;
    while i < chars.len() {
        i += 1;
        if chars[i - 1] == '"'
            && chars[i..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
        {
            return i + hashes;
        }
    }
    i
}

#[test]
fn comments_strings_and_lifetimes_are_no_tokens() {
    let words = |s: &str| tokens(s).into_iter().map(|t| t.text).collect::<Vec<_>>();
    assert_eq!(words("a /* b /* c */ d */ e // f\ng"), ["a", "e", "g"]);
    assert_eq!(words(r#"f("x \" y", 'z', '\'', '"', b"q")"#).join(" "), "f ( \"\" , , , , \"\" )");
    assert_eq!(words("r#\"a\"b\"#.r#type::x"), ["\"\"", ".", "type", "::", "x"]);
    assert_eq!(words("&'a str + '_"), ["&", "str", "+"]);
    assert_eq!(words("'\\u{41}' x"), ["x"]);
    assert_eq!(tokens("\"a\nb\"\n/*\n*/ x").last().unwrap().line, 4);
}
