//! The one place that writes to stdout and stderr: data on stdout, talk on stderr, for a person or
//! as JSON lines.
//!
//! A verb says the same thing in both forms, [`Out::record`] for programs and [`Out::table`] or
//! [`Out::line`] for people, and the mode picks. A stranger's text comes here as
//! [`Clean`](crate::text::Clean); what is not is washed again at the last moment, and JSON carries it
//! escaped, so that no byte from outside ever moves a cursor.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::failure::{Failure, Money};
use crate::text::{Align, Limit, Raw, cells, pad, truncate};

/// Version of every JSON record; changes only when one is changed so that readers break.
const VERSION: u32 = 1;
/// One call may say this much.
const SAID: Limit = Limit::multi_line(65_536, 2_000);
/// One cell of a table.
const CELL: Limit = Limit::one_line(4_096);
/// Between two columns.
const GAP: &str = "  ";

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub name: &'static str,
    /// Numbers stand on the right.
    pub align: Align,
}

/// The two streams and how they are written.
pub struct Out {
    json: bool,
    stdout: Stream,
    stderr: Stream,
}

struct Stream {
    to: Box<dyn Write + Send>,
    color: bool,
    /// Cells of the terminal, if it is one and says so.
    wide: Option<usize>,
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out").field("json", &self.json).finish_non_exhaustive()
    }
}

impl Out {
    /// The streams of this process. Colour goes to a terminal that is not `dumb`, unless `NO_COLOR`
    /// is set (no-color.org); lines are fitted to `COLUMNS` on a terminal only.
    pub fn of_process(json: bool) -> Self {
        let env = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let plain = env("NO_COLOR").is_some() || env("TERM").as_deref() == Some("dumb");
        let columns = env("COLUMNS").and_then(|c| c.parse().ok()).filter(|c| *c >= 20);
        let stream = |to: Box<dyn Write + Send>, tty: bool| Stream {
            to,
            color: tty && !plain,
            wide: columns.filter(|_| tty),
        };
        Self {
            json,
            stdout: stream(Box::new(io::stdout()), io::stdout().is_terminal()),
            stderr: stream(Box::new(io::stderr()), io::stderr().is_terminal()),
        }
    }

    /// Streams of one's own, without colour.
    pub fn on(
        json: bool,
        stdout: impl Write + Send + 'static,
        stderr: impl Write + Send + 'static,
    ) -> Self {
        let stream = |to| Stream { to, color: false, wide: None };
        Self { json, stdout: stream(Box::new(stdout)), stderr: stream(Box::new(stderr)) }
    }

    /// Whether programs are reading.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// With `--json`: one line on stdout, the object with `"v":1` put first (so it needs no `v` of
    /// its own); anything but an object becomes `{"v":1,"value":...}`. For people: nothing.
    ///
    /// # Errors
    /// The stream is closed, or the record has no JSON form.
    pub fn record(&mut self, record: &impl Serialize) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        let line = versioned(&serde_json::to_string(record)?);
        self.stdout.line(&line)
    }

    /// For people: text on stdout that is the answer itself. With `--json`: nothing.
    ///
    /// # Errors
    /// The stream is closed.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { self.stdout.line(&washed(text)) }
    }

    /// For people: an aligned table on stdout with its headings, or nothing but `empty` on stderr if
    /// it has no row. With `--json`: nothing.
    ///
    /// # Errors
    /// The stream is closed.
    pub fn table(
        &mut self,
        columns: &[Column],
        rows: &[Vec<String>],
        empty: &str,
    ) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        if rows.is_empty() {
            return self.say(empty);
        }
        let fit = |line: String| match self.stdout.wide {
            Some(wide) => truncate(&line, wide).into_owned(),
            None => line,
        };
        let mut lines: Vec<String> = drawn(columns, rows).into_iter().map(fit).collect();
        lines[0] = self.stdout.styled("1", &lines[0]);
        self.stdout.line(&lines.join("\n"))
    }

    /// Talk on stderr: what is going on, what to do next. In both modes, as it is not the data.
    ///
    /// # Errors
    /// The stream is closed.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        self.stderr.line(&washed(text))
    }

    /// Says why it failed, on stderr, and answers what the process exits with. A reader that has
    /// gone is told nothing, and a stderr that is closed changes nothing.
    pub fn fail(&mut self, failure: &Failure) -> ExitCode {
        if !failure.is_reader_gone() {
            let said = if self.json { said_to_programs(failure) } else { self.said(failure) };
            // There is no third stream on which to say that the second is closed.
            drop(self.stderr.line(&said));
        }
        failure.exit.into()
    }

    fn said(&self, failure: &Failure) -> String {
        let mut said = self.stderr.styled("1;31", "error:");
        let _ = write!(said, " {}", washed(&failure.message));
        if let Some(money) = failure.about_money() {
            let _ = write!(said, "\n  {money}");
        }
        for next in &failure.next {
            let _ = write!(said, "\n  {} {}", self.stderr.styled("1", "next:"), washed(next));
        }
        said
    }
}

impl Stream {
    /// Writes and flushes a line at once: a reader of a pipe waits for whole records.
    fn line(&mut self, text: &str) -> io::Result<()> {
        self.to.write_all(format!("{text}\n").as_bytes())?;
        self.to.flush()
    }

    fn styled(&self, style: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

fn washed(text: &str) -> String {
    Raw::from(text).clean(SAID).to_string()
}

fn said_to_programs(failure: &Failure) -> String {
    #[derive(Serialize)]
    struct Told<'a> {
        code: &'a str,
        message: &'a str,
        money: Money,
        next: &'a [String],
    }
    let Failure { code, message, money, next, .. } = failure;
    let told = Told { code, message, money: *money, next };
    versioned(&serde_json::to_string(&told).unwrap_or_else(|_| "{\"code\":\"io\"}".to_owned()))
}

/// A JSON text as an object with its version, in which nothing can steer a terminal: what is not
/// ASCII, a letter or a digit is escaped, which every parser undoes.
fn versioned(json: &str) -> String {
    let mut out = format!("{{\"v\":{VERSION}");
    let rest = match json.strip_prefix('{') {
        Some("}") => Cow::Borrowed("}"),
        Some(fields) => Cow::Owned(format!(",{fields}")),
        None => Cow::Owned(format!(",\"value\":{json}}}")),
    };
    for c in rest.chars() {
        if c != '\u{7f}' && (c.is_ascii() || c.is_alphanumeric()) {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// Headings and rows, each column as wide as its widest cell, the last one not filled up.
fn drawn(columns: &[Column], rows: &[Vec<String>]) -> Vec<String> {
    let clean = |text: &String| Raw::from(text.as_str()).clean(CELL).to_string();
    let head: Vec<String> = columns.iter().map(|c| c.name.to_owned()).collect();
    let rows = rows.iter().map(|row| row.iter().map(clean).collect());
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let wide = |i: usize| {
        lines.iter().filter_map(|line| line.get(i)).map(|cell| cells(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(wide).collect();
    let draw = |line: &Vec<String>| {
        let cells = columns.iter().zip(&widths).zip(line);
        let cells = cells.map(|((column, width), cell)| pad(cell, *width, column.align));
        cells.collect::<Vec<_>>().join(GAP).trim_end_matches(' ').to_owned()
    };
    lines.iter().map(draw).collect()
}

#[cfg(test)]
mod tests;
