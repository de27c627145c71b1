//! Views of jobs, cases and gigs of ours, kept by log and made anew where a log changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::{
    CaseView, Core, JobView, MOST_PENDING, PendingView, PostView, Posts, Shelf, Store,
};
use crate::market::{BidId, CaseId, EventId, Role, Time, legal_until};

/// Every view there is, as of the last time that its log changed.
#[derive(Debug, Clone, Default)]
pub struct Views {
    /// Jobs, either role; without those of people who are hidden.
    pub jobs: Shelf<JobView>,
    /// Cases before us.
    pub cases: BTreeMap<CaseId, Arc<CaseView>>,
    /// Gigs of ours.
    pub posts: Posts,
    /// When time alone changes what can be done in a job.
    turns: BTreeSet<(Time, BidId)>,
}

impl Views {
    /// Whether time alone has changed something.
    pub fn are_due(&self, now: Time) -> bool {
        self.turns.first().is_some_and(|(at, _)| *at <= now)
    }

    /// Makes anew what these logs show at `now`, and what else time has changed by then. `fetched` is what is
    /// being fetched for a job: bytes here, and bytes in all.
    pub fn renew<S: Store>(
        &mut self,
        core: &Core<S>,
        logs: &BTreeSet<EventId>,
        now: Time,
        fetched: &BTreeMap<EventId, (u64, u64)>,
    ) {
        let pending = |log: &EventId| {
            let rows = core.store().pending(log, MOST_PENDING).unwrap_or_default();
            rows.into_iter().map(PendingView::of).collect()
        };
        let mut logs = logs.clone();
        while self.are_due(now) {
            logs.extend(self.turns.pop_first().map(|(_, id)| id));
        }
        // A gig counts its bids, and is made anew with any of them, once.
        let mut posts = BTreeSet::new();
        for id in &logs {
            if let Some(case) = core.case(id) {
                self.cases.insert(*id, Arc::new(CaseView::of(case, core.tip())));
                continue;
            }
            let Some(job) = core.job(id) else {
                posts.insert(*id);
                continue;
            };
            if job.role == Role::Requester {
                posts.extend(core.post_of(&job.gig));
            }
            if core.hides(job) {
                self.jobs.remove(id);
                continue;
            }
            let view = JobView::of(job, now, fetched.get(id).copied());
            let view = JobView { pending: pending(id), ..view };
            self.turns.extend(legal_until(job, now).map(|at| (at, *id)));
            self.jobs.insert(*id, Arc::new(view));
        }
        for id in posts {
            let Some(post) = core.posts().get(&id) else { continue };
            let bids = post.gig().into_iter().flat_map(|gig| core.bids_on(gig));
            if let Some(view) = PostView::of(post, bids.filter(|job| !core.hides(job))) {
                let view = PostView { pending: pending(&id), ..view };
                self.posts.insert(Arc::new(view));
            }
        }
    }
}
