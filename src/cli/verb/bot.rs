//! `earnest bot`: what automation may do, and its brake.

use serde::Serialize;

use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Out};
use crate::engine::BudgetView;
use crate::market::Msat;

/// Look at what bots and agents may spend, stop them all, let them go on.
///
/// The limits are settings (`earnest help config`, bot.*); no policy and no model can pass them.
#[derive(Debug, clap::Args)]
pub(crate) struct Bot {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Show the limits, and what is spent of them
    Budget,
    /// Stop all bots and agents at once
    Stop {
        /// Why, for whoever looks later
        #[arg(default_value = "")]
        why: String,
    },
    /// Let bots and agents go on
    Start,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Shown<'a> {
    #[serde(flatten)]
    view: &'a BudgetView,
    left: Msat,
}

impl Bot {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.with_engine(out, "earnest bot", async |handle, out| {
            let view = match &self.act {
                Act::Budget => handle.budget().await?,
                Act::Stop { why } => handle.halt(why).await?,
                Act::Start => handle.resume().await?,
            };
            out.record(&Shown { view: &view, left: view.left() })?;
            if out.is_json() {
                return Ok(Exit::Done);
            }
            match (&self.act, &view.halted) {
                (Act::Start, _) => out.line("Bots and agents may go on.")?,
                (_, Some(why)) if why.is_empty() => out.line("Bots and agents are stopped.")?,
                (_, Some(why)) => out.line(&format!("Bots and agents are stopped: {why}"))?,
                _ => {}
            }
            for (name, value) in rows(&view) {
                out.line(&format!("{name:<22}{value}"))?;
            }
            for job in &view.waiting {
                out.line(&format!("{:<22}{}", "waits for your word", job.short()))?;
                out.say(&format!("  next: earnest approve {}", job.short()))?;
            }
            Ok(Exit::Done)
        })
    }
}

fn rows(view: &BudgetView) -> Vec<(&'static str, String)> {
    let b = &view.budget;
    let modes: Vec<&str> = b.modes.iter().map(|mode| mode.word()).collect();
    vec![
        ("one job", format!("at most {}", b.per_job)),
        ("alone up to", b.approve_above.to_string()),
        ("promised, not over", format!("{} of {}", view.at_risk, b.at_risk)),
        ("paid in an hour", format!("{} of {}, less what is promised", view.hour, b.per_hour)),
        ("paid in a day", format!("{} of {}, less what is promised", view.day, b.per_day)),
        ("one person in a day", format!("at most {}", b.per_person)),
        ("routing", format!("at most {} ppm and {}", b.fee_ppm, b.fee_base)),
        ("modes", modes.join(", ")),
        ("left now", view.left().to_string()),
    ]
}
