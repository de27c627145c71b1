//! What is to be forgotten, and when (NIP-40 and the relay's own retention).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nostr::{Event, EventId, Filter, Timestamp};
use nostr_relay_builder::prelude::NostrDatabase;

use super::rules::Rules;
use crate::engine::Clock;
use crate::market::Time;

/// How often it is looked whether something has ended.
const LOOK: Duration = Duration::from_secs(5);
/// Events of one page, when the database is read through at the start.
const PAGE: usize = 500;
/// Events that are forgotten at once.
const BATCH: usize = 200;

/// Knows when each event ends. An entry of an event that was replaced meanwhile forgets nothing.
pub(super) struct Keeper {
    rules: Rules,
    clock: Arc<dyn Clock>,
    due: Mutex<BTreeSet<(Time, EventId)>>,
}

impl Keeper {
    pub(super) fn new(rules: Rules, clock: Arc<dyn Clock>) -> Self {
        Self { rules, clock, due: Mutex::default() }
    }

    /// Remembers when this event ends, if it does.
    pub(super) fn remember(&self, event: &Event) {
        if let Some(end) = self.rules.end_of(event) {
            self.due.lock().unwrap_or_else(PoisonError::into_inner).insert((end, event.id));
        }
    }

    /// Whether an event has ended: it is not served any more, also while it still lies on the disk.
    pub(super) fn has_ended(&self, event: &Event) -> bool {
        self.rules.end_of(event).is_some_and(|end| end <= self.clock.now())
    }

    /// Reads the database through once, then forgets what has ended, until it is dropped.
    pub(super) async fn run(&self, database: Arc<dyn NostrDatabase>) {
        if let Err(why) = self.read_through(&*database).await {
            tracing::error!(%why, "the relay's database cannot be read through: what is in it stays");
        }
        loop {
            tokio::time::sleep(LOOK).await;
            loop {
                let ended = self.take_ended();
                if ended.is_empty() {
                    break;
                }
                let count = ended.len();
                match database.delete(Filter::new().ids(ended)).await {
                    Ok(()) => tracing::debug!(count, "events were forgotten"),
                    Err(why) => tracing::error!(%why, "events that ended could not be forgotten"),
                }
            }
        }
    }

    fn take_ended(&self) -> Vec<EventId> {
        let now = self.clock.now();
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ended = Vec::new();
        while ended.len() < BATCH
            && let Some((end, id)) = due.first().copied()
            && end <= now
        {
            due.pop_first();
            ended.push(id);
        }
        ended
    }

    /// Page by page, newest first. Pages overlap in one second, so that none falls between two.
    async fn read_through(&self, database: &dyn NostrDatabase) -> anyhow::Result<()> {
        let mut until = None;
        let mut limit = PAGE;
        loop {
            let mut filter = Filter::new().limit(limit);
            if let Some(until) = until {
                filter = filter.until(until);
            }
            let page = database.query(filter).await?;
            let (count, mut oldest) = (page.len(), None::<Timestamp>);
            for event in page {
                oldest = Some(oldest.map_or(event.created_at, |at| at.min(event.created_at)));
                self.remember(&event);
            }
            match oldest {
                Some(oldest) if count >= limit => {
                    // A second with more events than a page holds needs a larger page.
                    limit = if until == Some(oldest) { limit * 2 } else { PAGE };
                    until = Some(oldest);
                }
                _ => return Ok(()),
            }
            tokio::task::yield_now().await;
        }
    }
}
