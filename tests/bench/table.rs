//! The bench table: each figure beside a floor or a rival that runs in the same process, in turns with
//! it, on the same bytes.
//!
//! `cargo bench --bench table` prints a table, `-- --json` one object a line:
//! `{"name","value","unit","rival","rival_value","ratio","n","p95"}`. `-- NAME...` runs only those;
//! `-- --list` names them. Only ratios within one run mean anything: run it on a quiet machine.
//!
//! A ratio is always *ours to the rival's, in the direction in which smaller is better*: 1.2 is a fifth
//! slower than the floor, 0.5 is twice as fast as the rival.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![expect(clippy::disallowed_macros, reason = "a table is printed")]

#[path = "../engine/volume.rs"]
mod behind;
#[path = "book.rs"]
mod book;
#[path = "bots.rs"]
mod bots;
#[path = "events.rs"]
mod events;
#[path = "fetch.rs"]
mod fetch;
#[expect(dead_code, reason = "the tests of the engine use all of it")]
#[path = "../engine/pair.rs"]
mod pair;
#[path = "pay.rs"]
mod pay;
#[path = "program.rs"]
mod program;
#[path = "proof.rs"]
mod proof;
#[path = "seal.rs"]
mod seal;
#[expect(dead_code, reason = "the tests of the command line use all of it")]
#[path = "../cli/shell.rs"]
mod shell;
#[path = "volume.rs"]
mod volume;
#[path = "worlds.rs"]
mod worlds;

use std::time::{Duration, Instant};

use serde::Serialize;

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// The median.
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) rival: Option<&'static str>,
    pub(crate) rival_value: Option<f64>,
    /// Ours to the rival's; smaller is better.
    pub(crate) ratio: Option<f64>,
    pub(crate) n: usize,
    pub(crate) p95: f64,
}

/// Measurements of one thing, in one unit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn millis(&mut self, took: Duration) {
        self.push(took.as_secs_f64() * 1000.0);
    }

    /// The value below which this share of the samples lies (nearest rank).
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// A row of times or sizes, where less is better.
    pub(crate) fn row(self, name: &'static str, unit: &'static str) -> Row {
        Row {
            name,
            value: self.median(),
            unit,
            rival: None,
            rival_value: None,
            ratio: None,
            n: self.0.len(),
            p95: self.quantile(0.95),
        }
    }

    /// The same beside a rival's samples of the same unit.
    pub(crate) fn against(
        self,
        name: &'static str,
        unit: &'static str,
        rival: &'static str,
        theirs: &Self,
    ) -> Row {
        let rival_value = theirs.median();
        let row = self.row(name, unit);
        Row {
            rival: Some(rival),
            rival_value: Some(rival_value),
            ratio: Some(row.value / rival_value),
            ..row
        }
    }
}

/// Runs something and says how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let done = work();
    (done, begun.elapsed())
}

type Part = (&'static str, fn(&mut dyn FnMut(Row)));

const PARTS: [Part; 10] = [
    ("pay", pay::measure),
    ("bots", bots::measure),
    ("volume", volume::measure),
    ("seal", seal::measure),
    ("proof", proof::measure),
    ("fetch", fetch::measure),
    ("events", events::measure),
    ("book", book::measure),
    ("program", program::measure),
    ("worlds", worlds::measure),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let json = args.iter().any(|arg| arg == "--json");
    let names: Vec<&str> =
        args.iter().map(String::as_str).filter(|arg| !arg.starts_with("--")).collect();
    if args.iter().any(|arg| arg == "--list") {
        PARTS.iter().for_each(|(name, _)| println!("{name}"));
        return;
    }
    if !json {
        println!(
            "| {:<52} | {:>12} | {:>12} | {:>5} | {:<42} | {:>12} | {:>4} |",
            "what", "median", "p95", "n", "beside", "its median", "x"
        );
        println!("|---|---:|---:|---:|---|---:|---:|");
    }
    for (name, measure) in PARTS {
        if names.is_empty() || names.contains(&name) {
            measure(&mut |row| if json { print_json(&row) } else { print_line(&row) });
        }
    }
}

fn print_json(row: &Row) {
    println!("{}", serde_json::to_string(row).unwrap());
}

fn print_line(row: &Row) {
    let figure = |value: f64| match value {
        v if v >= 1000.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    };
    println!(
        "| {:<52} | {:>12} | {:>12} | {:>5} | {:<42} | {:>12} | {:>4} |",
        row.name,
        format!("{} {}", figure(row.value), row.unit),
        figure(row.p95),
        row.n,
        row.rival.unwrap_or(""),
        row.rival_value.map(figure).unwrap_or_default(),
        row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
    );
}

/// A runtime as the program has it.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}
