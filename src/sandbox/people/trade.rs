//! Trades: what people of the market ask of each other. Each is made with a real input, done and checked
//! by a small program; who does it reads the gig and its files and nothing else.

mod convert;
mod formula;
mod hand;
mod page;
mod summary;
mod table;
mod tidy;

use rand::Rng as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::market::Mode;

/// The tag of gigs that are meant for a person at a keyboard: programs leave them alone.
pub(super) const BY_HAND: &str = "by-hand";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// A CSV to clean.
    Clean,
    /// A page to translate.
    Translate,
    /// A function to write, with its tests.
    Formula,
    /// A file to convert.
    Convert,
    /// A text to summarise.
    Summarise,
    /// Ten lines to sort, by hand.
    Sort,
    /// Which of two answers is better, by hand.
    Judge,
    /// Block letters to type out, by hand.
    Transcribe,
    /// Words to count, by hand.
    Count,
}

impl Kind {
    /// Whether it is meant for a person at a keyboard.
    pub(super) fn by_hand(self) -> bool {
        matches!(self, Self::Sort | Self::Judge | Self::Transcribe | Self::Count)
    }

    /// The hashtag that tells this kind from others.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::Clean => "cleaning",
            Self::Translate => "translation",
            Self::Formula => "formula",
            Self::Convert => "convert",
            Self::Summarise => "summary",
            Self::Sort => "sorting",
            Self::Judge => "judging",
            Self::Transcribe => "transcription",
            Self::Count => "counting",
        }
    }

    /// A gig of this kind; everything in it follows from `chance`.
    pub(super) fn make(self, chance: &mut StdRng) -> Task {
        match self {
            Self::Clean => table::task(chance),
            Self::Translate => page::task(chance),
            Self::Formula => formula::task(chance),
            Self::Convert => convert::task(chance),
            Self::Summarise => summary::task(chance),
            Self::Sort => hand::sort(chance),
            Self::Judge => hand::judge(chance),
            Self::Transcribe => hand::transcribe(chance),
            Self::Count => hand::count(chance),
        }
    }

    /// What a gig asks for, by its tags, else by its words; `None` is anybody's guess.
    pub(super) fn of(title: &str, content: &str, tags: &[String]) -> Option<Self> {
        let tagged = |tag: &str| tags.iter().any(|t| t == tag);
        if tagged(BY_HAND) {
            return None;
        }
        // Tags first: a gig about cleaning may be signed by a translator.
        let all = [Self::Translate, Self::Summarise, Self::Formula, Self::Convert, Self::Clean];
        let kind = all.into_iter().find(|kind| tagged(kind.tag()));
        let text = format!("{title}\n{content}").to_lowercase();
        let says = |words: &[&str]| words.iter().any(|w| text.contains(w));
        kind.or(match () {
            () if says(&["translat"]) => Some(Self::Translate),
            () if says(&["summar"]) => Some(Self::Summarise),
            () if says(&["formula"]) => Some(Self::Formula),
            () if says(&["convert"]) => Some(Self::Convert),
            () if says(&["clean", "duplicate", "csv"]) => Some(Self::Clean),
            () => None,
        })
    }
}

/// Whether what was delivered is what was asked; if not, why, for a person.
pub(super) type Check = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// A gig to be.
pub(super) struct Task {
    /// One line.
    pub(super) title: String,
    /// A few.
    pub(super) summary: String,
    /// Markdown.
    pub(super) content: String,
    /// Hashtags.
    pub(super) tags: Vec<String>,
    /// The preferred first.
    pub(super) modes: Vec<Mode>,
    /// The price.
    pub(super) sats: u64,
    /// Names and contents of the input files.
    pub(super) inputs: Vec<(String, String)>,
    /// The requester's own program.
    pub(super) check: Check,
}

/// A gig and its files, as a worker has them.
#[derive(Debug, Clone, Default)]
pub(super) struct Ask {
    /// One line.
    pub(super) title: String,
    /// Markdown.
    pub(super) content: String,
    /// Hashtags.
    pub(super) tags: Vec<String>,
    /// Names and contents of the input files.
    pub(super) inputs: Vec<(String, Vec<u8>)>,
}

impl Ask {
    /// The first input that is text: its name and what it says.
    fn text(&self) -> Option<(&str, &str)> {
        self.inputs
            .iter()
            .find_map(|(name, bytes)| Some((name.as_str(), std::str::from_utf8(bytes).ok()?)))
    }
}

/// How somebody works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// As asked.
    Careful,
    /// In a hurry: one thing is forgotten.
    Hasty,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Work {
    /// What the file is called.
    pub(super) name: String,
    /// What is in it; never empty.
    pub(super) bytes: Vec<u8>,
    /// Words with it.
    pub(super) message: String,
}

/// Does what a gig asks, as well as a small program can.
pub(super) fn work(ask: &Ask, care: Care) -> Work {
    let kind = Kind::of(&ask.title, &ask.content, &ask.tags);
    let done = match kind {
        Some(Kind::Clean) => table::work(ask, care),
        Some(Kind::Translate) => page::work(ask, care),
        Some(Kind::Formula) => formula::work(ask, care),
        Some(Kind::Convert) => convert::work(ask, care),
        Some(Kind::Summarise) => summary::work(ask, care),
        _ => None,
    };
    done.unwrap_or_else(|| tidy::work(ask))
}

/// One of them.
fn pick<'a, T>(chance: &mut StdRng, of: &'a [T]) -> &'a T {
    &of[chance.random_range(0..of.len())]
}

/// So many of them, each once, in the order in which they were drawn.
fn draw<T: Clone>(chance: &mut StdRng, of: &[T], count: usize) -> Vec<T> {
    let mut left: Vec<usize> = (0..of.len()).collect();
    let mut drawn = Vec::new();
    while drawn.len() < count && !left.is_empty() {
        let at = left.swap_remove(chance.random_range(0..left.len()));
        drawn.push(of[at].clone());
    }
    drawn
}

/// A price in whole hundreds.
fn price(chance: &mut StdRng, from: u64, to: u64) -> u64 {
    chance.random_range(from / 100..=to / 100) * 100
}

fn tags(all: &[&str]) -> Vec<String> {
    all.iter().map(|t| (*t).to_owned()).collect()
}

/// Both modes, either first.
fn either(chance: &mut StdRng) -> Vec<Mode> {
    match chance.random_range(0..3) {
        0 => vec![Mode::Direct, Mode::Sealed],
        _ => vec![Mode::Sealed, Mode::Direct],
    }
}

/// The lines of a text without the space at their ends and without empty ones at the end.
fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> =
        text.trim_start_matches('\u{feff}').lines().map(str::trim_end).collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines
}

/// Compares line by line and says where the first difference is.
fn same(want: &str, saw: &str) -> Result<(), String> {
    let (want, saw) = (lines(want), lines(saw));
    for (at, want) in want.iter().enumerate() {
        match saw.get(at) {
            None => {
                return Err(format!(
                    "It ends after {} lines; I expected {}.",
                    saw.len(),
                    lines_of(want, at)
                ));
            }
            Some(line) if line != want => {
                return Err(format!(
                    "Line {} is `{}`; I expected `{}`.",
                    at + 1,
                    short(line),
                    short(want)
                ));
            }
            Some(_) => {}
        }
    }
    match saw.len() - want.len() {
        0 => Ok(()),
        more => Err(format!("There are {more} lines too many at the end.")),
    }
}

fn lines_of(want: &str, at: usize) -> String {
    format!("`{}` as line {}", short(want), at + 1)
}

/// As much of a line as fits into a sentence.
fn short(line: &str) -> String {
    match line.chars().count() {
        0..=60 => line.to_owned(),
        _ => format!("{}…", line.chars().take(59).collect::<String>()),
    }
}

/// A name for the result beside the name of the input.
fn named(input: &str, what: &str, extension: &str) -> String {
    let stem = input.rsplit_once('.').map_or(input, |(stem, _)| stem);
    let stem = stem.rsplit('/').next().unwrap_or(stem);
    let stem = if stem.is_empty() { "work" } else { stem };
    format!("{stem}{what}.{extension}")
}

#[cfg(test)]
mod tests;
