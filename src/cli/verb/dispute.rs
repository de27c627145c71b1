//! `earnest dispute`: calls the judge of a job in escrow.

use std::time::Duration;

use crate::cli::deed::Plain;
use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Out, name};
use crate::engine::Command;
use crate::market::Verb;

/// Call the judge of a job in escrow.
///
/// The judge is given what you both signed and what opens the work, looks for itself, and rules. The money
/// stays locked until then. A worker's earnest calls by itself when the requester says nothing in time.
/// A requester who calls alone shows the judge no work: a judge by program then waits for the worker's call, and
/// without one the money comes back by height.
#[derive(Debug, clap::Args)]
pub(crate) struct Dispute {
    /// The job, or the beginning of its id
    job: String,
    /// Why, for the judge and the other side
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Seconds to wait for a relay; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

impl Dispute {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.with_jobs(out, "earnest dispute", async |handle, out| {
            let now = handle.watch().borrow().clone();
            let job = name::job(&now, &self.job)?;
            let command = Command::Dispute { job: job.id, reason: self.reason.clone() };
            let by = job.escrow.as_ref().and_then(|e| e.judge.as_ref()?.rule_by);
            let by = by.map(|at| format!(" It rules by block {at}.")).unwrap_or_default();
            let done = format!(
                "The judge of {} is called.{by} The money stays locked until then; without a ruling it goes back.",
                job.id.short()
            );
            let patience = Duration::from_secs(self.wait);
            Plain { verb: Verb::Dispute, job: &job, command, patience, done }.run(handle, out).await
        })
    }
}
