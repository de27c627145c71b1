//! How the items of a queue stand: folded from our gigs and jobs as the engine shows them.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Book;
use super::purse::{is_active, owed, rest};
use super::{Asker, add};
use crate::engine::{JobView, PostView};
use crate::market::{BidId, Budget, Msat, Phase, Pubkey, Time};

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

    /// How an item stands by its gigs and the jobs on them.
    fn of(book: &'a Book, item: &str) -> Self {
        let mut stand = Self { posts: book.gigs_of(item).collect(), ..Self::default() };
        let on = |(n, post): &(u32, &PostView)| {
            let n = *n;
            book.jobs_on(&post.gig.listing).map(move |job| (*job, n)).collect::<Vec<_>>()
        };
        let jobs: BTreeSet<(BidId, u32)> = stand.posts.iter().flat_map(on).collect();
        for (job, n) in jobs.into_iter().filter_map(|(id, n)| Some((book.job(&id)?, n))) {
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
        stand
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
    pub(super) book: &'a Book,
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
    /// Of what the book has last looked at.
    pub(super) fn of(asker: &Asker, book: &'a Book, budget: &'a Budget, now: Time) -> Self {
        let mut all = Self {
            now,
            items: BTreeMap::new(),
            busy: BTreeMap::new(),
            book,
            elsewhere: 0,
            offered: Msat::ZERO,
            spent: book.spent(),
            owed: Msat::ZERO,
            budget,
        };
        let items = asker.queue.items();
        for (n, item) in asker.playing.iter().filter_map(|n| Some((*n, items.get(*n)?))) {
            all.items.insert(n, Stand::of(book, &item.id));
        }
        // Whatever it is for: what was promised stays promised where its line is not read again.
        for job in book.open.iter().filter_map(|id| book.job(id)) {
            let promised = owed(budget, job);
            all.spent = add(all.spent, promised);
            all.owed = add(all.owed, promised);
            if !is_active(job) {
                continue;
            }
            *all.busy.entry(job.peer).or_default() += 1;
            let item = book.item_of(&job.listing).and_then(|id| asker.queue.find(id));
            let known = item.is_some_and(|(n, _)| all.items.contains_key(&n));
            all.elsewhere += usize::from(!known);
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
