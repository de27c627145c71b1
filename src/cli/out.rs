//! The one place that writes to stdout and stderr: data on stdout, talk on stderr, for a person or
//! as JSON lines.
//!
//! A verb says the same thing in both forms, [`Out::record`] for programs and [`Out::table`] or
//! [`Out::line`] for people, and the mode picks. A stranger's text comes here as
//! [`Clean`](crate::text::Clean); what is not is washed again at the last moment, and JSON carries it
//! escaped, so that no byte from outside ever moves a cursor.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::config;
use crate::text::{Align, Limit, Raw, cells, pad, truncate};

/// Version of every JSON record; changes only when one is changed so that readers break.
const VERSION: u32 = 1;
/// One call may say this much.
const SAID: Limit = Limit::multi_line(65_536, 2_000);
/// One cell of a table.
const CELL: Limit = Limit::one_line(4_096);
/// Between two columns.
const GAP: &str = "  ";

/// How a verb ended, for the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: failed.
    Failed,
    /// 2: the command or the configuration is wrong.
    Usage,
    /// 3: the market refuses; the code says why.
    Refused,
    /// 4: there is no such thing.
    NotFound,
    /// 5: needs funds or liquidity.
    Funds,
    /// 6: offline or out of time; safe to do again.
    Offline,
    /// 7: another process owns the data.
    Locked,
    /// 130: interrupted.
    Interrupted,
}

impl Exit {
    /// The status that the shell sees.
    pub fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::NotFound => 4,
            Self::Funds => 5,
            Self::Offline => 6,
            Self::Locked => 7,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.status().into()
    }
}

/// What happened to the money that a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Money {
    /// Nothing moved.
    Untouched,
    /// Locked in an HTLC: it ends paid or back.
    Held,
    /// Paid.
    Spent,
}

/// Why a verb did not do what was asked: what happened, is the money safe, what now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Stable, kebab-case: for programs.
    pub code: Cow<'static, str>,
    /// What happened: for people.
    pub message: String,
    /// Where the money is.
    pub money: Money,
    /// Commands or actions that come next, best first.
    pub next: Vec<String>,
    /// What the shell sees.
    pub exit: Exit,
}

impl Failure {
    /// A failure with the money untouched and nothing to suggest.
    pub fn new(exit: Exit, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { code, message, money: Money::Untouched, next: Vec::new(), exit }
    }

    /// With money somewhere else than where it was.
    #[must_use]
    pub fn money(mut self, money: Money) -> Self {
        self.money = money;
        self
    }

    /// With one more thing to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next.push(next.into());
        self
    }

    /// What to say about the money; nothing where nobody would wonder.
    fn about_money(&self) -> Option<&'static str> {
        match (self.money, self.exit) {
            (Money::Held, _) => Some("Money is locked: it will end paid or come back by itself."),
            (Money::Spent, _) => Some("Money was paid."),
            (_, Exit::Refused | Exit::Funds | Exit::Offline | Exit::Interrupted) => {
                Some("No money moved.")
            }
            _ => None,
        }
    }
}

/// The reader has gone (`| head`): nothing to say and nobody to hear it.
const READER_GONE: &str = "reader-gone";

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::new(Exit::Done, READER_GONE, ""),
            _ => Self::new(Exit::Failed, "io", error.to_string()),
        }
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        Self::new(Exit::Usage, "config", error.to_string())
    }
}

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
        if failure.code != READER_GONE {
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
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn out(json: bool) -> (Out, Paper, Paper) {
        let (data, talk) = (Paper::default(), Paper::default());
        (Out::on(json, data.clone(), talk.clone()), data, talk)
    }

    const COLUMNS: [Column; 3] = [
        Column { name: "gig", align: Align::Left },
        Column { name: "sats", align: Align::Right },
        Column { name: "title", align: Align::Left },
    ];

    fn rows() -> Vec<Vec<String>> {
        let row = |a: &str, b: &str, c: &str| vec![a.into(), b.into(), c.into()];
        vec![row("7f3a", "21000", "日本 label"), row("9", "5", "a\nb\u{1b}[2J\u{202e}c")]
    }

    #[test]
    fn people_get_a_table_and_programs_get_records() {
        let (mut person, data, talk) = out(false);
        person.table(&COLUMNS, &rows(), "no gigs").unwrap();
        person.record(&1).unwrap();
        person.line("21000 sat").unwrap();
        person.table(&COLUMNS, &[], "no gigs yet").unwrap();
        assert_eq!(
            data.text(),
            "gig    sats  title\n7f3a  21000  日本 label\n9         5  a bc\n21000 sat\n"
        );
        assert_eq!(talk.text(), "no gigs yet\n");

        #[derive(Serialize)]
        struct Gig {
            title: Raw,
            sats: u64,
        }
        let (mut program, data, talk) = out(true);
        program.record(&Gig { title: "é\u{202e}\u{9b}😀\n".into(), sats: 5 }).unwrap();
        program.record(&[1, 2]).unwrap();
        program.record(&serde_json::json!({})).unwrap();
        program.table(&COLUMNS, &rows(), "no gigs").unwrap();
        program.line("x").unwrap();
        assert_eq!(
            data.text(),
            "{\"v\":1,\"title\":\"é\\u202e\\u009b\\ud83d\\ude00\\n\",\"sats\":5}\n\
             {\"v\":1,\"value\":[1,2]}\n{\"v\":1}\n"
        );
        let back: serde_json::Value =
            serde_json::from_str(data.text().lines().next().unwrap()).unwrap();
        assert_eq!(back["title"], "é\u{202e}\u{9b}😀\n", "nothing is lost");
        assert_eq!(talk.text(), "");
    }

    #[test]
    fn a_failure_says_what_happened_where_the_money_is_and_what_now() {
        let failure = Failure::new(Exit::Offline, "relay-silent", "No relay\u{1b}[2J answered.")
            .money(Money::Held)
            .next("earnest job show 7f3a");
        let (mut person, data, talk) = out(false);
        assert_eq!(person.fail(&failure), ExitCode::from(6));
        assert_eq!(
            talk.text(),
            "error: No relay answered.\n  Money is locked: it will end paid or come back by \
             itself.\n  next: earnest job show 7f3a\n"
        );
        assert_eq!(data.text(), "");
        let (mut program, data, talk) = out(true);
        assert_eq!(program.fail(&failure), ExitCode::from(6));
        assert_eq!(
            talk.text(),
            "{\"v\":1,\"code\":\"relay-silent\",\"message\":\"No relay\\u001b[2J answered.\",\
             \"money\":\"held\",\"next\":[\"earnest job show 7f3a\"]}\n"
        );
        assert_eq!(data.text(), "");
    }

    #[test]
    fn each_end_has_its_status() {
        use Exit::*;
        let all = [Done, Failed, Usage, Refused, NotFound, Funds, Offline, Locked, Interrupted];
        assert_eq!(all.map(Exit::status), [0, 1, 2, 3, 4, 5, 6, 7, 130]);
        let usage = Failure::from(config::Error::NoHome);
        assert_eq!((usage.exit, usage.about_money()), (Usage, None));
        let refused = Failure::new(Refused, "too-late", "Too late.");
        assert_eq!(refused.about_money(), Some("No money moved."));
    }

    #[test]
    fn a_reader_that_left_ends_it_quietly() {
        let talk = Paper::default();
        let mut out = Out::on(true, Closed, talk.clone());
        let failure = Failure::from(out.record(&1).unwrap_err());
        assert_eq!(out.fail(&failure), ExitCode::from(0));
        assert_eq!(talk.text(), "");
        let mut out = Out::on(false, talk.clone(), Closed);
        let failure = Failure::new(Exit::Failed, "io", "x");
        assert_eq!(out.fail(&failure), ExitCode::from(1), "a closed stderr changes nothing");
    }

    #[test]
    fn colour_frames_our_words_and_never_theirs() {
        let (mut person, data, talk) = out(false);
        person.stdout.color = true;
        person.stderr.color = true;
        person.stdout.wide = Some(20);
        person.table(&COLUMNS, &rows(), "").unwrap();
        assert!(data.text().starts_with("\u{1b}[1mgig    sats  title\u{1b}[0m\n"));
        assert!(data.text().lines().skip(1).all(|l| cells(l) <= 20 && !l.contains('\u{1b}')));
        person.fail(&Failure::new(Exit::Failed, "x", "\u{1b}[32mfine"));
        assert_eq!(talk.text(), "\u{1b}[1;31merror:\u{1b}[0m fine\n");
    }
}
