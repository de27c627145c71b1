//! `earnest accept`: pays for what was delivered.

use std::time::Duration;

use crate::cli::complete;
use crate::cli::deed::{Told, ask, not_allowed, say_next, seen, until};
use crate::cli::session::{Session, ask_line, wait_until};
use crate::cli::{Exit, Failure, Money, Out, name};
use crate::config::Fees;
use crate::engine::{Command, Handle, JobView, MilestoneStage, MilestoneView};
use crate::market::{Mode, Msat, Phase, Role, Verb};

/// Pay for what was delivered.
///
/// Asks the worker's node for the bill, pays it and opens the delivery with the key that the payment
/// brings. In escrow, where the money is locked already, it releases it. Asks before, unless --yes is given.
#[derive(Debug, clap::Args)]
pub(crate) struct Accept {
    /// The job, or the beginning of its id
    #[arg(add = complete::jobs())]
    job: String,
    /// Pay without asking
    #[arg(long, short)]
    yes: bool,
    /// Do it only if this is what would be paid, or released in escrow: for scripts
    #[arg(long, value_name = "SATS", allow_hyphen_values = true)]
    amount: Option<Msat>,
    /// The most to pay for routing, for each part; from the settings if left out
    #[arg(long, value_name = "SATS", allow_hyphen_values = true)]
    max_fee: Option<Msat>,
    /// Seconds to wait until it is paid and opened; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    wait: u64,
}

/// A node that just started has its channels back in this time.
const CHANNELS_COME: Duration = Duration::from_secs(20);

impl Accept {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let config = session.config()?;
        let patience = Duration::from_secs(self.wait);
        session.with_jobs(out, "earnest accept", async |handle, out| {
            let now = handle.watch().borrow().clone();
            let job = name::job(&now, &self.job)?;
            if job.role == Role::Worker {
                // The market says why not; nobody is asked to confirm what cannot be.
                ask(handle, &job, Command::Accept { job: job.id, max_fee: Msat::ZERO }).await?;
            }
            let job = payable(handle, &job, patience, out).await?;
            let (amount, parts) = remaining(&job);
            as_confirmed(&job, self.amount, amount, "pay")?;
            let max_fee = self.max_fee.unwrap_or_else(|| routing(&config.fees, amount, parts));
            if !self.yes {
                let each =
                    if parts > 1 { format!(" for each of {parts} parts") } else { String::new() };
                let what = match job.mode {
                    Mode::Escrow => format!("Release {amount}, which are locked for this job"),
                    Mode::Sealed | Mode::Direct => {
                        format!("Pay {amount}, and at most {max_fee} for routing{each}")
                    }
                };
                confirm(session, handle, &job, Verb::Accept, &what).await?;
            }
            if job.mode != Mode::Escrow {
                funded(handle, amount, patience).await;
            }
            let part = job.milestones.iter().position(|m| m.stage == MilestoneStage::Now);
            let receipt = ask(handle, &job, Command::Accept { job: job.id, max_fee }).await?;
            if !patience.is_zero() && !out.is_json() {
                out.say(match job.mode {
                    Mode::Escrow => "Released. Waiting for the worker's node to claim it.",
                    Mode::Sealed | Mode::Direct => "Accepted. Waiting for the worker's bill.",
                })?;
            }
            let (now, _) = until(handle, receipt, patience, is_over).await?;
            match part.filter(|n| now.milestones.get(*n).is_some_and(is_paid)) {
                Some(n) if now.phase != Phase::Settled => tell_part(&now, n, amount, out),
                _ => tell(&now, amount, patience, out),
            }
        })
    }
}

/// What a script says it confirms is what would be done, or nothing is.
pub(super) fn as_confirmed(
    job: &JobView,
    said: Option<Msat>,
    amount: Msat,
    verb: &str,
) -> Result<(), Failure> {
    let Some(said) = said.filter(|said| *said != amount) else { return Ok(()) };
    let id = job.id.short();
    let sentence = format!("This would {verb} {amount} for {id}, and --amount says {said}.");
    Err(Failure::new(Exit::Refused, "other-amount", sentence).next(format!("earnest job {id}")))
}

/// Names what will be done with money, and goes on only with a yes. `what` is a verb and amounts: "Pay 21
/// sat, and at most 1 sat for routing".
pub(super) async fn confirm(
    session: &Session,
    handle: &Handle,
    job: &JobView,
    verb: Verb,
    what: &str,
) -> Result<(), Failure> {
    if !session.may_ask() {
        let said = format!("This needs a yes, and there is nobody to ask: {what}. No money moved.");
        return Err(Failure::new(Exit::Usage, "needs-yes", said).next(format!(
            "earnest {} {} --yes",
            verb.word(),
            job.id.short()
        )));
    }
    let known = handle.people(Some(job.peer)).await?.pop();
    let known = known.filter(|person| person.settled > 0).map_or_else(
        || "No job with them has been settled before.".to_owned(),
        |person| format!("{} jobs with them were settled before.", person.settled),
    );
    let question = format!(
        "{what},\n  to {}\n  for \"{}\" (job {}).\n  {known}\nType yes to go on: ",
        crate::app::npub(&job.peer),
        job.title.or("(no title)"),
        job.id.short(),
    );
    let answer = ask_line(&question)?;
    if answer.trim().eq_ignore_ascii_case("yes") {
        return Ok(());
    }
    let said = "That was not a yes. Nothing was done, and no money moved.";
    Err(Failure::new(Exit::Interrupted, "not-confirmed", said))
}

/// Waits for the delivery while it is still being fetched and checked.
async fn payable(
    handle: &Handle,
    job: &JobView,
    patience: Duration,
    out: &mut Out,
) -> Result<std::sync::Arc<JobView>, Failure> {
    let refusal = |job: &JobView| {
        let offered = job.legal.iter().find(|offered| offered.verb == Verb::Accept);
        offered.and_then(|offered| offered.refusal.clone())
    };
    let fetching = |job: &JobView| refusal(job).is_some_and(|why| why.code == "not-inspected");
    if fetching(job) && !patience.is_zero() {
        if !out.is_json() {
            out.say("The delivery is still being fetched and checked. Waiting for it.")?;
        }
        wait_until(handle, patience, |now| now.jobs.get(&job.id).is_none_or(|job| !fetching(job)))
            .await;
    }
    let gone = || Failure::new(Exit::Offline, "ended", "The engine has ended. No money moved.");
    let job = seen(handle, &job.id).ok_or_else(gone)?;
    match refusal(&job) {
        Some(why) if why.code == "not-inspected" => {
            let failure = Failure::new(Exit::Offline, why.code, why.sentence);
            Err(failure.next(format!("earnest job {}", job.id.short())))
        }
        // An old one may be askable again by now: the engine says.
        Some(why) if why.code != "accepted" => Err(not_allowed(&job, why)),
        _ => Ok(job),
    }
}

/// What is not paid yet, and in how many parts.
fn remaining(job: &JobView) -> (Msat, u32) {
    let paid = job.delivery.as_ref().map_or(0, |delivery| delivery.paid);
    let parts = paid..job.tranches;
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    (parts.filter_map(|t| job.price.tranche(t, job.tranches)).sum(), count)
}

/// The most for routing one part, by the settings.
pub(super) fn routing(fees: &Fees, amount: Msat, parts: u32) -> Msat {
    let part = amount.tranche(parts.saturating_sub(1), parts).unwrap_or(amount);
    let base = Msat::sats(fees.routing_base_max_sats).unwrap_or(Msat::MAX);
    [part.ppm(u64::from(fees.routing_ppm_max)), base].into_iter().sum()
}

/// Gives a node that has just started time to get its channels back. Whether it is enough, the market
/// says.
pub(super) async fn funded(handle: &Handle, amount: Msat, patience: Duration) {
    let enough = |now: &std::sync::Arc<crate::engine::Snapshot>| {
        now.node.as_ref().is_some_and(|node| {
            // All there is, in channels that all work: waiting brings no more.
            let complete = node.running && node.channels_usable == node.channels;
            node.balances.lightning_spendable >= amount || complete
        })
    };
    wait_until(handle, patience.min(CHANNELS_COME), enough).await;
}

/// Paid and opened, or not to be.
fn is_over(job: &JobView) -> bool {
    match job.phase {
        Phase::Accepted | Phase::Paying => false,
        Phase::Cheated => job.delivery.as_ref().is_some_and(|d| d.proof.is_some()),
        _ => true,
    }
}

fn is_paid(milestone: &MilestoneView) -> bool {
    milestone.stage == MilestoneStage::Paid
}

/// One of several milestones is paid.
fn tell_part(job: &JobView, n: usize, amount: Msat, out: &mut Out) -> Result<Exit, Failure> {
    let part = &job.milestones[n];
    let told = Told {
        amount: Some(amount),
        fee: Some(part.fee),
        file: part.output.clone(),
        money: Money::Spent,
        ..Told::new(Verb::Accept, job, "paid")
    };
    out.record(&told)?;
    let (n, all) = (n + 1, job.milestones.len());
    let to = name::short(&job.peer);
    out.line(&format!(
        "Paid: {amount}, and {} for routing, to {to}: milestone {n} of {all}.",
        part.fee
    ))?;
    let file = part.output.as_ref().map(|file| file.display().to_string());
    out.line(&format!("It is what the worker signed: {}", file.unwrap_or_default()))?;
    say_next(out, &told.next)?;
    Ok(Exit::Done)
}

fn tell(job: &JobView, amount: Msat, patience: Duration, out: &mut Out) -> Result<Exit, Failure> {
    let id = job.id.short();
    let delivery = job.delivery.as_ref();
    let mut told = Told { amount: Some(amount), ..Told::new(Verb::Accept, job, "paid") };
    told.fee = delivery.map(|d| d.fee);
    let some_paid = delivery.is_some_and(|d| d.paid > 0);
    match job.phase {
        Phase::Settled => {
            told.money = Money::Spent;
            told.file = delivery.and_then(|d| d.output.clone());
            out.record(&told)?;
            let fee = told.fee.unwrap_or_default();
            out.line(&format!(
                "Paid: {amount}, and {fee} for routing, to {}.",
                name::short(&job.peer)
            ))?;
            let file = told.file.as_ref().map(|file| file.display().to_string());
            let what = match job.mode {
                Mode::Sealed | Mode::Escrow => "It opened and is what the worker signed",
                Mode::Direct => "It is what the worker signed",
            };
            out.line(&format!("{what}: {}", file.unwrap_or_default()))?;
            say_next(out, &told.next)?;
            Ok(Exit::Done)
        }
        Phase::Cheated => {
            (told.outcome, told.money) = ("cheated", Money::Spent);
            told.file = delivery.and_then(|d| d.proof.clone());
            let proof =
                told.file.as_ref().map(|file| format!("earnest verify-proof {}", file.display()));
            out.record(&told)?;
            let said = format!(
                "The key that was paid for {id} does not open what the worker signed. The proof of it is \
                 published under your name, and nothing more is paid."
            );
            let failure = Failure::new(Exit::Failed, "cheated", said).money(Money::Spent);
            Err(proof.into_iter().fold(failure, Failure::next))
        }
        Phase::Accepted | Phase::Paying => {
            let held = job.phase == Phase::Paying;
            told.money = match (held, some_paid) {
                (true, _) => Money::Held,
                (false, true) => Money::Spent,
                (false, false) => Money::Untouched,
            };
            told.outcome = if patience.is_zero() { "committed" } else { "not-yet-paid" };
            out.record(&told)?;
            if patience.is_zero() {
                out.line(&format!(
                    "Accepted {id}: it is paid when the worker's bill comes, while earnest runs. No \
                     money moved yet."
                ))?;
                return Ok(Exit::Done);
            }
            let said = match held {
                true => format!("The payment for {id} is on its way; what comes of it is kept."),
                false => format!(
                    "The worker has not sent its bill for {id} yet. It is paid when the bill comes, \
                     while earnest runs, and never twice."
                ),
            };
            Err(Failure::new(Exit::Offline, "not-yet-paid", said)
                .money(told.money)
                .next("earnest run")
                .next(format!("earnest job {id}")))
        }
        _ => {
            told.outcome = "not-paid";
            told.money = if some_paid { Money::Spent } else { Money::Untouched };
            out.record(&told)?;
            let why = job.reason.as_ref().map_or("The job is over.", |why| why.as_str());
            let said = format!("{id} was not paid: {why}");
            let failure = Failure::new(Exit::Failed, "not-paid", said).money(told.money);
            Err(told.next.into_iter().fold(failure, Failure::next))
        }
    }
}
