//! Tables to clean: trimmed, whole, without duplicates, sorted.

use std::collections::BTreeSet;

use rand::Rng as _;
use rand::rngs::StdRng;

use super::{Ask, Care, Task, Work, either, named, pick, price, same, tags};

/// A kind of table: file name, what it is, its columns, and what may stand in each.
struct Subject {
    file: &'static str,
    what: &'static str,
    columns: &'static [&'static str],
    row: fn(&mut StdRng) -> Vec<String>,
}

const NAMES: &[&str] = &[
    "Ada Reyes",
    "Björn Falk",
    "Chidi Okoro",
    "Dagny Holm",
    "Elif Aydin",
    "Farid Nasser",
    "Greta Lindt",
    "Hana Sato",
    "Ivo Kral",
    "Jonas Weber",
    "Kiri Tane",
    "Lucía Prado",
    "Maeve Byrne",
    "Nils Aas",
    "Olga Petrova",
    "Priya Nair",
    "Quentin Roux",
    "Rosa Lima",
    "Sven Dahl",
    "Tara Singh",
];
const CITIES: &[&str] =
    &["Accra", "Bergen", "Cádiz", "Dresden", "Evora", "Faro", "Ghent", "Hobart", "Izmir", "Jaipur"];
const ITEMS: &[&str] = &[
    "rye bread",
    "croissant",
    "seed loaf",
    "cinnamon bun",
    "baguette",
    "oat biscuit",
    "plum cake",
];
const STATIONS: &[&str] = &["harbour", "ridge", "mill", "orchard", "quarry", "lighthouse"];
const SHELVES: &[&str] = &["A-01", "A-02", "B-01", "B-07", "C-03", "D-11"];
const BOOKS: &[&str] = &[
    "A Field of Stones",
    "Letters to the Coast",
    "The Quiet Engine",
    "North by Lantern",
    "Salt and Iron",
    "The Glass Orchard",
    "Nine Rivers",
    "Small Hours",
    "The Cartographer's Dog",
    "Winter Accounts",
];

const SUBJECTS: &[Subject] = &[
    Subject {
        file: "members.csv",
        what: "the member list of our choir",
        columns: &["name", "city", "joined"],
        row: |c| {
            vec![
                pick(c, NAMES).to_string(),
                pick(c, CITIES).to_string(),
                c.random_range(1998..2026).to_string(),
            ]
        },
    },
    Subject {
        file: "orders.csv",
        what: "last week's orders",
        columns: &["order", "item", "pieces"],
        row: |c| {
            let order = format!("{:04}", c.random_range(1..400));
            vec![order, pick(c, ITEMS).to_string(), c.random_range(1..24).to_string()]
        },
    },
    Subject {
        file: "readings.csv",
        what: "the readings of six weather stations",
        columns: &["station", "day", "celsius"],
        row: |c| {
            let day = format!("2026-{:02}-{:02}", c.random_range(1..13), c.random_range(1..29));
            let celsius = format!("{}.{}", c.random_range(2..29), c.random_range(0..10));
            vec![pick(c, STATIONS).to_string(), day, celsius]
        },
    },
    Subject {
        file: "books.csv",
        what: "a card index of books",
        columns: &["title", "shelf", "year"],
        row: |c| {
            let (title, shelf) = (pick(c, BOOKS), pick(c, SHELVES));
            vec![title.to_string(), shelf.to_string(), c.random_range(1931..2024).to_string()]
        },
    },
];

/// A table that nobody has looked after.
pub(super) fn messy(
    chance: &mut StdRng,
) -> (&'static str, &'static str, &'static [&'static str], String) {
    let subject = pick(chance, SUBJECTS);
    let mut text = format!("{}\n", subject.columns.join(","));
    let mut rows: Vec<Vec<String>> = Vec::new();
    for _ in 0..chance.random_range(28..60) {
        let again = !rows.is_empty() && chance.random_range(0..5) == 0;
        let mut row = if again { pick(chance, &rows).clone() } else { (subject.row)(chance) };
        rows.push(row.clone());
        match chance.random_range(0..9) {
            0 => row[0] = format!("  {}", row[0]),
            1 => row[1] = format!("{} ", row[1]),
            2 if !again => row[chance.random_range(0..3)].clear(),
            3 => text.push_str(",,\n"),
            _ => {}
        }
        text.push_str(&format!("{}\n", row.join(",")));
    }
    (subject.file, subject.what, subject.columns, text)
}

/// A table to clean.
pub(super) fn task(chance: &mut StdRng) -> Task {
    let (file, what, columns, text) = messy(chance);
    let by = *pick(chance, columns);
    let want = clean(&text, Some(by), true);
    Task {
        title: format!("Clean {what}, sorted by {by}"),
        summary: format!(
            "{file}: {} untidy lines in, the same table out, clean.",
            text.lines().count()
        ),
        content: format!(
            "`{file}` is {what}, typed by many hands.\n\n\
             - Take the space off both ends of every field.\n\
             - Drop every row in which a field is empty.\n\
             - Drop every duplicate.\n\
             - Keep the heading. Sort by `{by}`, as text, then by the other columns in their order.\n\n\
             Deliver one CSV. My program compares it with its own result."
        ),
        tags: tags(&["csv", "cleaning", "data"]),
        modes: either(chance),
        sats: price(chance, 6_000, 12_000),
        inputs: vec![(file.into(), text)],
        check: Box::new(move |saw| {
            let rows = |text: &str| text.lines().filter(|line| !line.trim().is_empty()).count();
            let (mine, yours) = (rows(&want), rows(saw));
            match mine.cmp(&yours) {
                std::cmp::Ordering::Less => Err(format!(
                    "{yours} lines came and {mine} are right: are there duplicates or rows with an empty field?"
                )),
                std::cmp::Ordering::Greater => {
                    Err(format!("{yours} lines came and {mine} are right: rows are missing."))
                }
                std::cmp::Ordering::Equal => same(&want, saw),
            }
        }),
    }
}

/// Cleans the first input.
pub(super) fn work(ask: &Ask, care: Care) -> Option<Work> {
    let (name, text) = ask.text().filter(|(_, text)| is_table(text))?;
    let by = quoted_after(&ask.content, "Sort by ");
    let clean = clean(text, by, care == Care::Careful);
    let (before, after) = (text.lines().count(), clean.lines().count());
    Some(Work {
        name: named(name, "-clean", "csv"),
        bytes: clean.into_bytes(),
        message: format!("{before} lines in, {after} out: trimmed, whole, each once, sorted."),
    })
}

/// Whether a text is a table: several columns, and most rows have as many as the heading.
pub(super) fn is_table(text: &str) -> bool {
    let rows = rows(text);
    let wide = rows.first().map_or(0, Vec::len);
    let alike = rows.iter().filter(|row| row.len() == wide).count();
    wide > 1 && alike > 1 && alike * 2 > rows.len()
}

/// What stands in backticks after these words.
fn quoted_after<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let rest = &text[text.find(words)? + words.len()..];
    rest.strip_prefix('`')?.split('`').next()
}

/// The table, clean; sorted by this column if there is one of that name, else by the first.
pub(super) fn clean(text: &str, by: Option<&str>, once: bool) -> String {
    let mut all = rows(text).into_iter();
    let head = all.next().unwrap_or_default();
    let at = by.and_then(|by| head.iter().position(|column| column == by)).unwrap_or(0);
    let mut whole: Vec<Vec<String>> =
        all.filter(|row| row.len() == head.len() && row.iter().all(|f| !f.is_empty())).collect();
    whole.sort_by(|a, b| (&a[at], a).cmp(&(&b[at], b)));
    let mut seen = BTreeSet::new();
    whole.retain(|row| !once || seen.insert(row.clone()));
    let line =
        |row: &Vec<String>| row.iter().map(|f| field(f)).collect::<Vec<_>>().join(",") + "\n";
    std::iter::once(&head).chain(&whole).map(line).collect()
}

/// The fields of every line that is not blank, trimmed; quoted ones may hold commas (RFC 4180), but no
/// line breaks.
pub(super) fn rows(text: &str) -> Vec<Vec<String>> {
    let text = text.trim_start_matches('\u{feff}');
    text.lines().filter(|line| !line.trim().is_empty()).map(fields).collect()
}

fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut inside) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if inside && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' if inside || field.trim().is_empty() => inside = !inside,
            ',' if !inside => fields.push(std::mem::take(&mut field).trim().to_owned()),
            c => field.push(c),
        }
    }
    fields.push(field.trim().to_owned());
    fields
}

/// A field as it is written: quoted where it must be.
fn field(text: &str) -> String {
    match text.contains([',', '"']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}
