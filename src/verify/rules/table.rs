//! Rows and their fields, from CSV, JSON Lines or plain lines, as they stream by.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Column, Format, Integers};
use crate::verify::lines::{Lines, MAX_LINE, TooLong};
use crate::verify::verdict::Verdict;

/// Values that are compared for uniqueness, over all columns: beyond it there is no verdict.
const MAX_COMPARED: usize = 1 << 20;
/// Fields of one row.
const MAX_FIELDS: usize = 4096;

/// Rows going by.
pub(super) struct Table<'a> {
    format: Format,
    columns: &'a [Column],
    lines: Lines,
    csv: Csv,
    /// CSV: where each column stands, once the names are read.
    places: Option<Vec<usize>>,
    width: usize,
    rows: u64,
    seen: Vec<BTreeSet<[u8; 16]>>,
    compared: usize,
    found: Option<Verdict>,
}

impl<'a> Table<'a> {
    pub(super) fn new(format: Format, columns: &'a [Column]) -> Self {
        Self {
            format,
            columns,
            lines: Lines::default(),
            csv: Csv::default(),
            places: None,
            width: 0,
            rows: 0,
            seen: vec![BTreeSet::new(); columns.len()],
            compared: 0,
            found: None,
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The first thing that is wrong, if it is in these bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<Verdict> {
        if self.format == Format::Csv {
            for byte in bytes {
                let took = self.csv.take(*byte);
                self.rowed(took);
                if self.found.is_some() {
                    break;
                }
            }
        } else {
            let mut lines = std::mem::take(&mut self.lines);
            let fed = lines.feed(bytes, &mut |n, line| self.line(n, line));
            self.lines = lines;
            if let Err(TooLong) = fed {
                self.found = Some(Verdict::none(format!("a line is over {MAX_LINE} bytes long")));
            }
        }
        self.found.take()
    }

    /// The first thing that is wrong at the end.
    pub(super) fn end(&mut self) -> Option<Verdict> {
        if self.format == Format::Csv {
            let took = self.csv.end();
            self.rowed(took);
            if self.found.is_none() && self.places.is_none() {
                self.found = Some(Verdict::fail_at("row 0", "there is no row of names"));
            }
        } else {
            let mut lines = std::mem::take(&mut self.lines);
            lines.end(&mut |n, line| self.line(n, line));
        }
        self.found.take()
    }

    fn line(&mut self, n: u64, line: &[u8]) -> bool {
        if line.is_empty() {
            return true;
        }
        self.rows += 1;
        let place = format!("line {n}");
        if self.format == Format::Jsonl {
            let Ok(Value::Object(row)) = serde_json::from_slice::<Value>(line) else {
                self.found = Some(Verdict::fail_at(place, "this is no JSON object"));
                return false;
            };
            for (i, column) in self.columns.iter().enumerate() {
                let value = match row.get(&column.name) {
                    Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
                    Some(Value::Null) | None => {
                        let name = &column.name;
                        self.found = Some(Verdict::fail_at(place, format!("`{name}` is missing")));
                        return false;
                    }
                    Some(other) => Cow::Owned(other.to_string()),
                };
                if let Some(wrong) = self.field(i, column, &value, &place) {
                    self.found = Some(wrong);
                    return false;
                }
            }
        }
        true
    }

    fn rowed(&mut self, took: Result<Option<Vec<Vec<u8>>>, Wrong>) {
        let place = format!("row {}", self.rows + u64::from(self.places.is_some()));
        let row = match took {
            Ok(None) => return,
            Ok(Some(row)) => row,
            Err(Wrong::Malformed) => {
                self.found = Some(Verdict::fail_at(place, "this is not CSV"));
                return;
            }
            Err(Wrong::TooLong) => {
                let reason = format!("a row is over {MAX_LINE} bytes or {MAX_FIELDS} fields long");
                self.found = Some(Verdict::none(reason));
                return;
            }
        };
        let Some(places) = self.places.take() else {
            self.width = row.len();
            self.names(&row);
            return;
        };
        self.rows += 1;
        if row.len() != self.width {
            let (has, want) = (row.len(), self.width);
            let wrong = format!("it has {has} fields where the names are {want}");
            self.found = Some(Verdict::fail_at(place, wrong));
        } else {
            for (i, column) in self.columns.iter().enumerate() {
                let Ok(value) = std::str::from_utf8(&row[places[i]]) else {
                    let name = &column.name;
                    self.found = Some(Verdict::fail_at(place, format!("`{name}` is not UTF-8")));
                    break;
                };
                if let Some(wrong) = self.field(i, column, value, &place) {
                    self.found = Some(wrong);
                    break;
                }
            }
        }
        self.places = Some(places);
    }

    fn names(&mut self, row: &[Vec<u8>]) {
        let at: BTreeMap<&[u8], usize> =
            row.iter().enumerate().rev().map(|(i, name)| (name.as_slice(), i)).collect();
        let mut places = Vec::new();
        for column in self.columns {
            let Some(place) = at.get(column.name.as_bytes()) else {
                let name = &column.name;
                self.found =
                    Some(Verdict::fail_at("row 0", format!("no column is named `{name}`")));
                return;
            };
            places.push(*place);
        }
        self.places = Some(places);
    }

    fn field(&mut self, i: usize, column: &Column, value: &str, place: &str) -> Option<Verdict> {
        let name = &column.name;
        let wrong = |why: &str| Some(Verdict::fail_at(place, format!("`{name}` {why}")));
        if let Some(Integers { max, min }) = column.integer {
            let Some(number) = integer(value) else {
                return wrong("is not a whole number");
            };
            if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
                return wrong("is a number outside what is asked for");
            }
        }
        if column.length.is_some_and(|length| !length.holds(value.chars().count() as u64)) {
            return wrong("is longer or shorter than asked for");
        }
        if !column.oneof.is_empty() && !column.oneof.iter().any(|one| one == value) {
            return wrong("is none of the values asked for");
        }
        if column.unique {
            self.compared += 1;
            if self.compared > MAX_COMPARED {
                let reason = format!("over {MAX_COMPARED} values would have to be compared");
                return Some(Verdict::none(reason));
            }
            let mut short = [0; 16];
            short.copy_from_slice(&blake3::hash(value.as_bytes()).as_bytes()[..16]);
            if !self.seen[i].insert(short) {
                return wrong("is the same as in an earlier row");
            }
        }
        None
    }
}

/// A whole number in its one spelling: no plus, no leading zero, no white space.
fn integer(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

enum Wrong {
    Malformed,
    TooLong,
}

/// CSV (RFC 4180), a byte at a time. A line end is `\n` or `\r\n`; an empty line is none.
#[derive(Default)]
struct Csv {
    row: Vec<Vec<u8>>,
    field: Vec<u8>,
    size: usize,
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Nothing of the row is read.
    #[default]
    Row,
    /// Nothing of the field is read.
    Field,
    Plain,
    Quoted,
    /// After a quotation mark inside a quoted field.
    Closed,
    /// After a `\r`.
    Return,
}

impl Csv {
    fn take(&mut self, byte: u8) -> Result<Option<Vec<Vec<u8>>>, Wrong> {
        self.size += 1;
        if self.size > MAX_LINE || self.row.len() > MAX_FIELDS {
            return Err(Wrong::TooLong);
        }
        self.state = match (self.state, byte) {
            (State::Quoted, b'"') => State::Closed,
            (State::Closed, b'"') => {
                self.field.push(b'"');
                State::Quoted
            }
            (State::Quoted, _) => {
                self.field.push(byte);
                State::Quoted
            }
            (State::Row, b'\n') => {
                self.size = 0;
                State::Row
            }
            (State::Return, b'\n') => return Ok(self.hand_out()),
            (State::Return, _) => return Err(Wrong::Malformed),
            (_, b'\n') => return Ok(self.hand_out()),
            (_, b'\r') => State::Return,
            (_, b',') => {
                self.row.push(std::mem::take(&mut self.field));
                State::Field
            }
            (State::Row | State::Field, b'"') => State::Quoted,
            (State::Closed, _) | (State::Plain, b'"') => return Err(Wrong::Malformed),
            (State::Row | State::Field | State::Plain, _) => {
                self.field.push(byte);
                State::Plain
            }
        };
        Ok(None)
    }

    fn hand_out(&mut self) -> Option<Vec<Vec<u8>>> {
        let empty = self.state == State::Return && self.row.is_empty() && self.field.is_empty();
        self.row.push(std::mem::take(&mut self.field));
        self.size = 0;
        self.state = State::Row;
        let row = std::mem::take(&mut self.row);
        // `\r\n` alone is an empty line too, unless it closes an empty quoted field: nobody means that.
        (!empty).then_some(row)
    }

    fn end(&mut self) -> Result<Option<Vec<Vec<u8>>>, Wrong> {
        match self.state {
            State::Row => Ok(None),
            State::Quoted | State::Return => Err(Wrong::Malformed),
            State::Field | State::Plain | State::Closed => Ok(self.hand_out()),
        }
    }
}
