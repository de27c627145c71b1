//! `earnest close`: a gig of ours takes no more bids.

use std::time::Duration;

use serde::Serialize;

use crate::cli::complete;
use crate::cli::session::{Session, wait_until};
use crate::cli::{Exit, Failure, Out, name};
use crate::engine::Command;
use crate::market::EventId;

/// Take no more bids on a gig of yours.
///
/// Jobs that are awarded go on.
#[derive(Debug, clap::Args)]
pub(crate) struct Close {
    /// The gig, or the beginning of its id
    #[arg(add = complete::posts())]
    gig: String,
    /// Seconds to wait for a relay; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Closed {
    did: &'static str,
    gig: EventId,
    outcome: &'static str,
    money: crate::cli::Money,
}

impl Close {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.with_jobs(out, "earnest close", async |handle, out| {
            let now = handle.watch().borrow().clone();
            let gig = name::post(&now, &self.gig)?;
            let receipt = handle.ask(Command::Close { gig: gig.id }).await?;
            let (mut refused, mut why) = (false, None);
            let patience = Duration::from_secs(self.wait);
            let published = wait_until(handle, patience, |now| {
                let Some(post) = now.posts.iter().find(|post| post.id == receipt.log) else {
                    return false;
                };
                why = post.pending.iter().find_map(|effect| effect.why.clone());
                refused = post.pending.iter().any(|effect| effect.parked);
                post.facts >= receipt.facts && (refused || post.pending.is_empty())
            })
            .await;
            let outcome = match (published, refused) {
                (_, true) => "relays-refuse",
                (true, false) => "sent",
                (false, false) if self.wait == 0 => "committed",
                (false, false) => "not-yet-sent",
            };
            let money = crate::cli::Money::Untouched;
            out.record(&Closed { did: "close", gig: gig.id, outcome, money })?;
            let id = gig.id.short();
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            match outcome {
                "sent" => out.line(&format!(
                    "Gig {id} takes no more bids; jobs that are awarded go on. No money moved."
                ))?,
                "committed" => out
                    .line(&format!("Written down: close {id}. It goes out while earnest runs."))?,
                "relays-refuse" => {
                    let said = format!("No relay takes the closed gig {id}{why}. No money moved.");
                    return Err(Failure::new(Exit::Failed, "relays-refuse", said)
                        .next("earnest relays"));
                }
                _ => {
                    let said = format!(
                        "It is signed and kept, but no relay has taken it yet{why}. It goes out while \
                         earnest runs; do not do it again."
                    );
                    return Err(Failure::new(Exit::Offline, "not-yet-sent", said)
                        .next("earnest run")
                        .next("earnest relays"));
                }
            }
            Ok(Exit::Done)
        })
    }
}
