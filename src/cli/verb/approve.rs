//! `earnest approve`: a person's word for what a bot or an agent may not decide alone.

use std::time::Duration;

use crate::cli::complete;
use crate::cli::deed::{Told, ask, not_allowed, until};
use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Out, name};
use crate::engine::{Command, JobView};
use crate::market::{Refusal, Verb};

/// How long it may take until what was written down is shown.
const SEEN: Duration = Duration::from_secs(5);

/// Let a bot or an agent do a job whose price is above what it may decide alone.
///
/// Its other limits still hold (`earnest bot budget`). It goes on when it asks again, which a bot does by
/// itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Approve {
    /// The job, or the beginning of its id
    #[arg(add = complete::jobs())]
    job: String,
    /// Do not ask whether you mean it
    #[arg(long)]
    yes: bool,
}

impl Approve {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.with_jobs(out, "earnest approve", async |handle, out| {
            let now = handle.watch().borrow().clone();
            let job = name::job(&now, &self.job)?;
            let Some((by, verb)) = job.asked.clone() else {
                let sentence = "No bot or agent asks for your word on this job.";
                return Err(not_allowed(&job, Refusal::new("not-asked", sentence)));
            };
            let (id, price) = (job.id.short(), job.price);
            if !self.yes && !agreed(session, &job, &format!("{by} may {} {id}", verb.word()))? {
                let said = "Nothing was approved. No money moved.";
                return Err(Failure::new(Exit::Refused, "not-approved", said));
            }
            // It is said to nobody else: nothing waits for a relay.
            let receipt = ask(handle, &job, Command::Approve { job: job.id }).await?;
            let (now, _) = until(handle, receipt, SEEN, |_| true).await?;
            out.record(&Told::new(Verb::Approve, &now, "committed"))?;
            out.line(&format!("{by} may do job {id} for {price}. No money moved yet."))?;
            Ok(Exit::Done)
        })
    }
}

fn agreed(session: &Session, job: &JobView, what: &str) -> Result<bool, Failure> {
    if !session.may_ask() {
        let said = "There is nobody to ask whether this is meant. Nothing was approved.";
        return Err(Failure::new(Exit::Usage, "needs-yes", said).next("Give --yes"));
    }
    let said = format!("{what}: “{}”, for {}? [y/N] ", job.title.or("(no title)"), job.price);
    let answer = crate::cli::session::ask_line(&said)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
