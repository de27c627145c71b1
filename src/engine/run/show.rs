//! What people see of the engine: views of what changed, gathered into a snapshot.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Runner;
use crate::engine::{
    CaseView, Changed, JobView, MOST_PENDING, PendingView, PostView, Snapshot, Store,
};
use crate::market::{EventId, Role};

/// Between two snapshots lies four times what making one takes, or four times this.
const LONGEST_SHOW: Duration = Duration::from_millis(25);

impl<S: Store + 'static> Runner<S> {
    /// What of one log is begun and not done.
    fn pending(&self, log: &EventId) -> Vec<PendingView> {
        let rows = self.core.store().pending(log, MOST_PENDING).unwrap_or_default();
        rows.into_iter().map(PendingView::of).collect()
    }

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
        let still =
            logs.is_empty() && !whole && shown.node == self.node && shown.relays == self.health;
        if still && shown.identity.is_some() {
            return;
        }
        let mut posts = BTreeSet::new();
        for id in &logs {
            if let Some(case) = self.core.case(id) {
                self.cases.insert(*id, Arc::new(CaseView::of(case, self.core.tip())));
                continue;
            }
            let Some(job) = self.core.job(id) else {
                posts.insert(*id);
                continue;
            };
            if job.role == Role::Requester {
                posts.extend(self.core.post_of(&job.gig));
            }
            if self.core.hides(job) {
                self.views.remove(id);
                continue;
            }
            let view = JobView::of(job, now, progress.get(id).copied());
            let view = JobView { pending: self.pending(id), ..view };
            self.views.insert(*id, Arc::new(view));
        }
        for id in posts {
            let Some(post) = self.core.posts().get(&id) else { continue };
            let bids = post.gig().into_iter().flat_map(|gig| self.core.bids_on(gig));
            if let Some(view) = PostView::of(post, bids.filter(|job| !self.core.hides(job))) {
                let view = PostView { pending: self.pending(&id), ..view };
                self.posts.insert(id, Arc::new(view));
            }
        }
        let (waiting, parked) = self.core.store().outbox().unwrap_or_default();
        let snapshot = Snapshot {
            at: now,
            identity: Some(self.core.identity()),
            node: self.node.clone(),
            reserved: self.core.reserved(),
            halted: self.core.halted().cloned(),
            relays: self.health.clone(),
            jobs: self.views.clone(),
            cases: self.cases.clone(),
            posts: self.posts.values().cloned().collect(),
            waiting,
            parked,
        };
        self.shown.send_replace(Arc::new(snapshot));
        self.show_again = Instant::now() + began.elapsed().min(LONGEST_SHOW) * 4;
    }
}
