//! `earnest fund`: locks the money of a job in escrow.

use std::time::Duration;

use super::accept::{as_confirmed, confirm, funded, routing};
use crate::cli::complete;
use crate::cli::deed::{Told, ask, say_next, until};
use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Money, Out, name};
use crate::engine::{Command, JobView};
use crate::market::{Msat, Phase, Verb};

/// Lock the money of a job in escrow, so that the worker begins.
///
/// The money leaves this node and is held at the worker's, which cannot take it before you accept. If you
/// never do, or nothing is delivered, it comes back by the height that is shown before. Asks before it locks
/// anything, unless --yes is given.
#[derive(Debug, clap::Args)]
pub(crate) struct Fund {
    /// The job, or the beginning of its id
    #[arg(add = complete::jobs())]
    job: String,
    /// Lock without asking
    #[arg(long, short)]
    yes: bool,
    /// Do it only if this is what would be locked: for scripts
    #[arg(long, value_name = "SATS", allow_hyphen_values = true)]
    amount: Option<Msat>,
    /// The most to pay for routing; from the settings if left out
    #[arg(long, value_name = "SATS", allow_hyphen_values = true)]
    max_fee: Option<Msat>,
    /// Seconds to wait until it is locked; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

impl Fund {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let config = session.config()?;
        let patience = Duration::from_secs(self.wait);
        session.with_jobs(out, "earnest fund", async |handle, out| {
            let job = name::job(&handle.watch().borrow().clone(), &self.job)?;
            let offered = job.legal.iter().find(|offered| offered.verb == Verb::Fund);
            let max_fee = self.max_fee.unwrap_or_else(|| routing(&config.fees, job.price, 1));
            if offered.is_some_and(|offered| offered.refusal.is_none()) {
                as_confirmed(&job, self.amount, job.price, "lock")?;
            }
            let command = Command::Fund { job: job.id, max_fee };
            // Nobody is asked to confirm what cannot be: the market says why not.
            if offered.is_some_and(|offered| offered.refusal.is_none()) && !self.yes {
                let height = handle.watch().borrow().node.as_ref().map_or(0, |node| node.height);
                let held = job.escrow.as_ref().map(|escrow| {
                    let back = escrow.back_by(height);
                    format!(". {} If nothing happens it is back by {back}", escrow.risk)
                });
                let what = format!(
                    "Lock {}, and pay at most {max_fee} for routing{}",
                    job.price,
                    held.unwrap_or_default()
                );
                confirm(session, handle, &job, Verb::Fund, &what).await?;
            }
            funded(handle, job.price, patience).await;
            let receipt = ask(handle, &job, command).await?;
            let (now, _) = until(handle, receipt, patience, |job| !is_under_way(job)).await?;
            tell(&now, patience, out)
        })
    }
}

fn is_under_way(job: &JobView) -> bool {
    matches!(job.phase, Phase::Awarded | Phase::Funding)
}

fn tell(job: &JobView, patience: Duration, out: &mut Out) -> Result<Exit, Failure> {
    let (id, escrow) = (job.id.short(), job.escrow.as_ref());
    let locked = escrow.is_some_and(|escrow| escrow.locked);
    let mut told = Told { amount: Some(job.price), ..Told::new(Verb::Fund, job, "funded") };
    told.fee = escrow.map(|escrow| escrow.fee);
    told.money = if locked { Money::Held } else { Money::Untouched };
    if is_under_way(job) {
        told.outcome = if patience.is_zero() { "committed" } else { "not-yet-funded" };
        let money = told.money;
        out.record(&told)?;
        let said = match locked {
            true => format!(
                "The money for {id} is on its way to the worker's node or held there, and the worker has \
                 not confirmed it: it does once its channel has 3 confirmations."
            ),
            false => format!("The worker's bill for {id} is awaited. Nothing is locked yet."),
        };
        if patience.is_zero() || locked {
            out.line(&said)?;
            return Ok(Exit::Done);
        }
        return Err(Failure::new(Exit::Offline, "not-yet-funded", said)
            .money(money)
            .next("earnest run")
            .next(format!("earnest job {id}")));
    }
    if job.phase != Phase::Working {
        told.outcome = "not-funded";
        let money = told.money;
        out.record(&told)?;
        let why = job.reason.as_ref().map_or("The job is over.", |why| why.as_str());
        let failure = Failure::new(Exit::Failed, "not-funded", format!("{id}: {why}"));
        return Err(failure.money(money).next(format!("earnest job {id}")));
    }
    out.record(&told)?;
    let back = escrow.and_then(|escrow| escrow.refund_by);
    let back = back.map(|at| format!(" If nothing happens it is back by block {at}."));
    out.line(&format!(
        "{} are locked for {id} at the worker's node, which cannot take them before you accept.{}",
        job.price,
        back.unwrap_or_default(),
    ))?;
    say_next(out, &told.next)?;
    Ok(Exit::Done)
}
