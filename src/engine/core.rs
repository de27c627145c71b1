//! The core: takes one input at a time, steps, commits. No task, no socket, no sleep in it, so that the
//! simulator drives exactly what the program runs.

mod again;
mod ask;
mod budget;
mod cases;
mod changed;
mod hear;
mod keep;
mod listen;
mod listings;
mod outbox;
mod people;
mod sums;
mod told;

pub use budget::kinds;
pub use changed::Changed;
pub use outbox::{OpenClaim, Replays};

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::commit::{Folded, Writer, fold};
use crate::engine::{
    CertificateDraft, Channel, Clock, Commit, Committed, Dice, EffectEnd, EffectRow, Fault,
    FirstContact, Mark, NodeEvent, Notice, PaymentState, RelayEvent, Scribe, Store, Subscription,
    Unreadable, Want, WireEvent, WrapKey,
};
use crate::market::{
    Actor, Address, Ask, Attachment, AwardParts, Bid, BidId, Bidder, Body, Budget, Case, CaseId,
    Digest, Door, Draft, Effect, EventId, Exposure, Fact, Gig, GigDraft, Grant, Inbox, Input, Job,
    JobId, Limits, Mode, Msat, Network, NodeId, Nonce, Offer, Outcome, Page, PaymentHash, Phase,
    Policy, Post, Pubkey, Query, Record, Refusal, Role, Side, Span, Status, Step, Time, Wish,
    World, admit, holds_gig, may, propose, step,
};
use crate::text::Raw;

/// What the core must know of its own place in the world. The runner keeps it fresh.
#[derive(Debug, Clone, PartialEq)]
pub struct Me {
    /// Our node.
    pub node: NodeId,
    /// Where our endpoint is.
    pub address: Address,
    /// Our relays.
    pub relays: Vec<String>,
    /// Which chain.
    pub network: Network,
    /// What the node can send now.
    pub spendable: Msat,
    /// The least first payment that can be received; `None` while nothing can be.
    pub least_first: Option<Msat>,
    /// What can be received over the channels there are.
    pub receivable: Msat,
    /// What we let others hold of ours, and what we say of jobs to the world.
    pub policy: Policy,
}

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The market says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The world failed.
    #[error(transparent)]
    Failed(#[from] Fault),
    /// There is no such thing here.
    #[error("there is no {what} `{}` here", short(id))]
    NotFound {
        /// What kind of thing.
        what: Cow<'static, str>,
        /// What was asked for.
        id: String,
    },
}

/// An id as people read it; what was typed stays as it was typed.
fn short(id: &str) -> &str {
    if id.len() == 64 { id.get(..8).unwrap_or(id) } else { id }
}

/// What became of an event from a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It changed something.
    New,
    /// It was seen before, or nobody here waits for it.
    Nothing,
    /// It was not taken, and why: stable code and sentence.
    Refused(Unreadable),
}

/// How long an unawarded bid stands.
pub const BID_STANDS: Span = Span::DAY;
/// Gift wraps carry a random time up to two days in the past (NIP-59); one hour more for clocks.
const WRAP_SLACK: Span = Span(2 * 86_400 + 3600);
/// Listings are asked for again from a little before the newest heard.
const LISTING_SLACK: Span = Span::HOUR;
/// How far back a new book begins.
const BOOK_BEGINS: Span = Span::DAY.times(90);
/// Jobs that are over, or bids of ours that were declined, and are still listened to.
const MOST_ENDED: usize = 500;
/// Records that came before their predecessors, kept in memory for each job.
const MOST_EARLY: usize = 64;

/// The core.
pub struct Core<S> {
    store: S,
    scribe: Arc<dyn Scribe>,
    clock: Arc<dyn Clock>,
    dice: Arc<dyn Dice>,
    me: Me,
    jobs: BTreeMap<BidId, Job>,
    posts: BTreeMap<EventId, Post>,
    /// What all of them add up to: what is over stays a job, and costs nothing.
    sums: sums::Sums,
    /// Jobs to which a block may mean something.
    watchers: BTreeSet<BidId>,
    /// Bids of ours that hold a gig of somebody else's, by its `d`.
    holding: BTreeMap<String, BTreeSet<BidId>>,
    /// Jobs whose other side is listened to, and gigs of ours that somebody may still write to, as long as it is
    /// not too late: of all others relays are asked nothing.
    voices: BTreeSet<BidId>,
    inboxes: BTreeSet<EventId>,
    /// The last jobs that ended and bids that were declined, and when: whose other side is still listened to.
    ended: BTreeSet<(Time, BidId)>,
    /// Every session key that a worker ever bid with.
    sessions: BTreeSet<Pubkey>,
    by_hash: BTreeMap<PaymentHash, BidId>,
    /// Whose words come by a channel, by who signs there; and the same the other way.
    by_author: BTreeMap<Pubkey, Ear>,
    ears: BTreeMap<Ear, Pubkey>,
    by_key: BTreeMap<Pubkey, WrapKeyOf>,
    early: BTreeMap<(EventId, Pubkey, u64), (EventId, Record)>,
    cases: BTreeMap<CaseId, Case>,
    case_hashes: BTreeSet<PaymentHash>,
    notices: Vec<Notice>,
    /// The bids on each gig of ours, by its `d`.
    bids_on: BTreeMap<String, BTreeSet<BidId>>,
    /// Each gig of ours by its `d`, and by every version of it.
    by_d: BTreeMap<String, EventId>,
    by_version: BTreeMap<EventId, EventId>,
    /// Gigs of ours that automation published: by its key, and those that take bids.
    by_idempotency: BTreeMap<(Option<Actor>, String), EventId>,
    automated: BTreeSet<EventId>,
    /// When each log that has a deadline is to be looked at, and the same by time.
    wakes: BTreeMap<EventId, Time>,
    wakes_by_time: BTreeSet<(Time, EventId)>,
    changed: Changed,
    untold: Vec<again::Untold>,
    tell_at: Time,
    tidy_at: Time,
    muted: BTreeMap<Pubkey, Time>,
    follows: BTreeSet<Pubkey>,
    /// Whom somebody looks at, and until when relays are asked about them.
    looked: BTreeMap<Pubkey, Time>,
    leash: budget::Leash,
    /// The node's best block; 0 until it has said so.
    height: u32,
}

/// Whose words come by a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ear {
    /// The other side's, in a job.
    Peer(BidId),
    /// The judge's, in a job.
    Judge(BidId),
    /// A side's, in a case that we judge.
    Case(CaseId, Role),
}

#[derive(Debug, Clone, Copy)]
enum WrapKeyOf {
    Post(EventId, Nonce),
    Job(BidId, Nonce),
}

impl<S: Store> Core<S> {
    /// Folds every log of the store. Leases of a process that is gone are given back.
    pub fn open(
        mut store: S,
        scribe: Arc<dyn Scribe>,
        clock: Arc<dyn Clock>,
        dice: Arc<dyn Dice>,
        me: Me,
    ) -> Result<Self, anyhow::Error> {
        store.release_leases();
        let logs = store.logs()?;
        let muted = store.mutes()?.into_iter().collect();
        let follows = store.follows()?.into_iter().collect();
        let mut core = Self {
            store,
            scribe,
            clock,
            dice,
            me,
            jobs: BTreeMap::new(),
            posts: BTreeMap::new(),
            sums: sums::Sums::default(),
            watchers: BTreeSet::new(),
            holding: BTreeMap::new(),
            voices: BTreeSet::new(),
            inboxes: BTreeSet::new(),
            ended: BTreeSet::new(),
            sessions: BTreeSet::new(),
            by_hash: BTreeMap::new(),
            by_author: BTreeMap::new(),
            ears: BTreeMap::new(),
            by_key: BTreeMap::new(),
            early: BTreeMap::new(),
            cases: BTreeMap::new(),
            case_hashes: BTreeSet::new(),
            notices: Vec::new(),
            bids_on: BTreeMap::new(),
            by_d: BTreeMap::new(),
            by_version: BTreeMap::new(),
            by_idempotency: BTreeMap::new(),
            automated: BTreeSet::new(),
            wakes: BTreeMap::new(),
            wakes_by_time: BTreeSet::new(),
            changed: Changed::default(),
            untold: Vec::new(),
            tell_at: Time(0),
            tidy_at: Time(0),
            muted,
            follows,
            looked: BTreeMap::new(),
            leash: budget::Leash::default(),
            height: 0,
        };
        for (id, rows) in logs {
            match fold(&id, &rows)? {
                Folded::Case(case) => core.keep_case(*case),
                Folded::Job(job) => core.keep(*job),
                Folded::Post(post) => core.keep_post(*post),
                Folded::Switch(switch) => core.leash.switch = switch,
            }
        }
        for post in core.posts.keys().copied().collect::<Vec<_>>() {
            core.reopen(&post)?;
        }
        Ok(core)
    }

    /// The store, for reading.
    pub fn store(&self) -> &S {
        &self.store
    }
    /// Gives the store back, dropping everything in memory: what a crash leaves.
    pub fn into_store(self) -> S {
        self.store
    }
    /// Our place in the world.
    pub fn me(&self) -> &Me {
        &self.me
    }
    /// Our place in the world, to be freshened.
    pub fn me_mut(&mut self) -> &mut Me {
        &mut self.me
    }
    /// Our identity.
    pub fn identity(&self) -> Pubkey {
        self.scribe.identity()
    }
    /// Every job.
    pub fn jobs(&self) -> &BTreeMap<BidId, Job> {
        &self.jobs
    }
    /// One job.
    pub fn job(&self, id: &BidId) -> Option<&Job> {
        self.jobs.get(id)
    }
    /// Every gig of ours.
    pub fn posts(&self) -> &BTreeMap<EventId, Post> {
        &self.posts
    }
    /// What is worth telling since it was last asked.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn author_of(&self, ear: &Ear) -> Option<Pubkey> {
        self.ears.get(ear).copied()
    }

    /// From now on this is by whom it is heard, and by nobody else.
    fn listen(&mut self, ear: Ear, author: Pubkey) {
        if let Some(old) = self.ears.insert(ear, author) {
            self.by_author.remove(&old);
        }
        self.by_author.insert(author, ear);
    }

    fn wakes(&mut self, log: EventId, at: Option<Time>) {
        let old = match at {
            Some(at) => self.wakes.insert(log, at),
            None => self.wakes.remove(&log),
        };
        if let Some(old) = old {
            self.wakes_by_time.remove(&(old, log));
        }
        self.wakes_by_time.extend(at.map(|at| (at, log)));
    }

    /// A gig of ours by its id or that of any of its versions.
    pub fn post_by(&self, id: &EventId) -> Option<&Post> {
        self.posts.get(self.by_version.get(id).unwrap_or(id))
    }

    /// Where a gig of ours is kept.
    pub fn post_of(&self, gig: &Gig) -> Option<EventId> {
        self.by_d.get(&gig.d).copied()
    }

    /// The bids on a gig of ours, whatever came of them.
    pub fn bids_on(&self, gig: &Gig) -> impl Iterator<Item = &Job> {
        let ids = self.bids_on.get(&gig.d).into_iter().flatten();
        ids.filter_map(|id| self.jobs.get(id))
    }

    fn keep_post(&mut self, post: Post) {
        let key = self.scribe.inbox(&post.nonce);
        self.by_key.insert(key, WrapKeyOf::Post(post.id, post.nonce));
        self.by_d.extend(post.gig().map(|gig| (gig.d.clone(), post.id)));
        self.by_version.extend(post.versions.keys().map(|version| (*version, post.id)));
        if let Some(key) = &post.key {
            self.by_idempotency.insert((post.by.clone(), key.clone()), post.id);
        }
        let takes = post.gig().is_some_and(|gig| gig.status == Status::Open);
        match post.by.is_some() && takes {
            true => self.automated.insert(post.id),
            false => self.automated.remove(&post.id),
        };
        self.changed.logs.insert(post.id);
        let id = post.id;
        self.posts.insert(id, post);
        self.note_inbox(&id);
    }

    fn slots_left(&self, gig: &Gig) -> u32 {
        let taken = self.bids_on(gig).filter(|job| {
            job.job.is_some()
                && !matches!(
                    job.phase,
                    Phase::Cancelled | Phase::Expired | Phase::Withdrawn | Phase::Refunded
                )
        });
        gig.offer.slots.saturating_sub(u32::try_from(taken.count()).unwrap_or(u32::MAX))
    }

    fn world(&self, job: &Job, input: &Input) -> Result<World, Fault> {
        let mut hash_known = false;
        let heard = match input {
            Input::Heard { record, invoice, .. } => Some((record, invoice.as_ref())),
            Input::Judged { inner: Some(inner), .. } => Some((inner, None)),
            _ => None,
        };
        if let Some((record, invoice)) = heard {
            let mut hashes: Vec<PaymentHash> = Vec::new();
            if let Body::Deliver(delivery) = &record.draft.body {
                hashes.extend(delivery.manifest.h.iter().map(|h| PaymentHash(*h.as_bytes())));
                hash_known |= hashes.iter().any(|h| self.by_hash.contains_key(h));
            }
            let bill = invoice.map(|i| i.hash);
            if let Some(lock) = record.draft.body.lock() {
                hash_known |= self.by_hash.contains_key(&lock.hash);
                hashes.push(lock.hash);
            }
            for hash in hashes {
                hash_known |= self.store.payment(&hash)?.is_some();
            }
            if let Some(hash) = bill {
                // The hash of this job's own delivery may stand in the ledger after a failed try.
                let row = self.store.payment(&hash)?;
                hash_known |= row.is_some_and(|row| row.log != job.id || row.state == "paid");
                hash_known |= self.by_hash.get(&hash).is_some_and(|of| *of != job.id);
            }
        }
        let peer = job.peer();
        let (limits, open) = match input {
            Input::Ask(Ask::Award(_)) => (self.limits(&peer)?, self.open_with(&peer)),
            input if input.may_pay(job) => {
                (Limits { proven: self.is_proven(&peer)?, ..Limits::NONE }, Exposure::default())
            }
            _ => (Limits::NONE, Exposure::default()),
        };
        Ok(World {
            now: self.clock.now(),
            spendable: self.me.spendable.saturating_sub(self.in_flight(job)),
            slots_left: self.slots_left(&job.gig),
            hash_known,
            height: self.height,
            limits,
            open,
        })
    }

    /// One input into one job: the single road by which state changes.
    fn advance(
        &mut self,
        id: &BidId,
        input: &Input,
        mark: Option<Mark>,
        ends: Vec<(Digest, EffectEnd)>,
    ) -> Result<Committed, Trouble> {
        let Some(job) = self.jobs.get(id) else {
            return Err(Trouble::NotFound { what: "job".into(), id: id.to_string() });
        };
        let world = self.world(job, input)?;
        let decided = match step(job, input, &world) {
            Ok(step) => step,
            Err(refusal) => {
                if mark.is_some() && refusal.code != "early" || !ends.is_empty() {
                    self.store.commit(&Commit { mark, ends, ..Commit::default() })?;
                }
                return Err(refusal.into());
            }
        };
        let decided = self.charged(id, input, decided, world.now)?;
        let Some(mut job) = self.jobs.get(id).cloned() else {
            return Err(Trouble::NotFound { what: "job".into(), id: id.to_string() });
        };
        let committed = self.write(&mut job, decided, mark, ends, world.now)?;
        if committed == Committed::New {
            let freed = job.role == Role::Requester && job.phase.is_over();
            let post = self.post_of(&job.gig).filter(|_| freed);
            self.keep(job);
            if let Some(post) = post {
                self.reopen(&post)?;
            }
        }
        Ok(committed)
    }

    fn write(
        &mut self,
        job: &mut Job,
        decided: Step,
        mark: Option<Mark>,
        ends: Vec<(Digest, EffectEnd)>,
        now: Time,
    ) -> Result<Committed, Fault> {
        if decided.is_empty() && mark.is_none() && ends.is_empty() {
            return Ok(Committed::New);
        }
        let mut writer =
            Writer::new(&*self.scribe, now, job.id, job.n).with_receipts(self.me.policy.receipts);
        writer.step(job, decided)?;
        let (mut commit, facts) = writer.finish(&self.store, job)?;
        commit.mark = mark;
        commit.ends = ends;
        let committed = self.store.commit(&commit)?;
        if committed == Committed::New {
            let told = facts.iter().filter_map(|fact| Notice::of(job, fact, now));
            self.notices.extend(told);
        }
        Ok(committed)
    }

    /// Begins the log of a job.
    fn begin(
        &mut self,
        fact: Fact,
        effect: Option<Effect>,
        mark: Option<Mark>,
        now: Time,
    ) -> Result<Committed, Fault> {
        let Some(job) = Job::begin(&fact, now) else {
            return Err(Fault::Never("a bid did not begin its own log".into()));
        };
        let mut writer = Writer::new(&*self.scribe, now, job.id, 0);
        writer.fact(fact)?;
        if let Some(effect) = effect {
            writer.effect(&effect)?;
        }
        let (mut commit, facts) = writer.finish(&self.store, &job)?;
        commit.mark = mark;
        // The version that the bid answers must outlive its replacement.
        commit.keep.push(job.gig.id);
        let committed = self.store.commit(&commit)?;
        if committed == Committed::New {
            self.notices.extend(facts.iter().filter_map(|fact| Notice::of(&job, fact, now)));
            self.keep(job);
        }
        Ok(committed)
    }

    /// What may be fetched from us, and by whom.
    pub fn grants(&self) -> Vec<Grant> {
        let cases = self.cases.values().flat_map(Case::grants);
        self.jobs.values().flat_map(Job::grants).chain(cases).collect()
    }

    /// The same of one log.
    pub fn grants_of(&self, log: &EventId) -> Vec<Grant> {
        let of_case = self.cases.get(log).map(Case::grants);
        self.jobs.get(log).map(Job::grants).or(of_case).unwrap_or_default()
    }

    /// A window on the book.
    pub fn find(&self, query: &Query) -> Result<Page, Fault> {
        self.store.find(query, self.clock.now())
    }
}
