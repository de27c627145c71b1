//! What people see of the engine: views of what changed, gathered into a snapshot.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Runner;
use crate::engine::{Changed, Snapshot, Store};

/// Between two snapshots lies four times what making one takes, or four times this.
const LONGEST_SHOW: Duration = Duration::from_millis(25);

impl<S: Store + 'static> Runner<S> {
    /// Publishes the snapshot, if anything in it may have changed. Where that takes long, not every time.
    pub(super) fn show(&mut self) {
        let began = Instant::now();
        self.unshown = began < self.show_again;
        if self.unshown {
            return;
        }
        let now = self.ports.clock.now();
        let progress = self.progress.lock().map(|p| p.clone()).unwrap_or_default();
        let Changed { mut logs, whole } = self.core.take_changed();
        logs.extend(progress.keys());
        let shown = self.shown.borrow().clone();
        let still = logs.is_empty() && !whole && !self.views.are_due(now);
        let still = still && shown.node == self.node && shown.relays == self.health;
        if still && shown.identity.is_some() {
            return;
        }
        self.views.renew(&self.core, &logs, now, &progress);
        let (waiting, parked) = self.core.store().outbox().unwrap_or_default();
        let snapshot = Snapshot {
            at: now,
            identity: Some(self.core.identity()),
            node: self.node.clone(),
            reserved: self.core.reserved(),
            halted: self.core.halted().cloned(),
            relays: self.health.clone(),
            jobs: self.views.jobs.clone(),
            cases: self.views.cases.clone(),
            posts: self.views.posts.clone(),
            waiting,
            parked,
        };
        self.shown.send_replace(Arc::new(snapshot));
        self.show_again = Instant::now() + began.elapsed().min(LONGEST_SHOW) * 4;
    }
}
