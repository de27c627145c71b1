//! `earnest note`: words for the other side of a job.

use std::time::Duration;

use crate::cli::complete;
use crate::cli::deed::Plain;
use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Out, name};
use crate::engine::Command;
use crate::market::Verb;

/// Write to the other side of a job.
#[derive(Debug, clap::Args)]
pub(crate) struct Note {
    /// The job, or the beginning of its id
    #[arg(add = complete::jobs())]
    job: String,
    /// What to say
    text: String,
    /// Seconds to wait for a relay; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

impl Note {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.with_jobs(out, "earnest note", async |handle, out| {
            let now = handle.watch().borrow().clone();
            let job = name::job(&now, &self.job)?;
            let command = Command::Note { job: job.id, text: self.text.clone() };
            let done = format!("The note for {} is at a relay. No money moved.", job.id.short());
            let patience = Duration::from_secs(self.wait);
            let verb = Verb::Note;
            Plain { verb, job: &job, command, patience, done }.run(handle, out).await
        })
    }
}
