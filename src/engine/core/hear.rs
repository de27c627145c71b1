//! What relays, the node and time tell the core.

use std::slice::from_ref;

use super::again::Untold;
use super::listings::is_listing;
use super::*;

impl<S: Store> Core<S> {
    /// An event from a relay: signature and size are checked already. What cannot be committed now is told
    /// again: see [`Core::is_behind`].
    pub fn hear(&mut self, event: &RelayEvent) -> Result<Taken, Fault> {
        if is_listing(event) {
            return self.hear_listings(from_ref(event)).remove(0);
        }
        let mark = Mark::relay(&event.id, self.clock.now());
        if self.store.seen(&mark.source, &mark.key)? {
            return Ok(Taken::Nothing);
        }
        let mark = Some(mark);
        let taken = match event.kind {
            1059 => self.hear_wrap(event, mark.clone()),
            3920 => self.hear_post(event, mark.clone()),
            3922 | 3923 => self.hear_testimony(event, mark.clone()),
            3 => self.hear_follows(event, mark.clone()),
            _ => return Ok(Taken::Nothing),
        };
        match taken {
            Ok(taken) => Ok(taken),
            Err(Hearing::Unreadable(why)) => {
                // Remembered, so that no work is done twice for it; if it cannot be, it is done twice.
                let _ = self.store.commit(&Commit { mark, ..Commit::default() });
                Ok(Taken::Refused(why))
            }
            Err(Hearing::Trouble(Trouble::Refused(why))) => {
                Ok(Taken::Refused(Unreadable { code: why.code, sentence: why.sentence }))
            }
            Err(Hearing::Trouble(Trouble::NotFound { .. })) => Ok(Taken::Nothing),
            Err(Hearing::Trouble(Trouble::Failed(fault))) => {
                if let Fault::Later(_) = &fault {
                    self.keep_untold(Untold::Event(event.clone()));
                }
                Err(fault)
            }
        }
    }

    fn hear_wrap(&mut self, event: &RelayEvent, mark: Option<Mark>) -> Result<Taken, Hearing> {
        let Some(of) = event.to.and_then(|to| self.by_key.get(&to).copied()) else {
            return Ok(Taken::Nothing);
        };
        let contact = match of {
            WrapKeyOf::Post(post, nonce) => {
                let pow = self.posts.get(&post).and_then(Post::gig).map_or(0, |g| g.offer.pow);
                self.scribe.open_wrap(&WrapKey::Inbox(nonce), &event.json, pow)?
            }
            WrapKeyOf::Job(_, nonce) => {
                self.scribe.open_wrap(&WrapKey::Session(nonce), &event.json, 0)?
            }
        };
        match (&contact.record.draft.body, of) {
            (Body::Bid(_), WrapKeyOf::Post(post, _)) => self.hear_bid(&post, contact, mark),
            (Body::Appoint { .. }, WrapKeyOf::Post(post, _)) => {
                self.hear_appointment(&post, contact, mark)
            }
            (Body::Holding { .. }, WrapKeyOf::Job(id, _)) => {
                self.hear_judge(&id, contact.record, contact.judge, mark)
            }
            (Body::Withdraw { .. }, WrapKeyOf::Post(..)) => {
                let id = contact.record.draft.job.map(|j| EventId(j.0));
                let id = id.ok_or_else(|| unreadable("wrong-job", "It names no bid."))?;
                self.hear_record(&id, contact.record, None, mark)
            }
            (Body::Award(_) | Body::Decline { .. }, WrapKeyOf::Job(id, _)) => {
                self.hear_record(&id, contact.record, contact.certificate, mark)
            }
            _ => Err(unreadable("wrong-body", "It has no business in this inbox.").into()),
        }
    }

    fn hear_bid(
        &mut self,
        to: &EventId,
        contact: FirstContact,
        mark: Option<Mark>,
    ) -> Result<Taken, Hearing> {
        let (Some(certificate), Some(terms)) = (contact.certificate, contact.terms) else {
            return Err(unreadable("no-certificate", "The bid has no certificate.").into());
        };
        let record = contact.record;
        if self.jobs.contains_key(&record.id) {
            return Ok(Taken::Nothing);
        }
        let Body::Bid(bid) = &record.draft.body else {
            return Err(unreadable("wrong-body", "Not a bid.").into());
        };
        if self.muted.contains_key(&certificate.identity) {
            // Remembered, so that it is not opened again.
            self.store.commit(&Commit { mark, ..Commit::default() })?;
            return Ok(Taken::Nothing);
        }
        let post = self.posts.get(to).filter(|p| p.versions.contains_key(&bid.gig));
        let answers = post.and_then(|p| p.versions.get(&bid.gig));
        let now = self.clock.now();
        let rivals = answers.into_iter().flat_map(|gig| self.bids_on(gig));
        let door = Door {
            answers,
            newest: post.and_then(Post::gig),
            me: self.scribe.identity(),
            now,
            slots_left: answers.map_or(0, |gig| self.slots_left(gig)),
            waiting: rivals
                .filter(|job| job.phase == Phase::Bid)
                .filter(|job| job.worker.identity == certificate.identity)
                .count(),
            session_known: self.sessions.contains(&record.author),
            terms,
        };
        if let Err(refusal) = admit(&record, &certificate, &door) {
            self.store.commit(&Commit { mark, ..Commit::default() })?;
            return Err(Trouble::Refused(refusal).into());
        }
        let Some(gig) = answers.cloned() else { return Ok(Taken::Nothing) };
        let fact = Fact::Bid {
            role: Role::Requester,
            record,
            certificate,
            gig: Box::new(gig),
            nonce: None,
            by: None,
        };
        Ok(match self.begin(fact, None, mark, now)? {
            Committed::New => Taken::New,
            Committed::Seen => Taken::Nothing,
        })
    }

    /// What somebody says of people, or proves against them. Only of whom somebody looks at: strangers may publish
    /// as much as they like.
    fn hear_testimony(&mut self, event: &RelayEvent, mark: Option<Mark>) -> Result<Taken, Hearing> {
        let testimony = self.scribe.read_testimony(&event.json)?;
        let about = testimony.about();
        if !about.iter().any(|who| self.looked.contains_key(who)) {
            return Ok(Taken::Nothing);
        }
        let commit = Commit { mark, testimonies: vec![testimony], ..Commit::default() };
        let taken = self.store.commit(&commit)?;
        let of = self.jobs.values().filter(|job| about.contains(&job.peer()));
        self.changed.logs.extend(of.map(|job| job.id));
        Ok(match taken {
            Committed::New => Taken::New,
            Committed::Seen => Taken::Nothing,
        })
    }

    /// Our own contact list, as we published it with any program.
    fn hear_follows(&mut self, event: &RelayEvent, mark: Option<Mark>) -> Result<Taken, Hearing> {
        let newest = self.store.cursor("follows")?.is_none_or(|last| last < event.at);
        if event.author != self.scribe.identity() || !newest {
            return Ok(Taken::Nothing);
        }
        let follows = self.scribe.read_follows(&event.json)?;
        self.follows = follows.iter().copied().collect();
        let cursor = Some(("follows".into(), event.at));
        let commit = Commit { mark, follows: Some(follows), cursor, ..Commit::default() };
        self.store.commit(&commit)?;
        Ok(Taken::New)
    }

    fn hear_post(&mut self, event: &RelayEvent, mark: Option<Mark>) -> Result<Taken, Hearing> {
        let Some(ear) = self.by_author.get(&event.author).copied() else {
            return Ok(Taken::Nothing);
        };
        let channel = match ear {
            Ear::Peer(id) => self.jobs.get(&id).and_then(Job::channel),
            Ear::Judge(id) => {
                let channel = self.jobs.get(&id).and_then(Job::judge_channel);
                channel.map(|(nonce, peer, case)| (nonce, peer, JobId(case.0)))
            }
            Ear::Case(id, role) => self.cases.get(&id).map(|case| {
                let Channel { nonce, peer, job } = super::cases::case_channel(case, role);
                (nonce, peer, job)
            }),
        };
        let Some((nonce, peer, job)) = channel else { return Ok(Taken::Nothing) };
        let record = self.scribe.open_post(&Channel { nonce, peer, job }, &event.json)?;
        if record.author == self.scribe.session(&nonce) {
            // Our own words coming back: both sides read the same author.
            self.store.commit(&Commit { mark, ..Commit::default() })?;
            return Ok(Taken::Nothing);
        }
        match ear {
            Ear::Peer(id) => self.hear_record(&id, record, None, mark),
            Ear::Judge(id) => self.hear_judge(&id, record, None, mark),
            Ear::Case(id, _) => self.hear_in_case(&id, record, mark),
        }
    }

    fn hear_record(
        &mut self,
        id: &BidId,
        record: Record,
        certificate: Option<crate::market::Certificate>,
        mark: Option<Mark>,
    ) -> Result<Taken, Hearing> {
        let invoice = match &record.draft.body {
            Body::Bill { invoice, .. } | Body::Fund { invoice, .. } => {
                self.scribe.read_invoice(invoice).ok().map(Box::new)
            }
            _ => None,
        };
        let input = Input::Heard {
            record: Box::new(record.clone()),
            certificate: certificate.map(Box::new),
            invoice,
        };
        match self.advance(id, &input, mark.clone(), Vec::new()) {
            Ok(Committed::New) => {
                self.hear_early(id, &record.author);
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

    /// Keeps a record that came before its predecessor.
    pub(super) fn keep_early(&mut self, id: EventId, record: Record, mark: Option<Mark>) {
        let author = record.author;
        let waiting = self.early.range((id, author, 0)..=(id, author, u64::MAX)).count();
        if waiting < MOST_EARLY
            && let Some(mark) = mark
            && let Ok(event) = mark.key.parse()
        {
            self.early.insert((id, author, record.draft.seq), (event, record));
        }
    }

    /// Takes records that came before their predecessors, now that one more is here.
    pub(super) fn hear_early(&mut self, id: &EventId, author: &Pubkey) {
        loop {
            let judge = |job: &Job| {
                let hearing = &job.escrow.as_ref()?.hearing;
                let judges = hearing.judge.as_ref().is_some_and(|j| j.session == *author);
                judges.then_some(hearing.theirs.next)
            };
            let case = self.cases.get(id).and_then(|case| {
                Some((case.chain_of(case.role_of(author)?).next, Ear::Case(*id, Role::Worker)))
            });
            let job = self.jobs.get(id).map(|job| match judge(job) {
                Some(next) => (next, Ear::Judge(*id)),
                None => (job.theirs.next, Ear::Peer(*id)),
            });
            let Some((next, ear)) = case.or(job) else { break };
            let Some((event, record)) = self.early.remove(&(*id, *author, next)) else { break };
            let mark = Some(Mark::relay(&event, self.clock.now()));
            let heard = match ear {
                Ear::Case(..) => self.hear_in_case(id, record, mark),
                Ear::Judge(_) => self.hear_judge(id, record, None, mark),
                Ear::Peer(_) => self.hear_record(id, record, None, mark),
            };
            // One that is early again is kept again: its time is not now.
            if !matches!(heard, Ok(Taken::New)) {
                break;
            }
        }
    }

    /// The node says something. Ok once it is committed (or concerns nobody): then it is handled.
    /// `Some(hash)` is a held payment that is nobody's: fail it back.
    pub fn node(&mut self, event: &NodeEvent) -> Result<Option<PaymentHash>, Fault> {
        let hash = match event {
            NodeEvent::Claimable { hash, .. }
            | NodeEvent::Received { hash, .. }
            | NodeEvent::Paid { hash, .. }
            | NodeEvent::Failed { hash, .. } => *hash,
            NodeEvent::Channels(_) => return Ok(None),
        };
        // The ledger first: a hash in it belongs to one job for ever.
        let id = match self.store.payment(&hash)? {
            Some(row) => Some(row.log),
            None => self.by_hash.get(&hash).copied(),
        };
        let held = matches!(event, NodeEvent::Claimable { .. }).then_some(hash);
        let Some(id) = id else { return Ok(held) };
        match self.advance(&id, &Input::Node(event.clone()), None, Vec::new()) {
            Ok(_) | Err(Trouble::Refused(_)) => Ok(None),
            Err(Trouble::NotFound { .. }) => Ok(held),
            Err(Trouble::Failed(fault)) => Err(fault),
        }
    }

    /// The node knows a new block: held payments are watched by height, not by the clock.
    pub fn height(&mut self, height: u32) -> Result<(), Fault> {
        self.height = height;
        for id in self.watchers.clone() {
            let input = Input::Height(height);
            if let Err(Trouble::Failed(fault)) = self.advance(&id, &input, None, Vec::new()) {
                return Err(fault);
            }
        }
        self.height_in_cases()
    }

    /// Everything whose time has come.
    pub fn tick(&mut self) -> Result<(), Fault> {
        let now = self.clock.now();
        let due = self.wakes_by_time.iter().take_while(|(at, _)| *at <= now);
        let due: BTreeSet<EventId> = due.map(|(_, log)| *log).collect();
        for id in due.into_iter().filter(|log| self.jobs.contains_key(log)).collect::<Vec<_>>() {
            if let Err(Trouble::Failed(fault)) = self.advance(&id, &Input::Tick, None, Vec::new()) {
                return Err(fault);
            }
        }
        self.tick_in_cases()
    }

    /// When time alone next changes something.
    pub fn wake_at(&self) -> Option<Time> {
        self.wakes_by_time.first().map(|(at, _)| *at)
    }
}

/// Why an event led to nothing.
pub(super) enum Hearing {
    Unreadable(Unreadable),
    Trouble(Trouble),
}

impl From<Unreadable> for Hearing {
    fn from(why: Unreadable) -> Self {
        Self::Unreadable(why)
    }
}
impl From<Trouble> for Hearing {
    fn from(why: Trouble) -> Self {
        Self::Trouble(why)
    }
}
impl From<Fault> for Hearing {
    fn from(why: Fault) -> Self {
        Self::Trouble(Trouble::Failed(why))
    }
}

fn unreadable(code: &str, sentence: &str) -> Unreadable {
    Unreadable { code: code.into(), sentence: sentence.into() }
}
