//! `earnest object`: answers what the other side says to the judge.

use std::time::Duration;

use crate::cli::deed::Plain;
use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Out, name};
use crate::engine::Command;
use crate::market::Verb;

/// Answer what the other side says to the judge of a job in escrow. Once; the judge rules after it.
#[derive(Debug, clap::Args)]
pub(crate) struct Object {
    /// The job, or the beginning of its id
    job: String,
    /// What is not so, for the judge and the other side
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Seconds to wait for a relay; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

impl Object {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.with_jobs(out, "earnest object", async |handle, out| {
            let now = handle.watch().borrow().clone();
            let job = name::job(&now, &self.job)?;
            let command = Command::Object { job: job.id, reason: self.reason.clone() };
            let done = format!(
                "The judge of {} is given your answer. The money stays locked until it rules.",
                job.id.short()
            );
            let patience = Duration::from_secs(self.wait);
            Plain { verb: Verb::Object, job: &job, command, patience, done }.run(handle, out).await
        })
    }
}
