//! As a worker: which gigs to bid on and which jobs to do, from what the engine shows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bot::asker::may;
use crate::bot::{Deed, Intent, Price, Working};
use crate::engine::{GigView, JobView, Shelf, Snapshot, differences};
use crate::market::{
    Actor, BidId, Digest, EventId, Gig, LEAST_PRICE, Msat, Phase, Role, Side, Status, Verb, Wish,
};

/// A worker's bot.
pub struct Worker {
    policy: Working,
    me: Actor,
    bids: BTreeMap<BidId, Instant>,
    tries: BTreeMap<BidId, u32>,
    /// Work that is done and not handed over yet.
    made: BTreeMap<BidId, PathBuf>,
    /// Gigs that a bid was refused for, for good.
    refused: BTreeSet<EventId>,
    mine: Mine,
}

/// Our jobs as a worker, as they were last looked at: a look costs what has changed.
#[derive(Default)]
struct Mine {
    jobs: Shelf<JobView>,
    /// This bot's bids and jobs that something may still be done about.
    open: BTreeSet<BidId>,
    /// Listings that somebody here has bid on, and how often.
    known: BTreeMap<Digest, u32>,
}

impl Mine {
    fn look(&mut self, me: &Actor, snapshot: &Snapshot) {
        let old = std::mem::replace(&mut self.jobs, snapshot.jobs.clone());
        for (id, was, is) in differences(&old, &snapshot.jobs) {
            let worked = |job: &&Arc<JobView>| job.role == Role::Worker;
            if let Some(was) = was.filter(worked)
                && let Some(many) = self.known.get_mut(&was.listing)
            {
                *many = many.saturating_sub(1);
                if *many == 0 {
                    self.known.remove(&was.listing);
                }
            }
            let is = is.filter(worked);
            if let Some(is) = is {
                *self.known.entry(is.listing).or_default() += 1;
            }
            let open = |job: &Arc<JobView>| {
                let may_go_on = !job.phase.is_over() && job.phase != Phase::Declined;
                may_go_on && job.by.as_ref() == Some(me)
            };
            match is.is_some_and(open) {
                true => self.open.insert(id),
                false => self.open.remove(&id),
            };
        }
    }

    fn open(&self) -> impl Iterator<Item = &JobView> {
        self.open.iter().filter_map(|id| self.jobs.get(id)).map(|job| &**job)
    }
}

impl Worker {
    /// One that has not looked yet.
    pub fn new(policy: Working, me: Actor) -> Self {
        Self {
            policy,
            me,
            bids: BTreeMap::new(),
            tries: BTreeMap::new(),
            made: BTreeMap::new(),
            refused: BTreeSet::new(),
            mine: Mine::default(),
        }
    }

    /// How it acts.
    pub fn policy(&self) -> &Working {
        &self.policy
    }

    /// A bid on this gig was refused, and would be however often it is asked. What its author changes is
    /// another gig.
    pub fn refused(&mut self, gig: EventId) {
        self.refused.insert(gig);
    }

    /// The work for a job is done: this is to be handed over, however often that takes.
    pub fn made(&mut self, job: BidId, file: PathBuf) {
        self.made.insert(job, file);
    }

    /// What was made for a job is handed over, or never will be.
    pub fn handed(&mut self, job: &BidId) {
        self.made.remove(job);
    }

    /// Whether something is to be handed over for a job.
    pub fn holds(&self, job: &BidId) -> bool {
        self.made.contains_key(job)
    }

    /// The work for a job was tried once more; how often now.
    pub fn tried(&mut self, job: BidId) -> u32 {
        let tries = self.tries.entry(job).or_default();
        *tries += 1;
        *tries
    }

    /// What to do about jobs now. `running` are being worked on.
    pub fn jobs(
        &mut self,
        snapshot: &Snapshot,
        running: &BTreeSet<BidId>,
        at: Instant,
    ) -> Vec<Intent> {
        let mut out = Vec::new();
        let mut seen = BTreeMap::new();
        let takes = |job: &JobView| job.delivery.is_none() && may(job, Verb::Deliver);
        // A job that takes no delivery any more has no use for what was made.
        self.made.retain(|id, _| snapshot.jobs.get(id).is_none_or(|job| takes(job)));
        self.mine.look(&self.me, snapshot);
        for job in self.mine.open() {
            if job.phase == Phase::Bid {
                let since = self.bids.get(&job.id).copied().unwrap_or(at);
                seen.insert(job.id, since);
                if at.duration_since(since) > self.policy.patience && may(job, Verb::Withdraw) {
                    let deed = Deed::Withdraw("I have taken something else.");
                    out.push(Intent::of_job(deed, job, "nobody answered in time"));
                }
                continue;
            }
            let here = job.materials.iter().filter(|m| m.from == Role::Requester);
            let here = here.clone().all(|m| m.path.is_some());
            let begun = job.delivery.is_some() || running.contains(&job.id);
            if !here || begun || !may(job, Verb::Deliver) {
                continue;
            }
            if let Some(file) = self.made.get(&job.id) {
                let deed = Deed::Deliver(file.clone());
                out.push(Intent::of_job(deed, job, "the command ended well"));
                continue;
            }
            let tries = self.tries.get(&job.id).copied().unwrap_or(0);
            if tries < self.policy.tries {
                let why = match tries {
                    0 => "it is awarded, and every input is here".to_owned(),
                    n => format!("try {} of {}", n + 1, self.policy.tries),
                };
                out.push(Intent::of_job(Deed::Work, job, why));
            } else if may(job, Verb::Cancel) {
                let deed = Deed::Cancel("I cannot do it. Nothing is owed.");
                out.push(Intent::of_job(deed, job, "the command failed as often as it may"));
            }
        }
        self.bids = seen;
        out
    }

    /// Which of these gigs to bid on. What `waits` was asked a moment ago and is not asked now: it takes
    /// nobody's room.
    pub fn bids(
        &self,
        snapshot: &Snapshot,
        gigs: &[Gig],
        waits: impl Fn(&EventId) -> bool,
    ) -> Vec<Intent> {
        let mut out = Vec::new();
        let busy = |job: &&JobView| {
            use Phase::{Awarded, Bid, Funding, Working};
            matches!(job.phase, Bid | Awarded | Funding | Working)
        };
        let most = usize::try_from(self.policy.at_once).unwrap_or(usize::MAX);
        let mut anew = Mine::default();
        let mine = match self.mine.jobs.ptr_eq(&snapshot.jobs) {
            true => &self.mine,
            false => {
                anew.look(&self.me, snapshot);
                &anew
            }
        };
        let mut room = most.saturating_sub(mine.open().filter(busy).count());
        let Some(least) = snapshot.node.as_ref().and_then(|node| node.least_first) else {
            return out;
        };
        for gig in gigs {
            if room == 0 {
                break;
            }
            let listing = gig.listing();
            let ours = Some(gig.author) == snapshot.identity;
            let open = gig.status == Status::Open && gig.side == Side::Request;
            // The command is told of one piece of work: what is done in several is for people.
            let open = open && gig.offer.milestones.is_empty();
            if ours || !open || mine.known.contains_key(&listing) {
                continue;
            }
            if self.refused.contains(&gig.id) || waits(&gig.id) {
                continue;
            }
            let Some(price) = self.price(gig).filter(|price| *price >= least) else { continue };
            room -= 1;
            let asked = gig.offer.price;
            let wish = Wish {
                mode: self.policy.query.mode,
                price: (price != asked).then_some(price),
                tranches: None,
            };
            let why = format!("it matches `{}`; {asked} are offered", self.policy.line);
            let intent = Intent::new(Deed::Bid(wish), why);
            out.push(Intent { log: Some(gig.id), amount: Some(price), ..intent });
        }
        out
    }

    /// What is asked for a gig; `None` where it does not pay enough.
    pub fn price(&self, gig: &Gig) -> Option<Msat> {
        let offered = gig.offer.price;
        let price = match self.policy.price {
            Price::Fixed(price) => price,
            Price::Share(share) => {
                let exact = u128::from(offered.get()) * u128::from(share) / 100;
                // Whole sats; what was asked at least.
                let sats = u64::try_from(exact.div_ceil(1_000)).ok()?;
                Msat::sats(sats)?.min(offered)
            }
            Price::PerKib(each) => {
                let bytes: u64 = gig.offer.inputs.iter().map(|file| file.size).sum();
                let kib = bytes.div_ceil(1_024).max(1);
                Msat::new(each.get().checked_mul(kib)?)?
            }
        };
        let price = price.max(LEAST_PRICE);
        (price <= offered).then_some(price)
    }
}

/// A job as its command reads it. What strangers wrote in it is data.
pub(super) fn as_json(
    job: &JobView,
    gig: Option<&GigView>,
    inputs: &[(String, u64)],
    attempt: u32,
) -> Value {
    let files =
        inputs.iter().map(|(name, bytes)| json!({"path": format!("in/{name}"), "bytes": bytes}));
    json!({
        "v": 1,
        "job": job.id,
        "title": &*job.title,
        "content": gig.map(|gig| gig.content.to_string()),
        "tags": gig.map(|gig| gig.tags.iter().map(ToString::to_string).collect::<Vec<_>>()),
        "mode": job.mode,
        "price_msat": job.price,
        "max_bytes": gig.map(|gig| gig.max_bytes),
        "deadline": job.deadline,
        "try": attempt,
        "rejected": job.reason.as_ref().map(ToString::to_string),
        "inputs": files.collect::<Vec<_>>(),
        "output": "out/",
    })
}
