//! What a bot tells whoever started it: one line an event, and a tally at the end.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::market::{EventId, Msat, Time};

/// One thing that a bot did, would do, or cannot do, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Event {
    /// Stable, kebab-case: `posted`, `awarded`, `accepted`, `delivered`, `refused`, `waits`...
    pub what: &'static str,
    /// Which item of the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// Which job or gig.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<EventId>,
    /// The money it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Msat>,
    /// Of what waits: when it goes on at the latest, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Why, or what came of it: our own words.
    pub why: String,
    /// Only said, not done: a dry run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry: bool,
}

impl Event {
    /// An event about nothing in particular.
    pub fn new(what: &'static str, why: impl Into<String>) -> Self {
        Self { what, item: None, log: None, amount: None, until: None, why: why.into(), dry: false }
    }

    /// About this item.
    #[must_use]
    pub fn item(self, item: &str) -> Self {
        Self { item: Some(item.to_owned()), ..self }
    }

    /// About this job or gig.
    #[must_use]
    pub fn log(self, log: EventId) -> Self {
        Self { log: Some(log), ..self }
    }

    /// About this much money.
    #[must_use]
    pub fn amount(self, amount: Msat) -> Self {
        Self { amount: Some(amount), ..self }
    }
}

/// What a bot has to show for itself, read from the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Tally {
    /// Items of the queue that were read.
    pub items: u64,
    /// Gigs published.
    pub posted: u64,
    /// Of these, for an item that had one before.
    pub reposted: u64,
    /// Items with a result that is paid and opened.
    pub accepted: u64,
    /// Jobs in which a worker was caught: a key that opens something else, or work that fails its checks.
    pub caught: u64,
    /// Items given up.
    pub failed: u64,
    /// Why, by item; of the first thousand.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub given_up: BTreeMap<String, String>,
    /// Paid to workers, routing fees included.
    pub spent: Msat,
    /// As a worker: deliveries that were paid.
    pub earned_jobs: u64,
    /// As a worker: what came in.
    pub earned: Msat,
}
