//! The milestones of a job, as the facts tell them: what is paid and done with, and when the next begins.

use std::path::PathBuf;

use crate::market::job::{Escrow, Job, Phase, Seed};
use crate::market::{
    Body, Digest, EventId, Mode, Msat, PaymentHash, Record, Role, Signature, Terms, Time,
};

/// A milestone that is paid and taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Reached {
    /// What it paid, by the terms.
    pub price: Msat,
    /// Requester: routing fees paid.
    pub fee: Msat,
    /// Worker: what came in.
    pub received: Msat,
    /// Worker: what the LSP kept.
    pub lsp_fee: Msat,
    /// The hash of its last payment.
    pub hash: Option<PaymentHash>,
    /// The date of the `deliver` record that was paid.
    pub delivered: Time,
    /// Requester: where the plaintext lies.
    pub output: Option<PathBuf>,
    /// Requester: BLAKE3 of the plaintext.
    pub digest: Option<Digest>,
    /// Both signatures on the receipt over all that was paid until here: ours and theirs.
    pub signed: [Option<Signature>; 2],
    /// When the next one began here.
    pub at: Time,
}

/// What the two have said of the milestone that is on: both words and the money, and the next one begins.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Words {
    /// The requester took the delivery: the date of its `accept`.
    pub accepted: Option<Time>,
    /// The worker was paid: the date of its `settled`.
    pub settled: Option<Time>,
    /// The other side stopped after it took the delivery and before its money was here: no next one begins.
    pub stopped: bool,
}

impl Job {
    /// All that was agreed, or offered: what both certificates name.
    pub fn agreed(&self) -> &Terms {
        &self.bid.terms
    }

    /// How many milestones there are; one where the terms have none.
    pub fn milestones(&self) -> u32 {
        self.agreed().count()
    }

    /// Whether another milestone comes after the one that is on.
    pub fn has_more(&self) -> bool {
        self.milestone + 1 < self.milestones()
    }

    /// Whether nothing is begun that was not paid: whoever stops now leaves nothing undone. Never in the first
    /// milestone.
    pub fn is_between(&self) -> bool {
        let locked = self.escrow.as_ref().is_some_and(Escrow::is_locked);
        match self.phase {
            Phase::Reached => true,
            Phase::Awarded => self.milestone > 0 && !locked,
            Phase::Working => {
                let signed = self.attempt.as_ref().is_some_and(|work| work.record.is_some());
                self.milestone > 0 && self.escrow.is_none() && self.rejected.is_none() && !signed
            }
            _ => false,
        }
    }

    /// How far it came, for a person: "2 of 3 milestones".
    pub fn reached(&self) -> Option<String> {
        let all = self.milestones();
        let done = self.past.len() + usize::from(matches!(self.phase, Phase::Reached));
        (all > 1).then(|| format!("{done} of {all} milestones are paid"))
    }

    /// What the requester has paid by the terms, without fees: of every milestone.
    pub fn paid(&self) -> Msat {
        let terms = self.terms();
        let slots = self.attempt.iter().flat_map(|work| work.tranches.iter().enumerate());
        let now = slots.filter_map(|(t, slot)| {
            slot.key?;
            terms.price.tranche(u32::try_from(t).ok()?, terms.tranches)
        });
        let locked = self.escrow.as_ref().filter(|_| self.role == Role::Requester);
        let taken = locked.and_then(|escrow| escrow.x.map(|_| terms.price));
        self.past.iter().map(|past| past.price).chain(now).chain(taken).sum()
    }

    /// What the milestones that were paid are worth by the terms, with the one whose delivery stands.
    pub fn worth(&self) -> Msat {
        let stands = self.attempt.as_ref().is_some_and(|work| work.record.is_some());
        let now = stands.then_some(self.current.price);
        self.past.iter().map(|past| past.price).chain(now).sum()
    }

    /// What came in, of every milestone.
    pub fn received(&self) -> Msat {
        let slots = self.attempt.iter().flat_map(|work| &work.tranches);
        let now = slots.filter_map(|slot| slot.received);
        let held = self.escrow.as_ref().and_then(|escrow| escrow.received);
        self.past.iter().map(|past| past.received).chain(now).chain(held).sum()
    }

    /// The money of the milestone that is on has come, and the work of it was opened: the end, or the one
    /// before the next.
    pub(super) fn settle(&mut self, at: Time) {
        let delivered = self.attempt.as_ref().is_some_and(|work| work.record.is_some());
        // Where a judge had to say it, nothing more is begun between the two.
        let ruled = self.escrow.as_ref().is_some_and(|escrow| escrow.hearing.ruling.is_some());
        let goes_on = self.has_more() && delivered && (!ruled || self.words.accepted.is_some());
        if self.has_more() && !goes_on && self.reason.is_none() {
            let (done, all) = (self.past.len() + 1, self.milestones());
            self.reason = Some(format!("{done} of {all} milestones are paid"));
        }
        self.enter(if goes_on { Phase::Reached } else { Phase::Settled }, at);
    }

    /// Both stop where nothing is undone.
    pub(super) fn stop(&mut self, why: &str, at: Time) {
        let reached = self.reached().unwrap_or_default();
        self.reason = Some(match why.trim() {
            "" => reached,
            why => format!("{reached}: {why}"),
        });
        self.enter(Phase::Settled, at);
    }

    /// A word of the two on the delivery that stands. Of any other it is none, so a word of an earlier milestone
    /// never counts for a later one (!).
    pub(super) fn word(&mut self, record: &Record, author: Role) {
        let (Body::Accept { manifest, .. } | Body::Settled { manifest, .. }) = &record.draft.body
        else {
            return;
        };
        if !self.attempt.as_ref().is_some_and(|work| work.is(manifest)) {
            return;
        }
        match (&record.draft.body, author) {
            (Body::Accept { x, next, .. }, Role::Requester)
                if x.is_some() == self.escrow.is_some() && self.words.accepted.is_none() =>
            {
                self.words.accepted = Some(record.draft.at);
                if let Some(next) = next.filter(|_| self.has_more()) {
                    self.seed =
                        Some(Seed { hash: next.audit, nonce: next.audit_nonce, revealed: false });
                }
            }
            (Body::Settled { .. }, Role::Worker) => {
                self.words.settled.get_or_insert(record.draft.at);
            }
            _ => {}
        }
    }

    /// The next milestone begins once this one is paid and both have said so. Each hears the other's word before
    /// anything that the other says of the next one: a chain has an order (!).
    pub(super) fn go_on(&mut self, at: Time) {
        if self.phase == Phase::Reached && self.words.stopped {
            return self.stop("the requester goes no further", at);
        }
        let (Phase::Reached, Some(accepted), Some(settled)) =
            (self.phase, self.words.accepted, self.words.settled)
        else {
            return;
        };
        let Some(next) = self.agreed().part(self.milestone + 1) else { return };
        let Some(past) = self.done(at) else { return };
        // Both count from the later of the two words; not before the last began, and not after now.
        let before = self.begun_at.unwrap_or(self.began).min(at);
        self.begun_at = Some(accepted.max(settled).clamp(before, at));
        self.past.push(past);
        if let Some(work) = self.attempt.take() {
            self.former.extend(work.hashes);
        }
        if let Some(escrow) = self.escrow.take().filter(Escrow::is_named) {
            self.former.push(escrow.lock.hash);
        }
        (self.rejected, self.reason, self.words) = (None, None, Words::default());
        (self.signed, self.countersigned) = (None, None);
        self.milestone += 1;
        self.current = next;
        let phase = match self.current.mode {
            Mode::Escrow => {
                self.escrow = Some(Escrow::unnamed(self.milestone, EventId([0; 32])));
                Phase::Awarded
            }
            Mode::Sealed | Mode::Direct => Phase::Working,
        };
        self.enter(phase, at);
    }

    /// The milestone that is on as it is remembered once it is paid; `None` while nothing of it is delivered.
    pub fn done(&self, at: Time) -> Option<Reached> {
        let work = self.attempt.as_ref()?;
        let slots = &work.tranches;
        let held = self.escrow.as_ref();
        Some(Reached {
            price: self.current.price,
            fee: slots.iter().map(|t| t.fee).chain(held.map(|e| e.fee)).sum(),
            received: slots
                .iter()
                .filter_map(|t| t.received)
                .chain(held.and_then(|e| e.received))
                .sum(),
            lsp_fee: slots.iter().map(|t| t.lsp_fee).chain(held.map(|e| e.lsp_fee)).sum(),
            hash: self.paid_hash(),
            delivered: work.record.as_ref()?.draft.at,
            output: work.output.clone(),
            digest: work.digest,
            signed: [self.signed, self.countersigned],
            at,
        })
    }
}
