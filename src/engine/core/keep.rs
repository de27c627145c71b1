//! Keeping a job as it is now: wherever it is looked up, counted or listened to, so that nobody has to look at all
//! of them.

use super::*;

impl<S: Store> Core<S> {
    pub(super) fn keep(&mut self, job: Job) {
        let id = job.id;
        if let Some(attempt) = &job.attempt {
            for hash in &attempt.hashes {
                self.by_hash.insert(*hash, id);
            }
        }
        if let Some(escrow) = &job.escrow {
            self.by_hash.insert(escrow.lock.hash, id);
        }
        for hash in &job.former {
            self.by_hash.entry(*hash).or_insert(id);
        }
        if let Some((nonce, peer, j)) = job.channel()
            && self.author_of(&Ear::Peer(id)).is_none()
        {
            let author = self.scribe.channel_author(&Channel { nonce, peer, job: j });
            self.listen(Ear::Peer(id), author);
        }
        if let Some((nonce, peer, case)) = job.judge_channel() {
            let channel = Channel { nonce, peer, job: JobId(case.0) };
            let known = |of: &Job| of.judge_channel() == Some((nonce, peer, case));
            if !self.jobs.get(&id).is_some_and(known) {
                self.listen(Ear::Judge(id), self.scribe.channel_author(&channel));
            }
        }
        if let (Role::Worker, Some(nonce)) = (job.role, job.nonce) {
            self.by_key.insert(job.worker.session, WrapKeyOf::Job(id, nonce));
        }
        if let (Role::Requester, Some(nonce), Some(_)) = (job.role, job.nonce, job.judge()) {
            // The judge's first word comes to our session key.
            self.by_key.insert(self.scribe.session(&nonce), WrapKeyOf::Job(id, nonce));
        }
        if job.role == Role::Requester && !self.jobs.contains_key(&id) {
            self.bids_on.entry(job.gig.d.clone()).or_default().insert(id);
        }
        self.sessions.insert(job.worker.session);
        let wake = job.wake_at();
        match job.watches_height() {
            true => self.watchers.insert(id),
            false => self.watchers.remove(&id),
        };
        self.wakes(id, wake);
        if job.phase.is_over() || job.phase == Phase::Declined {
            self.ends(&job);
        }
        self.note_holding(&job);
        self.note_voice(&job);
        self.sums.change(self.jobs.get(&id), &job);
        self.changed.logs.insert(id);
        let post = self.post_of(&job.gig).filter(|_| job.role == Role::Requester);
        self.jobs.insert(id, job);
        if let Some(post) = post {
            self.note_inbox(&post);
        }
    }

    fn note_holding(&mut self, job: &Job) {
        let holds = holds_gig(job, &job.gig);
        if holds {
            self.holding.entry(job.gig.d.clone()).or_default().insert(job.id);
        } else if let Some(of) = self.holding.get_mut(&job.gig.d) {
            of.remove(&job.id);
            if of.is_empty() {
                self.holding.remove(&job.gig.d);
            }
        }
    }

    /// Whether a bid of ours leaves no room for another on this gig.
    pub(super) fn holds(&self, gig: &Gig) -> bool {
        let of = self.holding.get(&gig.d).into_iter().flatten();
        of.filter_map(|id| self.jobs.get(id)).any(|job| holds_gig(job, gig))
    }

    /// A job is over, or our bid was declined: whom we listen to may be others from now on.
    fn ends(&mut self, job: &Job) {
        if let Some(old) = self.jobs.get(&job.id) {
            self.ended.remove(&(old.since, old.id));
        }
        if job.awarded_at.is_some() || job.phase == Phase::Declined {
            self.ended.insert((job.since, job.id));
        }
        if self.ended.len() > MOST_ENDED
            && let Some((_, oldest)) = self.ended.pop_first()
        {
            self.changed.logs.insert(oldest);
            if let Some(oldest) = self.jobs.get(&oldest).cloned() {
                self.note_voice(&oldest);
            }
        }
        self.changed.logs.extend(self.post_of(&job.gig).filter(|_| job.role == Role::Requester));
    }
}
