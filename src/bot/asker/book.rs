//! What the engine shows, as the bot has it in mind: gigs and jobs by item, and what all of them add up to. It
//! follows from what is shown alone; it is kept so that a look costs what has changed since the last one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::purse::{is_active, spent};
use super::standing::parse_key;
use crate::engine::{JobView, PostView, Posts, Shelf, Snapshot, differences};
use crate::market::{Actor, BidId, Digest, EventId, Msat, Phase, Pubkey, Role, Span, Time};

/// The item of a gig, by its id, and which try it is; `None` where its key names none.
type Of = Option<(String, u32)>;

/// All of it.
#[derive(Default)]
pub(super) struct Book {
    posts: Posts,
    jobs: Shelf<JobView>,
    /// What each of our gigs is for.
    ours: BTreeMap<Digest, Of>,
    /// The gigs of each item, by its id.
    items: BTreeMap<String, BTreeSet<(u32, EventId)>>,
    /// Our jobs as a requester, on each listing.
    on: BTreeMap<Digest, BTreeSet<BidId>>,
    /// Jobs on our gigs that are under way, or locked.
    pub(super) open: BTreeSet<BidId>,
    /// What the jobs on our gigs have cost.
    spent: u128,
    /// Jobs that somebody did well for us, and in which somebody was caught, ever.
    pub(super) did: BTreeMap<Pubkey, u64>,
    pub(super) cheats: BTreeMap<Pubkey, u64>,
    /// What any automation has paid, by when the job came to stand where it does.
    paid: BTreeMap<(Time, BidId), Msat>,
    /// Jobs of this bot in which somebody was caught, and their price.
    pub(super) caught: BTreeMap<BidId, Msat>,
}

impl Book {
    /// Takes in what is shown now. Answers with the items whose gigs have changed, by their ids.
    pub(super) fn look(&mut self, me: &Actor, snapshot: &Snapshot) -> BTreeSet<String> {
        let mut items = BTreeSet::new();
        let old = std::mem::replace(&mut self.posts, snapshot.posts.clone());
        for (_, was, is) in differences(old.shelf(), snapshot.posts.shelf()) {
            let mine = |post: &&Arc<PostView>| post.by.as_ref() == Some(me);
            let (was, is) = (was.filter(mine), is.filter(mine));
            let name = |post: &Arc<PostView>| (post.gig.listing, post.key.clone());
            if was.map(name) == is.map(name) {
                continue;
            }
            items.extend(was.and_then(|post| self.forget_post(post)));
            items.extend(is.and_then(|post| self.note_post(post)));
        }
        let old = std::mem::replace(&mut self.jobs, snapshot.jobs.clone());
        for (_, was, is) in differences(&old, &snapshot.jobs) {
            if let Some(was) = was {
                self.forget_job(me, was);
            }
            if let Some(is) = is {
                self.note_job(me, is);
            }
        }
        items
    }

    fn note_post(&mut self, post: &PostView) -> Option<String> {
        let of = post.key.as_deref().map(parse_key).map(|(id, n)| (id.to_owned(), n));
        if let Some((id, n)) = &of {
            self.items.entry(id.clone()).or_default().insert((*n, post.id));
        }
        let jobs = self.jobs.clone();
        for job in self.on.get(&post.gig.listing).into_iter().flatten().copied().collect::<Vec<_>>()
        {
            if let Some(job) = jobs.get(&job) {
                self.count(job);
            }
        }
        self.ours.insert(post.gig.listing, of.clone());
        of.map(|(id, _)| id)
    }

    fn forget_post(&mut self, post: &PostView) -> Option<String> {
        let (id, n) = self.ours.remove(&post.gig.listing)??;
        if let Some(posts) = self.items.get_mut(&id) {
            posts.remove(&(n, post.id));
            if posts.is_empty() {
                self.items.remove(&id);
            }
        }
        let jobs = self.jobs.clone();
        for job in self.on.get(&post.gig.listing).into_iter().flatten().copied().collect::<Vec<_>>()
        {
            if let Some(job) = jobs.get(&job) {
                self.discount(job);
            }
        }
        Some(id)
    }

    fn note_job(&mut self, me: &Actor, job: &JobView) {
        if job.role != Role::Requester {
            return;
        }
        if job.caught {
            *self.cheats.entry(job.peer).or_default() += 1;
        }
        if job.phase == Phase::Settled {
            *self.did.entry(job.peer).or_default() += 1;
        }
        if job.phase == Phase::Cheated && job.by.as_ref() == Some(me) {
            self.caught.insert(job.id, job.price);
        }
        let cost = spent(job);
        if job.by.is_some() && cost > Msat::ZERO {
            self.paid.insert((job.since, job.id), cost);
        }
        self.on.entry(job.listing).or_default().insert(job.id);
        if self.ours.contains_key(&job.listing) {
            self.count(job);
        }
    }

    fn forget_job(&mut self, me: &Actor, job: &JobView) {
        if job.role != Role::Requester {
            return;
        }
        if job.caught {
            one_less(&mut self.cheats, &job.peer);
        }
        if job.phase == Phase::Settled {
            one_less(&mut self.did, &job.peer);
        }
        if job.by.as_ref() == Some(me) {
            self.caught.remove(&job.id);
        }
        self.paid.remove(&(job.since, job.id));
        if let Some(on) = self.on.get_mut(&job.listing) {
            on.remove(&job.id);
            if on.is_empty() {
                self.on.remove(&job.listing);
            }
        }
        if self.ours.contains_key(&job.listing) {
            self.discount(job);
        }
    }

    /// A job on one of our gigs.
    fn count(&mut self, job: &JobView) {
        self.spent += u128::from(spent(job).get());
        if is_active(job) || job.escrow.as_ref().is_some_and(|escrow| escrow.locked) {
            self.open.insert(job.id);
        }
    }

    fn discount(&mut self, job: &JobView) {
        self.spent = self.spent.saturating_sub(u128::from(spent(job).get()));
        self.open.remove(&job.id);
    }

    /// What the jobs on our gigs have cost.
    pub(super) fn spent(&self) -> Msat {
        u64::try_from(self.spent).ok().and_then(Msat::new).unwrap_or(Msat::MAX)
    }

    /// Whether an item has a gig.
    pub(super) fn has_gig(&self, item: &str) -> bool {
        self.items.contains_key(item)
    }

    /// Which item a listing of ours is for, by its id.
    pub(super) fn item_of(&self, listing: &Digest) -> Option<&str> {
        Some(self.ours.get(listing)?.as_ref()?.0.as_str())
    }

    /// The gigs of an item, each with the number of its try.
    pub(super) fn gigs_of<'a>(
        &'a self,
        item: &str,
    ) -> impl Iterator<Item = (u32, &'a PostView)> + use<'a> {
        let gigs = self.items.get(item).into_iter().flatten();
        gigs.filter_map(|(n, id)| Some((*n, &**self.posts.get(id)?)))
    }

    /// The jobs on a listing.
    pub(super) fn jobs_on(&self, listing: &Digest) -> impl Iterator<Item = &BidId> {
        self.on.get(listing).into_iter().flatten()
    }

    /// One job.
    pub(super) fn job(&self, id: &BidId) -> Option<&JobView> {
        self.jobs.get(id).map(|job| &**job)
    }

    /// What was paid in the last so many seconds, as far as a job stands where it does since then, oldest first.
    pub(super) fn paid_within(&self, span: Span, now: Time) -> impl Iterator<Item = (Time, Msat)> {
        let from = (now.before(span), EventId([0; 32]));
        let paid = self.paid.range(from..).map(|((at, _), amount)| (*at, *amount));
        paid.filter(move |(at, _)| at.after(span) > now)
    }
}

fn one_less(of: &mut BTreeMap<Pubkey, u64>, who: &Pubkey) {
    if let Some(many) = of.get_mut(who) {
        *many = many.saturating_sub(1);
        if *many == 0 {
            of.remove(who);
        }
    }
}
