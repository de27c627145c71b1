//! What a step means for reputation: a receipt that both have signed, and signatures that convict.

use crate::market::{Body, Delivery, Effect, Fact, Job, Phase, Record, Say, Step, Time};

/// A step after which the job is settled and both signatures on its receipt are here, and before which they were
/// not, has it published.
pub(super) fn attested(job: &Job, step: Step, now: Time) -> Step {
    let heard = |fact: &Fact| match fact {
        Fact::Heard { record } => record.draft.body.receipt().is_some(),
        _ => false,
    };
    let signs = |say: &Say| match say {
        Say::Post(body) => matches!(**body, Body::Accept { .. } | Body::Settled { .. }),
        Say::Release { .. } => true,
        _ => false,
    };
    let stops = |record: &Body| matches!(record, Body::Cancel { .. });
    let stopped = job.is_between()
        && (step.says.iter().any(|say| matches!(say, Say::Post(body) if stops(body)))
            || step.facts.iter().any(|fact| match fact {
                Fact::Heard { record } => stops(&record.draft.body),
                Fact::Lapsed { .. } => job.phase == Phase::Reached,
                _ => false,
            }));
    if stopped {
        // What is paid until here stands, and is said once.
        return if job.signatures().is_some() { step.effect(Effect::Attest) } else { step };
    }
    let theirs = job.countersigned.is_some() || step.facts.iter().any(heard);
    let ours = job.signed.is_some() || step.says.iter().any(signs);
    let known = job.phase == Phase::Settled && job.signatures().is_some();
    if !theirs || !ours || known {
        return step;
    }
    let mut after = job.clone();
    step.facts.iter().for_each(|fact| after.apply(fact, now));
    if after.phase == Phase::Settled { step.effect(Effect::Attest) } else { step }
}

/// A delivery under a number that was signed before, for something else: no step follows from it, but the two
/// together are a proof.
pub(super) fn delivers_twice(job: &Job, record: &Record, delivery: &Delivery, step: Step) -> Step {
    let stands = job.attempt.as_ref().and_then(|work| work.record.as_ref());
    let twice = [stands, job.rejected.as_ref()].into_iter().flatten().find(|before| {
        let Body::Deliver(signed) = &before.draft.body else { return false };
        signed.manifest.delivery == delivery.manifest.delivery
            && signed.manifest != delivery.manifest
            && before.author == record.author
    });
    match twice.filter(|_| job.exposed.is_none()) {
        Some(before) => step
            .effect(Effect::Expose { before: before.event.clone(), record: record.event.clone() }),
        None => step,
    }
}
