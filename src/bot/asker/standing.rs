//! How the items of a queue stand: folded from our gigs and jobs as the engine shows them.

use std::collections::{BTreeMap, BTreeSet};

use super::purse::{is_active, owed, rest, spent};
use super::{Asker, add};
use crate::engine::{JobView, PostView, Snapshot};
use crate::market::{Budget, Digest, Msat, Phase, Pubkey, Role, Time};

/// The key of the `n`-th gig for an item, from 1.
pub(super) fn key_of(id: &str, n: u32) -> String {
    if n <= 1 { id.to_owned() } else { format!("{id}#{n}") }
}

/// The item and the number of the try.
pub(super) fn parse_key(key: &str) -> (&str, u32) {
    match key.rsplit_once('#') {
        Some((id, n)) => (id, n.parse().unwrap_or(1)),
        None => (key, 1),
    }
}

/// One item.
#[derive(Default)]
pub(super) struct Stand<'a> {
    posts: Vec<(u32, &'a PostView)>,
    /// Bids that wait for an answer, on any of its gigs.
    pub(super) bids: Vec<&'a JobView>,
    /// Jobs that are under way.
    pub(super) active: Vec<&'a JobView>,
    /// Jobs that are paid and opened.
    pub(super) settled: Vec<(&'a JobView, u32)>,
    /// Jobs in which the worker was caught.
    pub(super) caught: Vec<&'a JobView>,
    /// Jobs that led to nothing.
    pub(super) failed: u32,
    /// Which try each job that was caught was of.
    caught_in: BTreeSet<u32>,
}

impl<'a> Stand<'a> {
    /// The last gig, and which try it is.
    pub(super) fn newest(&self) -> Option<(u32, &'a PostView)> {
        self.posts.iter().max_by_key(|(n, _)| *n).copied()
    }

    /// Whether nobody can bid on the last gig any more and nothing comes of it.
    pub(super) fn is_stale(&self, now: Time) -> bool {
        let Some((n, post)) = self.newest() else { return false };
        self.caught_in.contains(&n) || post.gig.expires_at <= now
    }
}

/// All items that have a gig and are not finished.
pub(super) struct Standing<'a> {
    pub(super) now: Time,
    pub(super) items: BTreeMap<usize, Stand<'a>>,
    /// Jobs under way, by worker.
    pub(super) busy: BTreeMap<Pubkey, u32>,
    /// Whoever was caught, ever.
    pub(super) cheats: BTreeSet<Pubkey>,
    /// Jobs that somebody did well for us, ever.
    pub(super) did: BTreeMap<Pubkey, u64>,
    /// Jobs under way for items that are not in `items`: of lines that are not read again.
    pub(super) elsewhere: usize,
    /// What open gigs without a worker will cost.
    pub(super) offered: Msat,
    /// What every job of this bot has cost, and what is promised for those that are not over.
    pub(super) spent: Msat,
    /// What is promised of it and not paid.
    pub(super) owed: Msat,
    budget: &'a Budget,
}

impl<'a> Standing<'a> {
    pub(super) fn of(asker: &Asker, snapshot: &'a Snapshot, budget: &'a Budget, now: Time) -> Self {
        let mut all = Self {
            now,
            items: BTreeMap::new(),
            busy: BTreeMap::new(),
            cheats: BTreeSet::new(),
            did: BTreeMap::new(),
            elsewhere: 0,
            offered: Msat::ZERO,
            spent: Msat::ZERO,
            owed: Msat::ZERO,
            budget,
        };
        let mut of: BTreeMap<Digest, (usize, u32)> = BTreeMap::new();
        for (item, n, post) in asker.mine(snapshot) {
            of.insert(post.gig.listing, (item, n));
            if !asker.is_over(item) {
                all.items.entry(item).or_default().posts.push((n, post));
            }
        }
        // Whatever it is for: what was promised stays promised where its line is not read again.
        let ours = asker.posts(snapshot).map(|post| post.gig.listing).collect::<BTreeSet<_>>();
        for job in snapshot.jobs.values().filter(|job| job.role == Role::Requester) {
            if job.caught {
                all.cheats.insert(job.peer);
            }
            match job.phase {
                Phase::Settled => *all.did.entry(job.peer).or_default() += 1,
                _ => {}
            }
            if !ours.contains(&job.listing) {
                continue;
            }
            let promised = owed(budget, job);
            all.spent = add(all.spent, add(spent(job), promised));
            all.owed = add(all.owed, promised);
            if is_active(job) {
                *all.busy.entry(job.peer).or_default() += 1;
            }
            let item = of.get(&job.listing);
            let Some((n, stand)) = item.and_then(|(item, n)| Some((*n, all.items.get_mut(item)?)))
            else {
                all.elsewhere += usize::from(is_active(job));
                continue;
            };
            match job.phase {
                Phase::Bid => stand.bids.push(job),
                Phase::Settled => stand.settled.push((job, n)),
                Phase::Cheated => {
                    stand.caught.push(job);
                    stand.caught_in.insert(n);
                    stand.failed += 1;
                }
                Phase::Declined | Phase::Withdrawn => {}
                phase if phase.is_over() => stand.failed += 1,
                _ => stand.active.push(job),
            }
        }
        let open = all.items.values().filter(|s| s.active.is_empty() && s.settled.is_empty());
        let prices = open.filter_map(|stand| Some(stand.newest()?.1.gig.price));
        all.offered = prices.map(|price| rest(budget, price, 1, 0)).sum();
        all
    }

    /// The most that the budget allows for routing one tranche of a job.
    pub(super) fn budget_fee(&self, job: &JobView) -> Msat {
        let last = job.tranches.max(1) - 1;
        let part = match job.escrow {
            Some(_) => job.price,
            None => job.price.tranche(last, job.tranches.max(1)).unwrap_or(job.price),
        };
        self.budget.most_fee(part)
    }
}
