//! What relays are asked: listings, first contacts to keys of ours, the channels of jobs and cases.

use super::*;

impl<S: Store> Core<S> {
    /// What relays should be asked.
    pub fn subscriptions(&self) -> Result<Vec<Subscription>, Fault> {
        let now = self.clock.now();
        let since = self.store.cursor("listings")?;
        let since = since.map_or(now.before(BOOK_BEGINS), |at| at.before(LISTING_SLACK));
        let mut all = vec![Subscription {
            want: Want::Listings(self.me.network),
            relays: Vec::new(),
            since,
            reader: None,
        }];
        for post in self.inboxes.iter().filter_map(|id| self.posts.get(id)) {
            self.post_wants(post, now, &mut all);
        }
        // Asking tells a relay whom we ask about: only whom somebody looks at, and while it does.
        for (who, _) in self.looked.iter().filter(|(_, until)| now < **until) {
            let want = Want::About(*who);
            all.push(Subscription { want, relays: Vec::new(), since: Time(0), reader: None });
        }
        if self.looked.values().any(|until| now < *until) {
            let want = Want::Follows(self.scribe.identity());
            all.push(Subscription { want, relays: Vec::new(), since: Time(0), reader: None });
        }
        for job in self.voices.iter().filter_map(|id| self.jobs.get(id)) {
            self.job_wants(job, now, &mut all);
        }
        self.case_subscriptions(&mut all);
        Ok(all)
    }

    /// What relays are asked for one log.
    pub fn wants_of(&self, log: &EventId) -> Vec<Subscription> {
        let (now, mut all) = (self.clock.now(), Vec::new());
        if let Some(post) = self.posts.get(log) {
            self.post_wants(post, now, &mut all);
        }
        if let Some(job) = self.jobs.get(log) {
            self.job_wants(job, now, &mut all);
        }
        if let Some(case) = self.cases.get(log) {
            self.case_wants(case, now, &mut all);
        }
        all
    }

    /// Notes whether a job has somebody to listen to, but for the time: see [`Core::job_wants`].
    pub(super) fn note_voice(&mut self, job: &Job) {
        let open = !job.phase.is_over()
            && (job.awarded_at.is_some()
                || job.role == Role::Worker && job.phase != Phase::Declined);
        match open || self.ended.contains(&(job.since, job.id)) {
            true => self.voices.insert(job.id),
            false => self.voices.remove(&job.id),
        };
    }

    /// Notes whether somebody may write to a gig of ours, but for the time: see [`Core::post_wants`].
    pub(super) fn note_inbox(&mut self, id: &EventId) {
        let gig = self.posts.get(id).and_then(Post::gig);
        match gig.is_some_and(|gig| self.is_heard(gig)) {
            true => self.inboxes.insert(*id),
            false => self.inboxes.remove(id),
        };
    }

    /// Whose slots are all taken hears no bid, and nobody's word once the work is done; should a slot come free,
    /// everything since is read. Bids on what was closed may still be awarded, or withdrawn.
    fn is_heard(&self, gig: &Gig) -> bool {
        let alive =
            |job: &Job| !job.phase.is_over() && (gig.status == Status::Closed || job.job.is_some());
        gig.status == Status::Open || self.bids_on(gig).any(alive)
    }

    fn post_wants(&self, post: &Post, now: Time, all: &mut Vec<Subscription>) {
        let Some(gig) = post.gig() else { return };
        // A little longer than it takes bids: a withdrawal may come late.
        if self.is_heard(gig) && now < gig.expires_at.after(Span::DAY) {
            all.push(Subscription {
                want: Want::Wraps(gig.offer.inbox.key),
                relays: gig.offer.inbox.relays.clone(),
                since: gig.published_at.before(WRAP_SLACK),
                reader: self.reader(&gig.offer.inbox.key),
            });
        }
    }

    fn job_wants(&self, job: &Job, now: Time, all: &mut Vec<Subscription>) {
        if job.phase.is_over() && !self.is_recent(job, now) {
            return;
        }
        let declined = job.phase == Phase::Declined && !self.is_recent(job, now);
        let waits = job.job.is_none() && !job.phase.is_over() && !declined;
        if job.role == Role::Worker && waits {
            all.push(Subscription {
                want: Want::Wraps(job.worker.session),
                relays: job.bid.relays.clone(),
                since: job.began.before(WRAP_SLACK),
                reader: self.reader(&job.worker.session),
            });
        }
        let Some(awarded) = job.awarded_at else { return };
        for ear in [Ear::Peer(job.id), Ear::Judge(job.id)] {
            let Some(author) = self.author_of(&ear) else { continue };
            all.push(Subscription {
                want: Want::Channel(author),
                relays: job.relays.clone(),
                since: awarded.before(Span::DAY),
                reader: None,
            });
        }
        if let Some(nonce) = job.nonce.filter(|_| job.awaits_judge()) {
            let session = self.scribe.session(&nonce);
            all.push(Subscription {
                want: Want::Wraps(session),
                relays: job.relays.clone(),
                since: awarded.before(WRAP_SLACK),
                reader: self.reader(&session),
            });
        }
    }

    /// Whether somebody may still say something about a job that is over: a receipt, a rating, a word; or
    /// award a bid that was declined. Among very many only of the last: each costs every relay a key in a
    /// question.
    fn is_recent(&self, job: &Job, now: Time) -> bool {
        now <= job.since.after(Span::DAY) && self.ended.contains(&(job.since, job.id))
    }

    /// Which of our keys this is.
    fn reader(&self, key: &Pubkey) -> Option<WrapKey> {
        Some(match self.by_key.get(key)? {
            WrapKeyOf::Post(_, nonce) => WrapKey::Inbox(*nonce),
            WrapKeyOf::Job(_, nonce) => WrapKey::Session(*nonce),
        })
    }
}
