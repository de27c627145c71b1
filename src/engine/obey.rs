//! What a command does to the core: one place for the loop of the program and for whoever drives a core by hand.

use std::path::PathBuf;

use crate::engine::{Command, Core, Fault, Files, MOST_INPUT, Receipt, Store, Trouble};
use crate::market::{Actor, Ask, Attachment, BidId, EventId, GigDraft};

/// A command whose files are copies of our own.
#[derive(Debug)]
pub enum Ready {
    /// One without files.
    Plain(Box<Command>),
    /// A gig and its inputs.
    Post {
        /// As written.
        draft: Box<GigDraft>,
        /// Where our copies lie.
        inputs: Vec<(Attachment, PathBuf)>,
        /// What makes it one gig, however often it is asked.
        key: Option<String>,
    },
    /// A delivery.
    Deliver {
        /// Of which job.
        job: BidId,
        /// Where our copy lies.
        source: PathBuf,
        /// What it is.
        file: Attachment,
        /// For a person.
        message: String,
    },
}

impl Ready {
    /// Copies the files of a command; those of a gig go into `folder`. `by_files` says of a job of ours whether its
    /// work is a folder, each file of it by itself.
    ///
    /// # Errors
    /// There is no such job, or a file cannot be copied.
    pub async fn prepare(
        command: Command,
        files: &dyn Files,
        folder: EventId,
        by_files: impl FnOnce(&BidId) -> Option<bool> + Send,
    ) -> Result<Self, Trouble> {
        Ok(match command {
            Command::Post { draft, inputs, key } => {
                let mut copies = Vec::new();
                for input in inputs {
                    copies.push(files.adopt(&folder, &input, MOST_INPUT).await?);
                }
                Self::Post { draft: Box::new(draft), inputs: copies, key }
            }
            Command::Deliver { job, file, message } => {
                let Some(by_files) = by_files(&job) else {
                    return Err(Trouble::NotFound { what: "job".into(), id: job.to_string() });
                };
                // The terms' own limit is the market's to judge; this one is only sanity.
                let most = crate::seal::MAX_TOTAL;
                let (file, source) = match by_files {
                    true => files.adopt_folder(&job, &file, most).await?,
                    false => files.adopt(&job, &file, most).await?,
                };
                Self::Deliver { job, source, file, message }
            }
            other => Self::Plain(Box::new(other)),
        })
    }
}

/// Does it in the name of whoever asks, and says which log it changed and how long that is now.
///
/// # Errors
/// What the market says of it, or the world.
pub fn obey<S: Store>(
    core: &mut Core<S>,
    by: Option<&Actor>,
    ready: Ready,
) -> Result<Receipt, Trouble> {
    let log = match by {
        None => done(core, ready)?,
        Some(by) => core.acting(by, |core| done(core, ready))?,
    };
    let case = core.case(&log).map(|case| case.n);
    Ok(match core.job(&log).map(|job| job.n).or(case) {
        Some(facts) => Receipt { log, facts },
        None => {
            let post = core.post_by(&log);
            Receipt { log: post.map_or(log, |p| p.id), facts: post.map_or(0, |p| p.n) }
        }
    })
}

/// Does it, and says which log it changed.
fn done<S: Store>(core: &mut Core<S>, ready: Ready) -> Result<EventId, Trouble> {
    let command = match ready {
        Ready::Post { draft, inputs, key } => {
            return core.post_once(&draft, inputs, key);
        }
        Ready::Deliver { job, source, file, message } => {
            let (size, name, nonce) = (file.size, file.name.0, core.nonce());
            core.ask(&job, Ask::Deliver { source, size, name, message, nonce })?;
            return Ok(job);
        }
        Ready::Plain(command) => *command,
    };
    let (job, ask) = match command {
        Command::Bid { gig, wish, message } => {
            return core.bid(&gig, wish, &message);
        }
        Command::Close { gig } => return core.close(&gig).map(|()| gig),
        Command::Award { job } => return core.award(&job).map(|()| job),
        Command::Decline { job, reason } => {
            let nonce = core.nonce();
            (job, Ask::Decline { reason, nonce })
        }
        Command::Withdraw { job, reason } => (job, Ask::Withdraw { reason }),
        Command::Fund { job, max_fee } => {
            return core.fund(&job, max_fee).map(|()| job);
        }
        Command::Accept { job, max_fee } => (job, Ask::Accept { max_fee }),
        Command::Reject { job, reason } => (job, Ask::Reject { reason }),
        Command::Cancel { job, reason } => (job, Ask::Cancel { reason }),
        Command::Dispute { job, reason } => (job, Ask::Dispute { reason }),
        Command::Object { job, reason } => (job, Ask::Object { reason }),
        Command::Rule { case, whose, reason } => {
            return core.rule(&case, whose, reason).map(|()| case);
        }
        Command::CaseNote { case, text } => return core.case_note(&case, text).map(|()| case),
        Command::Note { job, text } => (job, Ask::Note { text }),
        Command::Rate { job, stars, comment } => (job, Ask::Rate { stars, comment }),
        Command::Approve { job } => (job, Ask::Approve),
        Command::Post { .. } | Command::Deliver { .. } => {
            let why = "files are copied before a command comes here".into();
            return Err(Fault::Never(why).into());
        }
    };
    core.ask(&job, ask)?;
    Ok(job)
}
