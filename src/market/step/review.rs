//! The review of a delivery: the audit before payment, and the checks of what was opened.

use crate::market::{
    AUDIT_WAIT, Attempt, Audited, Body, CheckVerdict, Checked, Effect, EventId, Fact, Job, Mode,
    Outcome, Phase, Preimage, Refusal, Role, Say, Step, World, refuted,
};
use crate::text::Raw;

/// The delivery is here and is what was signed: ask for the audit that the terms allow.
pub(super) fn inspected(job: &Job, manifest: &EventId, mut step: Step) -> Step {
    if let Some(seed) = job.seed.filter(|_| job.wants_audit()) {
        step.says.push(Say::Audit { manifest: *manifest, nonce: seed.nonce });
    }
    step
}

/// Whoever asks again, after a silence, says the same again.
pub(super) fn ask_again(job: &Job, world: &World) -> Result<Step, Refusal> {
    let no = |code: &str, sentence: &str| Err(Refusal::new(code, sentence));
    let (Some(seed), Some(work)) = (job.seed, job.attempt.as_ref()) else {
        return no("wrong-phase", "There is no delivery to audit.");
    };
    let (Some(asked), Some(record)) = (work.review.asked, work.record.as_ref()) else {
        return no(
            "no-audit",
            "No audit was asked for: the terms have none, or its seed is used up.",
        );
    };
    if work.review.audited.is_some() || work.review.ready {
        return no("audited", "The audit is over. Nothing was sent.");
    }
    if world.now < asked.after(AUDIT_WAIT) {
        return no("auditing", "The audit was asked for a moment ago. Nothing was sent.");
    }
    let mut step = Step::default();
    step.says.push(Say::Audit { manifest: record.id, nonce: seed.nonce });
    Ok(step)
}

/// Worker: the requester reveals its seed. One audit a delivery, before any `ready`; an identical repeat
/// gets the identical answer; a seed that was not committed to before the delivery gets none.
pub(super) fn audit(job: &Job, manifest: &EventId, seed: &Preimage, step: Step) -> Step {
    if job.role != Role::Worker || !job.may_be_audited_with(manifest, seed) {
        return step;
    }
    let said = job.attempt.as_ref().and_then(|work| work.review.keys.clone());
    match said {
        Some(keys) => step.say(Body::Open { manifest: *manifest, keys }),
        None => step.effect(Effect::Reveal { manifest: *manifest, seed: *seed }),
    }
}

/// Requester: the worker opens the sample. Of another delivery, or unasked, it is words.
pub(super) fn opening(job: &Job, manifest: &EventId, step: Step) -> Step {
    let waits = |work: &Attempt| {
        work.is(manifest) && work.review.asked.is_some() && work.review.keys.is_none()
    };
    if job.role == Role::Requester && job.attempt.as_ref().is_some_and(waits) {
        return step.effect(Effect::Audit { manifest: *manifest });
    }
    step
}

/// What became of an effect of the review; `None` if it is of something else.
pub(super) fn done(job: &Job, effect: &Effect, outcome: &Outcome) -> Option<Step> {
    let step = Step::default();
    Some(match (effect, outcome) {
        (Effect::Reveal { manifest, seed }, Outcome::Revealed { keys }) => {
            let open = job.may_be_audited_with(manifest, seed);
            let said = job.attempt.as_ref().is_some_and(|work| work.review.keys.is_some());
            if open && !said {
                step.say(Body::Open { manifest: *manifest, keys: keys.clone() })
            } else {
                step
            }
        }
        (Effect::Audit { manifest }, Outcome::Audited { audited, wrong, results }) => {
            sampled(job, manifest, *audited, wrong.as_deref(), results, step)
        }
        (Effect::Check { tranche }, Outcome::Checked { results }) => {
            checked(job, *tranche, results.clone(), step)
        }
        (Effect::Check { tranche }, Outcome::Failed { why }) => {
            // The work is paid and here; that its checks could not be run is nobody's fault.
            let result = |pinned: &crate::market::Pinned| Checked {
                check: pinned.hash,
                verdict: CheckVerdict::None { reason: why.clone() },
                chunk: None,
            };
            let results = job.terms().quality.checks.iter().map(result).collect();
            checked(job, *tranche, results, step)
        }
        _ => return None,
    })
}

fn sampled(
    job: &Job,
    manifest: &EventId,
    audited: Audited,
    wrong: Option<&str>,
    results: &[Checked],
    step: Step,
) -> Step {
    let waits = |work: &Attempt| work.is(manifest) && work.review.audited.is_none();
    if job.phase != Phase::Delivered || !job.attempt.as_ref().is_some_and(waits) {
        return step;
    }
    let failed = results.iter().find(|result| result.failed()).map(|result| &result.verdict);
    let sentence = match (wrong, failed) {
        (Some(wrong), _) => format!("The audit failed: {wrong}"),
        (None, Some(CheckVerdict::Fail { .. })) => {
            "The audit failed: an opened record does not pass a check of the terms. Nothing was paid."
                .to_owned()
        }
        _ => return step.fact(Fact::Audited { audited, results: results.to_vec() }),
    };
    let step = step.fact(Fact::Audited { audited, results: results.to_vec() });
    if job.money_moved() {
        return step;
    }
    step.fact(Fact::Refused { code: "audit-failed".into(), sentence: sentence.clone() })
        .say(Body::Reject { manifest: *manifest, reason: Raw(sentence), next: None })
}

/// What follows an opened tranche where the terms have checks: they speak before anything goes on.
pub(super) fn check(tranche: u32, step: Step) -> Step {
    step.effect(Effect::Check { tranche })
}

/// In escrow a delivery is opened before the money is released: the checks speak then, and a person or
/// policy decides with them in hand.
pub(super) fn in_escrow(job: &Job, effect: &Effect, outcome: &Outcome, step: Step) -> Step {
    match (effect, outcome) {
        (Effect::Open { tranche }, Outcome::Opened { .. }) if job.has_checks() => {
            check(*tranche, step)
        }
        _ => step,
    }
}

fn checked(job: &Job, tranche: u32, results: Vec<Checked>, step: Step) -> Step {
    let index = usize::try_from(tranche).unwrap_or(usize::MAX);
    let Some(work) = &job.attempt else { return step };
    let opened = match job.escrow {
        Some(_) => tranche == 0 && work.output.is_some(),
        None => work.tranches.get(index).is_some_and(|t| t.opened),
    };
    let Some(record) = work.record.as_ref().filter(|_| opened && job.has_checks()) else {
        return step;
    };
    if work.review.checked.contains(&tranche) {
        return step;
    }
    let results_fail = results.iter().any(Checked::failed);
    let unsure = results.iter().any(Checked::unsure);
    let refuted = refuted(&results);
    let step = step.fact(Fact::Checked { tranche, results });
    if let Some((check, chunk)) = refuted.filter(|_| job.terms().mode == Mode::Sealed) {
        return step.effect(Effect::Prove { tranche, chunk, check: Some(check) });
    }
    if results_fail || job.escrow.is_some() {
        return step;
    }
    if work.tranches.iter().all(|t| t.opened) {
        step.say(Body::Accept { manifest: record.id, next: None, x: None, receipt: None })
    } else if unsure {
        // A person decides whether to go on.
        step
    } else {
        step.say(Body::Ready { manifest: record.id, tranche: work.next_unpaid() })
    }
}
