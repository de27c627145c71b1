//! `earnest relays`: how each relay is doing.

use std::time::Duration;

use super::gigs::wait_for_relays;
use crate::cli::session::Session;
use crate::cli::{Column, Exit, Failure, Out};
use crate::engine::{RelayHealth, RelayLimits};
use crate::market::Time;
use crate::text::{Align, Limit, Raw};

/// Show how each relay is doing, and what it says it takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Relays {
    /// Seconds to wait until they have answered
    #[arg(long, value_name = "SECONDS", default_value_t = 8)]
    wait: u64,
}

const COLUMNS: [Column; 6] = [
    Column { name: "relay", align: Align::Left },
    Column { name: "state", align: Align::Left },
    Column { name: "heard", align: Align::Right },
    Column { name: "took ours", align: Align::Right },
    Column { name: "in", align: Align::Right },
    Column { name: "takes", align: Align::Left },
];

impl Relays {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let patience = Duration::from_secs(self.wait);
        session.with_engine(out, "earnest relays", async |handle, out| {
            wait_for_relays(handle, patience, out).await?;
            let now = handle.watch().borrow().clone();
            let at = crate::app::now();
            let mut rows = Vec::new();
            for relay in &now.relays {
                out.record(relay)?;
                rows.push(row(relay, at));
            }
            let none = "No relay is configured. Give one: --relay URL";
            out.table(&COLUMNS, &rows, none)?;
            if !out.is_json() {
                for relay in &now.relays {
                    if let Some(trouble) = &relay.trouble {
                        out.say(&format!("{}: {trouble}", relay.url))?;
                    }
                }
            }
            Ok(Exit::Done)
        })
    }
}

fn row(relay: &RelayHealth, now: Time) -> Vec<String> {
    let state = match (relay.connected, relay.live) {
        (true, true) => "live",
        (true, false) => "reading",
        _ => "away",
    };
    let ago = |at: Option<Time>| at.map_or("never".into(), |at| format!("{} ago", at.until(now)));
    vec![
        Raw::from(relay.url.as_str()).clean(Limit::one_line(80)).to_string(),
        state.to_owned(),
        ago(relay.heard_at),
        ago(relay.took_at),
        relay.latency_ms.map(|ms| format!("{ms} ms")).unwrap_or_default(),
        relay.limits.as_ref().map_or("not said".to_owned(), takes),
    ]
}

fn takes(limits: &RelayLimits) -> String {
    let mut all = Vec::new();
    let mut add = |limit: Option<u64>, what: &str| {
        all.extend(limit.map(|limit| format!("{limit} {what}")));
    };
    add(limits.max_message, "bytes");
    add(limits.max_content, "characters");
    add(limits.max_tags, "tags");
    add(limits.min_pow, "bits of work");
    add(limits.max_answer, "an answer");
    if limits.payment_required {
        all.push("payers only".to_owned());
    }
    if all.is_empty() { "anything".to_owned() } else { all.join(", ") }
}
