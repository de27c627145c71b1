//! What changed between two snapshots, in lines of bounded size.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::{
    CaseView, JobView, NodeStatus, PostView, RelayHealth, Shelf, Snapshot, differences,
};
use crate::market::{BidId, CaseId, EventId, Msat, Pubkey, Time};

/// Jobs and gigs in one line. One view is at most some 100 KiB of JSON, so a line stays far below
/// [`super::MOST_SAID`].
const VIEWS: usize = 64;
/// Cases in one line. All that both sides may bring to one is below 1 MiB.
const CASES: usize = 16;

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
    /// Cases that are new or other than they were.
    #[serde(default)]
    pub(super) cases: Vec<Arc<CaseView>>,
    #[serde(default)]
    pub(super) cases_gone: Vec<CaseId>,
    /// Gigs of ours that are new or other than they were.
    pub(super) posts: Vec<Arc<PostView>>,
    pub(super) posts_gone: Vec<EventId>,
    /// Another part follows.
    pub(super) more: bool,
}

/// The same of a shelf, at the price of what has changed.
fn moved<V: PartialEq>(old: &Shelf<V>, new: &Shelf<V>) -> (Vec<Arc<V>>, Vec<EventId>) {
    let (mut others, mut gone) = (Vec::new(), Vec::new());
    for (id, _, is) in differences(old, new) {
        match is {
            Some(is) => others.push(is.clone()),
            None => gone.push(id),
        }
    }
    (others, gone)
}

/// What is new in a map or other than it was, and what is no more.
fn changed<K: Ord + Copy, V: PartialEq>(
    old: &BTreeMap<K, Arc<V>>,
    new: &BTreeMap<K, Arc<V>>,
) -> (Vec<Arc<V>>, Vec<K>) {
    let same = |a: &Arc<V>, b: &Arc<V>| Arc::ptr_eq(a, b) || a == b;
    let other = |(id, view): &(&K, &Arc<V>)| old.get(*id).is_none_or(|was| !same(was, view));
    let gone = old.keys().filter(|id| !new.contains_key(id)).copied().collect();
    (new.iter().filter(other).map(|(_, view)| view.clone()).collect(), gone)
}

/// What makes `new` of `old`, as a list that is never empty.
pub(super) fn between(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    // Each by its name, so that nothing that is added to a snapshot stays with the owner.
    let Snapshot {
        at,
        identity,
        node,
        reserved,
        halted,
        relays,
        jobs,
        cases,
        posts,
        waiting,
        parked,
    } = new;
    let (jobs, jobs_gone) = moved(&old.jobs, jobs);
    let (cases, cases_gone) = changed(&old.cases, cases);
    let (posts, posts_gone) = moved(old.posts.shelf(), posts.shelf());

    let lines =
        [jobs.len().div_ceil(VIEWS), posts.len().div_ceil(VIEWS), cases.len().div_ceil(CASES)];
    let lines = lines.into_iter().max().unwrap_or_default().max(1);
    let mut jobs = jobs.chunks(VIEWS).map(<[_]>::to_vec);
    let mut cases = cases.chunks(CASES).map(<[_]>::to_vec);
    let mut posts = posts.chunks(VIEWS).map(<[_]>::to_vec);
    let mut parts: Vec<Change> = Vec::with_capacity(lines);
    for n in 1..=lines {
        parts.push(Change {
            jobs: jobs.next().unwrap_or_default(),
            cases: cases.next().unwrap_or_default(),
            posts: posts.next().unwrap_or_default(),
            more: n < lines,
            ..Change::default()
        });
    }
    if let Some(last) = parts.last_mut() {
        *last = Change {
            at: *at,
            identity: *identity,
            node: node.clone(),
            reserved: *reserved,
            halted: halted.clone(),
            relays: relays.clone(),
            waiting: *waiting,
            parked: *parked,
            jobs_gone,
            cases_gone,
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
        to.cases.extend(self.cases.into_iter().map(|case| (case.id, case)));
        for post in self.posts {
            to.posts.insert(post);
        }
        for id in &self.posts_gone {
            to.posts.remove(id);
        }
        if self.more {
            return;
        }
        for id in &self.jobs_gone {
            to.jobs.remove(id);
        }
        for id in &self.cases_gone {
            to.cases.remove(id);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{CasePhase, JobId};
    use crate::text::Clean;

    fn case(n: u8, phase: CasePhase) -> (CaseId, Arc<CaseView>) {
        let id = EventId([n; 32]);
        let view = CaseView {
            id,
            job: JobId([n; 32]),
            phase,
            since: Time(1),
            title: Clean::default(),
            content: Clean::default(),
            requester: Pubkey([1; 32]),
            worker: Pubkey([2; 32]),
            price: Msat::ZERO,
            fee: Msat::ZERO,
            deterministic: false,
            height: 1,
            deliver_by: 2,
            verdict_by: 3,
            escalate_by: 4,
            object_by: 5,
            rule_by: 6,
            end: 7,
            dispute: None,
            objection: None,
            exhibits: Vec::new(),
            missing: Vec::new(),
            notes: Vec::new(),
            finding: None,
            checks: Vec::new(),
            output: None,
            ruling: None,
            for_worker: None,
            for_requester: None,
            otherwise: "nothing".into(),
            stuck: Vec::new(),
            facts: 1,
        };
        (id, Arc::new(view))
    }

    /// What a guest has once it was told, through the form in which it is told.
    fn told(old: &Snapshot, new: &Snapshot) -> (Snapshot, usize) {
        let parts = between(old, new);
        let (mut guest, lines) = (old.clone(), parts.len());
        for part in parts {
            let line = serde_json::to_string(&part).unwrap();
            serde_json::from_str::<Change>(&line).unwrap().apply(&mut guest);
        }
        (guest, lines)
    }

    #[test]
    fn a_guest_sees_the_cases_that_the_owner_judges() {
        let nothing = Snapshot::default();
        let of =
            |cases: Vec<_>| Snapshot { cases: cases.into_iter().collect(), ..Snapshot::default() };
        let many = of((0..40).map(|n| case(n, CasePhase::Holding)).collect());
        assert_eq!(told(&nothing, &many), (many.clone(), 3));
        let mut later = many.clone();
        later.cases.extend([case(3, CasePhase::Disputed)]);
        later.cases.remove(&EventId([7; 32]));
        assert_eq!(told(&many, &later), (later.clone(), 1));
        assert_eq!(between(&many, &later)[0].cases.len(), 1, "only what changed is told");
    }
}
