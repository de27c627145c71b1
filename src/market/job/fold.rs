//! The fold: what each fact changes in a job. Total: a fact that was committed is always taken.

use std::path::Path;

use crate::market::job::{Attempt, Chain, Escrow, Job, Material, Phase, Seed, Tranche};
use crate::market::{Body, Digest, Fact, PaymentHash, Record, Role, Time};

impl Job {
    pub(super) fn enter(&mut self, phase: Phase, at: Time) {
        if self.phase != phase {
            self.phase = phase;
            self.since = at;
        }
    }

    fn said(&mut self, record: &Record, at: Time) {
        self.ours = Chain { next: record.draft.seq + 1, last: Some(record.clone()) };
        self.unacknowledged.push(record.clone());
        self.said_at = at;
        self.resent = 0;
    }

    fn heard(&mut self, record: &Record) {
        if let Some(seen) = record.draft.seen
            && let Some(upto) = self.unacknowledged.iter().position(|r| r.id == seen)
        {
            self.unacknowledged.drain(..=upto);
        }
        self.theirs = Chain { next: record.draft.seq + 1, last: Some(record.clone()) };
    }

    /// Folds one more fact. Total: a fact that was committed is always taken.
    pub fn apply(&mut self, fact: &Fact, at: Time) {
        self.n += 1;
        self.charged(fact, at);
        self.folded(fact, at);
        self.go_on(at);
    }

    fn folded(&mut self, fact: &Fact, at: Time) {
        match fact {
            Fact::Bid { .. } | Fact::Posted { .. } | Fact::Revised { .. } => {}
            Fact::Automated { .. }
            | Fact::ApprovalAsked { .. }
            | Fact::Approved
            | Fact::Halted { .. }
            | Fact::Resumed => {}
            Fact::Awarded { record, certificate, nonce, job, paths } => {
                let Body::Award(award) = &record.draft.body else { return };
                self.requester = Some(certificate.clone());
                self.requester_address = Some(award.address.clone());
                self.relays.clone_from(&award.relays);
                self.job = Some(*job);
                self.award_event.clone_from(&record.event);
                // Not before our bid, whatever their clock said, and not after we knew.
                self.awarded_at = Some(record.draft.at.clamp(self.began.min(at), at));
                self.begun_at = self.awarded_at;
                self.materials = award
                    .inputs
                    .iter()
                    .enumerate()
                    .map(|(i, file)| Material {
                        file: file.clone(),
                        from: Role::Requester,
                        path: paths.get(i).cloned(),
                    })
                    .collect();
                match self.role {
                    Role::Requester => {
                        self.nonce = *nonce;
                        self.said(record, at);
                    }
                    Role::Worker => {
                        self.theirs = Chain { next: 1, last: Some(record.clone()) };
                        self.heard_at = Some(at);
                        self.unacknowledged.clear();
                    }
                }
                self.seed =
                    Some(Seed { hash: award.audit, nonce: award.audit_nonce, revealed: false });
                self.escrow = award.lock.map(|lock| Escrow::begin(lock, record.id));
                let open = if self.escrow.is_some() { Phase::Awarded } else { Phase::Working };
                self.enter(open, at);
            }
            Fact::Said { record } => {
                self.signed = self.signed.or(record.draft.body.receipt());
                self.said(record, at);
                self.spoken(record, self.role, at);
            }
            Fact::Heard { record } => {
                self.countersigned = self.countersigned.or(record.draft.body.receipt());
                self.heard(record);
                self.heard_at = Some(at);
                self.spoken(record, self.role.other(), at);
            }
            Fact::Equivocation { record } if record.draft.job != self.job => {
                self.stuck.push("the judge signed two records with one number".into());
            }
            Fact::Equivocation { .. } => {
                self.equivocated = true;
                self.stuck.push("the other side signed two records with one number".into());
            }
            Fact::Exposed { path } => {
                self.exposed = Some(path.clone());
                self.stuck.push(format!(
                    "the other side signed two things that cannot both stand; the proof lies at {}",
                    path.display()
                ));
            }
            Fact::Resent => {
                self.resent += 1;
                self.said_at = at;
            }
            Fact::Stuck { effect, why } => self.stuck.push(format!("{effect}: {why}")),
            Fact::Lapsed { what } if self.phase == Phase::Reached => self.stop(what, at),
            Fact::Lapsed { what } => {
                self.reason = Some(what.clone());
                self.enter(Phase::Expired, at);
            }
            Fact::Fetched { blob, path } => self.fetched(blob, path),
            _ if self.apply_hearing(fact, at) => {}
            _ if self.apply_escrow(fact, at) => {}
            _ if self.apply_review(fact, at) => {}
            _ => self.apply_work(fact, at),
        }
    }

    /// What it means for the budget of automation.
    fn charged(&mut self, fact: &Fact, at: Time) {
        let amount = match fact {
            Fact::Paid { .. } if self.escrow.is_some() => Some(self.terms().price),
            Fact::Paid { tranche, .. } => {
                self.terms().price.tranche(*tranche, self.terms().tranches)
            }
            _ => None,
        };
        self.charge.apply(fact, at, amount);
    }

    fn fetched(&mut self, blob: &Digest, path: &Path) {
        for m in &mut self.materials {
            if m.file.blob == *blob && m.path.is_none() {
                m.path = Some(path.to_path_buf());
            }
        }
        if let Some(work) = &mut self.attempt
            && let Some(manifest) = work.delivery().map(|d| d.manifest.clone())
        {
            if *manifest.blob.as_bytes() == blob.0 {
                work.blob = Some(path.to_path_buf());
            }
            if *manifest.vector.as_bytes() == blob.0 {
                work.vector = Some(path.to_path_buf());
            }
        }
    }

    /// Whether a payment of the delivery that stands is in flight or done. Nothing beats that.
    pub fn money_moved(&self) -> bool {
        self.attempt.as_ref().is_some_and(Attempt::money_moved)
    }

    /// What a record of `author` changes beyond the chains.
    fn spoken(&mut self, record: &Record, author: Role, at: Time) {
        self.note_for_judge(record, author);
        self.word(record, author);
        if let Body::Cancel { reason } = &record.draft.body
            && self.is_between()
        {
            return self.stop(&reason.0, at);
        }
        if matches!(record.draft.body, Body::Cancel { .. })
            && (author, self.role) == (Role::Requester, Role::Worker)
            && self.words.accepted.is_some()
        {
            // It took the delivery and then gave up waiting. The money on its way still comes.
            self.words.stopped = true;
        }
        if self.spoken_in_escrow(record, author, at) {
            return;
        }
        let moved = self.money_moved();
        match &record.draft.body {
            Body::Audit { .. } | Body::Open { .. } => self.reviewed(record, at),
            Body::Cancel { .. } | Body::Reject { .. } if moved || self.phase.is_over() => {}
            // Of another delivery than the one that stands.
            Body::Reject { manifest, .. }
                if !self.attempt.as_ref().is_some_and(|work| work.is(manifest)) => {}
            // Heard, and it stands in the transcript; but there is no room for it now.
            Body::Deliver(delivery)
                if !self.takes_delivery()
                    || author != self.role && delivery.manifest.delivery < self.deliveries
                    || delivery.manifest.delivery == u32::MAX => {}
            Body::Decline { reason } => {
                self.reason = Some(reason.0.clone());
                self.enter(Phase::Declined, at);
            }
            Body::Withdraw { reason } => {
                self.reason = Some(reason.0.clone());
                self.enter(Phase::Withdrawn, at);
            }
            Body::Cancel { reason } => {
                self.reason = Some(reason.0.clone());
                self.enter(Phase::Cancelled, at);
            }
            Body::Material(file) => {
                self.materials.push(Material { file: file.clone(), from: author, path: None });
            }
            Body::Deliver(delivery) => {
                let count = delivery.manifest.first.len();
                let mut work = self
                    .attempt
                    .take()
                    .filter(|_| author == self.role)
                    .unwrap_or_else(|| Attempt::begin(delivery.manifest.delivery, at));
                work.record = Some(record.clone());
                work.at = at;
                if author != self.role {
                    let hashes = delivery.manifest.h.iter();
                    work.hashes = hashes.map(|h| PaymentHash(*h.as_bytes())).collect();
                }
                work.tranches = vec![Tranche::default(); count];
                self.deliveries = delivery.manifest.delivery.saturating_add(1);
                self.attempt = Some(work);
                self.review_begins();
                self.delivered_for_judge(record);
                self.reason = None;
                self.enter(Phase::Delivered, at);
            }
            Body::Reject { reason, .. } => {
                self.reviewed(record, at);
                self.reason = Some(reason.0.clone());
                if let Some(work) = self.attempt.take() {
                    self.rejected = work.record;
                    self.former.extend(work.hashes);
                }
                self.enter(Phase::Working, at);
            }
            Body::Settled { .. } | Body::Accept { .. } => {
                if author == Role::Worker && self.role == Role::Worker {
                    self.settle(at);
                }
            }
            Body::Ready { .. } => self.reviewed(record, at),
            Body::Bid(_)
            | Body::Award(_)
            | Body::Lock(_)
            | Body::Fund { .. }
            | Body::Funded { .. }
            | Body::Appoint { .. }
            | Body::Holding { .. }
            | Body::Lodge { .. }
            | Body::Lodged { .. }
            | Body::Dispute { .. }
            | Body::Objection { .. }
            | Body::Ruling { .. }
            | Body::Bill { .. }
            | Body::Rate { .. }
            | Body::Note { .. } => {}
        }
    }

    fn apply_work(&mut self, fact: &Fact, at: Time) {
        if let Fact::Sealing { number, nonce, source, name, message } = fact {
            self.deliveries = number.saturating_add(1);
            self.attempt = Some(Attempt {
                nonce: Some(*nonce),
                source: Some(source.clone()),
                name: name.clone(),
                message: message.clone(),
                ..Attempt::begin(*number, at)
            });
            return;
        }
        if let Fact::SealFailed { why } | Fact::Refused { sentence: why, .. } = fact {
            self.reason = Some(why.clone());
            if matches!(fact, Fact::SealFailed { .. })
                && let Some(work) = self.attempt.take()
            {
                // Nothing of it was published: the other side still waits for this number.
                self.deliveries = work.number;
            }
            return;
        }
        let Some(work) = &mut self.attempt else { return };
        let slot = |work: &'_ mut Attempt, t: u32| -> Option<usize> {
            usize::try_from(t).ok().filter(|t| *t < work.tranches.len())
        };
        let mut phase = None;
        match fact {
            Fact::Sealed {
                blob,
                vector,
                blob_hash,
                blob_size,
                vector_hash,
                vector_size,
                hashes,
            } => {
                work.blob = Some(blob.clone());
                work.vector = Some(vector.clone());
                work.sizes = Some([(*blob_hash, *blob_size), (*vector_hash, *vector_size)]);
                work.hashes.clone_from(hashes);
            }
            Fact::Inspected => work.inspected = true,
            Fact::Damaged => {
                work.damaged += 1;
                (work.blob, work.vector) = (None, None);
            }
            Fact::Accepting { max_fee } => {
                work.max_fee = *max_fee;
                phase = Some(Phase::Accepted);
            }
            Fact::Billed { tranche, invoice, lsp_fee } => {
                if let Some(t) = slot(work, *tranche) {
                    work.tranches[t].invoice = Some(invoice.clone());
                    work.tranches[t].lsp_fee = *lsp_fee;
                }
            }
            Fact::Paying { tranche, invoice, max_fee } => {
                if let Some(t) = slot(work, *tranche) {
                    if t == work.hashes.len() {
                        // A direct delivery: the invoice alone says the hash.
                        work.hashes.push(invoice.hash);
                    } else if work.hashes[t] != invoice.hash {
                        work.hashes[t] = invoice.hash;
                    }
                    work.tranches[t].invoice = Some(invoice.clone());
                    work.tranches[t].paying = Some(*max_fee);
                    phase = Some(Phase::Paying);
                }
            }
            Fact::PayFailed { tranche, reason } => {
                if let Some(t) = slot(work, *tranche) {
                    work.tranches[t].paying = None;
                    self.reason = Some(reason.clone());
                    phase = Some(Phase::Delivered);
                }
            }
            Fact::Paid { tranche, preimage, fee, .. } => {
                if let Some(t) = slot(work, *tranche) {
                    work.tranches[t].key = Some(*preimage);
                    work.tranches[t].fee = *fee;
                    phase = Some(Phase::Paying);
                }
            }
            Fact::Opened { tranche, path, digest } => {
                if let Some(t) = slot(work, *tranche) {
                    work.tranches[t].opened = true;
                    work.output = Some(path.clone());
                    work.digest = *digest;
                    if work.tranches.iter().all(|t| t.opened) {
                        return self.settle(at);
                    }
                    phase = Some(Phase::Accepted);
                }
            }
            Fact::Cheated { tranche, chunk } => {
                work.cheat = Some((*tranche, *chunk));
                self.cheated = true;
                phase = Some(Phase::Cheated);
            }
            Fact::Proven { path } => work.proof = Some(path.clone()),
            Fact::Lost { tranche, .. } => {
                if let Some(t) = slot(work, *tranche) {
                    work.tranches[t].claiming = None;
                    self.reason = Some("the payment died of age before it was claimed".into());
                    phase = Some(Phase::Expired);
                }
            }
            Fact::Claiming { tranche, amount, deadline, .. } => {
                if let Some(t) = slot(work, *tranche) {
                    work.tranches[t].claiming = Some(*amount);
                    work.tranches[t].deadline = *deadline;
                    phase = Some(Phase::Paying);
                }
            }
            Fact::Received { tranche, amount, .. } => {
                if let Some(t) = slot(work, *tranche) {
                    work.tranches[t].received = Some(*amount);
                    if work.tranches.iter().all(|t| t.received.is_some()) {
                        return self.settle(at);
                    }
                    phase = Some(Phase::Delivered);
                }
            }
            _ => {}
        }
        if let Some(phase) = phase {
            self.enter(phase, at);
        }
    }
}
