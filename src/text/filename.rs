//! A file name rebuilt from a stranger's: safe to create on any system, and to pass to a command.

use std::fmt;
use std::ops::Deref;
use std::path::Path;

use serde::Serialize;
use unicode_segmentation::UnicodeSegmentation;

use super::clean::{Limit, Raw};
use super::scan::{Class, class};

/// Longest name made, extension included. File systems allow 255; this leaves room for `.part` and
/// for a number that tells two equal names apart.
pub const MAX_FILE_NAME_BYTES: usize = 120;
/// Longest ending that counts as an extension.
const MAX_EXTENSION_BYTES: usize = 16;
/// What a name becomes of which nothing is left.
const NAMELESS: &str = "file";

/// One path component of letters, digits, `.`, `-`, `_` and `+`, made by [`file_name`] only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct FileName(String);

impl FileName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands after the last dot, if that looks like an extension.
    pub fn extension(&self) -> Option<&str> {
        split(&self.0).1
    }
}

impl Deref for FileName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<Path> for FileName {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Rebuilds a stranger's file name.
///
/// The last path component, cleaned, of letters, digits and `.-_+` alone; it does not start with a
/// dot, a dash or a plus, does not end with a dot, is no device name of Windows, has at most
/// [`MAX_FILE_NAME_BYTES`] bytes with its extension kept, and is never empty. Rebuilding twice gives
/// the same name. Two names may become one: who saves must not overwrite.
pub fn file_name(raw: &Raw) -> FileName {
    let sent = raw.as_received();
    // Only the tail can matter, and a long name is cut before it costs anything.
    let tail = &sent[sent.ceil_char_boundary(sent.len().saturating_sub(4_096))..];
    let base = tail.rsplit(['/', '\\']).find(|part| !matches!(part.trim(), "" | "." | ".."));
    let clean = Raw::from(base.unwrap_or_default()).clean(Limit::one_line(4_096));
    let mut name = String::with_capacity(clean.len());
    for c in clean.chars() {
        let keep = match class(c) {
            // A mark stays on its letter; on anything else it would become the head of a name.
            Class::Mark => name.ends_with(char::is_alphabetic),
            _ => c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '+'),
        };
        if keep {
            name.push(c);
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    let name = name.trim_start_matches(['.', '-', '+']).trim_end_matches('.');
    let mut name = fit(name);
    if is_device(&name) {
        name.insert(0, '_');
        name = fit(&name);
    }
    if name.chars().all(|c| matches!(c, '_' | '.')) {
        name = NAMELESS.to_owned();
    }
    FileName(name)
}

/// Cuts the stem on a grapheme border so that stem and extension fit.
fn fit(name: &str) -> String {
    if name.len() <= MAX_FILE_NAME_BYTES {
        return name.to_owned();
    }
    let (stem, extension) = split(name);
    let room = MAX_FILE_NAME_BYTES - extension.map_or(0, |e| e.len() + 1);
    let mut end = 0;
    for (at, grapheme) in stem.grapheme_indices(true) {
        if at + grapheme.len() > room {
            break;
        }
        end = at + grapheme.len();
    }
    let stem = stem[..end].trim_end_matches('.');
    extension.map_or_else(|| stem.to_owned(), |e| format!("{stem}.{e}"))
}

/// Stem and extension; an extension is short, ASCII and alphanumeric.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('.') {
        Some((stem, end))
            if !stem.is_empty()
                && (1..=MAX_EXTENSION_BYTES).contains(&end.len())
                && end.bytes().all(|b| b.is_ascii_alphanumeric()) =>
        {
            (stem, Some(end))
        }
        _ => (name, None),
    }
}

/// Whether Windows would open a device instead of a file, whatever the extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_ascii_uppercase();
    if matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN" | "CONOUT" | "CLOCK") {
        return true;
    }
    let port = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    let mut digits = port.unwrap_or_default().chars();
    matches!(digits.next(), Some('0'..='9' | '¹' | '²' | '³')) && digits.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(text: &str) -> String {
        file_name(&Raw::from(text)).to_string()
    }

    #[test]
    fn strangers_names_become_safe_names() {
        for (sent, made) in [
            ("labels.jsonl", "labels.jsonl"),
            ("Bericht März.pdf", "Bericht_März.pdf"),
            ("データ.csv", "データ.csv"),
            ("../../etc/passwd", "passwd"),
            ("..\\..\\Windows\\system.ini", "system.ini"),
            ("/", "file"),
            ("..", "file"),
            ("a/..", "a"),
            ("", "file"),
            ("...", "file"),
            (" \u{200b}\u{202e} ", "file"),
            (".bashrc", "bashrc"),
            ("-rf", "rf"),
            ("--output=x", "output_x"),
            ("-.-.x", "x"),
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("com1.tar.gz", "_com1.tar.gz"),
            ("LPT².x", "_LPT².x"),
            ("CONIN$", "CONIN_"),
            ("console.log", "console.log"),
            ("C:evil.exe", "C_evil.exe"),
            ("file.txt::$DATA", "file.txt_DATA"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("a\u{1b}]0;x\u{7}b.txt", "ab.txt"),
            ("a\nb\0c.txt", "a_bc.txt"),
            ("$(rm -rf ~).sh", "_rm_-rf_.sh"),
            ("a'b\"c`d|e>f*g?.txt", "a_b_c_d_e_f_g_.txt"),
            ("x.txt...", "x.txt"),
            ("a\u{2215}b\u{ff0f}c\u{2024}exe", "a_b_c_exe"),
            ("~", "file"),
            ("_", "file"),
        ] {
            assert_eq!(named(sent), made, "{}", sent.escape_debug());
        }
    }

    #[test]
    fn a_long_name_keeps_its_extension() {
        let made = named(&format!("{}.tar.gz", "é".repeat(500)));
        assert!(made.len() <= MAX_FILE_NAME_BYTES && made.len() >= MAX_FILE_NAME_BYTES - 4);
        assert!(made.ends_with(".gz"), "{made}");
        assert_eq!(file_name(&Raw::from("a.JSON")).extension(), Some("JSON"));
        assert_eq!(file_name(&Raw::from("a.not an extension")).extension(), None);
        let made = named(&format!("a.{}", "x".repeat(500)));
        assert_eq!(made.len(), MAX_FILE_NAME_BYTES);
        assert_eq!(named(&("/".to_owned() + &"x/".repeat(100_000))), "x");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_name_is_one_safe_component(
            sent in prop_oneof![any::<String>(), "[-./\\\\ a-zNULCOM1:_~\u{202e}\u{301}]{0,200}"]
        ) {
            let made = named(&sent);
            prop_assert!(!made.is_empty() && made.len() <= MAX_FILE_NAME_BYTES, "{made}");
            prop_assert!(!made.starts_with(['.', '-', '+']) && !made.ends_with('.'), "{made}");
            prop_assert!(!made.contains(['/', '\\', ':', ' ']) && !is_device(&made), "{made}");
            let inside = Path::new(&made).components().collect::<Vec<_>>();
            prop_assert!(matches!(inside[..], [std::path::Component::Normal(_)]));
            prop_assert_eq!(named(&made), made);
        }
    }
}
