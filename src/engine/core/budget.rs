//! What automated actors ask: bound by the budget and the kill switch, at the one place that every command
//! passes.

use super::*;
use crate::engine::BudgetView;
use crate::market::{
    Actor, Charge, LONGEST_HALT, LONGEST_KEY, Pinned, Quality, SWITCH_LOG, Switch, allow_checks,
};
use crate::verify::Check;

/// The budget, the switch, and who asks at this moment.
#[derive(Debug, Default)]
pub(super) struct Leash {
    pub(super) budget: Budget,
    pub(super) switch: Switch,
    acting: Option<Actor>,
}

impl<S: Store> Core<S> {
    /// From now on automation is bound by this.
    pub fn set_budget(&mut self, budget: Budget) {
        self.leash.budget = budget;
    }

    /// Does what an automated actor asks, as far as its budget goes.
    ///
    /// # Errors
    /// `bot-stopped` while the switch is pulled; `budget-...` and `needs-approval` from the market; and
    /// whatever `act` says.
    pub fn acting<T>(
        &mut self,
        by: &Actor,
        act: impl FnOnce(&mut Self) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        self.leash.switch.allow()?;
        self.leash.acting = Some(by.clone());
        let done = act(self);
        self.leash.acting = None;
        done
    }

    /// Who asks now, unless it is a person.
    pub(super) fn actor(&self) -> Option<&Actor> {
        self.leash.acting.as_ref()
    }

    /// A step that an automated actor asked for, with the fact that charges it; a person's own is as it was.
    pub(super) fn charged(
        &mut self,
        job: &BidId,
        input: &Input,
        mut decided: Step,
        now: Time,
    ) -> Result<Step, Trouble> {
        let (Some(by), Input::Ask(ask)) = (self.leash.acting.clone(), input) else {
            return Ok(decided);
        };
        let Some(job) = self.jobs.get(job) else { return Ok(decided) };
        if matches!(ask, Ask::Award(_) | Ask::Fund { .. } | Ask::Accept { .. }) {
            let pinned: Vec<&Pinned> = job.gig.offer.checks().collect();
            let parts = job.agreed().parts().map(|part| kinds(&part.quality, &pinned));
            allow_checks(&self.leash.budget, &parts.collect::<Vec<_>>())?;
        }
        let spent = || self.spent(Some(&job.id), Some(&job.peer()));
        match crate::market::allow(job, &by, ask, &self.leash.budget, spent, now) {
            Ok(fact) => {
                decided.facts.insert(0, fact);
                Ok(decided)
            }
            Err(refusal) => {
                if refusal.code == "needs-approval" {
                    self.ask_a_person(&job.id.clone(), by, ask, now)?;
                }
                Err(refusal.into())
            }
        }
    }

    /// Writes down once that a person's word is missing.
    fn ask_a_person(&mut self, id: &BidId, by: Actor, ask: &Ask, now: Time) -> Result<(), Fault> {
        let Some((mut job, verb)) = self.jobs.get(id).cloned().zip(ask.verb()) else {
            return Ok(());
        };
        if job.charge.asked == Some((by.clone(), verb)) {
            return Ok(());
        }
        let facts = vec![Fact::ApprovalAsked { by, verb }];
        let step = Step { facts, ..Step::default() };
        if self.write(&mut job, step, None, Vec::new(), now)? == Committed::New {
            self.keep(job);
        }
        Ok(())
    }

    /// The gig that this actor published under this key, if it did; else whether it may publish.
    pub(super) fn posted_before(
        &self,
        draft: &GigDraft,
        key: Option<&str>,
    ) -> Result<Option<EventId>, Trouble> {
        if key.is_some_and(|key| key.is_empty() || key.len() > LONGEST_KEY) {
            let sentence = format!("A key has 1 to {LONGEST_KEY} bytes. Nothing was published.");
            return Err(Refusal::new("bad-key", sentence).into());
        }
        let same = key.map(|key| (self.actor().cloned(), key.to_owned()));
        if let Some(post) = same.and_then(|same| self.by_idempotency.get(&same)) {
            return Ok(Some(*post));
        }
        if self.actor().is_some() {
            let now = self.clock.now();
            let takes = |id: &&EventId| {
                self.posts.get(id).and_then(Post::gig).is_some_and(|gig| now < gig.expires_at)
            };
            let open = self.automated.iter().filter(takes).count();
            crate::market::allow_post(draft, &self.leash.budget, open)?;
            let parts = match draft.milestones.is_empty() {
                true => vec![kinds(&draft.quality, &[])],
                false => draft.milestones.iter().map(|m| kinds(&m.quality, &[])).collect(),
            };
            allow_checks(&self.leash.budget, &parts)?;
        }
        Ok(None)
    }

    /// Whether whoever asks may bid in this mode.
    pub(super) fn may_bid(&self, mode: Mode) -> Result<(), Refusal> {
        match self.actor() {
            Some(_) => crate::market::allow_mode(&self.leash.budget, mode),
            None => Ok(()),
        }
    }

    /// Pulls the switch, or lets automation go on. What is so already stays so.
    pub fn switch(&mut self, halt: Option<String>) -> Result<(), Trouble> {
        let fact = match halt {
            Some(why) if why.len() > LONGEST_HALT => {
                let sentence = format!("The reason is over {LONGEST_HALT} bytes. Nothing changed.");
                return Err(Refusal::new("text-too-long", sentence).into());
            }
            Some(_) if self.leash.switch.halted.is_some() => return Ok(()),
            Some(why) => Fact::Halted { why },
            None if self.leash.switch.halted.is_none() => return Ok(()),
            None => Fact::Resumed,
        };
        let now = self.clock.now();
        let mut writer = Writer::new(&*self.scribe, now, SWITCH_LOG, self.leash.switch.n);
        writer.fact(fact.clone())?;
        let (commit, _) = writer.finish_post();
        self.store.commit(&commit)?;
        self.leash.switch.apply(&fact);
        self.changed.whole = true;
        Ok(())
    }

    /// The budget, and what is spent of it.
    pub fn budget(&self) -> BudgetView {
        let spent = self.spent(None, None);
        BudgetView {
            budget: self.leash.budget.clone(),
            at_risk: spent.at_risk,
            hour: spent.hour,
            day: spent.day,
            halted: self.halted().cloned(),
            waiting: self.sums.asked().copied().collect(),
        }
    }

    /// Why automation is stopped, while it is.
    pub fn halted(&self) -> Option<&String> {
        self.leash.switch.halted.as_ref()
    }

    /// What automation was charged for a job.
    pub fn charge(&self, id: &BidId) -> Option<&Charge> {
        self.jobs.get(id).map(|job| &job.charge)
    }
}

/// The kind of each check, read from its body: here, or where the gig has it. A bid names it by hash alone.
pub fn kinds(quality: &Quality, pinned: &[&Pinned]) -> Vec<Option<&'static str>> {
    let kind = |check: &Pinned| {
        let there = || pinned.iter().find(|known| known.hash == check.hash)?.body.as_deref();
        let body = check.body.as_deref().or_else(there)?;
        Check::from_json(body.as_bytes()).ok().map(|check| check.word())
    };
    quality.checks.iter().map(kind).collect()
}
