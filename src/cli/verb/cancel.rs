//! `earnest cancel`: stops a job.

use std::time::Duration;

use crate::cli::complete;
use crate::cli::deed::Plain;
use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Out, name};
use crate::engine::{Command, MilestoneStage};
use crate::market::Verb;

/// Stop a job that nothing was paid for, or one with milestones between two of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    /// The job, or the beginning of its id
    #[arg(add = complete::jobs())]
    job: String,
    /// Why, for the other side to read
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Seconds to wait for a relay; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

impl Cancel {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.with_jobs(out, "earnest cancel", async |handle, out| {
            let now = handle.watch().borrow().clone();
            let job = name::job(&now, &self.job)?;
            let command = Command::Cancel { job: job.id, reason: self.reason.clone() };
            let paid = job.milestones.iter().filter(|m| m.stage == MilestoneStage::Paid).count();
            let (id, all) = (job.id.short(), job.milestones.len());
            let done = match paid {
                0 => format!("Job {id} is cancelled for both sides. No money moved."),
                _ => format!(
                    "Job {id} ends here for both sides: {paid} of {all} milestones are paid, and nothing more will be."
                ),
            };
            let patience = Duration::from_secs(self.wait);
            let verb = Verb::Cancel;
            Plain { verb, job: &job, command, patience, done }.run(handle, out).await
        })
    }
}
