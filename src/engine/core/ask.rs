//! What people ask of the core.

use super::*;
use crate::market::{EscrowTerms, Lock, Mode, Work};

impl<S: Store> Core<S> {
    /// Publishes a gig. Its inputs lie here already, in copies of our own.
    pub fn post(
        &mut self,
        draft: &GigDraft,
        inputs: Vec<(Attachment, PathBuf)>,
    ) -> Result<EventId, Trouble> {
        self.post_once(draft, inputs, None)
    }

    /// The same, once for each key and actor: again it answers with the gig that is there.
    pub fn post_once(
        &mut self,
        draft: &GigDraft,
        inputs: Vec<(Attachment, PathBuf)>,
        key: Option<String>,
    ) -> Result<EventId, Trouble> {
        let now = self.clock.now();
        if let Some(there) = self.posted_before(draft, key.as_deref())? {
            return Ok(there);
        }
        draft.check(now)?;
        let parts = draft.milestones.iter().map(|m| m.escrow.as_ref());
        for escrow in parts.chain([draft.escrow.as_ref()]) {
            self.check_judge(escrow)?;
        }
        let nonce = self.dice.nonce();
        let mut gig = self.gig_of(draft, &nonce, now);
        gig.offer.inputs = inputs.iter().map(|(file, _)| file.clone()).collect();
        let event = self.scribe.listing(&gig)?;
        gig.id = event.id;
        let fact = Fact::Posted {
            gig: Box::new(gig.clone()),
            event: event.json.clone(),
            nonce,
            paths: inputs,
            by: self.actor().cloned(),
            key,
        };
        let Some(post) = Post::begin(&fact) else {
            return Err(Fault::Never("a gig did not begin its own log".into()).into());
        };
        let id = post.id;
        self.publish(post, fact, gig, event, 0)?;
        Ok(id)
    }

    /// Whether the judge that an escrow names is in the book, and none of the two.
    fn check_judge(&self, escrow: Option<&EscrowTerms>) -> Result<(), Trouble> {
        let Some(judge) = escrow.and_then(|terms| terms.judge) else { return Ok(()) };
        let nothing = |why: Refusal| Refusal {
            sentence: format!("{} Nothing was sent.", why.sentence),
            ..why
        };
        let me = self.scribe.identity();
        crate::market::check_apart(Some(&judge), [&me, &me]).map_err(nothing)?;
        let listing = self.store.gig(&judge.listing)?.map(|(gig, _)| gig);
        let listing = listing.ok_or_else(|| nothing(crate::market::judge_unknown()))?;
        let now = self.clock.now();
        crate::market::check_judge(&listing, &judge, self.me.network, now).map_err(nothing)?;
        Ok(())
    }

    /// The listing that a draft would be, before it is signed: what strangers will see.
    pub fn preview(&self, draft: &GigDraft, inputs: &[Attachment]) -> Result<Gig, Trouble> {
        let now = self.clock.now();
        draft.check(now)?;
        let mut gig = self.gig_of(draft, &Nonce([0; 32]), now);
        gig.offer.inputs = inputs.to_vec();
        Ok(gig)
    }

    fn gig_of(&self, draft: &GigDraft, nonce: &Nonce, now: Time) -> Gig {
        let relays = self.me.relays.iter().take(3).cloned().collect();
        Gig {
            id: EventId([0; 32]),
            author: self.scribe.identity(),
            // Not the session nonce itself: that is published only with what it made.
            d: hex::encode(&blake3::derive_key("earnest/v1/listing-name", &nonce.0)[..8]),
            at: now,
            published_at: now,
            title: Raw(draft.title.trim().to_owned()),
            summary: Raw(draft.summary.trim().to_owned()),
            content: Raw(draft.content.clone()),
            tags: draft.tags.iter().map(|t| t.trim().to_lowercase()).collect(),
            // Whoever judges offers it; everybody else asks for work.
            side: if draft.work == Work::Judge { Side::Service } else { Side::Request },
            status: Status::Open,
            network: self.me.network,
            expires_at: draft.expires_at,
            offer: Offer {
                v: 1,
                work: draft.work,
                modes: draft.modes.clone(),
                slots: draft.slots,
                price: draft.price,
                max_bytes: draft.max_bytes,
                deadlines: draft.deadlines,
                quality: draft.quality.clone(),
                escrow: match draft.modes.contains(&Mode::Escrow) {
                    true => Some(draft.escrow.clone().unwrap_or_default()),
                    false => None,
                },
                pow: draft.pow,
                milestones: draft.milestones.clone(),
                inbox: Inbox { key: self.scribe.inbox(nonce), relays },
                inputs: Vec::new(),
            },
        }
    }

    /// Publishes a gig of ours again as closed.
    pub fn close(&mut self, id: &EventId) -> Result<(), Trouble> {
        self.revise(id, Status::Closed)?
            .ok_or_else(|| Refusal::new("gig-closed", "The gig is closed already.").into())
    }

    /// A gig of ours that was full and has a slot again is on the market again.
    pub(super) fn reopen(&mut self, id: &EventId) -> Result<(), Fault> {
        let now = self.clock.now();
        let freed = self.posts.get(id).and_then(Post::gig).is_some_and(|gig| {
            gig.status == Status::Reserved && now < gig.expires_at && self.slots_left(gig) > 0
        });
        match freed.then(|| self.revise(id, Status::Open)) {
            Some(Err(Trouble::Failed(fault))) => Err(fault),
            _ => Ok(()),
        }
    }

    fn revise(&mut self, id: &EventId, status: Status) -> Result<Option<()>, Trouble> {
        let Some(post) = self.post_by(id) else {
            return Err(Trouble::NotFound { what: "gig of yours".into(), id: id.to_string() });
        };
        let Some(mut gig) = post.revise(status, self.clock.now()) else { return Ok(None) };
        let event = self.scribe.listing(&gig)?;
        gig.id = event.id;
        let fact = Fact::Revised { gig: Box::new(gig.clone()), event: event.json.clone() };
        let mut post = post.clone();
        let n = post.n;
        post.apply(&fact);
        self.publish(post, fact, gig, event, n)?;
        Ok(Some(()))
    }

    fn publish(
        &mut self,
        post: Post,
        fact: Fact,
        gig: Gig,
        event: WireEvent,
        n: u64,
    ) -> Result<(), Fault> {
        let mut writer = Writer::new(&*self.scribe, self.clock.now(), post.id, n);
        writer.fact(fact)?;
        let relays = gig.offer.inbox.relays.clone();
        writer.effect(&Effect::Publish { event: event.json.clone(), id: event.id, relays })?;
        let (mut commit, _) = writer.finish_post();
        commit.keep.push(gig.id);
        // What the judge's rules are must be known for as long as jobs are.
        commit.keep.extend(gig.judges().map(|judge| judge.listing));
        commit.gigs.push((gig, event.json));
        self.store.commit(&commit)?;
        self.keep_post(post);
        Ok(())
    }

    /// Bids on a gig that is in the book.
    pub fn bid(&mut self, id: &EventId, wish: Wish, message: &str) -> Result<BidId, Trouble> {
        let Some((gig, _)) = self.store.gig(id)? else {
            let sentence = "The gig is not on the market any more: its author has changed, filled or closed \
                            it. No bid was sent.";
            return Err(Refusal::new("gig-gone", sentence).next("Look at it anew.").into());
        };
        let now = self.clock.now();
        let bidder = Bidder {
            me: self.scribe.identity(),
            network: self.me.network,
            now,
            open: self.holds(&gig),
            least_first: self.me.least_first,
            receivable: self.me.receivable,
            expected: self.expected(),
            limits: self.limits(&gig.author)?,
            open_with: self.open_with(&gig.author),
        };
        let (terms, least_first) = propose(&gig, wish, &bidder)?;
        for part in terms.parts() {
            self.check_judge(part.escrow.as_ref())?;
            self.may_bid(part.mode)?;
        }
        let nonce = self.dice.nonce();
        let certificate = self.scribe.certify(&CertificateDraft {
            role: Role::Worker,
            counterparty: gig.author,
            terms: terms.clone(),
            nonce,
            node: self.me.node,
            endpoint: self.me.address.endpoint,
            at: now,
        })?;
        let bid = Bid {
            gig: gig.id,
            terms,
            certificate: certificate.event.clone(),
            relays: self.me.relays.iter().take(3).cloned().collect(),
            address: self.me.address.clone(),
            valid_until: now.after(BID_STANDS).min(gig.expires_at),
            least_first,
            message: Raw(message.to_owned()),
        };
        let draft =
            Draft { job: None, seq: 0, prev: None, seen: None, at: now, body: Body::Bid(bid) };
        let record = self.scribe.sign(&nonce, &draft)?;
        let inbox = gig.offer.inbox.clone();
        let pow = gig.offer.pow;
        let fact = Fact::Bid {
            role: Role::Worker,
            record: record.clone(),
            certificate,
            gig: Box::new(gig),
            nonce: Some(nonce),
            by: self.actor().cloned(),
        };
        let first = Effect::First {
            record: Box::new(record.clone()),
            nonce,
            to: inbox.key,
            relays: inbox.relays,
            pow,
        };
        self.begin(fact, Some(first), None, now)?;
        Ok(record.id)
    }

    /// Gives the job to a bidder.
    pub fn award(&mut self, id: &BidId) -> Result<(), Trouble> {
        let Some(job) = self.jobs.get(id) else {
            return Err(Trouble::NotFound { what: "bid".into(), id: id.to_string() });
        };
        let now = self.clock.now();
        may(job, crate::market::Verb::Award, now)?;
        let (nonce, audit_nonce) = (self.dice.nonce(), self.dice.nonce());
        let certificate = self.scribe.certify(&CertificateDraft {
            role: Role::Requester,
            counterparty: job.worker.identity,
            terms: job.agreed().clone(),
            nonce,
            node: self.me.node,
            endpoint: self.me.address.endpoint,
            at: now,
        })?;
        let post = self.post_of(&job.gig).and_then(|id| self.posts.get(&id));
        let inputs = post.map(|p| p.inputs.clone()).unwrap_or_default();
        let post = post.map(|p| p.id);
        let parts = AwardParts {
            nonce,
            certificate,
            // The channel lives where both read: the worker's relays first, then ours.
            relays: channel_relays(&job.bid.relays, &self.me.relays),
            address: self.me.address.clone(),
            inputs,
            audit: Digest(self.scribe.audit_seed(&audit_nonce).hash().0),
            audit_nonce,
            lock: match job.terms().mode {
                Mode::Escrow => {
                    let nonce = self.dice.nonce();
                    let hash = self.scribe.escrow_key(&nonce).hash();
                    Some(Lock { milestone: 0, attempt: 0, hash, nonce })
                }
                Mode::Sealed | Mode::Direct => None,
            },
        };
        let gig = job.gig.clone();
        self.advance(id, &Input::Ask(Ask::Award(Box::new(parts))), None, Vec::new())?;
        if let Some(post) = post.filter(|_| self.slots_left(&gig) == 0) {
            self.revise(&post, Status::Reserved)?;
        }
        Ok(())
    }

    /// Locks the money of a job in escrow.
    pub fn fund(&mut self, id: &BidId, max_fee: Msat) -> Result<(), Trouble> {
        let nonce = self.dice.nonce();
        let hash = self.scribe.escrow_key(&nonce).hash();
        let judge = self.jobs.get(id).and_then(|job| job.judge().copied());
        let listing = match judge {
            Some(judge) => self.store.gig(&judge.listing)?.map(|(gig, _)| Box::new(gig)),
            None => None,
        };
        self.ask(id, Ask::Fund { max_fee, nonce, hash, judge: listing })
    }

    /// Anything else that is asked of one job.
    pub fn ask(&mut self, id: &BidId, ask: Ask) -> Result<(), Trouble> {
        self.advance(id, &Input::Ask(ask), None, Vec::new()).map(|_| ())
    }

    /// A fresh nonce, for an [`Ask`] that needs one.
    pub fn nonce(&self) -> Nonce {
        self.dice.nonce()
    }
}

fn channel_relays(theirs: &[String], ours: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for relay in theirs.iter().take(2).chain(ours) {
        if all.len() < 3 && !all.contains(relay) {
            all.push(relay.clone());
        }
    }
    all
}
