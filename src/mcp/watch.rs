//! Resources: the jobs and the wallet as documents, and what changed in them since they were last told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::{JobView, PostView, Snapshot};
use crate::market::{EventId, Msat, Phase, Status};
use crate::mcp::view;

/// All gigs and jobs.
pub(super) const JOBS: &str = "earnest://jobs";
/// What the wallet has.
pub(super) const WALLET: &str = "earnest://wallet";

/// What a resource is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    Jobs,
    Wallet,
    Job(EventId),
    Gig(EventId),
}

impl About {
    /// Reads an address.
    pub(super) fn read(uri: &str) -> Option<Self> {
        match uri {
            JOBS => Some(Self::Jobs),
            WALLET => Some(Self::Wallet),
            _ => match (uri.strip_prefix(view::JOB), uri.strip_prefix(view::GIG)) {
                (Some(id), _) => id.parse().ok().map(Self::Job),
                (_, Some(id)) => id.parse().ok().map(Self::Gig),
                _ => None,
            },
        }
    }
}

/// What of a job is worth telling: more bytes of a file are not.
#[derive(Debug, Clone, PartialEq, Eq)]
struct JobMark {
    facts: u64,
    phase: Phase,
    inspected: bool,
    open: bool,
    can: Vec<bool>,
    stuck: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct GigMark {
    bids: u32,
    awarded: u32,
    status: Status,
    pending: usize,
}

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Marks {
    jobs: BTreeMap<EventId, JobMark>,
    gigs: BTreeMap<EventId, GigMark>,
    wallet: Option<(Msat, Msat, Msat, u32)>,
}

impl Marks {
    /// Takes the newest snapshot; answers the resources that changed, and whether there are others now.
    pub(super) fn take(&mut self, now: &Snapshot) -> (BTreeSet<String>, bool) {
        let next = Self {
            jobs: now.jobs.values().map(|job| (job.id, mark_job(job))).collect(),
            gigs: now.posts.iter().map(|post| (post.id, mark_gig(post))).collect(),
            wallet: now.node.as_ref().map(|node| {
                let b = &node.balances;
                (b.lightning_spendable, b.onchain_total, now.reserved, node.channels_usable)
            }),
        };
        let mut changed = BTreeSet::new();
        for (id, mark) in &next.jobs {
            if self.jobs.get(id) != Some(mark) {
                changed.insert(format!("{}{id}", view::JOB));
            }
        }
        for (id, mark) in &next.gigs {
            if self.gigs.get(id) != Some(mark) {
                changed.insert(format!("{}{id}", view::GIG));
            }
        }
        if !changed.is_empty() {
            changed.insert(JOBS.to_owned());
        }
        if self.wallet != next.wallet {
            changed.insert(WALLET.to_owned());
        }
        let others =
            !self.jobs.keys().eq(next.jobs.keys()) || !self.gigs.keys().eq(next.gigs.keys());
        *self = next;
        (changed, others)
    }
}

fn mark_job(job: &Arc<JobView>) -> JobMark {
    JobMark {
        facts: job.facts,
        phase: job.phase,
        inspected: job.delivery.as_ref().is_some_and(|d| d.inspected),
        open: job.delivery.as_ref().is_some_and(|d| d.output.is_some()),
        can: job.legal.iter().map(|offered| offered.refusal.is_none()).collect(),
        stuck: job.stuck.len(),
    }
}

fn mark_gig(post: &PostView) -> GigMark {
    let (bids, awarded) = (post.bids, post.awarded);
    GigMark { bids, awarded, status: post.gig.status, pending: post.pending.len() }
}
