//! `earnest award`: gives the job to a bidder.

use std::time::Duration;

use crate::cli::complete;
use crate::cli::deed::{Told, ask, finish, is_sent, until};
use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Out, name};
use crate::engine::Command;
use crate::market::Verb;

/// Give the job to a bidder.
///
/// Promises the price of the bid and pays nothing: that is done by `earnest accept`, once the delivery
/// is here.
#[derive(Debug, clap::Args)]
pub(crate) struct Award {
    /// The bid, or the beginning of its id
    #[arg(add = complete::jobs())]
    job: String,
    /// Seconds to wait for a relay; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

impl Award {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.with_jobs(out, "earnest award", async |handle, out| {
            let now = handle.watch().borrow().clone();
            let job = name::job(&now, &self.job)?;
            let patience = Duration::from_secs(self.wait);
            let receipt = ask(handle, &job, Command::Award { job: job.id }).await?;
            let (now, sent) = until(handle, receipt, patience, is_sent).await?;
            let told = Told { amount: Some(now.whole()), ..Told::new(Verb::Award, &now, "sent") };
            let by = now.deadline.map(|at| {
                let left = crate::app::now().until(at);
                format!(" The delivery is due in {left}.")
            });
            let done = format!(
                "Job {} is awarded to {} for {}.{} No money moved: you pay when you accept. The worker \
                 answers with the next thing it says.",
                now.id.short(),
                name::short(&now.peer),
                now.whole(),
                by.unwrap_or_default(),
            );
            finish(told, &now, (sent, job.stuck.len(), patience), &done, out)
        })
    }
}
