//! Policies: what a person lets a bot do, as TOML, with the place of every mistake and how to mend it.

mod form;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::bot::Limits;
use crate::bot::asker::rest;
use crate::engine::kinds;
use crate::market::{Actor, Budget, GigDraft, Msat, Network, Query, Span, allow_checks};

use form::{Form, Reader, asked, hooked, worked};

/// The most gigs that a bot has open at once: a book holds no more of one author, so that of more the oldest
/// would be offered to nobody.
pub(super) const MOST_AT_ONCE: u32 = 200;

/// Bytes of a policy.
pub(super) const LONGEST_POLICY: usize = 64 << 10;

/// Everything that one bot does.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Its name: what it posts and bids is told apart by it.
    pub actor: Actor,
    /// Where the policy lies; relative paths in it begin here.
    pub beside: PathBuf,
    /// As somebody who pays.
    pub requester: Option<Asking>,
    /// As somebody who works.
    pub worker: Option<Working>,
    /// Whom it tells of what happens.
    pub hooks: Vec<Hook>,
    /// Where in its text stands what only the budget can make wrong.
    pub places: Places,
}

/// Lines and columns, both from 1, of a policy that was read; none of one that was never a text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Places {
    pub(super) gig: Option<(usize, usize)>,
    pub(super) total: Option<(usize, usize)>,
    pub(super) query: Option<(usize, usize)>,
}

/// A gig that others are made of.
#[derive(Debug, Clone)]
pub struct Template {
    /// As written; its moment of expiry is set anew for each.
    pub draft: GigDraft,
    /// How long each takes bids.
    pub life: Span,
    /// Files for whoever does it.
    pub inputs: Vec<PathBuf>,
}

/// How a requester's bot acts.
#[derive(Debug, Clone)]
pub struct Asking {
    /// What is published.
    pub template: Template,
    /// Where the items come from: a file, or `-` for stdin; without one the gig itself is published, once.
    pub queue: Option<PathBuf>,
    /// Whether each item's line is an input file of its gig.
    pub attach: bool,
    /// Whose bid is taken.
    pub choose: Choose,
    /// How long other bids are waited for.
    pub wait: Duration,
    /// Gigs and jobs that are not over, at most.
    pub at_once: u32,
    /// Of these with one worker, at most.
    pub per_worker: u32,
    /// How often an item is published before it is given up.
    pub tries: u32,
    /// When it pays.
    pub accept: Accept,
    /// What every job under this name may cost together, routing included; `None` leaves it to the budget.
    pub total: Option<Msat>,
}

/// Whose bid is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choose {
    /// Whoever was first.
    First,
    /// Whoever asks least.
    Cheapest,
    /// Whoever did most for us and was never caught; of equals, whoever asks least.
    Trusted,
}

/// When it pays. In every case only what is as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accept {
    /// When it is what was signed: for prices that may be lost.
    Inspected,
    /// When the checks of the terms do not speak against it; they speak again of what is opened.
    Checks,
    /// When this command, given the file, ends with 0; sent back when it ends with 1; else left to a person.
    /// For deliveries that can be read before they are paid.
    Command(Vec<String>, Limits),
}

/// How a worker's bot acts.
#[derive(Debug, Clone)]
pub struct Working {
    /// Which gigs.
    pub query: Query,
    /// The query as it was written.
    pub line: String,
    /// What it asks for.
    pub price: Price,
    /// Bids that wait and jobs that are worked on, at most.
    pub at_once: u32,
    /// What it says with a bid.
    pub message: String,
    /// What does the work.
    pub command: Vec<String>,
    /// What that reads.
    pub stdin: Stdin,
    /// What it may use.
    pub limits: Limits,
    /// How often it is run for one job.
    pub tries: u32,
    /// How often the book is looked through.
    pub look: Duration,
    /// After this long without an answer a bid is taken back.
    pub patience: Duration,
}

/// What a worker asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Price {
    /// This much.
    Fixed(Msat),
    /// So many hundredths of what is offered.
    Share(u32),
    /// This much for each KiB of input, begun ones whole.
    PerKib(Msat),
}

/// What the command reads on stdin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stdin {
    /// The job, as JSON.
    Job,
    /// The first input file.
    Input,
}

/// Who is told of what.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Codes of notices; `*` is all.
    pub on: Vec<String>,
    /// How.
    pub tell: Tell,
    /// How long it may take.
    pub time: Duration,
}

/// How a hook is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tell {
    /// This is run, the notice on its stdin.
    Run(Vec<String>),
    /// The notice is posted there, on this machine.
    Url(Url),
}

/// Why a text is not a policy, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistake {
    /// Line and column, both from 1; `None` where something is missing altogether.
    pub place: Option<(usize, usize)>,
    /// What is wrong there, and how to mend it.
    pub why: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

impl Policy {
    /// Reads a policy. `name` is the bot's where the text gives none; `gig` reads the file of a gig and says
    /// what is wrong with it.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn read(
        text: &str,
        name: &str,
        beside: &Path,
        network: Network,
        gig: impl FnOnce(&Path) -> Result<Template, String>,
    ) -> Result<Self, Mistake> {
        let reader = Reader(text);
        if text.len() > LONGEST_POLICY {
            let why = format!("longer than {LONGEST_POLICY} bytes");
            return Err(Mistake { place: None, why });
        }
        let form: Form = toml::from_str(text).map_err(|error| Mistake {
            place: error.span().map(|span| reader.place(span.start)),
            why: error.message().trim_end().to_owned(),
        })?;
        let actor = match &form.name {
            Some(given) => {
                Actor::bot(given.get_ref()).map_err(|why| reader.wrong(given, why.to_string()))?
            }
            None => Actor::bot(&tame(name)).map_err(|_| Mistake {
                place: None,
                why: format!(
                    "`{name}` cannot be a bot's name: give it one, like name = \"labels\""
                ),
            })?,
        };
        if form.requester.is_none() && form.worker.is_none() && form.hook.is_empty() {
            let why = "this policy does nothing: give it [requester], [worker] or [[hook]]".into();
            return Err(Mistake { place: None, why });
        }
        let requester = match &form.requester {
            Some(asking) => Some(asked(&reader, asking, gig)?),
            None => None,
        };
        let worker = match &form.worker {
            Some(working) => Some(worked(&reader, working, network)?),
            None => None,
        };
        let hooks = form.hook.iter().map(|hook| hooked(&reader, hook)).collect::<Result<_, _>>()?;
        let places = form.places(&reader);
        Ok(Self { actor, beside: beside.to_owned(), requester, worker, hooks, places })
    }

    /// What of it the budget would never let through: a policy that cannot work is refused before it
    /// begins.
    ///
    /// # Errors
    /// The first contradiction, with its place in the policy.
    pub fn against(&self, budget: &Budget) -> Result<(), Mistake> {
        let wrong = |place, why: String| Err(Mistake { place, why });
        let Places { gig, total, query } = self.places;
        let mode = self.worker.as_ref().and_then(|working| working.query.mode);
        if let Some(mode) = mode.filter(|mode| !budget.modes.contains(mode)) {
            let why = format!(
                "the query looks for mode {}, and the budget does not allow it: leave it away, or add it to bot.modes",
                mode.word()
            );
            return wrong(query, why);
        }
        let Some(asking) = &self.requester else { return Ok(()) };
        let draft = &asking.template.draft;
        if draft.price > budget.per_job {
            let why = format!(
                "the gig pays {}, and the budget lets automation pay {} for one job: lower the price, or raise bot.per_job_sats",
                draft.price, budget.per_job
            );
            return wrong(gig, why);
        }
        if let Some(mode) = draft.modes.iter().find(|mode| !budget.modes.contains(mode)) {
            let why = format!(
                "the gig offers mode {}, and the budget does not allow it: leave it away, or add it to bot.modes",
                mode.word()
            );
            return wrong(gig, why);
        }
        if let Err(no) = allow_checks(budget, &[kinds(&draft.quality, &[])]) {
            let said = no.sentence.trim_end_matches(" Nothing was done.");
            let why = format!("{said} Change the checks of the gig, or bot.checks");
            return wrong(gig, why);
        }
        let one = rest(budget, draft.price, 1, 0);
        match asking.total.filter(|total| *total < one) {
            Some(given) => {
                let why = format!(
                    "{given} do not pay a single job of {} with its routing, which may cost {one} in all: raise it, or lower bot.fee_ppm_max",
                    draft.price
                );
                wrong(total, why)
            }
            None => Ok(()),
        }
    }
}

/// A file's name as a bot's.
fn tame(name: &str) -> String {
    let fits = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => c,
        _ => '-',
    };
    name.chars().map(fits).take(32).collect()
}
