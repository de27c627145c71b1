//! What can be done now, and for what cannot, the refusal that says why. Every front end is drawn from it,
//! and `step` asks the same function.

mod escrow;

use serde::{Deserialize, Serialize};

use crate::market::budget::may_approve;
use crate::market::{AUDIT_WAIT, Job, Mode, Phase, Refusal, Role, Span, Time};

/// After this long without a bill the requester may ask for it again. Two bills are one payment: only the
/// first is paid.
pub const ASK_AGAIN: Span = Span::MINUTE.times(5);

/// What a person, a bot or an agent can do with a job.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Requester: give the job to this bidder.
    Award,
    /// Requester: say no to this bid.
    Decline,
    /// Worker: take the bid back.
    Withdraw,
    /// Worker: hand the work over.
    Deliver,
    /// Requester, in escrow: lock the money.
    Fund,
    /// Requester: pay for what was delivered; in escrow, release the money.
    Accept,
    /// Requester: send it back.
    Reject,
    /// Either, in escrow with a judge: call it.
    Dispute,
    /// Either, in escrow with a judge: answer what the other side says to it.
    Object,
    /// Either: stop here. In escrow, once the money is on its way: the requester asks for it back, the
    /// worker sends it back.
    Cancel,
    /// Either: words.
    Note,
    /// Either: one to five for the other side, when it is over.
    Rate,
    /// Requester, a person: a bot or an agent may do this job at its price.
    Approve,
}

impl Verb {
    /// The verbs of a role, in the order in which they are shown.
    pub fn of(role: Role) -> &'static [Self] {
        use Verb::{
            Accept, Approve, Award, Cancel, Decline, Deliver, Dispute, Fund, Note, Object, Rate,
            Reject, Withdraw,
        };
        match role {
            Role::Requester => &[
                Approve, Award, Fund, Accept, Reject, Dispute, Object, Decline, Cancel, Note, Rate,
            ],
            Role::Worker => &[Deliver, Dispute, Object, Withdraw, Cancel, Note, Rate],
        }
    }
    /// As typed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Award => "award",
            Self::Decline => "decline",
            Self::Withdraw => "withdraw",
            Self::Deliver => "deliver",
            Self::Fund => "fund",
            Self::Accept => "accept",
            Self::Reject => "reject",
            Self::Dispute => "dispute",
            Self::Object => "object",
            Self::Cancel => "cancel",
            Self::Note => "note",
            Self::Rate => "rate",
            Self::Approve => "approve",
        }
    }
}

/// Whether a verb can be done now.
pub fn may(job: &Job, verb: Verb, now: Time) -> Result<(), Refusal> {
    if !Verb::of(job.role).contains(&verb) {
        let (who, word) = (role_word(job.role.other()), verb.word());
        return Err(Refusal::new("not-your-role", format!("Only the {who} can {word}.")));
    }
    let phase = job.phase;
    let wrong = |what: &str| {
        let word = verb.word();
        let sentence = format!("Cannot {word} now: the job is {}. {what}", phase.word());
        Err(Refusal::new("wrong-phase", sentence))
    };
    let late = |code: &str, sentence: &str| Err(Refusal::new(code, sentence));
    let past_deadline = job.deadline().is_some_and(|(at, _)| now >= at);
    if let Some(said) = escrow::may(job, verb, now) {
        return said;
    }
    if verb == Verb::Accept && phase == Phase::Delivered {
        job.awaits_opening(now)?;
    }
    match verb {
        Verb::Award => match phase {
            Phase::Bid if past_deadline => {
                late("bid-lapsed", "The bid was valid until a moment that has passed.")
            }
            Phase::Bid => Ok(()),
            _ => wrong("Only a bid that waits for an answer can be awarded."),
        },
        Verb::Decline | Verb::Withdraw => match phase {
            Phase::Bid => Ok(()),
            _ => wrong("An awarded job is cancelled instead."),
        },
        Verb::Deliver => match phase {
            Phase::Working if past_deadline => {
                late("too-late", "The deadline for the delivery has passed.")
            }
            Phase::Working if job.attempt.is_some() => {
                late("sealing", "A delivery is being sealed already.")
            }
            Phase::Working => Ok(()),
            _ => wrong("The work is delivered while the job is awarded and open."),
        },
        Verb::Accept => match phase {
            Phase::Delivered if past_deadline => {
                late("too-late", "The time to pay for this delivery has passed.")
            }
            Phase::Delivered if job.attempt.as_ref().is_some_and(|w| w.inspected) => Ok(()),
            Phase::Delivered => {
                late("not-inspected", "The delivery is still being fetched and checked.")
            }
            // A bill may have failed at the worker, or be safe to make only later: ask again.
            Phase::Accepted if !past_deadline && now >= job.said_at.after(ASK_AGAIN) => Ok(()),
            Phase::Accepted => late("accepted", "Accepted already: the worker's bill is awaited."),
            Phase::Paying => late("paying", "It is being paid already."),
            _ => wrong("There is nothing to pay for."),
        },
        Verb::Approve => may_approve(job),
        Verb::Fund => late("not-escrow", "Nothing is locked in this settlement mode."),
        Verb::Dispute | Verb::Object => late("no-judge", "The two of you agreed on no judge."),
        Verb::Reject => match phase {
            Phase::Delivered | Phase::Accepted if !job.money_moved() => Ok(()),
            Phase::Delivered | Phase::Accepted | Phase::Paying | Phase::Settled => {
                late("paid", "A payment for it was made or is in flight.")
            }
            _ => wrong("There is no delivery to reject."),
        },
        Verb::Cancel => match phase {
            Phase::Reached => Ok(()),
            Phase::Working | Phase::Delivered | Phase::Accepted if !job.money_moved() => Ok(()),
            Phase::Delivered | Phase::Accepted | Phase::Paying => {
                late("paid", "A payment for it was made or is in flight.")
            }
            Phase::Bid => wrong("A bid is withdrawn or declined instead."),
            _ => wrong("It is over."),
        },
        Verb::Note => match job.job {
            Some(_) => Ok(()),
            None => wrong("Words can be exchanged once the job is awarded."),
        },
        Verb::Rate => match phase {
            Phase::Settled
            | Phase::Cheated
            | Phase::Cancelled
            | Phase::Expired
            | Phase::Refunded
                if job.job.is_some() =>
            {
                Ok(())
            }
            _ => wrong("A job is rated when it is over."),
        },
    }
}

/// Every verb of our role that this job knows, with whether it can be done now.
pub fn legal(job: &Job, now: Time) -> Vec<(Verb, Result<(), Refusal>)> {
    let known = |verb: &&Verb| match verb {
        Verb::Fund => job.terms().mode == Mode::Escrow,
        Verb::Dispute | Verb::Object => job.judge().is_some(),
        Verb::Approve => job.charge.asked.is_some(),
        _ => true,
    };
    Verb::of(job.role).iter().filter(known).map(|verb| (*verb, may(job, *verb, now))).collect()
}

/// The next moment, after `now`, at which time alone may change what [`legal`] says; `None` where only a
/// fact does.
pub fn legal_until(job: &Job, now: Time) -> Option<Time> {
    if job.phase.is_over() {
        return None;
    }
    let audit = job.attempt.as_ref().and_then(|work| work.review.asked);
    let turns = [
        job.deadline().map(|(at, _)| at),
        Some(job.said_at.after(ASK_AGAIN)),
        Some(job.since.after(ASK_AGAIN)),
        audit.map(|asked| asked.after(AUDIT_WAIT)),
    ];
    turns.into_iter().flatten().filter(|at| *at > now).min()
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Requester => "requester",
        Role::Worker => "worker",
    }
}
