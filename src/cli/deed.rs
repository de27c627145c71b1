//! What the verbs on jobs share: one deed from the command to what came of it, told with where the money
//! is and what can be done next.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::session::wait_until;
use super::{Exit, Failure, Money, Out};
use crate::engine::{Command, Handle, JobView, Receipt, Snapshot, Trouble};
use crate::market::{BidId, Msat, Phase, Refusal, Verb};

/// What came of a deed, for programs. `outcome` is stable and kebab-case.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Told {
    /// The verb.
    pub(super) did: &'static str,
    /// On which job.
    pub(super) job: BidId,
    /// `committed`, `sent`, `announced`, `paid`; or why not yet: `not-yet-sent`, `not-yet-sealed`,
    /// `not-yet-paid`; or why not at all: the code of the failure on stderr.
    pub(super) outcome: &'static str,
    /// Where the job stands now.
    pub(super) phase: Phase,
    /// Where the money is.
    pub(super) money: Money,
    /// How much it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) amount: Option<Msat>,
    /// What routing cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fee: Option<Msat>,
    /// Of a bid: the most that the LSP may keep of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lsp_fee_most: Option<Msat>,
    /// Of a bid: the least that comes in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) net_least: Option<Msat>,
    /// Of a bid: the most of that which can be spent at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spendable_most: Option<Msat>,
    /// Where a file lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<PathBuf>,
    /// Commands that can follow.
    pub(super) next: Vec<String>,
}

impl Told {
    /// With the money untouched and no file.
    pub(super) fn new(did: Verb, job: &JobView, outcome: &'static str) -> Self {
        Self::named(did.word(), job, outcome)
    }

    /// For a verb that the market has no word for.
    pub(super) fn named(did: &'static str, job: &JobView, outcome: &'static str) -> Self {
        let (id, phase) = (job.id, job.phase);
        let (amount, fee, file) = (None, None, None);
        let (money, next) = (Money::Untouched, hints(job));
        let (lsp_fee_most, net_least, spendable_most) = (None, None, None);
        Self {
            did,
            job: id,
            outcome,
            phase,
            money,
            amount,
            fee,
            lsp_fee_most,
            net_least,
            spendable_most,
            file,
            next,
        }
    }
}

/// The job as it is shown now.
pub(super) fn seen(handle: &Handle, id: &BidId) -> Option<Arc<JobView>> {
    handle.watch().borrow().jobs.get(id).cloned()
}

/// What can be done now, as commands, from what the market allows.
pub(super) fn hints(job: &JobView) -> Vec<String> {
    let id = job.id.short();
    let can = job.legal.iter().filter(|offered| offered.refusal.is_none());
    can.map(|offered| {
        let word = offered.verb.word();
        match offered.verb {
            Verb::Deliver => format!("earnest {word} {id} FILE"),
            Verb::Note => format!("earnest {word} {id} TEXT"),
            Verb::Object => format!("earnest {word} {id} --reason TEXT"),
            Verb::Rate => format!("earnest {word} {id} STARS"),
            _ => format!("earnest {word} {id}"),
        }
    })
    .collect()
}

/// Says for people what can be done next.
pub(super) fn say_next(out: &mut Out, next: &[String]) -> Result<(), Failure> {
    if !out.is_json() {
        for next in next {
            out.say(&format!("  next: {next}"))?;
        }
    }
    Ok(())
}

/// Asks, and where the market refuses, adds what it does allow.
pub(super) async fn ask(
    handle: &Handle,
    job: &JobView,
    command: Command,
) -> Result<Receipt, Failure> {
    handle.ask(command).await.map_err(|trouble| match trouble {
        Trouble::Refused(why) => {
            let now = seen(handle, &job.id);
            not_allowed(now.as_deref().unwrap_or(job), why)
        }
        other => other.into(),
    })
}

/// A refusal, with what the market does allow unless it names a next step itself.
pub(super) fn not_allowed(job: &JobView, why: Refusal) -> Failure {
    let failure = Failure::from(Trouble::from(why));
    if failure.next.is_empty() {
        return hints(job).into_iter().fold(failure, Failure::next);
    }
    failure
}

/// Waits until `is` holds of the job as it is after what was committed. Answers the job as it is then,
/// and whether it holds.
pub(super) async fn until(
    handle: &Handle,
    receipt: Receipt,
    patience: Duration,
    mut is: impl FnMut(&JobView) -> bool,
) -> Result<(Arc<JobView>, bool), Failure> {
    let mut shows = |now: &Arc<Snapshot>| {
        now.jobs.get(&receipt.log).is_some_and(|job| job.facts >= receipt.facts && is(job))
    };
    let so = wait_until(handle, patience, &mut shows).await;
    // A snapshot that is a moment behind is one that will come.
    if seen(handle, &receipt.log).is_none() {
        wait_until(handle, SOON, |now| now.jobs.contains_key(&receipt.log)).await;
    }
    match seen(handle, &receipt.log) {
        Some(job) => Ok((job, so)),
        None => {
            let said =
                "It is written down, but the engine has ended. It goes on at the next start.";
            Err(Failure::new(Exit::Offline, "ended", said).next("earnest run"))
        }
    }
}

/// How long the first sight of a new job may take.
const SOON: Duration = Duration::from_secs(5);

/// Whether everything we said is at a relay.
pub(super) fn is_sent(job: &JobView) -> bool {
    !job.pending.iter().any(crate::engine::PendingView::is_talk)
}

/// Why our words did not go out, if a relay said so for good since `before`.
pub(super) fn unsent(before: usize, job: &JobView) -> Option<&String> {
    let talk = |why: &&String| why.starts_with("publish:") || why.starts_with("first:");
    job.stuck.iter().skip(before).find(talk)
}

/// One plain deed: asked, and at a relay. `done` says what that means and ends in whether money moved.
pub(super) struct Plain<'a> {
    pub(super) verb: Verb,
    pub(super) job: &'a JobView,
    pub(super) command: Command,
    pub(super) patience: Duration,
    pub(super) done: String,
}

impl Plain<'_> {
    pub(super) async fn run(self, handle: &Handle, out: &mut Out) -> Result<Exit, Failure> {
        let Self { verb, job, command, patience, done } = self;
        let receipt = ask(handle, job, command).await?;
        let (now, sent) = until(handle, receipt, patience, is_sent).await?;
        finish(Told::new(verb, &now, "sent"), &now, (sent, job.stuck.len(), patience), &done, out)
    }
}

/// Tells of words that should be at a relay now: `(are they, reasons that stood there before, how long was
/// waited)`.
pub(super) fn finish(
    mut told: Told,
    job: &JobView,
    (sent, before, patience): (bool, usize, Duration),
    done: &str,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let (did, id) = (told.did, job.id.short());
    if let Some(why) = unsent(before, job) {
        told.outcome = "relays-refuse";
        out.record(&told)?;
        let said = format!("No relay takes what you said about {id} ({why}). No money moved.");
        return Err(Failure::new(Exit::Failed, "relays-refuse", said).next("earnest relays"));
    }
    if sent {
        out.record(&told)?;
        out.line(done)?;
        say_next(out, &told.next)?;
        return Ok(Exit::Done);
    }
    if patience.is_zero() {
        told.outcome = "committed";
        out.record(&told)?;
        out.line(&format!("Written down: {did} {id}. It goes out while earnest runs."))?;
        return Ok(Exit::Done);
    }
    told.outcome = "not-yet-sent";
    out.record(&told)?;
    Err(not_yet_sent(job))
}

/// It is signed and kept, and no relay has it.
pub(super) fn not_yet_sent(job: &JobView) -> Failure {
    let why = job.pending.iter().filter(|effect| effect.is_talk()).find_map(|e| e.why.as_ref());
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    let said = format!(
        "It is signed and kept, but no relay has taken it yet{why}. It goes out while earnest runs; do \
         not do it again."
    );
    Failure::new(Exit::Offline, "not-yet-sent", said).next("earnest run").next("earnest relays")
}
