//! The review of a delivery: its audit before payment and its checks, as the facts tell them.

use crate::market::{
    Audited, Body, Checked, Digest, EventId, Fact, Job, Mode, Nonce, Phase, Preimage, Record,
    Refusal, Role, Span, Time,
};

/// The seed that the next audit will use: a_R and what s_R is derived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed {
    /// a_R = SHA-256(s_R).
    pub hash: Digest,
    /// What s_R is derived from.
    pub nonce: Nonce,
    /// s_R was revealed, answered or not: it is good for no other delivery.
    pub revealed: bool,
}

/// What is known of a delivery beyond its manifest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Review {
    /// a_R as it stood when the delivery was signed, unless its s_R was revealed before.
    pub seed: Option<Digest>,
    /// When the audit was asked for.
    pub asked: Option<Time>,
    /// The worker's answer: the keys of the sample.
    pub keys: Option<String>,
    /// Requester: what it told.
    pub audited: Option<Audited>,
    /// The requester said `ready`: there is no audit any more.
    pub ready: bool,
    /// Requester: what the checks said, of the sample and of what was opened.
    pub results: Vec<Checked>,
    /// Requester: tranches whose checks were run.
    pub checked: Vec<u32>,
}

/// The first check that says no of one whole record, and that record's chunk: what can be proven.
pub(crate) fn refuted(results: &[Checked]) -> Option<(Digest, u64)> {
    let of = |result: &Checked| Some((result.check, result.chunk.filter(|_| result.failed())?));
    results.iter().find_map(of)
}

/// After this long without an answer to an audit, whoever wants to pays without it.
pub const AUDIT_WAIT: Span = Span::MINUTE.times(10);

/// What the next s_R is derived from: a function of the last and of the delivery that used it up, so that
/// it is never drawn twice and a repeated step draws it again.
pub fn next_audit_nonce(last: &Nonce, manifest: &EventId) -> Nonce {
    let mut hasher = blake3::Hasher::new_derive_key("earnest/v1/audit-nonce");
    hasher.update(&last.0);
    hasher.update(manifest.as_bytes());
    Nonce(*hasher.finalize().as_bytes())
}

fn committed(seed: &Preimage) -> Digest {
    Digest(seed.hash().0)
}

impl Job {
    /// Whether the requester's program asks for an audit of the delivery that stands, as soon as it is
    /// inspected.
    pub fn wants_audit(&self) -> bool {
        self.role == Role::Requester
            && self.terms().mode == Mode::Sealed
            && self.terms().quality.audit > 0
            && self.seed.is_some_and(|seed| !seed.revealed)
    }

    /// Whether paid and opened work has checks to pass.
    pub fn has_checks(&self) -> bool {
        !self.terms().quality.checks.is_empty()
    }

    /// Why the delivery is not to be paid yet, if the worker has not answered the audit.
    pub(crate) fn awaits_opening(&self, now: Time) -> Result<(), Refusal> {
        let review = self.attempt.as_ref().map(|work| &work.review);
        match review {
            Some(Review { asked: Some(asked), audited: None, .. })
                if now < asked.after(AUDIT_WAIT) =>
            {
                let sentence = "The audit is not answered yet. Nothing was paid.";
                Err(Refusal::new("auditing", sentence)
                    .next("Wait for the worker, or accept without it in ten minutes."))
            }
            _ => Ok(()),
        }
    }

    /// Whether this s_R is the one that was committed to before the delivery that stands.
    pub(crate) fn may_be_audited_with(&self, manifest: &EventId, seed: &Preimage) -> bool {
        self.terms().mode == Mode::Sealed
            && self.phase == Phase::Delivered
            && self.attempt.as_ref().is_some_and(|work| {
                let review = &work.review;
                work.is(manifest) && !review.ready && review.seed == Some(committed(seed))
            })
    }

    /// What a record changes in the review, whoever wrote it. The chains and roles are looked at already.
    pub(super) fn reviewed(&mut self, record: &Record, at: Time) {
        match &record.draft.body {
            Body::Audit { manifest, seed } => {
                let fits = self.may_be_audited_with(manifest, seed);
                if let Some(own) = &mut self.seed
                    && own.hash == committed(seed)
                {
                    own.revealed = true;
                }
                if let Some(work) = self.attempt.as_mut().filter(|_| fits) {
                    work.review.asked.get_or_insert(at);
                }
            }
            Body::Open { manifest, keys } => {
                if let Some(work) = self.attempt.as_mut().filter(|work| work.is(manifest)) {
                    let review = &mut work.review;
                    if review.asked.is_some() && review.keys.is_none() {
                        review.keys = Some(keys.clone());
                    }
                }
            }
            Body::Ready { manifest, .. } => {
                if let Some(work) = self.attempt.as_mut().filter(|work| work.is(manifest)) {
                    work.review.ready = true;
                }
            }
            Body::Reject { manifest, next: Some(next), .. }
                if self.attempt.as_ref().is_some_and(|work| work.is(manifest)) =>
            {
                self.seed =
                    Some(Seed { hash: next.audit, nonce: next.audit_nonce, revealed: false });
            }
            _ => {}
        }
    }

    /// A delivery stands from now on: the a_R that was recorded before it is the only one for it.
    pub(super) fn review_begins(&mut self) {
        let seed = self.seed.filter(|seed| !seed.revealed).map(|seed| seed.hash);
        if let Some(work) = &mut self.attempt {
            work.review = Review { seed, ..Review::default() };
        }
    }

    /// Folds a fact of the review; false if it is none.
    pub(super) fn apply_review(&mut self, fact: &Fact, at: Time) -> bool {
        let has_checks = self.has_checks();
        let in_escrow = self.escrow.is_some();
        let Some(work) = &mut self.attempt else { return false };
        match fact {
            Fact::Audited { audited, results } => {
                work.review.audited = Some(*audited);
                work.review.results.extend(results.iter().cloned());
            }
            Fact::Opened { tranche, path, digest } if has_checks && !in_escrow => {
                let index = usize::try_from(*tranche).unwrap_or(usize::MAX);
                let Some(slot) = work.tranches.get_mut(index) else { return true };
                slot.opened = true;
                work.output = Some(path.clone());
                work.digest = *digest;
                // Paying until the checks have spoken.
            }
            Fact::Checked { tranche, results } => {
                work.review.checked.push(*tranche);
                let failed = results.iter().any(Checked::failed);
                let unsure = results.iter().any(Checked::unsure);
                work.review.results.extend(results.iter().cloned());
                if in_escrow {
                    return true;
                }
                let done = work.tranches.iter().all(|t| t.opened);
                if done && !failed {
                    self.settle(at);
                    return true;
                }
                let phase = if failed {
                    Phase::Cheated
                } else if unsure {
                    // A person decides whether to go on.
                    self.reason = Some("a check could not say anything of what was opened".into());
                    Phase::Delivered
                } else {
                    Phase::Accepted
                };
                if failed {
                    self.reason =
                        Some("what was paid for does not pass a check of the terms".into());
                }
                self.enter(phase, at);
            }
            _ => return false,
        }
        true
    }
}
