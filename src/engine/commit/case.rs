//! What a side says to its judge, and what a judge says to both: signed and sealed once, as bytes, like
//! everything else that is said.

use super::{Writer, nonce_of};
use crate::engine::{Channel, Fault};
use crate::market::{
    Body, Case, CaseSay, CaseStep, Draft, Effect, Fact, Job, JobId, Nonce, Preimage, Pubkey,
    Record, Role, Say, can_be_lodged, fit_an_appointment,
};
use crate::seal::{ChannelSecret, Hash32};

impl Writer<'_> {
    /// What is said to the judge, if that is to whom it is said: with what only the scribe can draw.
    pub(super) fn plea(&self, job: &Job, say: &Say) -> Result<Option<Body>, Fault> {
        Ok(Some(match say {
            Say::Appoint { nonce } => {
                let escrow = job.escrow.as_ref();
                let paper = |i: usize| escrow.and_then(|e| e.papers[i].clone());
                let (Some(fund), Some(funded)) = (paper(0), paper(1)) else {
                    return Err(Fault::Never("the worker's word on the lock is not here".into()));
                };
                // Signed again it is the same event. Where it is not, or does not fit, the judge has its book:
                // the money is locked, and nothing may keep the judge from its copy of the secret.
                let listing = self.scribe.listing(&job.gig).ok().filter(|listing| {
                    let events = [&*job.bid_event, &*job.award_event, &*listing.json];
                    listing.id == job.gig.id && fit_an_appointment(events)
                });
                Body::Appoint {
                    listing: listing.map(|listing| listing.json),
                    bid: job.bid_event.clone(),
                    award: job.award_event.clone(),
                    lock: escrow.and_then(|e| e.lock_event.clone()),
                    fund,
                    funded,
                    x: self.scribe.escrow_key(nonce),
                }
            }
            Say::Plead(body) => (**body).clone(),
            Say::Dispute { manifest, delivery, reason } => {
                let (nonce, peer, id) = channel_of(job)?;
                let shared = self.scribe.shared_secret(&Channel { nonce, peer, job: id });
                let secret = ChannelSecret::new(shared.0).tranche(&Hash32::new(id.0), *delivery, 0);
                let secrets = vec![Preimage::new(*secret.expose())];
                Body::Dispute { manifest: *manifest, reason: reason.clone(), secrets }
            }
            _ => return Ok(None),
        }))
    }

    /// Gives the judge what was just signed.
    pub(super) fn lodge(&mut self, job: &mut Job) -> Result<(), Fault> {
        let hearing = job.escrow.as_ref().map(|escrow| &escrow.hearing);
        let record = hearing.and_then(|hearing| {
            let last = job.ours.last.as_ref().filter(|last| !hearing.has(last))?;
            can_be_lodged(last).then(|| last.event.clone())
        });
        match record {
            Some(record) => self.plead(job, Body::Lodge { record }),
            None => Ok(()),
        }
    }

    /// Says it in the case, which is a chain of its own.
    pub(super) fn plead(&mut self, job: &mut Job, body: Body) -> Result<(), Fault> {
        let case = job.case().ok_or_else(|| Fault::Never("the job has no judge".into()))?;
        let hearing = job.escrow.as_ref().map(|escrow| &escrow.hearing);
        let chain = hearing.map(|h| h.ours.clone()).unwrap_or_default();
        let seen = hearing.and_then(|h| h.theirs.last.as_ref()).map(|last| last.id);
        let prev = chain.last.map(|last| last.id);
        let job_field = Some(JobId(case.0));
        let draft = Draft { job: job_field, seq: chain.next, prev, seen, at: self.now, body };
        let record = self.scribe.sign(&nonce_of(job)?, &draft)?;
        let fact = Fact::ToJudge { record: record.clone() };
        job.apply(&fact, self.now);
        self.fact(fact)?;
        let effect = self.carry_to_judge(job, &record)?;
        self.effect(&effect)
    }

    /// How a record of ours travels to the judge.
    pub(super) fn carry_to_judge(&self, job: &Job, record: &Record) -> Result<Effect, Fault> {
        let nonce = nonce_of(job)?;
        if let Body::Appoint { .. } = &record.draft.body {
            let door = job.escrow.as_ref().and_then(|escrow| escrow.door.clone());
            let door = door.ok_or_else(|| Fault::Never("the judge's inbox is not known".into()))?;
            return Ok(Effect::First {
                record: Box::new(record.clone()),
                nonce,
                to: door.inbox.key,
                relays: door.inbox.relays,
                pow: door.pow,
            });
        }
        let (nonce, peer, case) = job
            .judge_channel()
            .ok_or_else(|| Fault::Never("the judge has not spoken yet".into()))?;
        let channel = Channel { nonce, peer, job: JobId(case.0) };
        let event = self.scribe.post(&channel, record, self.now)?;
        Ok(Effect::Publish { event: event.json, id: event.id, relays: job.relays.clone() })
    }

    /// Writes a whole step into a case, which is folded as it goes.
    pub(in crate::engine) fn case_step(
        &mut self,
        case: &mut Case,
        step: CaseStep,
    ) -> Result<(), Fault> {
        for fact in step.facts {
            case.apply(&fact, self.now);
            self.fact(fact)?;
        }
        for CaseSay::Post(body) in step.says {
            self.judge_says(case, *body)?;
        }
        if step.again {
            for record in case.said.clone() {
                self.carry_to_both(case, &record)?;
            }
        }
        for effect in step.effects {
            self.effect(&effect)?;
        }
        Ok(())
    }

    /// Says it to both sides: the same record, in one chain.
    pub(in crate::engine) fn judge_says(
        &mut self,
        case: &mut Case,
        body: Body,
    ) -> Result<(), Fault> {
        let draft = Draft {
            job: Some(JobId(case.id.0)),
            seq: case.ours.next,
            prev: case.ours.last.as_ref().map(|last| last.id),
            // There are two other sides: what is lodged is acknowledged by name.
            seen: None,
            at: self.now,
            body,
        };
        let record = self.scribe.sign(&case.begins.nonce, &draft)?;
        let fact = Fact::Said { record: record.clone() };
        case.apply(&fact, self.now);
        self.fact(fact)?;
        self.carry_to_both(case, &record)
    }

    fn carry_to_both(&mut self, case: &Case, record: &Record) -> Result<(), Fault> {
        let nonce = case.begins.nonce;
        for role in [Role::Requester, Role::Worker] {
            let (peer, relays) = (case.session(role), case.relays().to_vec());
            let effect = match &record.draft.body {
                Body::Holding { .. } => {
                    let record = Box::new(record.clone());
                    Effect::First { record, nonce, to: peer, relays, pow: 0 }
                }
                _ => {
                    let channel = Channel { nonce, peer, job: JobId(case.id.0) };
                    let event = self.scribe.post(&channel, record, self.now)?;
                    Effect::Publish { event: event.json, id: event.id, relays }
                }
            };
            self.effect(&effect)?;
        }
        Ok(())
    }
}

fn channel_of(job: &Job) -> Result<(Nonce, Pubkey, JobId), Fault> {
    job.channel().ok_or_else(|| Fault::Never("the job has no channel yet".into()))
}
