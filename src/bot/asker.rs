//! As a requester: what to do next, from what the engine shows and the queue says. Decides nothing twice
//! and keeps no book of its own: which item a gig is for stands in the gig's key.

mod book;
mod choose;
mod purse;
mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tokio::time::Instant;

use crate::bot::{Accept, Asking, Item, Queue, Tally};
use crate::engine::{BudgetView, JobView, PostView, Snapshot, Verdict};
use crate::market::{
    Actor, BidId, Budget, Digest, EventId, GigDraft, Mode, Msat, Phase, Role, Status, Time, Verb,
    Wish,
};

use book::Book;
use choose::Bids;
pub use purse::Short;
pub(super) use purse::rest;
use purse::{Lack, Purse, dearest, spent};
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
    /// As a worker: hand this over.
    Deliver(PathBuf),
    /// Nothing now: there is too little of something, until this moment at the latest if time mends it.
    Wait(Short, Option<Time>),
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
            Self::Deliver(_) => "deliver",
            Self::Wait(..) => "waits",
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
    /// And why.
    given_up: BTreeMap<usize, String>,
    first_bid: BTreeMap<usize, Instant>,
    /// What the person's command said of a delivery.
    verified: BTreeMap<(BidId, u32), Verdict>,
    /// Jobs of people against whom something was proven meanwhile.
    convicted: BTreeSet<BidId>,
    book: Book,
    /// Items that have a gig, and those that have none, as far as they are not over; how many of the queue are
    /// in one of the two.
    playing: BTreeSet<usize>,
    untouched: BTreeSet<usize>,
    placed: usize,
    /// Bids of people who may get no more for now, and until when others go before them.
    aside: BTreeMap<BidId, Instant>,
}

impl Asker {
    /// One that has not looked yet.
    pub fn new(policy: Asking, me: Actor, queue: Queue) -> Self {
        Self {
            policy,
            me,
            queue,
            finished: BTreeSet::new(),
            given_up: BTreeMap::new(),
            first_bid: BTreeMap::new(),
            verified: BTreeMap::new(),
            convicted: BTreeSet::new(),
            book: Book::default(),
            playing: BTreeSet::new(),
            untouched: BTreeSet::new(),
            placed: 0,
            aside: BTreeMap::new(),
        }
    }

    /// Takes in what is shown now.
    pub(super) fn look(&mut self, snapshot: &Snapshot) {
        let changed = self.book.look(&self.me, snapshot);
        let changed = changed.iter().filter_map(|id| Some(self.queue.find(id)?.0));
        let fresh = self.placed..self.queue.items().len();
        for n in changed.chain(fresh).collect::<Vec<_>>() {
            self.place(n);
        }
        self.placed = self.queue.items().len();
    }

    fn place(&mut self, n: usize) {
        self.playing.remove(&n);
        self.untouched.remove(&n);
        if let Some(item) = self.queue.items().get(n).filter(|_| !self.is_over(n)) {
            match self.book.has_gig(&item.id) {
                true => self.playing.insert(n),
                false => self.untouched.insert(n),
            };
        }
    }

    /// Jobs of this bot in which somebody was caught, and their price.
    pub(super) fn caught(&self) -> &BTreeMap<BidId, Msat> {
        &self.book.caught
    }

    /// How it acts.
    pub fn policy(&self) -> &Asking {
        &self.policy
    }

    /// The result of this item is where it belongs.
    pub fn finish(&mut self, item: usize) {
        self.finished.insert(item);
        self.place(item);
    }

    /// Nothing comes of this item, and its place is another's.
    pub fn give_up(&mut self, item: usize, why: &str) {
        if !self.finished.contains(&item) {
            self.given_up.entry(item).or_insert_with(|| why.to_owned());
            self.place(item);
        }
    }

    /// The engine pays nothing for what this job's worker seals: its place is another's.
    pub fn convict(&mut self, job: BidId) {
        self.convicted.insert(job);
    }

    /// Whoever made this bid may get no more for now: until then the next best is as good.
    pub fn set_aside(&mut self, bid: BidId, until: Instant) {
        self.aside.insert(bid, until);
    }

    /// Whether nothing is left to do for this item.
    pub fn is_over(&self, item: usize) -> bool {
        self.finished.contains(&item) || self.given_up.contains_key(&item)
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

    /// Every gig of this bot.
    fn posts<'s, 'a>(
        &'s self,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = &'a PostView> + use<'s, 'a> {
        let posts = snapshot.posts.iter().map(|post| &**post);
        posts.filter(|post| post.by.as_ref() == Some(&self.me))
    }

    /// Our gigs for items of this queue, with the item and the number of the try.
    fn mine<'s, 'a>(
        &'s self,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = (usize, u32, &'a PostView)> + use<'s, 'a> {
        self.posts(snapshot).filter_map(|post| {
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
        self.look(snapshot);
        self.aside.retain(|_, until| at < *until);
        let book = std::mem::take(&mut self.book);
        let out = self.think(&book, snapshot, budget, now, at);
        self.book = book;
        for intent in out.iter().filter(|intent| intent.deed == Deed::GiveUp) {
            if let Some(item) = intent.item {
                self.give_up(item, &intent.why);
            }
        }
        out
    }

    fn think(
        &mut self,
        book: &Book,
        snapshot: &Snapshot,
        budget: &BudgetView,
        now: Time,
        at: Instant,
    ) -> Vec<Intent> {
        let standing = Standing::of(self, book, &budget.budget, now);
        let mut purse = Purse::of(snapshot, budget, self.policy.total, &standing);
        let mut out = Vec::new();
        // What there is too little of, each once: it is told, not done.
        let mut lacks: BTreeMap<Short, Lack> = BTreeMap::new();
        let mut in_flight = standing.items.len() + standing.elsewhere;
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
                let lack = self.choose(bids, &mut purse, &mut busy, &mut awarded, &mut out).err();
                lacks.extend(lack.map(|lack| (lack.of, lack)));
            }
        }
        let waits = snapshot.halted.is_some();
        let most = usize::try_from(self.policy.at_once).unwrap_or(usize::MAX);
        let mut too_dear = Vec::new();
        let items = self.queue.items();
        for (n, item) in self.untouched.iter().filter_map(|n| Some((*n, items.get(*n)?))) {
            if in_flight >= most || waits {
                break;
            }
            let price = self.price_of(item);
            if let Err(lack) = purse.offer(price) {
                if in_flight == 0 && purse.total_is_spent(price) {
                    too_dear.push(n);
                    continue;
                }
                lacks.insert(lack.of, lack);
                break;
            }
            in_flight += 1;
            let why = format!("item {} of the queue has no gig yet", item.id);
            let post = Deed::Post(key_of(&item.id, 1));
            out.push(Intent { amount: Some(price), ..Intent::new(post, why) }.for_item(n));
        }
        let why = "the policy's total is spent";
        out.extend(too_dear.into_iter().map(|n| Intent::new(Deed::GiveUp, why).for_item(n)));
        out.extend(lacks.values().map(|lack| {
            let until = lack.until(book, now);
            let why = match lack.of {
                Short::Node if snapshot.node.is_none() => {
                    "the node has not said yet what it can send"
                }
                of => of.why(),
            };
            let intent = Intent::new(Deed::Wait(lack.of, until), why);
            Intent { amount: Some(lack.cost), ..intent }
        }));
        out
    }

    /// The most that what is left of the queue can cost: where each item is done once, and where each is
    /// tried as often as it may be and paid each time. Never above the policy's total.
    pub fn most(&mut self, snapshot: &Snapshot, budget: &Budget, now: Time) -> (usize, Msat, Msat) {
        self.look(snapshot);
        let standing = Standing::of(self, &self.book, budget, now);
        let modes = &self.policy.template.draft.modes;
        let (mut items, mut once, mut all) = (0, Msat::ZERO, Msat::ZERO);
        for (n, item) in self.queue.items().iter().enumerate() {
            let done = standing.items.get(&n).is_some_and(|stand| !stand.settled.is_empty());
            if done || self.is_over(n) {
                continue;
            }
            let cost = dearest(budget, self.price_of(item), modes);
            let tries: Msat = (0..self.policy.tries).map(|_| cost).sum();
            (items, once, all) = (items + 1, add(once, cost), add(all, tries));
        }
        let promised = match self.policy.total {
            Some(total) => total.saturating_sub(standing.spent.saturating_sub(standing.owed)),
            None => Msat::MAX,
        };
        (items, once.min(promised), all.min(promised))
    }

    /// What an item pays.
    pub fn price_of(&self, item: &Item) -> Msat {
        item.price.unwrap_or(self.policy.template.draft.price)
    }

    /// The gig of an item and its input files, but for the line itself.
    pub fn draft(&self, item: &Item, now: Time) -> (GigDraft, Vec<PathBuf>) {
        let template = &self.policy.template;
        let fill = |text: &String| item.fill(text);
        let draft = GigDraft {
            title: fill(&template.draft.title),
            summary: fill(&template.draft.summary),
            content: fill(&template.draft.content),
            tags: template.draft.tags.iter().map(fill).collect(),
            price: self.price_of(item),
            slots: 1,
            expires_at: now.after(template.life),
            ..template.draft.clone()
        };
        let inputs = template.inputs.iter().chain(&item.inputs).cloned().collect();
        (draft, inputs)
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
        if self.convicted.contains(&job.id) {
            let why = "Something is proven against you: nothing that is sealed is paid.";
            return may(job, Verb::Cancel).then(|| Intent::of_job(Deed::Cancel(why), job, why));
        }
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
        let reject = |why: &'static str| {
            if delivery.number + 1 >= self.policy.tries && may(job, Verb::Cancel) {
                return Some(Intent::of_job(Deed::Cancel(why), job, "it was tried often enough"));
            }
            may(job, Verb::Reject).then(|| Intent::of_job(Deed::Reject(why), job, why))
        };
        // Who was asked to open a sample and does not, is not paid: after a while the market would let a person
        // pay without it. Until then the worker may still answer.
        if delivery.audit.is_some() && delivery.verdict.is_none() {
            let why = "You were asked to open a sample of it and did not.";
            let leave = || Intent::of_job(Deed::Leave, job, "the audit is not answered");
            return match job.phase {
                Phase::Accepted => Some(leave()),
                _ => may(job, Verb::Accept).then(|| reject(why).unwrap_or_else(leave)),
            };
        }
        if job.phase == Phase::Accepted {
            return accept("the bill did not come: it is asked for again");
        }
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
        let id = |n: &usize| self.queue.items().get(*n).map(|item| item.id.clone());
        let reasons = self.given_up.iter().filter_map(|(n, why)| Some((id(n)?, why.clone())));
        tally.given_up = reasons.take(MOST_REASONS).collect();
        tally
    }
}

/// Whether the market offers a verb now.
pub(super) fn may(job: &JobView, verb: Verb) -> bool {
    job.legal.iter().any(|offered| offered.verb == verb && offered.refusal.is_none())
}

fn add(a: Msat, b: Msat) -> Msat {
    a.checked_add(b).unwrap_or(Msat::MAX)
}

/// The most items that a tally says the reason of; how many there are it says in any case.
const MOST_REASONS: usize = 1_000;

fn collect(job: &JobView) -> Option<Intent> {
    let file = job.delivery.as_ref()?.output.clone()?;
    Some(Intent::of_job(Deed::Collect(file), job, "it is paid and open"))
}
