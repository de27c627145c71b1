//! What can be done with a job in escrow: the verbs that mean another thing there.

use crate::market::legal::ASK_AGAIN;
use crate::market::{Job, MOST_LOCKS, Money, Phase, Refusal, Role, Time, Verb};

/// Whether a verb can be done now; `None` where the job is in no escrow, or the verb means what it means
/// everywhere.
pub(super) fn may(job: &Job, verb: Verb, now: Time) -> Option<Result<(), Refusal>> {
    let escrow = job.escrow.as_ref()?;
    let phase = job.phase;
    let no = |code: &str, sentence: &str| Err(Refusal::new(code, sentence));
    let held = |code: &str, sentence: &str| Err(Refusal::new(code, sentence).money(Money::Held));
    let past_deadline = job.deadline().is_some_and(|(at, _)| now >= at);
    let wrong = |what: &str| {
        let sentence = format!("Cannot {} now: the job is {}. {what}", verb.word(), phase.word());
        Err(Refusal::new("wrong-phase", sentence))
    };
    Some(match (verb, phase) {
        (Verb::Fund, Phase::Awarded) if past_deadline => {
            no("too-late", "The time to lock the money has passed. No money was locked.")
        }
        (Verb::Fund, Phase::Awarded)
            if escrow.wanted.is_some() && now < job.said_at.max(job.since).after(ASK_AGAIN) =>
        {
            no("funding", "The worker's hold invoice is awaited; it is paid when it comes.")
        }
        (Verb::Fund, Phase::Awarded) if escrow.next_attempt() >= MOST_LOCKS => {
            no("too-many-locks", "Locking the money was tried too often. No money is locked.")
        }
        (Verb::Fund, Phase::Awarded) => Ok(()),
        (
            Verb::Fund,
            Phase::Funding | Phase::Working | Phase::Delivered | Phase::Disputed | Phase::Paying,
        ) => held("locked", "The money is locked, or on its way, already."),
        (Verb::Fund, _) => wrong("The money is locked between the award and the work."),

        (Verb::Deliver, Phase::Funding) if escrow.funded.is_some() => held(
            "not-held",
            "The judge has not confirmed yet that it holds the secret: do not work, and hand nothing over.",
        ),
        (Verb::Deliver, Phase::Awarded | Phase::Funding) => {
            no("not-funded", "The money is not locked yet: do not work, and hand nothing over.")
        }
        (Verb::Accept, Phase::Delivered | Phase::Disputed) => {
            let opened = |work: &crate::market::Attempt| work.tranches.iter().all(|t| t.opened);
            if job.attempt.as_ref().is_some_and(|work| work.cheat.is_some()) {
                held("cheated", "The key does not open what the worker signed: reject it.")
            } else if job.attempt.as_ref().is_some_and(opened) {
                Ok(())
            } else {
                held("not-opened", "The delivery is still being fetched, checked and opened.")
            }
        }
        (Verb::Accept, Phase::Paying) => held("released", "The money is released already."),
        (Verb::Accept, _) => wrong("There is nothing to release the money for."),

        (Verb::Reject, Phase::Delivered) => Ok(()),
        (Verb::Reject, Phase::Disputed) => {
            held("disputed", "The judge was called: say to it what you have to say.")
        }
        (Verb::Reject, Phase::Paying | Phase::Settled) => {
            no("released", "The money for it was released: that cannot be taken back.")
        }
        (Verb::Reject, _) => wrong("There is no delivery to reject."),

        (Verb::Cancel, Phase::Awarded) => Ok(()),
        (Verb::Dispute | Verb::Object, _) if job.judge().is_none() => {
            no("no-judge", "The two of you agreed on no judge.")
        }
        (Verb::Dispute, Phase::Working | Phase::Delivered) => {
            if escrow.hearing.judge.is_none() {
                held("not-held", "The judge has not confirmed yet that it holds the secret.")
            } else if phase == Phase::Working && escrow.hearing.rejected.is_none() {
                wrong("There is no delivery that a judge could look at.")
            } else {
                Ok(())
            }
        }
        // The requester's call opens nothing: the worker's own shows the work.
        (Verb::Dispute, Phase::Disputed)
            if job.role == Role::Worker && escrow.hearing.awaits_worker() =>
        {
            Ok(())
        }
        (Verb::Dispute, Phase::Disputed) => held("disputed", "The judge was called already."),
        (Verb::Dispute, _) => wrong("The judge is called once there is a delivery."),
        (Verb::Object, Phase::Disputed) => match &escrow.hearing {
            hearing if hearing.dispute.as_ref().is_some_and(|plea| plea.by == job.role) => {
                held("own-dispute", "You called the judge: the answer is the other side's.")
            }
            hearing if hearing.objection.is_some() => {
                held("objected", "You have answered already.")
            }
            _ => Ok(()),
        },
        (Verb::Object, _) => wrong("Nobody has called the judge."),

        (Verb::Cancel, Phase::Funding | Phase::Working | Phase::Delivered | Phase::Disputed) => {
            if job.role == Role::Requester && escrow.asked_back {
                held("asked", "The worker was asked to send the money back; it may, and need not.")
            } else {
                Ok(())
            }
        }
        (Verb::Cancel, Phase::Refunding) => held("returning", "The money is on its way back."),
        (Verb::Cancel, Phase::Paying) => held("released", "The money is released already."),
        _ => return None,
    })
}
