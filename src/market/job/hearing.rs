//! The hearing of a job: what passes between us and the judge of its escrow, as the facts tell it.

use crate::market::job::{Attempt, Chain, Escrow, Job, Phase, RESEND};
use crate::market::{
    Address, Body, CaseId, EventId, Fact, Grant, JudgeCertificate, JudgeTerms, Nonce, Pubkey,
    Record, Role, Time, case_id,
};

/// What one side calls the judge for, or answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plea {
    /// The record.
    pub id: EventId,
    /// Whose.
    pub by: Role,
    /// The judge's tip when it was given to the judge; `None` until the judge has said so.
    pub height: Option<u32>,
    /// Why, for a person.
    pub reason: String,
}

/// What passes between us and the judge. Of one lock: a new lock is a new case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hearing {
    /// The judge's certificate, once it holds the secret.
    pub judge: Option<JudgeCertificate>,
    /// Where its endpoint is.
    pub address: Option<Address>,
    /// What we said.
    pub ours: Chain,
    /// What the judge said.
    pub theirs: Chain,
    /// What we said that the judge has not answered, oldest first.
    pub unanswered: Vec<Record>,
    /// When we last said or repeated something, and how often it was repeated.
    pub said_at: Time,
    /// How often what is not answered was repeated.
    pub resent: u32,
    /// The `deliver` record that stands or was rejected last.
    pub delivery: Option<Record>,
    /// The requester's word that it accepts it.
    pub accepted: Option<Record>,
    /// The `reject` of it.
    pub rejection: Option<Record>,
    /// A record by which the worker shows to have that.
    pub rejection_seen: Option<Record>,
    /// The delivery that was rejected: the judge may still be asked about it.
    pub rejected: Option<Box<Attempt>>,
    /// What the judge has lodged, and at which height.
    pub lodged: Vec<(EventId, u32)>,
    /// The deliveries of this lock among it.
    shown: Vec<EventId>,
    /// Every rejection, whatever stood when it was signed.
    refused: Vec<Record>,
    /// Who called it, and why: what it rules on.
    pub dispute: Option<Plea>,
    /// What the other side answered.
    pub objection: Option<Plea>,
    /// Whether it ruled for the worker.
    pub ruling: Option<bool>,
}

impl Hearing {
    /// Whether the judge was given this record, or is being given it.
    pub fn has(&self, record: &Record) -> bool {
        let given =
            |own: &Record| own.id == record.id || own.draft.body.inner() == Some(&record.event);
        self.lodged.iter().any(|(id, _)| *id == record.id) || self.unanswered.iter().any(given)
    }

    /// Whether the judge was shown this delivery.
    pub fn is_shown(&self, manifest: &EventId) -> bool {
        self.shown.contains(manifest)
    }

    /// Rejections of what the judge was shown.
    pub fn refusals(&self) -> impl Iterator<Item = &Record> {
        self.refused.iter().filter(|record| match &record.draft.body {
            Body::Reject { manifest, .. } => self.is_shown(manifest),
            _ => false,
        })
    }

    /// The rejection of this delivery.
    pub fn refusal(&self, of: &EventId) -> Option<&Record> {
        self.refused.iter().find(
            |record| matches!(&record.draft.body, Body::Reject { manifest, .. } if manifest == of),
        )
    }

    /// What the judge was shown, and neither stands here nor was rejected.
    pub fn unheld(&self) -> Vec<EventId> {
        let stands = self.delivery.as_ref().map(|record| record.id);
        let unheld = |id: &&EventId| stands != Some(**id) && self.refusal(id).is_none();
        self.shown.iter().filter(unheld).copied().collect()
    }

    /// Whether the requester has called and the worker may still: the requester's call opens nothing.
    pub fn awaits_worker(&self) -> bool {
        let calls = |own: &Record| matches!(own.draft.body, Body::Dispute { .. });
        self.dispute.as_ref().is_some_and(|plea| plea.by == Role::Requester)
            && self.ruling.is_none()
            && !self.unanswered.iter().any(calls)
    }

    /// When what the judge has not answered is said again.
    pub fn resend_at(&self) -> Option<Time> {
        let wait = RESEND.get(usize::try_from(self.resent).ok()?)?;
        (!self.unanswered.is_empty()).then(|| self.said_at.after(*wait))
    }

    fn answered(&mut self, by: impl Fn(&Record) -> bool) {
        self.unanswered.retain(|record| !by(record));
        self.resent = 0;
    }
}

impl Job {
    /// Who judges, if the two agreed on somebody.
    pub fn judge(&self) -> Option<&JudgeTerms> {
        self.terms().escrow.as_ref()?.judge.as_ref()
    }

    /// The case of the lock that stands, if there is a judge.
    pub fn case(&self) -> Option<CaseId> {
        self.judge()?;
        Some(case_id(&self.job?, &self.escrow.as_ref()?.lock.hash))
    }

    /// Our private channel with the judge, once it has spoken: our nonce, its session key, the case.
    pub fn judge_channel(&self) -> Option<(Nonce, Pubkey, CaseId)> {
        let judge = self.escrow.as_ref()?.hearing.judge.as_ref()?;
        Some((self.nonce?, judge.session, self.case()?))
    }

    /// Whether the judge's first word is still awaited.
    pub fn awaits_judge(&self) -> bool {
        let open = matches!(self.phase, Phase::Awarded | Phase::Funding | Phase::Working);
        let unheard = |escrow: &Escrow| escrow.hearing.judge.is_none();
        open && self.judge().is_some() && self.escrow.as_ref().is_some_and(unheard)
    }

    /// Whether a delivery has a place now. The requester takes one also where the worker alone has heard the
    /// judge.
    pub fn takes_delivery(&self) -> bool {
        let ahead = |escrow: &Escrow| escrow.funded.is_some() && self.judge().is_some();
        self.phase == Phase::Working
            || self.role == Role::Requester
                && self.phase == Phase::Funding
                && self.escrow.as_ref().is_some_and(ahead)
    }

    /// Whether nobody may work before the judge has spoken, and it has not.
    pub(super) fn unjudged(&self) -> bool {
        let unheard = |escrow: &Escrow| escrow.hearing.judge.is_none();
        self.judge().is_some() && self.escrow.as_ref().is_some_and(unheard)
    }

    /// What the judge may fetch from us: the delivery that the two do not agree on.
    pub(super) fn grants_to_judge(&self) -> Vec<Grant> {
        let Some(escrow) = &self.escrow else { return Vec::new() };
        let (Some(judge), Some(_)) = (&escrow.hearing.judge, &escrow.hearing.dispute) else {
            return Vec::new();
        };
        let work = self.attempt.as_ref().filter(|_| self.role == Role::Worker);
        let files = work.and_then(|w| Some((w.blob.clone()?, w.vector.clone()?, w.sizes?)));
        let Some((blob, vector, [b, v])) = files else { return Vec::new() };
        let to = judge.endpoint;
        vec![
            Grant { blob: b.0, size: b.1, path: blob, to },
            Grant { blob: v.0, size: v.1, path: vector, to },
        ]
    }

    /// A record of the job that the judge may once be shown, whoever wrote it.
    pub(super) fn note_for_judge(&mut self, record: &Record, author: Role) {
        if self.judge().is_none() {
            return;
        }
        let standing = self.attempt.as_ref().and_then(|work| work.record.as_ref()).map(|r| r.id);
        let Some(escrow) = &mut self.escrow else { return };
        let hearing = &mut escrow.hearing;
        let shows =
            |of: &Option<Record>| of.as_ref().is_some_and(|of| record.draft.seen == Some(of.id));
        if let (Body::Reject { .. }, Role::Requester) = (&record.draft.body, author) {
            hearing.refused.push(record.clone());
        }
        match (&record.draft.body, author) {
            (Body::Reject { manifest, .. }, Role::Requester) if standing == Some(*manifest) => {
                hearing.rejection = Some(record.clone());
                hearing.rejection_seen = None;
            }
            // Of a delivery that stands no more.
            (Body::Reject { .. }, Role::Requester) => {}
            (Body::Accept { manifest, .. }, Role::Requester)
                if hearing.delivery.as_ref().is_some_and(|of| of.id == *manifest) =>
            {
                hearing.accepted = Some(record.clone());
            }
            (_, Role::Worker) if hearing.rejection_seen.is_none() && shows(&hearing.rejection) => {
                hearing.rejection_seen = Some(record.clone());
            }
            _ => {}
        }
    }

    /// A delivery stands from now on.
    pub(super) fn delivered_for_judge(&mut self, record: &Record) {
        if let Some(escrow) = &mut self.escrow {
            let hearing = &mut escrow.hearing;
            hearing.delivery = Some(record.clone());
            (hearing.accepted, hearing.rejection, hearing.rejection_seen) = (None, None, None);
            hearing.rejected = None;
        }
    }

    /// Folds a fact of the hearing; false if it is none.
    pub(super) fn apply_hearing(&mut self, fact: &Fact, at: Time) -> bool {
        let role = self.role;
        match fact {
            Fact::ToJudge { record } => {
                let Some(escrow) = &mut self.escrow else { return true };
                let hearing = &mut escrow.hearing;
                hearing.ours = Chain { next: record.draft.seq + 1, last: Some(record.clone()) };
                hearing.unanswered.push(record.clone());
                (hearing.said_at, hearing.resent) = (at, 0);
                self.pleaded(record, role, None, at);
            }
            Fact::FromJudge { record, certificate, inner } => {
                let Some(escrow) = &mut self.escrow else { return true };
                let hearing = &mut escrow.hearing;
                hearing.theirs = Chain { next: record.draft.seq + 1, last: Some(record.clone()) };
                self.judged(record, certificate.as_ref(), inner.as_deref(), at);
            }
            Fact::ResentToJudge => {
                if let Some(escrow) = &mut self.escrow {
                    escrow.hearing.resent += 1;
                    escrow.hearing.said_at = at;
                }
            }
            _ => return false,
        }
        true
    }

    fn judged(
        &mut self,
        record: &Record,
        certificate: Option<&JudgeCertificate>,
        inner: Option<&Record>,
        at: Time,
    ) {
        let requester = self.requester.as_ref().map(|c| c.session);
        let (worker, role) = (self.worker.session, self.role);
        let Some(escrow) = &mut self.escrow else { return };
        match &record.draft.body {
            Body::Holding { address, .. } => {
                escrow.hearing.judge = certificate.cloned();
                escrow.hearing.address = Some(address.clone());
                escrow.hearing.answered(|own| matches!(own.draft.body, Body::Appoint { .. }));
                if self.phase == Phase::Funding && escrow.funded.is_some() {
                    self.enter(Phase::Working, at);
                }
            }
            Body::Lodged { height, .. } => {
                let Some(inner) = inner else { return };
                escrow.hearing.answered(|own| {
                    own.id == inner.id || own.draft.body.inner() == Some(&inner.event)
                });
                if !escrow.hearing.lodged.iter().any(|(id, _)| *id == inner.id) {
                    escrow.hearing.lodged.push((inner.id, *height));
                }
                let of_lock = matches!(inner.draft.body, Body::Deliver(_))
                    && inner.author == worker
                    && escrow.funded_by.is_some_and(|seq| inner.draft.seq > seq);
                if of_lock {
                    escrow.hearing.shown.push(inner.id);
                }
                let by =
                    if requester == Some(inner.author) { Role::Requester } else { Role::Worker };
                self.pleaded(inner, by, Some(*height), at);
            }
            Body::Ruling { dispute, x, reason } => {
                let about = escrow.hearing.dispute.as_ref().is_some_and(|plea| plea.id == *dispute);
                if !about || escrow.hearing.ruling.is_some() {
                    return;
                }
                escrow.hearing.ruling = Some(x.is_some());
                escrow.hearing.answered(|_| true);
                let stands =
                    self.phase == Phase::Disputed && !escrow.released && escrow.x.is_none();
                if !stands || escrow.returning.is_some() {
                    return;
                }
                match (role, x) {
                    (Role::Worker, Some(x)) => {
                        if escrow.held.is_some() && x.hash() == escrow.lock.hash {
                            escrow.x = Some(*x);
                            self.enter(Phase::Paying, at);
                        }
                    }
                    (Role::Requester, Some(x)) => {
                        if x.hash() == escrow.lock.hash {
                            escrow.released = true;
                            self.reason = Some(reason.0.clone());
                            self.enter(Phase::Paying, at);
                        }
                    }
                    (Role::Requester, None) => {
                        escrow.returning = Some(true);
                        self.reason = Some(reason.0.clone());
                        self.enter(Phase::Refunding, at);
                    }
                    // The node is told first: a fact of its own says so.
                    (Role::Worker, None) => self.reason = Some(reason.0.clone()),
                }
            }
            _ => {}
        }
    }

    /// A dispute or an objection, as its author said it or as the judge lodged it. Which dispute is ruled on both
    /// sides tell as the judge does, from what it has lodged and in its order.
    fn pleaded(&mut self, record: &Record, by: Role, height: Option<u32>, at: Time) {
        let Some(escrow) = &mut self.escrow else { return };
        let hearing = &mut escrow.hearing;
        let plea = |reason: &str| Plea { id: record.id, by, height, reason: reason.to_owned() };
        match &record.draft.body {
            Body::Dispute { manifest, reason, .. } => {
                let first = |known: &Plea| known.by == Role::Requester && by == Role::Worker;
                let shown = manifest.is_some_and(|manifest| hearing.is_shown(&manifest));
                match &mut hearing.dispute {
                    Some(known) if known.id == record.id => known.height = known.height.or(height),
                    Some(_) if height.is_none() || hearing.ruling.is_some() => return,
                    Some(known) if known.height.is_some() && !first(known) => return,
                    // A requester's call about nothing that was lodged is words (!).
                    _ if by == Role::Requester && height.is_some() && !shown => return,
                    dispute => {
                        *dispute = Some(plea(&reason.0));
                        hearing.objection = None;
                    }
                }
                let about = |work: &Attempt| manifest.is_some_and(|manifest| work.is(&manifest));
                // Better work that is being sealed is not delivered any more.
                let sealing = self.attempt.as_ref().is_none_or(|work| work.record.is_none());
                if sealing && hearing.rejected.as_deref().is_some_and(about) {
                    self.attempt = hearing.rejected.take().map(|work| *work);
                }
                if matches!(self.phase, Phase::Working | Phase::Delivered) {
                    self.enter(Phase::Disputed, at);
                }
            }
            Body::Objection { dispute, reason } => {
                let about = hearing.dispute.as_ref().is_some_and(|plea| plea.id == *dispute);
                match &mut hearing.objection {
                    Some(known) if known.id == record.id => known.height = known.height.or(height),
                    Some(_) => {}
                    objection if about => *objection = Some(plea(&reason.0)),
                    None => {}
                }
            }
            _ => {}
        }
    }
}
