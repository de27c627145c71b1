//! What changed between two snapshots, in lines of bounded size.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::{JobView, NodeStatus, PostView, RelayHealth, Snapshot};
use crate::market::{BidId, EventId, Msat, Pubkey, Time};

/// Jobs and gigs in one line. One view is at most some 100 KiB of JSON, so a line stays far below
/// [`super::MOST_SAID`].
const VIEWS: usize = 64;

/// A part of what changed. Parts are gathered until one that has none after it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) at: Time,
    pub(super) identity: Option<Pubkey>,
    pub(super) node: Option<NodeStatus>,
    pub(super) reserved: Msat,
    #[serde(default)]
    pub(super) halted: Option<String>,
    pub(super) relays: Vec<RelayHealth>,
    pub(super) waiting: u64,
    pub(super) parked: u64,
    /// Jobs that are new or other than they were.
    pub(super) jobs: Vec<Arc<JobView>>,
    pub(super) jobs_gone: Vec<BidId>,
    /// Gigs of ours that are new or other than they were.
    pub(super) posts: Vec<PostView>,
    pub(super) posts_gone: Vec<EventId>,
    /// Another part follows.
    pub(super) more: bool,
}

/// What makes `new` of `old`, as a list that is never empty.
pub(super) fn between(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    let same = |a: &Arc<JobView>, b: &Arc<JobView>| Arc::ptr_eq(a, b) || a == b;
    let changed =
        |(id, job): &(&BidId, &Arc<JobView>)| old.jobs.get(*id).is_none_or(|was| !same(was, job));
    let jobs: Vec<Arc<JobView>> =
        new.jobs.iter().filter(changed).map(|(_, job)| job.clone()).collect();
    let jobs_gone = old.jobs.keys().filter(|id| !new.jobs.contains_key(id)).copied().collect();

    let was: BTreeMap<EventId, &PostView> = old.posts.iter().map(|p| (p.id, p)).collect();
    let is: BTreeMap<EventId, &PostView> = new.posts.iter().map(|p| (p.id, p)).collect();
    let changed = |post: &&PostView| was.get(&post.id) != Some(post);
    let posts: Vec<PostView> = new.posts.iter().filter(changed).cloned().collect();
    let posts_gone = was.keys().filter(|id| !is.contains_key(id)).copied().collect();

    let lines = jobs.len().div_ceil(VIEWS).max(posts.len().div_ceil(VIEWS)).max(1);
    let mut jobs = jobs.chunks(VIEWS).map(<[_]>::to_vec);
    let mut posts = posts.chunks(VIEWS).map(<[_]>::to_vec);
    let mut parts: Vec<Change> = Vec::with_capacity(lines);
    for n in 1..=lines {
        let (jobs, posts) = (jobs.next().unwrap_or_default(), posts.next().unwrap_or_default());
        parts.push(Change { jobs, posts, more: n < lines, ..Change::default() });
    }
    if let Some(last) = parts.last_mut() {
        *last = Change {
            at: new.at,
            identity: new.identity,
            node: new.node.clone(),
            reserved: new.reserved,
            halted: new.halted.clone(),
            relays: new.relays.clone(),
            waiting: new.waiting,
            parked: new.parked,
            jobs_gone,
            posts_gone,
            ..std::mem::take(last)
        };
    }
    parts
}

impl Change {
    /// Brings `to` up to date. Only after the last part is it what the owner has.
    pub(super) fn apply(self, to: &mut Snapshot) {
        to.jobs.extend(self.jobs.into_iter().map(|job| (job.id, job)));
        if !self.posts.is_empty() || !self.posts_gone.is_empty() {
            let all = std::mem::take(&mut to.posts);
            let mut all: BTreeMap<EventId, PostView> = all.into_iter().map(|p| (p.id, p)).collect();
            all.extend(self.posts.into_iter().map(|post| (post.id, post)));
            all.retain(|id, _| !self.posts_gone.contains(id));
            to.posts = all.into_values().collect();
        }
        if self.more {
            return;
        }
        for id in &self.jobs_gone {
            to.jobs.remove(id);
        }
        to.at = self.at;
        to.identity = self.identity;
        to.node = self.node;
        to.reserved = self.reserved;
        to.halted = self.halted;
        to.relays = self.relays;
        to.waiting = self.waiting;
        to.parked = self.parked;
    }
}
