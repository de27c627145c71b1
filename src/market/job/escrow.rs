//! The escrow of a job: what its facts say of the money, and what follows from it.

use crate::market::escrow::ROUTE;
use crate::market::job::{Attempt, Hearing, Job, Phase};
use crate::market::{
    Body, Effect, EventId, Fact, Invoice, JudgeDoor, Lock, MOST_LOCKS, Msat, Nonce, PaymentHash,
    Preimage, Record, Role, Span, Time, Timetable, payable_at,
};

/// An escrow, from the award to the word of the node that ends it.
#[derive(Debug, Clone, PartialEq)]
pub struct Escrow {
    /// The lock that stands.
    pub lock: Lock,
    /// Whether the requester has named it: after the first milestone it does when it locks the money.
    named: bool,
    /// The record that holds it.
    pub record: EventId,
    /// That record, signed, where it is not the award.
    pub lock_event: Option<String>,
    /// The worker's signed `fund` and `funded`: what a judge is shown.
    pub papers: [Option<String>; 2],
    /// Requester: where the judge that was agreed on takes cases.
    pub door: Option<JudgeDoor>,
    /// What passes between us and the judge.
    pub hearing: Hearing,
    /// The hold invoice: made by the worker, decoded at the requester.
    pub invoice: Option<Invoice>,
    /// Worker: what the LSP keeps of it.
    pub lsp_fee: Msat,
    /// P, once the worker has signed it.
    pub end: Option<u32>,
    /// The lock can be used no more: a payment for it failed, came back or was refused.
    pub spent: bool,
    /// Requester: the most to pay in routing fees, once a person says lock it.
    pub wanted: Option<Msat>,
    /// Requester: it was sent and has not ended.
    pub paying: bool,
    /// Worker: held at our node: how much, and from which height it goes back.
    pub held: Option<(Msat, u32)>,
    /// It goes back: no secret is taken any more. Whether the job ends with it.
    pub returning: Option<bool>,
    /// The deadline that the worker signed when the channel was confirmed.
    pub funded: Option<u32>,
    /// The number of the record that says so: what the worker signed before is of an earlier milestone.
    pub(super) funded_by: Option<u64>,
    /// The requester asks to have the money back.
    pub asked_back: bool,
    /// Requester: x was given away.
    pub released: bool,
    /// x, at the worker; at the requester as learned from the payment.
    pub x: Option<Preimage>,
    /// Worker: ours: how much.
    pub received: Option<Msat>,
    /// Requester: routing fees paid.
    pub fee: Msat,
}

impl Escrow {
    /// With a lock and nothing in it.
    pub(super) fn begin(lock: Lock, record: EventId) -> Self {
        Self {
            lock,
            named: true,
            record,
            lock_event: None,
            papers: [None, None],
            door: None,
            hearing: Hearing::default(),
            invoice: None,
            lsp_fee: Msat::ZERO,
            end: None,
            spent: false,
            wanted: None,
            paying: false,
            held: None,
            returning: None,
            funded: None,
            funded_by: None,
            asked_back: false,
            released: false,
            x: None,
            received: None,
            fee: Msat::ZERO,
        }
    }

    /// Of a milestone that has begun, without a lock yet.
    pub(super) fn unnamed(milestone: u32, record: EventId) -> Self {
        let lock =
            Lock { milestone, attempt: 0, hash: PaymentHash([0; 32]), nonce: Nonce([0; 32]) };
        Self { named: false, spent: true, ..Self::begin(lock, record) }
    }

    /// Whether there is a lock.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// The number of the next try to lock the money.
    pub fn next_attempt(&self) -> u32 {
        self.lock.attempt.saturating_add(u32::from(self.named))
    }

    /// Whether this lock may follow on the one that stands: a higher number, another hash, and no money
    /// under the old one but what is on its way back.
    pub fn takes(&self, phase: Phase, lock: &Lock) -> bool {
        let going = phase == Phase::Refunding && self.returning == Some(false);
        let free = going || phase == Phase::Awarded && !self.is_locked();
        free && lock.milestone == self.lock.milestone
            && lock.attempt >= self.next_attempt()
            && lock.attempt < MOST_LOCKS
            && lock.hash != self.lock.hash
    }

    /// Heights, once P is known.
    pub fn timetable(&self, window: u32) -> Option<Timetable> {
        self.end.map(|end| Timetable { end, window })
    }

    /// Requester: the height at which the money is back at the latest if nothing happens: the payer's tip,
    /// the invoice's final CLTV and hints, and the most that is added for a route.
    pub fn worst_refund(&self, window: u32) -> Option<u32> {
        let (invoice, end) = (self.invoice.as_ref()?, self.end?);
        let (_, tip) = payable_at(end, window);
        let blocks = invoice.min_final_cltv.saturating_add(invoice.hint_cltv);
        let blocks = blocks.saturating_add(u64::from(ROUTE));
        Some(tip.saturating_add(u32::try_from(blocks).unwrap_or(u32::MAX)))
    }

    /// Worker: a claim that was begun and is not confirmed.
    pub(super) fn claim(&self) -> Option<(u32, PaymentHash, Msat)> {
        let (amount, _) = self.held.filter(|_| self.x.is_some() && self.received.is_none())?;
        Some((self.lock.attempt, self.lock.hash, amount))
    }

    /// Whether money is locked or on its way.
    pub fn is_locked(&self) -> bool {
        self.paying || self.held.is_some() && self.received.is_none()
    }

    /// Whether this escrow still wants an effect; `None` where it has no say.
    pub fn wants(&self, job: &Job, effect: &Effect) -> Option<bool> {
        Some(match effect {
            Effect::Bill { order, .. } => {
                order.hash == self.lock.hash && self.end.is_none() && job.phase == Phase::Awarded
            }
            Effect::Pay { order, .. } => order.hash == self.lock.hash && self.paying,
            Effect::Claim { hash, .. } => self.claim().is_some_and(|claim| claim.1 == *hash),
            Effect::Look { hash } => *hash == self.lock.hash && self.held.is_some(),
            Effect::Open { .. } => job.attempt.as_ref().is_some_and(|work| {
                work.inspected && work.tranches.iter().any(|t| !t.opened) && work.cheat.is_none()
            }),
            _ => return None,
        })
    }
}

impl Job {
    /// The escrow of a job whose lock this is, if it still stands.
    fn escrow_of(&mut self, hash: &PaymentHash) -> Option<&mut Escrow> {
        self.escrow.as_mut().filter(|escrow| escrow.lock.hash == *hash)
    }

    /// What a record changes in an escrow. False if it is nothing to it, or there is none.
    pub(super) fn spoken_in_escrow(&mut self, record: &Record, author: Role, at: Time) -> bool {
        let (mine, phase, role) = (author == self.role, self.phase, self.role);
        let judged = self.judge().is_some();
        let standing = self.attempt.as_ref().and_then(|work| work.record.as_ref()).map(|r| r.id);
        let Some(escrow) = &mut self.escrow else { return false };
        match &record.draft.body {
            Body::Lock(lock) => {
                if escrow.takes(phase, lock) {
                    let (wanted, door) = (escrow.wanted, escrow.door.take());
                    let lock_event = Some(record.event.clone());
                    self.former.extend(escrow.named.then_some(escrow.lock.hash));
                    let begun = Escrow::begin(*lock, record.id);
                    *escrow = Escrow { wanted, door, lock_event, ..begun };
                    self.enter(Phase::Awarded, at);
                }
            }
            Body::Fund { attempt, height, .. } => {
                // The requester takes it from the fact that holds the decoded invoice.
                if *attempt == escrow.lock.attempt && (mine || escrow.papers[0].is_none()) {
                    escrow.papers[0] = Some(record.event.clone());
                }
                if mine && *attempt == escrow.lock.attempt {
                    escrow.end = Some(*height);
                }
            }
            Body::Funded { attempt, deadline } => {
                let on_time = escrow.end.is_some_and(|end| *deadline >= end);
                if phase == Phase::Funding && *attempt == escrow.lock.attempt && on_time {
                    escrow.funded = Some(*deadline);
                    escrow.funded_by = Some(record.draft.seq);
                    escrow.papers[1] = Some(record.event.clone());
                    // With a judge nobody works before it has spoken.
                    if !judged {
                        self.enter(Phase::Working, at);
                    }
                }
            }
            Body::Accept { x: Some(_), .. } if mine => {
                escrow.released = true;
                // Where somebody took the payment before, it is not on its way any more.
                if !phase.is_over() && escrow.x.is_none() {
                    self.enter(Phase::Paying, at);
                }
            }
            Body::Accept { x: Some(x), .. } => {
                let held = escrow.held.is_some() && escrow.received.is_none();
                let open = held && escrow.returning.is_none() && !phase.is_over();
                if open && x.hash() == escrow.lock.hash {
                    escrow.x = Some(*x);
                    self.enter(Phase::Paying, at);
                }
            }
            Body::Accept { x: None, .. } => {}
            Body::Reject { manifest, reason, .. } => {
                let decided = escrow.released || escrow.x.is_some();
                if phase == Phase::Delivered && standing == Some(*manifest) && !decided {
                    self.reason = Some(reason.0.clone());
                    if let Some(work) = self.attempt.take() {
                        self.former.extend(work.hashes.clone());
                        escrow.hearing.rejected = judged.then(|| Box::new(work));
                    }
                    self.enter(Phase::Working, at);
                }
            }
            Body::Cancel { reason } => {
                let locked = escrow.is_locked();
                let stands = matches!(
                    phase,
                    Phase::Awarded
                        | Phase::Funding
                        | Phase::Working
                        | Phase::Delivered
                        | Phase::Disputed
                );
                // Nothing beats a secret that was released.
                if !stands || escrow.released || escrow.x.is_some() {
                    return true;
                }
                if !locked {
                    self.reason = Some(reason.0.clone());
                    self.enter(Phase::Cancelled, at);
                } else if author == Role::Requester {
                    escrow.asked_back = true;
                } else if role == Role::Requester {
                    // The worker gives it back; its node's word follows.
                    escrow.returning = Some(true);
                    self.reason = Some(reason.0.clone());
                    self.enter(Phase::Refunding, at);
                }
            }
            Body::Settled { .. } => {
                if mine {
                    self.settle(at);
                }
            }
            _ => return false,
        }
        true
    }

    /// What a fact changes in an escrow. False if it is nothing to it, or there is none.
    pub(super) fn apply_escrow(&mut self, fact: &Fact, at: Time) -> bool {
        let over = self.phase.is_over();
        let Some(escrow) = &mut self.escrow else { return false };
        let current = |attempt: &u32| *attempt == escrow.lock.attempt;
        match fact {
            Fact::Billed { tranche, invoice, lsp_fee } => {
                if current(tranche) {
                    escrow.invoice = Some(invoice.clone());
                    escrow.lsp_fee = *lsp_fee;
                }
            }
            Fact::Offered { attempt, invoice, height } => {
                if current(attempt) {
                    escrow.invoice = Some(invoice.clone());
                    escrow.end = Some(*height);
                }
            }
            Fact::Funding { max_fee, judge } => {
                escrow.wanted = Some(*max_fee);
                escrow.door = judge.clone();
                self.reason = None;
            }
            Fact::Paying { .. } => {
                escrow.paying = true;
                self.enter(Phase::Funding, at);
            }
            Fact::PayFailed { tranche, reason } => {
                if current(tranche) {
                    self.money_is_back(reason, at);
                }
            }
            Fact::Paid { hash, preimage, fee, .. } => {
                if let Some(escrow) = self.escrow_of(hash) {
                    (escrow.x, escrow.fee, escrow.paying) = (Some(*preimage), *fee, false);
                    if !escrow.released {
                        let why = "the payment was taken before you released it: somebody on its way knew \
                                   the secret. The worker was sent it, to be paid by it";
                        self.reason = Some(why.into());
                    }
                    self.settle(at);
                }
            }
            Fact::Held { hash, amount, deadline, .. } => {
                if let Some(escrow) = self.escrow_of(hash) {
                    escrow.held = Some((*amount, *deadline));
                    if !over {
                        self.enter(Phase::Funding, at);
                    }
                }
            }
            Fact::Returning { hash, why, ends } => {
                if let Some(escrow) = self.escrow_of(hash) {
                    escrow.returning = Some(*ends);
                    self.reason = Some(why.clone());
                    if !over {
                        self.enter(Phase::Refunding, at);
                    }
                }
            }
            Fact::Returned { hash } => {
                if let Some(escrow) = self.escrow_of(hash) {
                    (escrow.held, escrow.spent) = (None, true);
                    let ends = escrow.returning.take() != Some(false);
                    if !over {
                        self.enter(if ends { Phase::Refunded } else { Phase::Awarded }, at);
                    }
                }
            }
            Fact::Lost { hash, .. } => {
                if let Some(escrow) = self.escrow_of(hash) {
                    (escrow.held, escrow.spent) = (None, true);
                    let why = "the payment went back by age before the secret was used";
                    self.reason = Some(why.into());
                    if !over {
                        self.enter(Phase::Refunded, at);
                    }
                }
            }
            Fact::Received { hash, amount, .. } => {
                if let Some(escrow) = self.escrow_of(hash) {
                    escrow.received = Some(*amount);
                    self.settle(at);
                }
            }
            Fact::Opened { path, digest, .. } => {
                if let Some(work) = &mut self.attempt {
                    work.tranches.iter_mut().for_each(|t| t.opened = true);
                    (work.output, work.digest) = (Some(path.clone()), *digest);
                }
            }
            Fact::Cheated { tranche, chunk } => {
                if let Some(work) = &mut self.attempt {
                    work.cheat = Some((*tranche, *chunk));
                    self.cheated = true;
                }
            }
            _ => return false,
        }
        true
    }

    /// Requester: no HTLC is left, and none was taken.
    fn money_is_back(&mut self, reason: &str, at: Time) {
        let over = self.phase.is_over();
        let unjudged = self.unjudged();
        let Some(escrow) = &mut self.escrow else { return };
        // With a judge the work begins by its word; what came back before can be locked once more.
        let began = escrow.funded.is_some() && (!unjudged || self.deliveries > 0)
            || escrow.released
            || escrow.asked_back
            || escrow.returning == Some(true);
        (escrow.paying, escrow.spent, escrow.wanted) = (false, true, None);
        if over {
            return;
        }
        if began {
            // Why it was sent back says more than that it came.
            if self.phase != Phase::Refunding || self.reason.is_none() {
                self.reason = Some(reason.to_owned());
            }
            self.enter(Phase::Refunded, at);
        } else {
            self.reason = Some(reason.to_owned());
            self.enter(Phase::Awarded, at);
        }
    }

    /// Requester: the money was released, or taken, for work that is not open here yet: a judge may rule while it
    /// is fetched. What is paid for is opened all the same, whatever became of the job.
    pub(crate) fn is_owed_work(&self) -> bool {
        let paid = self.escrow.as_ref().is_some_and(|e| e.released || e.x.is_some());
        let closed = |work: &Attempt| work.tranches.iter().any(|t| !t.opened);
        self.role == Role::Requester && paid && self.attempt.as_ref().is_some_and(closed)
    }

    /// When time alone ends a phase of an escrow: only before the money is locked. After that, heights do.
    pub(super) fn escrow_deadline(&self, grace: Span) -> Option<(Time, &'static str)> {
        if self.phase != Phase::Awarded {
            return None;
        }
        let end = self.begun_at?.after(self.deadlines().pay);
        Some(match self.role {
            Role::Requester => (end, "the job expires; no money was locked"),
            Role::Worker => (end.after(grace), "the job expires; no money was locked, do not work"),
        })
    }

    /// The height that ends the phase if nobody does anything, and what happens then.
    pub fn height_deadline(&self) -> Option<(u32, &'static str)> {
        let window = self.terms().escrow.as_ref()?.window;
        let escrow = self.escrow.as_ref()?;
        let t = escrow.timetable(window)?;
        let rejected = escrow.hearing.rejection.is_some() && self.attempt.is_none();
        match self.phase {
            Phase::Funding if self.unjudged() => Some((
                t.holding(),
                "without the judge's word the worker's node sends the money back; it can be locked again",
            )),
            Phase::Working if rejected => Some((
                t.escalate(),
                "without another delivery or a call for the judge the money goes back",
            )),
            Phase::Delivered if self.judge().is_some() => Some((
                t.verdict(),
                "without a word of the requester the worker's program calls the judge",
            )),
            Phase::Disputed
                if escrow.hearing.awaits_worker() && escrow.hearing.rejection.is_none() =>
            {
                Some((
                    t.verdict(),
                    "the worker's program calls the judge as well, and shows it the work",
                ))
            }
            Phase::Disputed => Some((
                t.claim(),
                "without a ruling or the secret the worker's node sends the money back",
            )),
            Phase::Funding | Phase::Working => {
                Some((t.deliver(), "without a delivery the worker's node sends the money back"))
            }
            Phase::Delivered => {
                Some((t.claim(), "without the secret the worker's node sends the money back"))
            }
            _ => None,
        }
    }

    /// Whether blocks alone may change something.
    pub fn watches_height(&self) -> bool {
        match &self.escrow {
            Some(escrow) => escrow.is_locked() || self.phase == Phase::Awarded,
            None => !self.claims().is_empty(),
        }
    }
}
