//! What is decided in a case. Pure, and the only place where it is.

use crate::market::case::{Case, CasePhase, Opinion, opinion};
use crate::market::{
    Body, Effect, Fact, Finding, MOST_BROUGHT, Money, Outcome, PaymentHash, Preimage, Purpose,
    Record, Refusal, Role, Time, can_be_lodged,
};
use crate::text::Raw;

/// What the judge's program may know of the world at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaseWorld {
    /// Now.
    pub now: Time,
    /// The node's best block; 0 until it has said so.
    pub height: u32,
}

/// Everything that can happen to a case.
#[derive(Debug, Clone, PartialEq)]
pub enum CaseInput {
    /// A side speaks: a verified record, with the record in it where it is a `lodge`.
    Heard {
        /// Verified.
        record: Box<Record>,
        /// Verified by itself.
        inner: Option<Box<Record>>,
    },
    /// The judge, a person, rules.
    Rule {
        /// For whom.
        whose: Role,
        /// For people.
        reason: String,
    },
    /// Words to both sides.
    Note {
        /// For people.
        text: String,
    },
    /// An effect was run.
    Done {
        /// Which.
        effect: Box<Effect>,
        /// What became of it.
        outcome: Box<Outcome>,
    },
    /// A block came.
    Height,
    /// Time passes.
    Tick,
}

/// One thing to say, to both sides.
#[derive(Debug, Clone, PartialEq)]
pub enum CaseSay {
    /// In both channels.
    Post(Box<Body>),
}

/// What one input leads to. Committed as one.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct CaseStep {
    /// What is so from now on.
    pub facts: Vec<Fact>,
    /// What is said, in this order.
    pub says: Vec<CaseSay>,
    /// Everything that was said is said again.
    pub again: bool,
    /// What is done.
    pub effects: Vec<Effect>,
}

impl CaseStep {
    fn fact(mut self, fact: Fact) -> Self {
        self.facts.push(fact);
        self
    }
    fn say(mut self, body: Body) -> Self {
        self.says.push(CaseSay::Post(Box::new(body)));
        self
    }
    /// Whether nothing happens.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.says.is_empty() && !self.again && self.effects.is_empty()
    }
}

fn no(code: &str, sentence: &str) -> Refusal {
    Refusal::new(code, sentence)
}

/// Decides what one input leads to.
///
/// # Errors
/// What is not heard, or cannot be done.
pub fn case_step(case: &Case, input: &CaseInput, world: &CaseWorld) -> Result<CaseStep, Refusal> {
    let step = match input {
        CaseInput::Heard { record, inner } => heard(case, record, inner.as_deref(), world)?,
        CaseInput::Rule { whose, reason } => {
            may_rule(case, *whose, world.height)?;
            return rule(case, *whose, reason);
        }
        CaseInput::Note { text } => {
            if text.len() > crate::market::LONGEST_TEXT {
                return Err(no("text-too-long", "The text is too long. Nothing was sent."));
            }
            if case.phase == CasePhase::Closed {
                return Err(no("case-over", "The case is over. Nothing was sent."));
            }
            return Ok(CaseStep::default().say(Body::Note { text: Raw(text.clone()) }));
        }
        CaseInput::Done { effect, outcome } => done(case, effect, outcome),
        CaseInput::Height => CaseStep::default(),
        CaseInput::Tick => {
            let due = case.wake_at().is_some_and(|at| world.now >= at);
            return Ok(match due {
                true => CaseStep { again: true, ..CaseStep::default() }.fact(Fact::Resent),
                false => CaseStep::default(),
            });
        }
    };
    Ok(follows(case, step, world))
}

/// What follows from the case as it is after this step: the ruling that a program can make, or the end.
fn follows(case: &Case, mut step: CaseStep, world: &CaseWorld) -> CaseStep {
    let mut after = case.clone();
    for fact in &step.facts {
        after.apply(fact, world.now);
    }
    for CaseSay::Post(body) in &step.says {
        // Not signed yet; what it stamps is read from the text that it carries.
        if let Body::Lodged { record, height } = &**body {
            after.stamped(record, *height);
        }
    }
    if after.phase.is_over() || world.height == 0 {
        return step;
    }
    let t = after.timetable();
    if world.height >= after.end {
        return step.fact(Fact::Lapsed { what: "the case ended without a ruling".into() });
    }
    if !after.is_deterministic() || world.height >= t.ruling() {
        return step;
    }
    match opinion(&after, world.height) {
        Opinion::For(whose, reason) => match rule(&after, whose, &reason) {
            Ok(ruling) => {
                step.says.extend(ruling.says);
                step
            }
            Err(_) => step,
        },
        Opinion::Silent(why) if !after.stuck.iter().any(|known| known.contains(&why)) => {
            step.fact(Fact::Stuck { effect: "ruling".into(), why })
        }
        Opinion::Open | Opinion::Silent(_) => step,
    }
}

/// Whether a ruling for this side can be made at this height.
///
/// # Errors
/// Why not.
pub fn may_rule(case: &Case, whose: Role, height: u32) -> Result<(), Refusal> {
    if case.phase.is_over() {
        return Err(no("case-over", "The case is over."));
    }
    if case.dispute.is_none() {
        return Err(no("nobody-called", "Nobody has called: there is nothing to rule on."));
    }
    if height >= case.timetable().ruling() {
        let sentence = "The height by which a ruling is due has passed.";
        return Err(no("too-late", sentence).money(Money::Held));
    }
    let deterministic = case.is_deterministic();
    if deterministic
        && let Opinion::For(other, why) = opinion(case, height)
        && other != whose
    {
        let sentence = format!("Your listing says that you rule by what can be computed: {why}");
        return Err(Refusal::new("deterministic", sentence));
    }
    Ok(())
}

fn rule(case: &Case, whose: Role, reason: &str) -> Result<CaseStep, Refusal> {
    if reason.len() > crate::market::LONGEST_REASON {
        return Err(no("text-too-long", "The reason is too long. Nothing was sent."));
    }
    let Some((dispute, ..)) = &case.dispute else {
        return Err(no("nobody-called", "Nobody has called: there is nothing to rule on."));
    };
    let x = (whose == Role::Worker).then_some(case.x);
    let reason = Raw(reason.to_owned());
    Ok(CaseStep::default().say(Body::Ruling { dispute: dispute.id, x, reason }))
}

/// A record of a side: who may say it, its place in that side's chain, then what it says.
fn heard(
    case: &Case,
    record: &Record,
    inner: Option<&Record>,
    world: &CaseWorld,
) -> Result<CaseStep, Refusal> {
    let Some(role) = case.role_of(&record.author) else {
        return Err(no("wrong-author", "The record is signed by neither side of the case."));
    };
    if record.draft.job.map(|j| j.0) != Some(case.id.0) {
        return Err(no("wrong-job", "The record belongs to another case."));
    }
    let body = &record.draft.body;
    let known = matches!(
        body,
        Body::Lodge { .. } | Body::Dispute { .. } | Body::Objection { .. } | Body::Note { .. }
    );
    if !known {
        return Err(no("wrong-role", "The record says what a side does not say to a judge."));
    }
    let chain = case.chain_of(role);
    if record.draft.seq < chain.next {
        let last = chain.last.as_ref().filter(|last| last.draft.seq == record.draft.seq);
        return match last {
            Some(last) if last.id != record.id => {
                Ok(CaseStep::default().fact(Fact::Equivocation { record: record.clone() }))
            }
            _ => Err(no("old", "The record was heard before.")),
        };
    }
    if record.draft.seq > chain.next {
        return Err(no("early", "A record before this one has not arrived yet."));
    }
    if record.draft.prev != chain.last.as_ref().map(|last| last.id) {
        return Err(no("broken-chain", "The record does not follow the one before it."));
    }
    if world.height == 0 {
        // What is lodged is stamped with a height.
        return Err(no("early", "Our node does not know a height yet."));
    }
    if chain.next >= MOST_BROUGHT as u64 {
        return Err(no("too-many-records", "This side has said enough in this case."));
    }
    let step = CaseStep::default()
        .fact(Fact::Brought { record: record.clone(), inner: inner.cloned().map(Box::new) });
    let given = match (body, inner) {
        (Body::Lodge { .. }, Some(inner)) => {
            if case.role_of(&inner.author).is_none() || inner.draft.job != Some(case.job) {
                return Err(no("wrong-author", "What is lodged is of neither side of this job."));
            }
            inner
        }
        (Body::Dispute { .. } | Body::Objection { .. }, _) => record,
        _ => return Ok(step),
    };
    if !can_be_lodged(given) {
        return Err(no("too-large", "The record is too long to be handed on."));
    }
    let again = case.exhibits.iter().any(|e| e.record.id == given.id && e.height.is_some());
    let step = match again {
        true => step,
        false => step.say(Body::Lodged { record: given.event.clone(), height: world.height }),
    };
    Ok(match body {
        Body::Dispute { .. } if role == Role::Worker => disputed(case, record, step, world),
        _ => step,
    })
}

/// The worker calls, and the judge looks for itself: it fetches what was delivered, from the endpoint that the
/// bid binds.
fn disputed(case: &Case, record: &Record, step: CaseStep, world: &CaseWorld) -> CaseStep {
    let mut after = case.clone();
    let fact = Fact::Brought { record: record.clone(), inner: None };
    after.apply(&fact, world.now);
    if after.dispute.as_ref().is_none_or(|(of, ..)| of.id != record.id) {
        // It has called before.
        return step;
    }
    let Some((_, delivery)) = after.disputed() else { return step };
    let m = &delivery.manifest;
    let terms = case.terms();
    let most = terms.map_or(0, |terms| terms.max_bytes);
    let hashes = m.h.iter().map(|h| PaymentHash(*h.as_bytes()));
    let unfit = if m.tranches() != 1 || !delivery.keys.iter().map(Preimage::hash).eq(hashes) {
        Some(("wrong-keys", "It does not come with the key that it names."))
    } else if after.secrets().len() != 1 {
        Some(("wrong-secret", "The dispute does not bring what opens it."))
    } else if m.total > most || m.blob_len > most || delivery.vector_size != m.vector_len() {
        Some(("too-large", "It is larger than was agreed, or than it says."))
    } else {
        None
    };
    if let Some((code, sentence)) = unfit {
        let (code, sentence) = (code.into(), sentence.into());
        return step.fact(Fact::Examined(Finding::Unfit { code, sentence }));
    }
    CaseStep { effects: after.halves(), ..step }
}

fn done(case: &Case, effect: &Effect, outcome: &Outcome) -> CaseStep {
    let step = CaseStep::default();
    let open = case.finding.is_none() && !case.phase.is_over();
    match (effect, outcome) {
        (Effect::Fetch { purpose, .. }, Outcome::Fetched { blob, path }) if open => {
            let step = step.fact(Fact::Fetched { blob: *blob, path: path.clone() });
            match case.completes(*purpose) {
                true => CaseStep { effects: vec![Effect::Examine], ..step },
                false => step,
            }
        }
        (
            Effect::Fetch { purpose: Purpose::Blob | Purpose::Vector, .. },
            Outcome::Failed { .. },
        ) if open => {
            let sentence = "Its files cannot be had from the worker.".into();
            step.fact(Fact::Examined(Finding::Unfit { code: "not-fetched".into(), sentence }))
        }
        (Effect::Examine, Outcome::Examined { finding }) if open => {
            step.fact(Fact::Examined(finding.clone()))
        }
        (effect, Outcome::Failed { why }) => {
            step.fact(Fact::Stuck { effect: effect.kind().into(), why: why.clone() })
        }
        _ => step,
    }
}
