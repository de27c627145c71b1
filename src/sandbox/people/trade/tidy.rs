//! What is done with a file of which nobody said what it is: something sensible, and told.

use std::fmt::Write as _;

use super::summary::sentences;
use super::{Ask, Work, lines, named, table};

/// Looks at what there is and does what can be of use.
pub(super) fn work(ask: &Ask) -> Work {
    let words = format!("{} {}", ask.title, ask.content).to_lowercase();
    match ask.text() {
        Some((name, text)) if words.contains("sort") => {
            let mut all = lines(text);
            all.retain(|line| !line.trim().is_empty());
            all.sort_by_key(|line| line.to_lowercase());
            let message = format!("{} lines, sorted; capitals and small letters alike.", all.len());
            Work {
                name: named(name, "-sorted", "txt"),
                bytes: (all.join("\n") + "\n").into_bytes(),
                message,
            }
        }
        Some((name, text)) => {
            let clean = tidied(text);
            let message = format!(
                "Tidied: no space at the ends of lines, no two empty lines together. {} lines, {} words, {} \
                 sentences. Say more exactly what you need, and send it back if it is not this.",
                clean.lines().count(),
                clean.split_whitespace().count(),
                sentences(&clean).len()
            );
            let extension = name.rsplit_once('.').map_or("txt", |(_, extension)| extension);
            Work { name: named(name, "-tidy", extension), bytes: clean.into_bytes(), message }
        }
        None => report(ask),
    }
}

fn tidied(text: &str) -> String {
    let mut out = String::new();
    let mut empty = 0;
    for line in lines(text) {
        empty = if line.is_empty() { empty + 1 } else { 0 };
        if empty < 2 {
            out.push_str(line);
            out.push('\n');
        }
    }
    if out.trim().is_empty() { "(The file holds no text.)\n".into() } else { out }
}

/// What can be said of files that are no text, or of a gig without any.
fn report(ask: &Ask) -> Work {
    let mut out = format!("# {}\n\n", ask.title);
    for (name, bytes) in &ask.inputs {
        let _ = writeln!(
            out,
            "- {name}: {} bytes, {}, BLAKE3 {}",
            bytes.len(),
            looks(bytes),
            blake3::hash(bytes)
        );
    }
    if ask.inputs.is_empty() {
        let rows = table::rows(&ask.content).len();
        let _ = writeln!(
            out,
            "There was no file with this gig. What it says has {} words in {rows} lines:\n\n{}",
            ask.content.split_whitespace().count(),
            ask.content.trim()
        );
    }
    let message =
        "I have small programs for text, tables and settings, and did what they can.".into();
    Work { name: "report.md".into(), bytes: out.into_bytes(), message }
}

/// By its first bytes.
fn looks(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => "a PNG picture",
        [0xff, 0xd8, 0xff, ..] => "a JPEG picture",
        [b'%', b'P', b'D', b'F', ..] => "a PDF document",
        [b'P', b'K', 3, 4, ..] => "a ZIP archive or an office document",
        [0x1f, 0x8b, ..] => "compressed by gzip",
        [] => "empty",
        _ => "no text that I can read",
    }
}
