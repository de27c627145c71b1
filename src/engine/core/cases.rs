//! The judge's side: cases, each a log of its own, driven as jobs are.

use super::hear::Hearing;
use super::*;
use crate::engine::JudgeDraft;
use crate::market::{
    Appointing, Case, CaseBegins, CaseId, CaseInput, CasePhase, CaseWorld, Certificate, Network,
    Pinned, admit_case, case_id, case_step, job_id, may_rule,
};

impl<S: Store> Core<S> {
    /// Every case.
    pub fn cases(&self) -> &BTreeMap<CaseId, Case> {
        &self.cases
    }

    /// One case.
    pub fn case(&self, id: &CaseId) -> Option<&Case> {
        self.cases.get(id)
    }

    /// Whether this side could win the case now; why not, if not.
    pub fn may_rule(&self, case: &Case, whose: Role) -> Result<(), Refusal> {
        may_rule(case, whose, self.height)
    }

    /// The height that our node knows.
    pub fn tip(&self) -> u32 {
        self.height
    }

    /// Rules in a case.
    pub fn rule(&mut self, id: &CaseId, whose: Role, reason: String) -> Result<(), Trouble> {
        self.judge(id, &CaseInput::Rule { whose, reason }, None, Vec::new()).map(|_| ())
    }

    /// Words to both sides of a case.
    pub fn case_note(&mut self, id: &CaseId, text: String) -> Result<(), Trouble> {
        self.judge(id, &CaseInput::Note { text }, None, Vec::new()).map(|_| ())
    }

    pub(super) fn keep_case(&mut self, case: Case) {
        let id = case.id;
        for role in [Role::Requester, Role::Worker] {
            if self.author_of(&Ear::Case(id, role)).is_none() {
                let author = self.scribe.channel_author(&case_channel(&case, role));
                self.listen(Ear::Case(id, role), author);
            }
        }
        self.case_hashes.insert(case.lock.hash);
        self.wakes(id, case.wake_at());
        self.changed.logs.insert(id);
        self.cases.insert(id, case);
    }

    /// One input into one case.
    pub(super) fn judge(
        &mut self,
        id: &CaseId,
        input: &CaseInput,
        mark: Option<Mark>,
        ends: Vec<(Digest, EffectEnd)>,
    ) -> Result<Committed, Trouble> {
        let Some(case) = self.cases.get(id) else {
            return Err(Trouble::NotFound { what: "case".into(), id: id.to_string() });
        };
        let now = self.clock.now();
        let decided = match case_step(case, input, &CaseWorld { now, height: self.height }) {
            Ok(step) => step,
            Err(refusal) => {
                if mark.is_some() && refusal.code != "early" || !ends.is_empty() {
                    self.store.commit(&Commit { mark, ends, ..Commit::default() })?;
                }
                return Err(refusal.into());
            }
        };
        if decided.is_empty() && mark.is_none() && ends.is_empty() {
            return Ok(Committed::New);
        }
        let mut case = case.clone();
        let mut writer = Writer::new(&*self.scribe, now, case.id, case.n);
        writer.case_step(&mut case, decided)?;
        let written = writer.finish_post();
        self.commit_case(written, case, mark, ends)
    }

    fn commit_case(
        &mut self,
        (mut commit, facts): (Commit, Vec<Fact>),
        case: Case,
        mark: Option<Mark>,
        ends: Vec<(Digest, EffectEnd)>,
    ) -> Result<Committed, Trouble> {
        let now = self.clock.now();
        (commit.mark, commit.ends) = (mark, ends);
        let committed = self.store.commit(&commit)?;
        if committed == Committed::New {
            let told = facts.iter().filter_map(|fact| Notice::of_case(&case, fact, now));
            self.notices.extend(told);
            self.keep_case(case);
        }
        Ok(committed)
    }

    /// A requester asks us to hold a secret.
    pub(super) fn hear_appointment(
        &mut self,
        post: &EventId,
        contact: FirstContact,
        mark: Option<Mark>,
    ) -> Result<Taken, Hearing> {
        let record = contact.record;
        let known = |case: &Case| case.begins.record.id == record.id;
        if self.cases.values().any(known) {
            self.store.commit(&Commit { mark, ..Commit::default() })?;
            return Ok(Taken::Nothing);
        }
        let now = self.clock.now();
        let begins = self.begins(post, record)?;
        let (Body::Bid(bid), Some(newest)) =
            (&begins.bid.draft.body, self.posts.get(post).and_then(Post::gig))
        else {
            return Err(unreadable("wrong-body", "What was brought is not a bid."));
        };
        let open = |case: &&Case| {
            !case.phase.is_over() && case.begins.requester.identity == begins.requester.identity
        };
        let lock = begins.lock.as_ref().unwrap_or(&begins.award).draft.body.lock().copied();
        let hash_known = match &lock {
            Some(lock) => {
                self.case_hashes.contains(&lock.hash)
                    || self.by_hash.contains_key(&lock.hash)
                    || self.store.payment(&lock.hash)?.is_some()
            }
            None => false,
        };
        let door = Appointing {
            me: self.scribe.identity(),
            network: self.me.network,
            now,
            height: self.height,
            hash_known,
            open: self.cases.values().filter(open).count(),
            newest: newest.status,
            terms: self.scribe.terms_hash(&bid.terms),
        };
        if let Err(refusal) = admit_case(&begins, &door) {
            if refusal.code != "early" {
                self.store.commit(&Commit { mark, ..Commit::default() })?;
            }
            return Err(Trouble::Refused(refusal).into());
        }
        let nonce = begins.nonce;
        let certificate = self.scribe.certify_judge(&JudgeDraft {
            requester: begins.requester.identity,
            worker: begins.worker.identity,
            job: job_id(&begins.bid.id, &begins.award.id),
            terms: door.terms,
            nonce,
            endpoint: self.me.address.endpoint,
            network: self.me.network,
            at: now,
        })?;
        let fact = Fact::Appointed(Box::new(begins));
        let Some(mut case) = Case::begin(&fact, now) else {
            return Err(unreadable("wrong-body", "What was brought begins no case."));
        };
        let mut writer = Writer::new(&*self.scribe, now, case.id, 0);
        writer.fact(fact)?;
        let body = Body::Holding {
            hash: case.lock.hash,
            certificate: certificate.event,
            address: self.me.address.clone(),
        };
        writer.judge_says(&mut case, body)?;
        let written = writer.finish_post();
        Ok(match self.commit_case(written, case, mark, Vec::new())? {
            Committed::New => Taken::New,
            Committed::Seen => Taken::Nothing,
        })
    }

    /// Reads everything that stands inside an appointment, each by itself.
    fn begins(&self, post: &EventId, record: Record) -> Result<CaseBegins, Hearing> {
        let Body::Appoint { bid, award, lock, fund, funded, listing: shown, .. } =
            &record.draft.body
        else {
            return Err(unreadable("wrong-body", "Not an appointment."));
        };
        let read = |event: &str| self.scribe.read_record(event);
        let (bid, award) = (read(bid)?, read(award)?);
        let lock = lock.as_deref().map(read).transpose()?;
        let (fund, funded) = (read(fund)?, read(funded)?);
        let (Body::Bid(offer), Body::Award(given)) = (&bid.draft.body, &award.draft.body) else {
            return Err(unreadable("wrong-body", "What was brought is not a bid and its award."));
        };
        let certificate = |event: &str| self.scribe.read_certificate(event);
        let worker: Certificate = certificate(&offer.certificate)?;
        let requester: Certificate = certificate(&given.certificate)?;
        if worker.endpoint != offer.address.endpoint {
            return Err(unreadable("wrong-endpoint", "The bid names another endpoint."));
        }
        let locks = lock.as_ref().unwrap_or(&award).draft.body.lock();
        let part = locks.and_then(|lock| offer.terms.part(lock.milestone)).ok_or_else(|| {
            unreadable("wrong-lock", "There is no lock in what was brought, or of no milestone.")
        })?;
        let named = part.escrow.as_ref().and_then(|terms| terms.judge);
        let versions = self.posts.get(post).map(|post| &post.versions);
        let listing = named.and_then(|judge| versions?.get(&judge.listing).cloned());
        let Some(listing) = listing else {
            return Err(unreadable("unknown-listing", "The two named a listing that is not ours."));
        };
        let gig = match shown {
            Some(event) => Some(self.scribe.read_listing(event)?),
            None => self.store.gig(&offer.gig)?.map(|(gig, _)| gig),
        };
        if gig.as_ref().is_some_and(|gig| gig.id != offer.gig || gig.author != requester.identity) {
            return Err(unreadable("wrong-listing", "The listing shown is not the one bid on."));
        }
        let checks = self.bodies(&part.quality.checks, gig.as_ref(), &requester.identity)?;
        let nonce = self.dice.nonce();
        Ok(CaseBegins {
            bid,
            award,
            lock,
            fund,
            funded,
            worker,
            requester,
            listing,
            gig,
            checks,
            nonce,
            record,
        })
    }

    /// The bodies of checks, from whatever version of the requester's listings is in the book: a hash names one
    /// body and no other.
    fn bodies(
        &self,
        checks: &[Pinned],
        gig: Option<&Gig>,
        author: &Pubkey,
    ) -> Result<Vec<Pinned>, Fault> {
        if checks.is_empty() {
            return Ok(Vec::new());
        }
        let mut known: Vec<Pinned> =
            gig.map(|gig| gig.offer.checks().cloned().collect()).unwrap_or_default();
        let network: Network = self.me.network;
        let query = Query { author: Some(*author), all: true, ..Query::everything(network) };
        let found = self.store.find(&query, self.clock.now())?.gigs;
        known.extend(found.iter().flat_map(|gig| gig.offer.checks().cloned()));
        let body = |check: &Pinned| {
            let same = known.iter().find(|k| k.hash == check.hash && k.body.is_some());
            Pinned { body: same.and_then(|k| k.body.clone()), hash: check.hash }
        };
        Ok(checks.iter().map(body).collect())
    }

    /// A side speaks in a case.
    pub(super) fn hear_in_case(
        &mut self,
        id: &CaseId,
        record: Record,
        mark: Option<Mark>,
    ) -> Result<Taken, Hearing> {
        let inner = match record.draft.body.inner() {
            Some(event) => Some(Box::new(self.scribe.read_record(event)?)),
            None => None,
        };
        let author = record.author;
        let input = CaseInput::Heard { record: Box::new(record.clone()), inner };
        match self.judge(id, &input, mark.clone(), Vec::new()) {
            Ok(Committed::New) => {
                self.hear_early(id, &author);
                Ok(Taken::New)
            }
            Ok(Committed::Seen) => Ok(Taken::Nothing),
            Err(Trouble::Refused(why)) if why.code == "early" => {
                self.keep_early(*id, record, mark);
                Ok(Taken::Nothing)
            }
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// The judge speaks to us as a side of a job.
    pub(super) fn hear_judge(
        &mut self,
        id: &BidId,
        record: Record,
        certificate: Option<crate::market::JudgeCertificate>,
        mark: Option<Mark>,
    ) -> Result<Taken, Hearing> {
        let inner = match record.draft.body.inner() {
            Some(event) => Some(Box::new(self.scribe.read_record(event)?)),
            None => None,
        };
        let author = record.author;
        let input = Input::Judged {
            record: Box::new(record.clone()),
            certificate: certificate.map(Box::new),
            inner,
        };
        match self.advance(id, &input, mark.clone(), Vec::new()) {
            Ok(Committed::New) => {
                self.hear_early(id, &author);
                // What the judge handed on may be what the other side's words waited for.
                if let Some(peer) =
                    self.jobs.get(id).and_then(|job| Some(job.peer_certificate()?.session))
                {
                    self.hear_early(id, &peer);
                }
                Ok(Taken::New)
            }
            Ok(Committed::Seen) => Ok(Taken::Nothing),
            Err(Trouble::Refused(why)) if why.code == "early" => {
                self.keep_early(*id, record, mark);
                Ok(Taken::Nothing)
            }
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// Where cases are heard.
    pub(super) fn case_subscriptions(&self, all: &mut Vec<Subscription>) {
        let now = self.clock.now();
        for case in self.cases.values() {
            self.case_wants(case, now, all);
        }
    }

    pub(super) fn case_wants(&self, case: &Case, now: Time, all: &mut Vec<Subscription>) {
        if case.phase.is_over() && case.since.after(Span::DAY) < now {
            return;
        }
        for role in [Role::Requester, Role::Worker] {
            let Some(author) = self.author_of(&Ear::Case(case.id, role)) else { continue };
            all.push(Subscription {
                want: Want::Channel(author),
                relays: case.relays().to_vec(),
                since: case.began.before(Span::DAY),
                reader: None,
            });
        }
    }

    /// A block came: what a program can rule on, and what is over.
    pub(super) fn height_in_cases(&mut self) -> Result<(), Fault> {
        let open = |case: &&Case| !case.phase.is_over();
        let ids: Vec<CaseId> = self.cases.values().filter(open).map(|case| case.id).collect();
        // What can be ruled depends on the height, and so does what is seen of a case.
        self.changed.logs.extend(&ids);
        for id in ids {
            let told = self.judge(&id, &CaseInput::Height, None, Vec::new());
            if let Err(Trouble::Failed(fault)) = told {
                return Err(fault);
            }
            if self.cases.get(&id).is_some_and(|case| case.phase != CasePhase::Closed) {
                // What waited for a height to be stamped with.
                for role in [Role::Requester, Role::Worker] {
                    let session = self.cases.get(&id).map(|case| case.session(role));
                    if let Some(session) = session {
                        self.hear_early(&id, &session);
                    }
                }
            }
        }
        Ok(())
    }

    /// Everything in cases whose time has come.
    pub(super) fn tick_in_cases(&mut self) -> Result<(), Fault> {
        let now = self.clock.now();
        let due = |case: &&Case| case.wake_at().is_some_and(|at| at <= now);
        let ids: Vec<CaseId> = self.cases.values().filter(due).map(|case| case.id).collect();
        for id in ids {
            let told = self.judge(&id, &CaseInput::Tick, None, Vec::new());
            if let Err(Trouble::Failed(fault)) = told {
                return Err(fault);
            }
        }
        Ok(())
    }
}

/// Our channel with one side of a case.
pub(super) fn case_channel(case: &Case, role: Role) -> Channel {
    let job = crate::market::JobId(case_id(&case.job, &case.lock.hash).0);
    Channel { nonce: case.begins.nonce, peer: case.session(role), job }
}

fn unreadable(code: &str, sentence: &str) -> Hearing {
    Hearing::from(Unreadable { code: code.into(), sentence: sentence.into() })
}
