//! As a requester: what to do next, from what the engine shows and the queue says. Decides nothing twice
//! and keeps no book of its own: which item a gig is for stands in the gig's key.

mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tokio::time::Instant;

use crate::bot::{Accept, Asking, Choose, Item, Queue, Tally};
use crate::engine::{BudgetView, JobView, PostView, Snapshot, Verdict};
use crate::market::{
    Actor, BidId, Digest, EventId, Mode, Msat, Phase, Pubkey, Role, Status, Time, Verb, Wish,
};

use standing::{Standing, key_of, parse_key};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Publish the gig of an item, under this key.
    Post(String),
    /// Take no more bids.
    Close,
    /// Give the job to the bidder.
    Award,
    /// Say no to a bid.
    Decline(&'static str),
    /// Lock the money; the most for routing.
    Fund(Msat),
    /// Pay, or release; the most for routing each tranche.
    Accept(Msat),
    /// Let the person's command look at this file.
    Verify(PathBuf),
    /// Send it back.
    Reject(&'static str),
    /// Stop.
    Cancel(&'static str),
    /// Put the result into the folder.
    Collect(PathBuf),
    /// As a worker: bid.
    Bid(Wish),
    /// As a worker: take a bid back.
    Withdraw(&'static str),
    /// As a worker: do the work.
    Work,
    /// Nothing can be done without a person.
    Leave,
    /// Nothing more is done about it.
    GiveUp,
}

impl Deed {
    /// Stable, kebab-case.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Post(_) => "post",
            Self::Close => "close",
            Self::Award => "award",
            Self::Decline(_) => "decline",
            Self::Fund(_) => "fund",
            Self::Accept(_) => "accept",
            Self::Verify(_) => "verify",
            Self::Reject(_) => "reject",
            Self::Cancel(_) => "cancel",
            Self::Collect(_) => "collect",
            Self::Bid(_) => "bid",
            Self::Withdraw(_) => "withdraw",
            Self::Work => "work",
            Self::Leave => "leave",
            Self::GiveUp => "give-up",
        }
    }
}

/// A deed, what it is about, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// What.
    pub deed: Deed,
    /// For which item of the queue.
    pub item: Option<usize>,
    /// To which gig or job.
    pub log: Option<EventId>,
    /// The money it is about.
    pub amount: Option<Msat>,
    /// Why, in our own words.
    pub why: String,
}

impl Intent {
    pub(super) fn new(deed: Deed, why: impl Into<String>) -> Self {
        Self { deed, item: None, log: None, amount: None, why: why.into() }
    }
    pub(super) fn of_job(deed: Deed, job: &JobView, why: impl Into<String>) -> Self {
        Self { log: Some(job.id), amount: Some(job.price), ..Self::new(deed, why) }
    }
    fn for_item(self, item: usize) -> Self {
        Self { item: Some(item), ..self }
    }
}

/// A requester's bot.
pub struct Asker {
    policy: Asking,
    me: Actor,
    /// What is to be done.
    pub queue: Queue,
    finished: BTreeSet<usize>,
    given_up: BTreeSet<usize>,
    first_bid: BTreeMap<usize, Instant>,
    /// What the person's command said of a delivery.
    verified: BTreeMap<(BidId, u32), Verdict>,
}

impl Asker {
    /// One that has not looked yet.
    pub fn new(policy: Asking, me: Actor, queue: Queue) -> Self {
        Self {
            policy,
            me,
            queue,
            finished: BTreeSet::new(),
            given_up: BTreeSet::new(),
            first_bid: BTreeMap::new(),
            verified: BTreeMap::new(),
        }
    }

    /// How it acts.
    pub fn policy(&self) -> &Asking {
        &self.policy
    }

    /// The result of this item is where it belongs.
    pub fn finish(&mut self, item: usize) {
        self.finished.insert(item);
    }

    /// What the person's command said of the delivery that stands in this job.
    pub fn verified(&mut self, job: &JobView, said: Verdict) {
        if let Some(delivery) = &job.delivery {
            self.verified.insert((job.id, delivery.number), said);
        }
    }

    /// Whether nothing is left to do, now and later.
    pub fn is_done(&self) -> bool {
        let over = self.finished.len() + self.given_up.len();
        self.queue.closed && over >= self.queue.items().len()
    }

    /// Items that are over: with a result, and given up.
    pub fn over(&self) -> (usize, usize) {
        (self.finished.len(), self.given_up.len())
    }

    /// Whether an earlier run has published something for these items.
    pub fn began_before(&self, snapshot: &Snapshot) -> bool {
        self.mine(snapshot).next().is_some()
    }

    /// Our gigs for items of this queue, with the item and the number of the try.
    fn mine<'s, 'a>(
        &'s self,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = (usize, u32, &'a PostView)> + use<'s, 'a> {
        snapshot
            .posts
            .iter()
            .map(|post| &**post)
            .filter(|post| post.by.as_ref() == Some(&self.me))
            .filter_map(|post| {
                let (id, n) = parse_key(post.key.as_deref()?);
                Some((self.queue.find(id)?.0, n, post))
            })
    }

    /// What to do now. `left` is what the budget has left, `now` the clock's word and `at` a steady one's.
    pub fn intents(
        &mut self,
        snapshot: &Snapshot,
        budget: &BudgetView,
        now: Time,
        at: Instant,
    ) -> Vec<Intent> {
        let fee = (u64::from(budget.budget.fee_ppm), budget.budget.fee_base);
        let standing = Standing::of(self, snapshot, fee, now);
        let mut purse = Purse::of(snapshot, budget, self.policy.total, &standing);
        let mut out = Vec::new();
        let mut in_flight = standing.items.len();
        let mut busy = standing.busy.clone();
        let mut awarded: u32 = busy.values().sum();
        for (item, stand) in &standing.items {
            let before = out.len();
            self.tend(*item, stand, &standing, &mut out);
            if let Some((job, _)) = stand.settled.first() {
                out.extend(collect(job).map(|intent| intent.for_item(*item)));
                continue;
            }
            if stand.active.is_empty() && out.len() == before {
                let bids = Bids { item: *item, stand, standing: &standing, now, at };
                self.choose(bids, &mut purse, &mut busy, &mut awarded, &mut out);
            }
        }
        let waits = snapshot.halted.is_some();
        let most = usize::try_from(self.policy.at_once).unwrap_or(usize::MAX);
        for (n, item) in self.queue.items().iter().enumerate() {
            if in_flight >= most || waits {
                break;
            }
            let over = self.finished.contains(&n) || self.given_up.contains(&n);
            if over || standing.items.contains_key(&n) {
                continue;
            }
            let price = self.price_of(item);
            if let Err(why) = purse.offer(price) {
                if in_flight == 0 && purse.total_is_spent(price) {
                    self.given_up.insert(n);
                    out.push(Intent::new(Deed::GiveUp, why).for_item(n));
                    continue;
                }
                break;
            }
            in_flight += 1;
            let why = format!("item {} of the queue has no gig yet", item.id);
            let post = Deed::Post(key_of(&item.id, 1));
            out.push(Intent { amount: Some(price), ..Intent::new(post, why) }.for_item(n));
        }
        for intent in out.iter().filter(|intent| intent.deed == Deed::GiveUp) {
            self.given_up.extend(intent.item);
        }
        out
    }

    /// What an item pays.
    pub fn price_of(&self, item: &Item) -> Msat {
        item.price.unwrap_or(self.policy.template.draft.price)
    }

    /// What is to be done about the jobs of an item that are under way or over.
    fn tend(
        &self,
        item: usize,
        stand: &standing::Stand<'_>,
        all: &Standing<'_>,
        out: &mut Vec<Intent>,
    ) {
        let mut push = |intent: Intent| out.push(intent.for_item(item));
        // Whoever was not chosen hears of it, and can take something else.
        if !stand.active.is_empty() || !stand.settled.is_empty() {
            for bid in stand.bids.iter().filter(|bid| may(bid, Verb::Decline)) {
                let deed = Deed::Decline("Somebody else was chosen for this one.");
                push(Intent::of_job(deed, bid, "the item has a worker already"));
            }
        }
        for job in &stand.active {
            if let Some(intent) = self.next(job, all.budget_fee(job)) {
                push(intent);
            }
        }
        if !stand.settled.is_empty() || !stand.active.is_empty() {
            return;
        }
        let Some((n, post)) = stand.newest() else { return };
        let stale = stand.is_stale(all.now);
        if post.gig.status == Status::Closed {
            push(Intent::new(Deed::GiveUp, "its gig was closed"));
        } else if stand.failed >= self.policy.tries || n >= self.policy.tries && stale {
            let intent = Intent::new(Deed::Close, "it was tried often enough");
            push(Intent { log: Some(post.gig.id), ..intent });
            push(Intent::new(
                Deed::GiveUp,
                format!("{n} gigs and {} jobs led to nothing", stand.failed),
            ));
        } else if stale {
            let why = match stand.caught.last() {
                Some(job) => format!(
                    "the worker of {} was caught: the slot is published again",
                    job.id.short()
                ),
                None => "the gig takes no bids any more".to_owned(),
            };
            push(Intent::new(Deed::Post(key_of(&self.queue.items()[item].id, n + 1)), why));
        }
    }

    /// What is to be done about a job that is not over.
    fn next(&self, job: &JobView, fee: Msat) -> Option<Intent> {
        if may(job, Verb::Fund) && job.phase == Phase::Awarded {
            let why = "the money is locked before the work";
            return Some(Intent::of_job(Deed::Fund(fee), job, why));
        }
        if !matches!(job.phase, Phase::Delivered | Phase::Accepted) {
            return None;
        }
        let delivery = job.delivery.as_ref()?;
        let accept =
            |why: &str| may(job, Verb::Accept).then(|| Intent::of_job(Deed::Accept(fee), job, why));
        if job.phase == Phase::Accepted {
            return accept("the bill did not come: it is asked for again");
        }
        let reject = |why: &'static str| {
            if delivery.number + 1 >= self.policy.tries && may(job, Verb::Cancel) {
                return Some(Intent::of_job(Deed::Cancel(why), job, "it was tried often enough"));
            }
            may(job, Verb::Reject).then(|| Intent::of_job(Deed::Reject(why), job, why))
        };
        let said = self.verified.get(&(job.id, delivery.number)).copied();
        match (&self.policy.accept, delivery.verdict) {
            (_, Some(Verdict::Fail)) => reject("It does not pass a check of the terms."),
            (_, Some(Verdict::Unsure)) => {
                Some(Intent::of_job(Deed::Leave, job, "a check cannot tell: a person decides"))
            }
            (Accept::Command(..), _) => match said {
                Some(Verdict::Pass) => accept("the verifying command says yes"),
                Some(Verdict::Fail) => reject("It is not what was asked: a program looked at it."),
                Some(Verdict::Unsure) => {
                    Some(Intent::of_job(Deed::Leave, job, "the verifying command cannot tell"))
                }
                None => {
                    let file = delivery.output.clone().filter(|_| delivery.inspected)?;
                    Some(Intent::of_job(
                        Deed::Verify(file),
                        job,
                        "it can be read before it is paid",
                    ))
                }
            },
            (Accept::Checks, None) if job.mode == Mode::Escrow => None,
            (Accept::Checks, Some(Verdict::Pass)) => accept("the checks pass"),
            (Accept::Checks, None) => accept(
                "it is what was signed; the checks speak when it is open, and at most one tranche is lost",
            ),
            (Accept::Inspected, _) => accept("it is what was signed"),
        }
    }

    /// Takes a bid on a gig that is open, if one will do.
    fn choose(
        &mut self,
        Bids { item, stand, standing, now, at }: Bids<'_>,
        purse: &mut Purse,
        busy: &mut BTreeMap<Pubkey, u32>,
        awarded: &mut u32,
        out: &mut Vec<Intent>,
    ) {
        let Some((_, post)) = stand.newest() else { return };
        if post.gig.status != Status::Open || post.gig.expires_at <= now {
            return;
        }
        let price = self.price_of(&self.queue.items()[item]);
        let mut open: Vec<&JobView> = Vec::new();
        for bid in &stand.bids {
            let no = match () {
                () if standing.cheats.contains(&bid.peer) => {
                    Some("You sealed something for us that was not what you signed.")
                }
                () if bid.price > price => Some("That is more than this pays."),
                () if !self.policy.template.draft.modes.contains(&bid.mode) => {
                    Some("Not in this settlement mode.")
                }
                () => None,
            };
            match no {
                Some(no) if may(bid, Verb::Decline) => {
                    out.push(Intent::of_job(Deed::Decline(no), bid, no).for_item(item));
                }
                None if may(bid, Verb::Award) => open.push(bid),
                _ => {}
            }
        }
        if open.is_empty() {
            return;
        }
        let since = *self.first_bid.entry(item).or_insert(at);
        // Whoever has done nothing for us yet gets one job: all that a stranger can take before it is caught.
        let free = |bid: &&&JobView| {
            let known = standing.did.contains_key(&bid.peer);
            let most = if known { self.policy.per_worker } else { 1 };
            busy.get(&bid.peer).copied().unwrap_or(0) < most
        };
        let best = open.iter().filter(free).min_by_key(|bid| {
            let did = standing.did.get(&bid.peer).copied().unwrap_or(0);
            let rank = match self.policy.choose {
                Choose::First => (0, Msat::ZERO),
                Choose::Cheapest => (0, bid.price),
                Choose::Trusted => (u64::MAX - did, bid.price),
            };
            // Of equals whoever has least to do.
            (rank, busy.get(&bid.peer).copied().unwrap_or(0), bid.since, bid.id)
        });
        let Some(best) = best else { return };
        if at.duration_since(since) < self.policy.wait || *awarded >= self.policy.at_once {
            return;
        }
        if purse.promise(best.price, best.tranches).is_err() {
            return;
        }
        *awarded += 1;
        *busy.entry(best.peer).or_default() += 1;
        self.first_bid.remove(&item);
        let why = format!("the {} of {} bids", self.word(), open.len());
        out.push(Intent::of_job(Deed::Award, best, why).for_item(item));
    }

    fn word(&self) -> &'static str {
        match self.policy.choose {
            Choose::First => "first",
            Choose::Cheapest => "cheapest",
            Choose::Trusted => "most trusted",
        }
    }

    /// What came of it all, as the engine shows it.
    pub fn tally(&self, snapshot: &Snapshot) -> Tally {
        let mut tally = Tally { items: self.queue.items().len() as u64, ..Tally::default() };
        let mut listings: BTreeSet<Digest> = BTreeSet::new();
        for (_, n, post) in self.mine(snapshot) {
            tally.posted += 1;
            tally.reposted += u64::from(n > 1);
            listings.insert(post.gig.listing);
        }
        for job in snapshot.jobs.values().filter(|job| listings.contains(&job.listing)) {
            tally.accepted += u64::from(job.phase == Phase::Settled && job.role == Role::Requester);
            tally.caught += u64::from(job.phase == Phase::Cheated);
            tally.spent = add(tally.spent, spent(job));
        }
        tally.failed = self.given_up.len() as u64;
        tally
    }
}

/// The bids of one item, and when they are looked at.
struct Bids<'a> {
    item: usize,
    stand: &'a standing::Stand<'a>,
    standing: &'a Standing<'a>,
    now: Time,
    at: Instant,
}

/// Whether the market offers a verb now.
pub(super) fn may(job: &JobView, verb: Verb) -> bool {
    job.legal.iter().any(|offered| offered.verb == verb && offered.refusal.is_none())
}

fn add(a: Msat, b: Msat) -> Msat {
    a.checked_add(b).unwrap_or(Msat::MAX)
}

/// What a job has cost so far, routing included.
fn spent(job: &JobView) -> Msat {
    if let Some(escrow) = &job.escrow {
        let paid = job.phase == Phase::Settled;
        return if paid { add(job.price, escrow.fee) } else { Msat::ZERO };
    }
    let Some(delivery) = &job.delivery else { return Msat::ZERO };
    let parts = (0..delivery.paid).filter_map(|t| job.price.tranche(t, job.tranches));
    add(parts.sum(), delivery.fee)
}

fn collect(job: &JobView) -> Option<Intent> {
    let file = job.delivery.as_ref()?.output.clone()?;
    Some(Intent::of_job(Deed::Collect(file), job, "it is paid and open"))
}

/// What may still be promised: what the node can send and has not promised, the budget, and the policy's
/// own total.
struct Purse {
    free: Msat,
    budget: Msat,
    total: Option<Msat>,
    /// What open gigs will cost once they are awarded.
    offered: Msat,
    fee: (u64, Msat),
}

impl Purse {
    fn of(
        snapshot: &Snapshot,
        view: &BudgetView,
        total: Option<Msat>,
        standing: &Standing<'_>,
    ) -> Self {
        let have = snapshot.node.as_ref().map_or(Msat::ZERO, |n| n.balances.lightning_spendable);
        // A twentieth stays for fees and for what is on its way.
        let free = have.saturating_sub(snapshot.reserved).saturating_sub(have.ppm(50_000));
        let budget = &view.budget;
        Self {
            free,
            budget: view.left(),
            total: total.map(|total| total.saturating_sub(standing.spent)),
            offered: standing.offered,
            fee: (u64::from(budget.fee_ppm), budget.fee_base),
        }
    }

    fn cost(&self, price: Msat, tranches: u32) -> Msat {
        let base = Msat::new(self.fee.1.get().saturating_mul(u64::from(tranches.max(1))));
        add(add(price, price.ppm(self.fee.0)), base.unwrap_or(Msat::MAX))
    }

    fn total_is_spent(&self, price: Msat) -> bool {
        self.total.is_some_and(|left| left < self.cost(price, 1))
    }

    /// One more gig, if there is room for it beside those that are open.
    fn offer(&mut self, price: Msat) -> Result<(), &'static str> {
        let cost = self.cost(price, 1);
        self.fits(add(self.offered, cost))?;
        self.offered = add(self.offered, cost);
        Ok(())
    }

    /// Sets aside what a job may cost. Gigs that are only open wait.
    fn promise(&mut self, price: Msat, tranches: u32) -> Result<(), &'static str> {
        let cost = self.cost(price, tranches);
        self.fits(cost)?;
        self.free = self.free.saturating_sub(cost);
        self.budget = self.budget.saturating_sub(cost);
        self.total = self.total.map(|left| left.saturating_sub(cost));
        Ok(())
    }

    fn fits(&self, cost: Msat) -> Result<(), &'static str> {
        if self.total.is_some_and(|left| left < cost) {
            return Err("the policy's total is spent");
        }
        if self.budget < cost {
            return Err("the budget has no room now");
        }
        if self.free < cost {
            return Err("the node cannot send more now");
        }
        Ok(())
    }
}
