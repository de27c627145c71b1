//! What could not be committed: a full disk is no crash, so nothing is told a second time by itself.

use super::*;

/// One input that waits to be told again.
pub(super) enum Untold {
    /// Of a relay.
    Event(RelayEvent),
    /// What came of an effect.
    Outcome(EffectRow, Box<Effect>, Result<Outcome, Fault>),
    /// An effect of this log that ends without an input.
    End(EventId, Digest, EffectEnd),
}

/// Until it is tried again.
const TRY_AGAIN: Span = Span(5);
/// How long the store is left alone after it was tidied.
const TIDY: Span = Span::HOUR;

impl<S: Store> Core<S> {
    /// Whether something waits to be committed: whoever brings events keeps the next ones back meanwhile.
    pub fn is_behind(&self) -> bool {
        !self.untold.is_empty()
    }

    /// Keeps what a fault that may pass kept from being committed. It is safe to tell twice.
    pub(super) fn keep_untold(&mut self, untold: Untold) {
        self.untold.push(untold);
        self.tell_at = self.clock.now().after(TRY_AGAIN);
    }

    /// When it is told again.
    pub(super) fn tell_at(&self) -> Option<Time> {
        self.is_behind().then_some(self.tell_at)
    }

    /// Tells again what could not be committed, once it is time. Stops at what still cannot be.
    pub(super) fn tell_again(&mut self) {
        if self.tell_at().is_none_or(|at| self.clock.now() < at) {
            return;
        }
        let mut waiting = std::mem::take(&mut self.untold).into_iter();
        for untold in waiting.by_ref() {
            let told = match untold {
                Untold::Event(event) => self.hear(&event).map(|_| ()),
                Untold::Outcome(row, effect, outcome) => self.done(&row, &effect, outcome),
                Untold::End(log, id, end) => self.end(&log, id, end),
            };
            // It was kept again if it may still be told.
            if told.is_err() {
                break;
            }
        }
        self.untold.extend(waiting);
    }

    /// Ends an effect that nothing follows from.
    pub(super) fn end(&mut self, log: &EventId, id: Digest, end: EffectEnd) -> Result<(), Fault> {
        self.touch(log);
        let ends = vec![(id, end.clone())];
        let ended = self.store.commit(&Commit { ends, ..Commit::default() });
        if let Err(Fault::Later(_)) = &ended {
            self.keep_untold(Untold::End(*log, id, end));
        }
        ended.map(|_| ())
    }

    /// Forgets what nobody asks for any more: a bounded piece a call, and nothing for an hour once there is
    /// nothing left.
    pub fn tidy(&mut self) -> Result<(), Fault> {
        let now = self.clock.now();
        if now < self.tidy_at {
            return Ok(());
        }
        if self.store.prune(now)? == 0 {
            self.tidy_at = now.after(TIDY);
        }
        Ok(())
    }
}
