//! The outbox: effects leased, run elsewhere, and what came of them.

use super::again::Untold;
use super::*;
use crate::market::Preimage;

impl<S: Store> Core<S> {
    /// Effects to run now, leased. Effects that were overtaken are dropped.
    pub fn lease(&mut self, lease: Span, limit: usize) -> Result<Vec<(EffectRow, Effect)>, Fault> {
        self.tell_again();
        let now = self.clock.now();
        let rows = self.store.lease(now, now.after(lease), limit)?;
        let (mut run, mut drop) = (Vec::new(), Vec::new());
        for row in rows {
            match serde_json::from_str::<Effect>(&row.body) {
                Ok(effect) if self.is_wanted(&row, &effect) => run.push((row, effect)),
                Ok(_) => drop.push((row, EffectEnd::Done)),
                Err(why) => drop.push((row, EffectEnd::Park { why: why.to_string() })),
            }
        }
        for (row, end) in drop {
            // What cannot be ended now is kept; what can be run is run.
            let _ = self.end(&row.log, row.id, end);
        }
        Ok(run)
    }

    fn is_wanted(&self, row: &EffectRow, effect: &Effect) -> bool {
        if let Some(case) = self.cases.get(&row.log) {
            return case.wants(effect);
        }
        self.jobs.get(&row.log).is_none_or(|job| effect.is_wanted(job, self.clock.now()))
    }

    /// The turn of a leased effect has come: `false` if it has been overtaken while it waited. Then it is
    /// ended, and not to be run.
    pub fn begin_run(&mut self, row: &EffectRow, effect: &Effect) -> bool {
        let wanted = self.is_wanted(row, effect);
        if !wanted {
            let _ = self.end(&row.log, row.id, EffectEnd::Done);
        }
        wanted
    }

    /// When the outbox next has something to do.
    pub fn next_due(&self) -> Result<Option<Time>, Fault> {
        let due = self.store.next_due()?;
        Ok([due, self.tell_at()].into_iter().flatten().min())
    }

    /// An effect was run, and this came of it. What cannot be committed now is told again by itself; what
    /// can never be is parked.
    ///
    /// # Errors
    /// What the store said. Nothing is lost by it.
    pub fn done(
        &mut self,
        row: &EffectRow,
        effect: &Effect,
        outcome: Result<Outcome, Fault>,
    ) -> Result<(), Fault> {
        if let Err(Fault::Later(why)) = outcome {
            let not_before = self.clock.now().after(backoff(row.tries, &row.id));
            return self.end(&row.log, row.id, EffectEnd::Retry { not_before, why });
        }
        self.touch(&row.log);
        let told = self.outcome(row, effect, outcome.clone());
        match &told {
            Err(Fault::Later(_)) => {
                let untold = Untold::Outcome(row.clone(), Box::new(effect.clone()), outcome);
                self.keep_untold(untold);
            }
            Err(Fault::Never(why)) => {
                let _ = self.end(&row.log, row.id, EffectEnd::Park { why: why.clone() });
            }
            Ok(()) => {}
        }
        told
    }

    fn outcome(
        &mut self,
        row: &EffectRow,
        effect: &Effect,
        outcome: Result<Outcome, Fault>,
    ) -> Result<(), Fault> {
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(Fault::Later(why) | Fault::Never(why)) => Outcome::Failed { why },
        };
        let ends = vec![(row.id, EffectEnd::Done)];
        if self.jobs.contains_key(&row.log) {
            let input =
                Input::Done { effect: Box::new(effect.clone()), outcome: Box::new(outcome) };
            return match self.advance(&row.log, &input, None, ends) {
                Err(Trouble::Failed(fault)) => Err(fault),
                _ => Ok(()),
            };
        }
        if self.cases.contains_key(&row.log) {
            let (effect, outcome) = (Box::new(effect.clone()), Box::new(outcome));
            let input = crate::market::CaseInput::Done { effect, outcome };
            return match self.judge(&row.log, &input, None, ends) {
                Err(Trouble::Failed(fault)) => Err(fault),
                _ => Ok(()),
            };
        }
        // A gig of ours: publishing it is all that can be asked.
        let end = match outcome {
            Outcome::Failed { why } => vec![(row.id, EffectEnd::Park { why })],
            _ => ends,
        };
        self.store.commit(&Commit { ends: end, ..Commit::default() })?;
        Ok(())
    }

    /// A first contact has been wrapped: its bytes are kept before they are published.
    pub fn wrapped(&mut self, row: &EffectRow, effect: &Effect) -> Result<(), Fault> {
        let body = serde_json::to_string(effect).map_err(|e| Fault::Never(e.to_string()))?;
        self.end(&row.log, row.id, EffectEnd::Replace { kind: effect.kind().into(), body })
    }

    /// What the node must be asked again after a restart: claims that were begun, payments that have not
    /// ended.
    pub fn replays(&self) -> Replays {
        let mut replays = Replays::default();
        for job in self.jobs.values() {
            let claim = |(tranche, hash, amount)| OpenClaim { job: job.id, tranche, hash, amount };
            replays.claims.extend(job.claims().into_iter().map(claim));
            replays.payments.extend(job.payments().into_iter().map(|(_, hash)| hash));
        }
        replays
    }

    /// What an open claim is claimed with.
    pub fn claim_key(&self, claim: &OpenClaim) -> Option<Preimage> {
        crate::engine::effect::claim_key(self.jobs.get(&claim.job)?, claim.tranche, &*self.scribe)
    }

    /// What the node answered about a payment, asked after a restart.
    pub fn payment(&mut self, hash: &PaymentHash, state: &PaymentState) -> Result<(), Fault> {
        let event = match state.clone() {
            PaymentState::Paid { preimage, fee } => NodeEvent::Paid { hash: *hash, preimage, fee },
            PaymentState::Failed { reason } => NodeEvent::Failed { hash: *hash, reason },
            // Unknown: the outbox still holds the effect that sends it. In flight: an event will come.
            PaymentState::Unknown | PaymentState::InFlight => return Ok(()),
        };
        self.node(&event).map(|_| ())
    }
}

/// What the node is asked again at every start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replays {
    /// Claims that were begun and are not confirmed.
    pub claims: Vec<OpenClaim>,
    /// Payments that have not ended.
    pub payments: Vec<PaymentHash>,
}

/// A claim that was begun and is not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenClaim {
    /// Which job.
    pub job: BidId,
    /// Which tranche of it.
    pub tranche: u32,
    /// The ledger's key.
    pub hash: PaymentHash,
    /// How much is held.
    pub amount: Msat,
}

/// One second, doubling to ten minutes, with up to a quarter more by the effect's own id, so that many
/// effects that failed together do not come back together.
fn backoff(tries: u32, id: &Digest) -> Span {
    let base = 1u64.checked_shl(tries.min(20)).unwrap_or(u64::MAX).min(600);
    Span(base + base * u64::from(id.0[0]) / 1024)
}
