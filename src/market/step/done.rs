//! What follows from what the world did: outcomes of effects, and what the node says by itself.

use crate::market::step::{escrow, halves, review};
use crate::market::{
    Attempt, Body, Digest, Effect, EventId, Fact, Job, Msat, NodeEvent, Outcome, PaymentHash,
    PaymentState, Phase, Preimage, Purpose, Record, Refusal, Role, Step, Tranche, World, refuted,
};
use crate::text::Raw;

/// What became of an effect.
pub(super) fn done(
    job: &Job,
    effect: &Effect,
    outcome: &Outcome,
    world: &World,
) -> Result<Step, Refusal> {
    if job.escrow.is_some()
        && let Some(step) = escrow::done(job, effect, outcome, world)
    {
        return Ok(review::in_escrow(job, effect, outcome, step));
    }
    let step = Step::default();
    if let Some(step) = review::done(job, effect, outcome) {
        return Ok(step);
    }
    Ok(match (effect, outcome) {
        (Effect::Fetch { purpose, .. }, Outcome::Fetched { blob, path }) => {
            let step = step.fact(Fact::Fetched { blob: *blob, path: path.clone() });
            let Some(work) = job.attempt.as_ref() else { return Ok(step) };
            if *purpose == Purpose::Input || !will_be_complete(work, blob) {
                return Ok(step);
            }
            match (work.record.as_ref().filter(|_| !work.inspected), unopened(job, work)) {
                (Some(record), _) => step.effect(Effect::Inspect { manifest: record.id }),
                (None, Some(tranche)) => step.effect(Effect::Open { tranche }),
                (None, None) => step,
            }
        }
        (Effect::Fetch { purpose: Purpose::Input, file, .. }, Outcome::Failed { why }) => {
            let name = file.blob.short();
            stuck(step, &format!("fetching input {name}"), why)
        }
        (Effect::Fetch { file, .. }, Outcome::Failed { why }) => {
            let ours = job.attempt.as_ref().filter(|work| work.names(&file.blob));
            let Some(record) = ours.and_then(|work| work.record.as_ref()) else { return Ok(step) };
            // Why is for our own person: it may name our places, and the worker is told only that.
            let sentence = "The delivery could not be fetched. Nothing was paid.";
            let step = stuck(step, "fetching the delivery", why);
            refuse(job, &record.id, step, "not-fetched", sentence)
        }
        (
            Effect::Seal { number, .. },
            Outcome::Sealed { manifest, hashes, blob, vector, vector_size, keys },
        ) => {
            let Some(work) = sealing(job, *number) else { return Ok(step) };
            let m = manifest.as_ref();
            step.fact(Fact::Sealed {
                blob: blob.clone(),
                vector: vector.clone(),
                blob_hash: Digest(*m.blob.as_bytes()),
                blob_size: m.blob_len,
                vector_hash: Digest(*m.vector.as_bytes()),
                vector_size: *vector_size,
                hashes: hashes.clone(),
            })
            .say(Body::Deliver(crate::market::Delivery {
                manifest: m.clone(),
                name: Raw(work.name.clone()),
                vector_size: *vector_size,
                message: Raw(work.message.clone()),
                keys: keys.clone(),
            }))
        }
        (Effect::Seal { number, .. }, Outcome::Failed { why }) => match sealing(job, *number) {
            Some(_) => step.fact(Fact::SealFailed { why: why.clone() }),
            None => step,
        },
        (Effect::Inspect { manifest }, Outcome::Inspected) => {
            if inspecting(job, manifest) {
                review::inspected(job, manifest, step.fact(Fact::Inspected))
            } else {
                step
            }
        }
        (Effect::Inspect { manifest }, Outcome::Refused { code, sentence }) => {
            refuse(job, manifest, step, code, sentence)
        }
        (Effect::Bill { tranche, order }, Outcome::Billed { billed, invoice, .. }) => {
            let Some(record) = billing(job, *tranche, &order.hash) else { return Ok(step) };
            let slot = slot(job, *tranche).and_then(|t| t.invoice.as_ref());
            if slot == Some(invoice) {
                return Ok(step);
            }
            step.fact(Fact::Billed {
                tranche: *tranche,
                invoice: invoice.clone(),
                lsp_fee: billed.lsp_fee,
            })
            .say(Body::Bill {
                manifest: record.id,
                tranche: *tranche,
                invoice: billed.invoice.clone(),
            })
        }
        (Effect::Bill { tranche, order }, Outcome::Failed { why }) => {
            if billing(job, *tranche, &order.hash).is_none() {
                return Ok(step);
            }
            // The requester waits for this bill: tell it, in our words.
            let text = "The worker's node cannot make an invoice now. Nothing was paid.";
            stuck(step, "making the invoice", why).say(Body::Note { text: Raw(text.into()) })
        }
        (Effect::Pay { .. }, Outcome::Payment { hash, state }) => match state {
            PaymentState::Paid { preimage, fee } => paid(job, hash, preimage, *fee),
            PaymentState::Failed { reason } => pay_failed(job, hash, reason),
            PaymentState::Unknown | PaymentState::InFlight => step,
        },
        (Effect::Pay { order, .. }, Outcome::Failed { why }) => pay_failed(job, &order.hash, why),
        (Effect::Open { tranche }, Outcome::Opened { path, digest }) => {
            opened(job, *tranche, step, path, digest.as_ref())
        }
        (Effect::Open { tranche }, Outcome::Mismatch { chunk }) => {
            let paid = |t: &Tranche| t.key.is_some() && !t.opened;
            let known = job.attempt.as_ref().is_some_and(|work| work.cheat.is_some());
            if known || !slot(job, *tranche).is_some_and(paid) {
                return Ok(step);
            }
            step.fact(Fact::Cheated { tranche: *tranche, chunk: *chunk }).effect(Effect::Prove {
                tranche: *tranche,
                chunk: *chunk,
                check: None,
            })
        }
        (Effect::Open { tranche }, Outcome::Damaged) => damaged(job, *tranche, step),
        (Effect::Expose { .. }, Outcome::Proven { path }) => match &job.exposed {
            Some(_) => step,
            None => step.fact(Fact::Exposed { path: path.clone() }),
        },
        (Effect::Prove { tranche, chunk, check }, Outcome::Proven { path }) => {
            let waits = |work: &Attempt| {
                let found = match check {
                    None => work.cheat == Some((*tranche, *chunk)),
                    Some(check) => refuted(&work.review.results) == Some((*check, *chunk)),
                };
                found && work.proof.is_none()
            };
            if !job.attempt.as_ref().is_some_and(waits) {
                return Ok(step);
            }
            step.fact(Fact::Proven { path: path.clone() })
                .effect(Effect::Accuse { path: path.clone() })
        }
        (effect, Outcome::Failed { why }) => stuck(step, effect.kind(), why),
        _ => step,
    })
}

fn slot(job: &Job, tranche: u32) -> Option<&Tranche> {
    job.attempt.as_ref()?.tranches.get(usize::try_from(tranche).ok()?)
}

/// The delivery whose sealing this is, if it is still wanted: what was signed is not unsigned, and
/// nothing is delivered into a job that is over.
fn sealing(job: &Job, number: u32) -> Option<&Attempt> {
    let work = job.attempt.as_ref()?;
    (job.phase == Phase::Working && work.number == number && work.record.is_none()).then_some(work)
}

/// Whether this is the delivery that waits to be inspected: another one may stand there by now, and
/// nobody has looked at that.
pub(super) fn inspecting(job: &Job, manifest: &EventId) -> bool {
    let work = job.attempt.as_ref();
    let stands = matches!(job.phase, Phase::Delivered | Phase::Disputed) || job.is_owed_work();
    stands && work.is_some_and(|w| w.is(manifest) && !w.inspected)
}

/// The delivery that this hash bills, unless money for it has come or the job is over.
fn billing<'a>(job: &'a Job, tranche: u32, hash: &PaymentHash) -> Option<&'a Record> {
    let work = job.attempt.as_ref()?;
    let waits = |t: &Tranche| t.claiming.is_none() && t.received.is_none();
    let wanted = !job.phase.is_over()
        && work.tranche_of(hash) == Some(tranche)
        && slot(job, tranche).is_some_and(waits);
    work.record.as_ref().filter(|_| wanted)
}

/// What the node says by itself. Nothing beats it.
pub(super) fn node(job: &Job, event: &NodeEvent) -> Result<Step, Refusal> {
    let ours = |hash: &PaymentHash| {
        let work = job.attempt.as_ref()?;
        let tranche = work.tranche_of(hash)?;
        let slot = work.tranches.get(usize::try_from(tranche).ok()?)?;
        Some((tranche, slot))
    };
    let step = Step::default();
    if job.escrow.is_some() {
        return Ok(escrow::node(job, event));
    }
    Ok(match event {
        NodeEvent::Claimable { hash, amount, deadline } => {
            let Some((tranche, slot)) = ours(hash).filter(|_| job.role == Role::Worker) else {
                return Ok(step.effect(Effect::Fail { hash: *hash }));
            };
            let billed = slot.invoice.as_ref().and_then(|i| i.amount);
            let least = billed.map(|b| b.saturating_sub(slot.lsp_fee));
            if slot.received.is_some() {
                step
            } else if least.is_none_or(|least| *amount < least) {
                step.fact(Fact::Underpaid { tranche, hash: *hash, amount: *amount })
                    .effect(Effect::Fail { hash: *hash })
            } else {
                step.fact(Fact::Claiming {
                    tranche,
                    hash: *hash,
                    amount: *amount,
                    deadline: *deadline,
                })
                .effect(Effect::Claim { tranche, hash: *hash, amount: *amount })
            }
        }
        NodeEvent::Received { hash, amount } => {
            let Some((tranche, slot)) = ours(hash).filter(|_| job.role == Role::Worker) else {
                return Ok(step);
            };
            if slot.received.is_some() {
                return Ok(step);
            }
            let step = step.fact(Fact::Received { tranche, hash: *hash, amount: *amount });
            let last = job
                .attempt
                .as_ref()
                .is_some_and(|w| w.tranches.iter().filter(|t| t.received.is_none()).count() == 1);
            match job.attempt.as_ref().and_then(|w| w.record.as_ref()) {
                Some(record) if last => {
                    step.say(Body::Settled { manifest: record.id, receipt: None })
                }
                _ => step,
            }
        }
        NodeEvent::Paid { hash, preimage, fee } => paid(job, hash, preimage, *fee),
        NodeEvent::Failed { hash, reason } => pay_failed(job, hash, reason),
        NodeEvent::Channels(_) => step,
    })
}

/// A block came. A held payment that dies of age raises no event, stays pending for ever and still takes a
/// claim with Ok (lightning.md 2.4): so its deadline is kept here.
pub(super) fn height(job: &Job, height: u32) -> Step {
    let mut step = Step::default();
    let Some(attempt) = &job.attempt else { return step };
    for (t, (slot, hash)) in attempt.tranches.iter().zip(&attempt.hashes).enumerate() {
        let (Some(amount), Ok(tranche)) = (slot.claiming, u32::try_from(t)) else { continue };
        if slot.received.is_some() {
            continue;
        }
        step = match slot.deadline {
            Some(deadline) if height > deadline.saturating_add(LATE_BLOCKS) => {
                step.fact(Fact::Lost { tranche, hash: *hash })
            }
            _ => step.effect(Effect::Claim { tranche, hash: *hash, amount }),
        };
    }
    step
}

/// Blocks after the deadline until a claim that was not confirmed is given up: it may be on the chain.
const LATE_BLOCKS: u32 = 144;

/// Whether with this file, which was missing, both halves of the delivery are here.
fn will_be_complete(work: &Attempt, blob: &Digest) -> bool {
    let Some(delivery) = work.delivery() else { return false };
    let m = &delivery.manifest;
    let have = |hash: &[u8; 32], path: bool| path || *hash == blob.0;
    work.awaits(blob)
        && have(m.blob.as_bytes(), work.blob.is_some())
        && have(m.vector.as_bytes(), work.vector.is_some())
}

pub(super) fn stuck(step: Step, what: &str, why: &str) -> Step {
    step.fact(Fact::Stuck { effect: what.into(), why: why.into() })
}

/// A delivery is refused before any payment: the worker is told and may deliver again.
fn refuse(job: &Job, manifest: &EventId, step: Step, code: &str, sentence: &str) -> Step {
    if !inspecting(job, manifest) || job.money_moved() {
        return step;
    }
    if job.phase != Phase::Delivered {
        // The judge looks for itself, or has ruled: a rejection would change nothing any more.
        return step.fact(Fact::Refused { code: code.into(), sentence: sentence.into() });
    }
    step.fact(Fact::Refused { code: code.into(), sentence: sentence.into() }).say(Body::Reject {
        manifest: *manifest,
        reason: Raw(sentence.into()),
        next: None,
    })
}

fn paid(job: &Job, hash: &PaymentHash, preimage: &Preimage, fee: Msat) -> Step {
    let step = Step::default();
    let Some(work) = job.attempt.as_ref().filter(|_| job.role == Role::Requester) else {
        return step;
    };
    let Some(tranche) = work.tranche_of(hash) else { return step };
    let known = usize::try_from(tranche).ok().and_then(|t| work.tranches.get(t));
    // A preimage that is not one proves nothing, whoever says it.
    if known.is_none_or(|t| t.key.is_some()) || preimage.hash() != *hash {
        return step;
    }
    step.fact(Fact::Paid { tranche, hash: *hash, preimage: *preimage, fee })
        .effect(Effect::Open { tranche })
}

fn pay_failed(job: &Job, hash: &PaymentHash, reason: &str) -> Step {
    let step = Step::default();
    let Some(work) = job.attempt.as_ref().filter(|_| job.role == Role::Requester) else {
        return step;
    };
    let Some(tranche) = work.tranche_of(hash) else { return step };
    let slot = usize::try_from(tranche).ok().and_then(|t| work.tranches.get(t));
    match slot {
        Some(slot) if slot.paying.is_some() && slot.key.is_none() => {
            let reason = format!("{reason} Nothing left your wallet.");
            step.fact(Fact::PayFailed { tranche, reason })
        }
        _ => step,
    }
}

/// A disk that loses a delivery so often loses it for ever.
const MOST_DAMAGES: u32 = 8;

/// The tranche whose key is here and that is not open: what was paid for; in escrow all of it, paid or not.
fn unopened(job: &Job, work: &Attempt) -> Option<u32> {
    match job.escrow {
        Some(_) => escrow::opening(job, 0).then_some(0),
        None => work.unopened(),
    }
}

/// What was inspected is not here any more: it is fetched again, and opened with the key that is here.
fn damaged(job: &Job, tranche: u32, step: Step) -> Step {
    let waits = |work: &&Attempt| unopened(job, work) == Some(tranche);
    let Some(work) = job.attempt.as_ref().filter(waits) else {
        return step;
    };
    if work.blob.is_none() || work.vector.is_none() {
        return step;
    }
    let (Some(delivery), Some(from)) = (work.delivery(), job.peer_address()) else { return step };
    if work.damaged >= MOST_DAMAGES {
        let why = "the delivery is damaged on this disk as often as it is fetched; the key that you paid for is kept. Use another disk.";
        return stuck(step, "opening the delivery", why);
    }
    let [vector, blob] = halves(delivery, from);
    step.fact(Fact::Damaged).effect(vector).effect(blob)
}

fn opened(
    job: &Job,
    tranche: u32,
    step: Step,
    path: &std::path::Path,
    digest: Option<&Digest>,
) -> Step {
    let Some(work) = job.attempt.as_ref() else { return step };
    let Some(record) = work.record.as_ref() else { return step };
    let index = usize::try_from(tranche).unwrap_or(usize::MAX);
    if work.tranches.get(index).is_none_or(|t| t.opened || t.key.is_none()) {
        return step;
    }
    let step =
        step.fact(Fact::Opened { tranche, path: path.to_path_buf(), digest: digest.copied() });
    if job.has_checks() {
        review::check(tranche, step)
    } else if work.tranches.iter().filter(|t| !t.opened).count() == 1 {
        step.say(Body::Accept { manifest: record.id, next: None, x: None, receipt: None })
    } else {
        step.say(Body::Ready { manifest: record.id, tranche: work.next_unpaid() })
    }
}
