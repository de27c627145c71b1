//! Declared rules: what can be said of a file without a program.

mod image;
mod table;

use serde::{Deserialize, Serialize};

use self::image::Header;
use self::table::Table;
use super::check::BadCheck;
use super::verdict::Verdict;

/// From `min` to `max`, both in; an end that is absent is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// At most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    /// At least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u64>,
}

impl Range {
    pub(super) fn holds(&self, value: u64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }

    fn sound(&self) -> bool {
        let below = |end: Option<u64>| end.is_none_or(|end| end < INTEGER);
        let rises = !matches!((self.min, self.max), (Some(min), Some(max)) if min > max);
        rises && below(self.min) && below(self.max) && (self.min.is_some() || self.max.is_some())
    }
}

/// Whole numbers from `min` to `max`, both in; an end that is absent is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Integers {
    /// At most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// At least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
}

/// Which bytes a text may be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Bytes below 128.
    Ascii,
    /// Valid UTF-8.
    Utf8,
}

/// What kind of file it is: how rows and sizes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values (RFC 4180), the first row the names.
    Csv,
    /// A GIF.
    Gif,
    /// A PNG, a JPEG or a GIF.
    Image,
    /// A JPEG.
    Jpeg,
    /// JSON Lines: every line that is not empty is an object.
    Jsonl,
    /// Lines of text: every line that is not empty is a row.
    Lines,
    /// A PNG.
    Png,
}

impl Format {
    fn is_image(self) -> bool {
        matches!(self, Self::Gif | Self::Image | Self::Jpeg | Self::Png)
    }
}

/// What holds of one named field of every row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// It is a whole number in this range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integer: Option<Integers>,
    /// It has so many characters (Unicode scalar values).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<Range>,
    /// Its name.
    pub name: String,
    /// It is one of these, character for character.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub oneof: Vec<String>,
    /// No two rows have the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unique: bool,
}

/// Everything that can be declared. What is absent is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// So many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Range>,
    /// Fields that every row has, and what holds of them; of `csv` and `jsonl` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Column>,
    /// Of these bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// An image so many pixels high.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<Range>,
    /// So many rows, names not counted; of `csv`, `jsonl` and `lines` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Range>,
    /// An image so many pixels wide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<Range>,
}

/// Integers stay below this: a reader that keeps numbers as doubles must see what was written.
const INTEGER: u64 = 1 << 53;
/// The most columns that are named.
const MAX_COLUMNS: usize = 64;

/// Whether rules can be kept at all, and ask for something.
pub(super) fn sound(rules: &Rules) -> Result<(), BadCheck> {
    let bad = |why: &str| Err(BadCheck::Rules(why.into()));
    if *rules == Rules::default() {
        return bad("they ask for nothing");
    }
    let ranges = [rules.bytes, rules.height, rules.rows, rules.width];
    let lengths = rules.columns.iter().map(|column| column.length);
    if !ranges.into_iter().chain(lengths).flatten().all(|range| range.sound()) {
        return bad("a range is empty, open at both ends or over 2^53");
    }
    let integers = rules.columns.iter().filter_map(|column| column.integer);
    let fits = |end: Option<i64>| end.is_none_or(|end| end.unsigned_abs() < INTEGER);
    for Integers { max, min } in integers {
        if matches!((min, max), (Some(min), Some(max)) if min > max) || !fits(min) || !fits(max) {
            return bad("a range of integers is empty or over 2^53");
        }
    }
    let image = rules.format.is_some_and(Format::is_image);
    if (rules.width.is_some() || rules.height.is_some()) && !image {
        return bad("a width or height is asked of what is no image");
    }
    if rules.rows.is_some() && rules.format.is_none_or(Format::is_image) {
        return bad("rows are asked of what has none");
    }
    let tabular = matches!(rules.format, Some(Format::Csv | Format::Jsonl));
    if !rules.columns.is_empty() && !tabular {
        return bad("columns are asked of what has none");
    }
    let names = &rules.columns;
    let twice = (1..names.len()).any(|i| names[..i].iter().any(|c| c.name == names[i].name));
    if names.len() > MAX_COLUMNS || twice {
        return bad("there are over 64 columns, or one is there twice");
    }
    Ok(())
}

/// Rules looking at a stream.
pub(super) struct Watching<'a> {
    rules: &'a Rules,
    bytes: u64,
    utf8: Utf8,
    reading: Reading<'a>,
    found: Option<Verdict>,
}

enum Reading<'a> {
    Nothing,
    Table(Box<Table<'a>>),
    Image(Header),
}

impl<'a> Watching<'a> {
    pub(super) fn new(rules: &'a Rules) -> Self {
        let reading = match rules.format {
            None => Reading::Nothing,
            Some(format) if format.is_image() => Reading::Image(Header::default()),
            Some(format) => Reading::Table(Box::new(Table::new(format, &rules.columns))),
        };
        Self { rules, bytes: 0, utf8: Utf8::default(), reading, found: None }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.found.is_some() {
            return;
        }
        let at = self.bytes;
        self.bytes += bytes.len() as u64;
        self.found = match self.rules.encoding {
            Some(Encoding::Ascii) => bytes
                .iter()
                .position(|b| !b.is_ascii())
                .map(|i| Verdict::fail_at(format!("byte {}", at + i as u64), "this is not ASCII")),
            Some(Encoding::Utf8) => self
                .utf8
                .feed(bytes)
                .map(|i| Verdict::fail_at(format!("byte {i}"), "this is not UTF-8")),
            None => None,
        };
        if self.found.is_none() {
            self.found = match &mut self.reading {
                Reading::Nothing => None,
                Reading::Table(table) => table.feed(bytes),
                Reading::Image(header) => {
                    header.feed(bytes);
                    None
                }
            };
        }
    }

    pub(super) fn end(mut self) -> Verdict {
        if let Some(found) = self.found {
            return found;
        }
        if self.rules.encoding == Some(Encoding::Utf8)
            && let Some(at) = self.utf8.end()
        {
            return Verdict::fail_at(format!("byte {at}"), "this is not UTF-8");
        }
        let outside = |range: Option<Range>, value: u64, what: &str| {
            let range = range.filter(|range| !range.holds(value))?;
            let asked = match (range.min, range.max) {
                (Some(min), Some(max)) if min == max => format!("{min} are"),
                (Some(min), Some(max)) => format!("{min} to {max} are"),
                (Some(min), None) => format!("at least {min} are"),
                (None, Some(max)) => format!("at most {max} are"),
                (None, None) => return None,
            };
            Some(Verdict::fail(format!("it has {value} {what}; {asked} asked for")))
        };
        if let Some(wrong) = outside(self.rules.bytes, self.bytes, "bytes") {
            return wrong;
        }
        let wrong = match &mut self.reading {
            Reading::Nothing => None,
            Reading::Table(table) => match table.end() {
                Some(wrong) => Some(wrong),
                None => outside(self.rules.rows, table.rows(), "rows"),
            },
            Reading::Image(header) => match header.size(self.rules.format) {
                Err(verdict) => Some(verdict),
                Ok((width, height)) => outside(self.rules.width, width, "pixels across")
                    .or_else(|| outside(self.rules.height, height, "pixels down")),
            },
        };
        wrong.unwrap_or(Verdict::Pass)
    }
}

/// UTF-8 over a stream: at most three bytes are held between two pieces.
#[derive(Default)]
struct Utf8 {
    held: Vec<u8>,
    /// Bytes before `held`.
    before: u64,
}

impl Utf8 {
    /// The first byte that is not UTF-8, if there is one.
    fn feed(&mut self, bytes: &[u8]) -> Option<u64> {
        let mut bytes = bytes;
        while !self.held.is_empty() {
            let (first, rest) = bytes.split_first()?;
            self.held.push(*first);
            bytes = rest;
            match std::str::from_utf8(&self.held) {
                Ok(_) => {
                    self.before += self.held.len() as u64;
                    self.held.clear();
                }
                Err(why) if why.error_len().is_some() => return Some(self.before),
                Err(_) => {}
            }
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => {
                self.before += bytes.len() as u64;
                None
            }
            Err(why) => {
                let (good, rest) = bytes.split_at(why.valid_up_to());
                self.before += good.len() as u64;
                if why.error_len().is_some() {
                    return Some(self.before);
                }
                self.held.extend_from_slice(rest);
                None
            }
        }
    }

    fn end(&self) -> Option<u64> {
        (!self.held.is_empty()).then_some(self.before)
    }
}
