//! What a terminal would obey or hide, found character by character: escape sequences and classes.

use unicode_normalization::char::is_combining_mark;
use unicode_width::UnicodeWidthChar;

/// What a character is to a reader of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Shows as itself.
    Print,
    /// Any space that is not a line end; shown as U+0020.
    Space,
    /// LF, VT, FF, CR, NEL, LS, PS.
    LineEnd,
    /// Category Mn, Mc or Me: belongs to the character before it.
    Mark,
    /// ZWJ, ZWNJ: shapes its neighbours, or hides.
    Joiner,
    /// U+FE0E and U+FE0F: text or emoji style for the character before it.
    Style,
    /// Remaining C0 and C1 controls.
    Control,
    /// The twelve Bidi_Control characters.
    Bidi,
    /// Shows nothing: zero width, fillers, tags, annotations, variation selectors, format characters.
    Invisible,
    /// Private use, noncharacters and planes with nothing assigned: nobody knows how it shows.
    Unknown,
    /// Box drawing and blocks: could imitate the frame around it.
    Frame,
}

/// The class of `c`.
pub(super) fn class(c: char) -> Class {
    match c {
        ' '..='~' => Class::Print,
        '\n' | '\u{0b}' | '\u{0c}' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => Class::LineEnd,
        '\t' => Class::Space,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => Class::Control,
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            Class::Space
        }
        // The braille cell without dots prints as a space does.
        '\u{2800}' => Class::Space,
        '\u{61c}' | '\u{200e}' | '\u{200f}' => Class::Bidi,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Class::Bidi,
        '\u{200c}' | '\u{200d}' => Class::Joiner,
        '\u{fe0e}' | '\u{fe0f}' => Class::Style,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' => {
            Class::Invisible
        }
        '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{2060}'..='\u{2065}' => Class::Invisible,
        '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' => Class::Invisible,
        '\u{fe00}'..='\u{fe0d}' | '\u{fff0}'..='\u{fffb}' => Class::Invisible,
        '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}' => {
            Class::Invisible
        }
        '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' => Class::Invisible,
        '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' => Class::Invisible,
        '\u{e0000}'..='\u{e0fff}' => Class::Invisible,
        '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' => Class::Unknown,
        '\u{40000}'..='\u{10ffff}' => Class::Unknown,
        _ if (c as u32) & 0xfffe == 0xfffe => Class::Unknown,
        '\u{2500}'..='\u{259f}' => Class::Frame,
        _ if is_combining_mark(c) => Class::Mark,
        // The vowels and finals of Old Hangul take their width from the syllable's first letter.
        '\u{1161}'..='\u{11ff}' | '\u{d7b0}'..='\u{d7fb}' => Class::Print,
        _ if c.width().unwrap_or(0) == 0 => Class::Invisible,
        _ => Class::Print,
    }
}

/// Whether `c` can stand in an emoji joined by ZWJ or be given a style by U+FE0F.
///
/// Extended_Pictographic of UTS #51, drawn a little wide: what it lets through shows either way.
pub(super) fn is_pictograph(c: char) -> bool {
    matches!(c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}'
        | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{24c2}'
        | '\u{25a0}'..='\u{27bf}' | '\u{2934}' | '\u{2935}' | '\u{2b00}'..='\u{2bff}'
        | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
        | '\u{1f000}'..='\u{1f1e5}' | '\u{1f200}'..='\u{1f3fa}' | '\u{1f400}'..='\u{1faff}')
}

/// The five skin tones, which may stand between a pictograph and its joiner.
pub(super) fn is_skin_tone(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

/// Whether joiners belong to the spelling: Arabic, Syriac and the scripts of India and Sri Lanka.
pub(super) fn joins_in_writing(c: char) -> bool {
    let letters =
        matches!(c, '\u{620}'..='\u{6ff}' | '\u{710}'..='\u{77f}' | '\u{8a0}'..='\u{dff}');
    letters && matches!(class(c), Class::Print | Class::Mark)
}

/// The length in bytes of the terminal escape sequence that `text` starts with, 0 if with none.
///
/// ECMA-48 in its 7-bit (ESC) and 8-bit (C1) forms: control sequences, control strings (OSC, DCS,
/// SOS, PM, APC) with their content, and two-character escapes. A control string that is never
/// closed ends at the line's end, as no honest one spans lines.
pub(super) fn escape_len(text: &str) -> usize {
    let mut chars = text.chars();
    let (head, kind) = match chars.next() {
        Some('\u{1b}') => match chars.next() {
            Some(c @ ('[' | ']' | 'P' | 'X' | '^' | '_')) => (2, c),
            Some(' '..='/') => {
                let body = text[1..].trim_start_matches(|c| matches!(c, ' '..='/'));
                let last = usize::from(body.starts_with(|c| matches!(c, '0'..='~')));
                return text.len() - body.len() + last;
            }
            Some('0'..='~') => return 2,
            _ => return 1,
        },
        Some('\u{9b}') => (2, '['),
        Some('\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}') => (2, ']'),
        _ => return 0,
    };
    let body = &text[head..];
    if kind == '[' {
        let end = body.trim_start_matches(|c| matches!(c, '0'..='?'));
        let end = end.trim_start_matches(|c| matches!(c, ' '..='/'));
        let last = usize::from(end.starts_with(|c| matches!(c, '@'..='~')));
        return text.len() - end.len() + last;
    }
    for (at, c) in body.char_indices() {
        match c {
            '\u{7}' | '\u{18}' | '\u{1a}' | '\u{9c}' => return head + at + c.len_utf8(),
            '\u{1b}' if body[at + 1..].starts_with('\\') => return head + at + 2,
            // Another escape, or the end of the line, cuts the string; it is looked at on its own.
            '\u{1b}' | '\n' | '\r' => return head + at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_sequences_are_measured() {
        for (text, len) in [
            ("plain", 0),
            ("\u{1b}[31mred", 5),
            ("\u{1b}[?1049hx", 8),
            ("\u{1b}[0 qx", 5),
            ("\u{1b}]0;title\u{7}x", 10),
            ("\u{1b}]8;;http://x\u{1b}\\x", 15),
            ("\u{1b}]52;c;cm0gLXJm\u{9c}x", 17),
            ("\u{1b}Pq#0\u{1b}\\x", 7),
            ("\u{1b}cx", 2),
            ("\u{1b}(0x", 3),
            ("\u{1b}\u{202e}[31m", 1),
            ("\u{9b}31mx", 5),
            ("\u{9d}0;t\u{7}x", 6),
            ("\u{1b}]never closed\nnext line", 14),
            ("\u{1b}", 1),
            ("\u{1b}[", 2),
            ("\u{1b}[12", 4),
        ] {
            assert_eq!(escape_len(text), len, "{}", text.escape_debug());
        }
    }

    #[test]
    fn no_format_control_prints() {
        // Every Bidi_Control and Default_Ignorable range that Unicode 17 lists, ends included.
        for range in [
            0x00ad..=0x00ad,
            0x034f..=0x034f,
            0x061c..=0x061c,
            0x115f..=0x1160,
            0x17b4..=0x17b5,
            0x180b..=0x180f,
            0x200b..=0x200f,
            0x202a..=0x202e,
            0x2060..=0x206f,
            0x3164..=0x3164,
            0xfe00..=0xfe0f,
            0xfeff..=0xfeff,
            0xffa0..=0xffa0,
            0xfff0..=0xfffb,
            0x1bca0..=0x1bca3,
            0x1d173..=0x1d17a,
            0xe0000..=0xe0fff,
        ] {
            for c in range.filter_map(char::from_u32) {
                assert!(
                    !matches!(class(c), Class::Print | Class::Space | Class::Mark),
                    "U+{:04X}",
                    c as u32
                );
            }
        }
    }
}
