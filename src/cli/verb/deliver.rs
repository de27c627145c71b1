//! `earnest deliver`: hands the work over.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::complete;
use crate::cli::deed::{Told, ask, finish, is_sent, not_allowed, say_next, until};
use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Out, name};
use crate::engine::{Command, JobView};
use crate::market::{Mode, Phase, Verb};

/// Hand the work over: one file, or a folder where the gig asks for one file by file.
///
/// The file is copied, sealed and announced; the requester fetches it from this machine while earnest
/// runs. In mode sealed nobody can read it before it is paid.
#[derive(Debug, clap::Args)]
pub(crate) struct Deliver {
    /// The job, or the beginning of its id
    #[arg(add = complete::jobs())]
    job: String,
    /// The file, pack several into one; the folder, where the gig cuts by files
    file: PathBuf,
    /// Words for the requester; repeat for more lines
    #[arg(long, value_name = "TEXT")]
    message: Vec<String>,
    /// Seconds to wait until it is sealed and announced; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    wait: u64,
}

/// Sealed and announced, or never to be.
fn is_over(job: &JobView) -> bool {
    match &job.delivery {
        Some(delivery) => delivery.manifest.is_some() && is_sent(job),
        None => true,
    }
}

impl Deliver {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.with_jobs(out, "earnest deliver", async |handle, out| {
            let now = handle.watch().borrow().clone();
            let job = name::job(&now, &self.job)?;
            // Before a large file is copied for nothing.
            let offered = job.legal.iter().find(|offered| offered.verb == Verb::Deliver);
            if let Some(why) = offered.and_then(|offered| offered.refusal.clone()) {
                return Err(not_allowed(&job, why));
            }
            let patience = Duration::from_secs(self.wait);
            let message = self.message.join("\n");
            let command = Command::Deliver { job: job.id, file: self.file.clone(), message };
            let receipt = ask(handle, &job, command).await?;
            let (now, over) = until(handle, receipt, patience, is_over).await?;
            let told = Told { amount: Some(now.price), ..Told::new(Verb::Deliver, &now, "announced") };
            let id = now.id.short();
            let signed = now.delivery.as_ref().filter(|d| d.manifest.is_some());
            let Some(delivery) = signed else {
                return not_sealed(told, &now, over, patience, out);
            };
            let how = match now.mode {
                Mode::Sealed => "sealed: it opens with the payment",
                Mode::Direct => "in the open",
                Mode::Escrow => "with its key: the money is locked already",
            };
            let done = format!(
                "{} ({} bytes) is announced for {id}, {how}. The requester fetches it from this machine \
                 while earnest runs. No money moved yet: {} come when the requester accepts.",
                delivery.name.or("The file"),
                delivery.size,
                now.price,
            );
            finish(told, &now, (over, job.stuck.len(), patience), &done, out)
        })
    }
}

fn not_sealed(
    mut told: Told,
    job: &JobView,
    over: bool,
    patience: Duration,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let id = job.id.short();
    if over && job.phase == Phase::Working {
        told.outcome = "not-sealed";
        out.record(&told)?;
        let why = job.reason.as_ref().map_or("", |why| why.as_str());
        let said = format!("The file for {id} could not be sealed: {why} Nothing was sent.");
        let failure = Failure::new(Exit::Failed, "not-sealed", said);
        return Err(told.next.into_iter().fold(failure, Failure::next));
    }
    if patience.is_zero() {
        told.outcome = "committed";
        out.record(&told)?;
        out.line(&format!(
            "Written down: deliver {id}. It is sealed and sent while earnest runs."
        ))?;
        say_next(out, &["earnest run".to_owned()])?;
        return Ok(Exit::Done);
    }
    told.outcome = "not-yet-sealed";
    out.record(&told)?;
    let said = format!(
        "The file for {id} is copied and still being sealed. It is announced when that is done, while \
         earnest runs; do not deliver it again."
    );
    Err(Failure::new(Exit::Offline, "not-yet-sealed", said)
        .next("earnest run")
        .next(format!("earnest job {id}")))
}
