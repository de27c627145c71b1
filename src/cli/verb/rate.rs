//! `earnest rate`: one to five stars for the other side.

use std::time::Duration;

use crate::cli::complete;
use crate::cli::deed::Plain;
use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Out, name};
use crate::engine::Command;
use crate::market::Verb;

/// Give the other side one to five stars, when the job is over.
#[derive(Debug, clap::Args)]
pub(crate) struct Rate {
    /// The job, or the beginning of its id
    #[arg(add = complete::jobs())]
    job: String,
    /// From 1 to 5
    stars: u8,
    /// In words
    #[arg(default_value = "")]
    comment: String,
    /// Seconds to wait for a relay; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

impl Rate {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.with_jobs(out, "earnest rate", async |handle, out| {
            let now = handle.watch().borrow().clone();
            let job = name::job(&now, &self.job)?;
            let command =
                Command::Rate { job: job.id, stars: self.stars, comment: self.comment.clone() };
            let done =
                format!("Job {} is rated, {} of 5. No money moved.", job.id.short(), self.stars);
            let patience = Duration::from_secs(self.wait);
            let verb = Verb::Rate;
            Plain { verb, job: &job, command, patience, done }.run(handle, out).await
        })
    }
}
