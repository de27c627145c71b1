//! What is decided in an escrow: locking, releasing, sending back. The worker's node acts by block height,
//! and nothing of the money is believed that a node has not said (PROTOCOL.md 6).

mod held;

pub(super) use held::{height, node};
use held::{looked, paid, pay_failed};

use crate::market::step::done::{inspecting, stuck};
use crate::market::step::judge;
use crate::market::step::{affordable, unproven};
use crate::market::{
    Award, AwardParts, BILL_EXPIRY, BillOrder, Body, Delivery, Due, Effect, Escrow, Fact, Invoice,
    Job, JobId, JudgeDoor, Lock, Mode, Msat, Nonce, Outcome, PayOrder, PaymentHash, PaymentState,
    Phase, Preimage, Record, Refusal, Role, Say, Step, Timetable, World, final_cltv, hold_purpose,
    payable_at,
};
use crate::text::Raw;

/// Blocks that the requester's node may be behind the worker's and will soon have seen.
const BEHIND: u32 = 36;

fn window(job: &Job) -> u32 {
    job.terms().escrow.as_ref().map_or(crate::market::WINDOW, |terms| terms.window)
}

pub(super) fn timetable(job: &Job) -> Option<Timetable> {
    job.escrow.as_ref()?.timetable(window(job))
}

// ---------------------------------------------------------------- the award

/// Requester: an award has a lock exactly where its job is in escrow.
pub(super) fn awards(job: &Job, parts: &AwardParts) -> Result<(), Refusal> {
    fits(job, parts.lock.as_ref())?;
    job.terms().escrow.as_ref().map_or(Ok(()), crate::market::EscrowTerms::check)
}

/// Worker: the same of an award that is heard, whose hash must be new as well.
pub(super) fn awarded(job: &Job, award: &Award, world: &World) -> Result<(), Refusal> {
    fits(job, award.lock.as_ref())?;
    if award.lock.is_some() && world.hash_known {
        return Err(hash_reused());
    }
    Ok(())
}

fn fits(job: &Job, lock: Option<&Lock>) -> Result<(), Refusal> {
    let right = match lock {
        Some(lock) => job.terms().mode == Mode::Escrow && (lock.milestone, lock.attempt) == (0, 0),
        None => job.terms().mode != Mode::Escrow,
    };
    if right {
        return Ok(());
    }
    Err(Refusal::new("wrong-lock", "The award's lock is not one for this job. No money moved."))
}

/// A refusal as a reason that stays with the job.
fn said(refusal: &Refusal) -> String {
    match &refusal.next {
        Some(next) => format!("{} {next}", refusal.sentence),
        None => refusal.sentence.clone(),
    }
}

fn hash_reused() -> Refusal {
    let sentence = "The lock names a payment hash that was seen before. No money was locked.";
    Refusal::new("hash-reused", sentence)
}

/// The worker's node makes the hold invoice by itself.
pub(super) fn bill(job: &Job, id: &JobId, lock: &Lock) -> Effect {
    Effect::Bill {
        tranche: lock.attempt,
        order: BillOrder {
            hash: lock.hash,
            amount: job.terms().price,
            description_hash: hold_purpose(id, lock),
            expiry_secs: u32::try_from(BILL_EXPIRY.0).unwrap_or(u32::MAX),
            again: false,
            hold_blocks: Some(window(job)),
        },
    }
}

/// In escrow a delivery brings its keys, and in no other mode does it.
pub(super) fn keys_fit(job: &Job, delivery: &Delivery) -> bool {
    if job.escrow.is_none() {
        return delivery.keys.is_empty();
    }
    let hashes = delivery.manifest.h.iter().map(|h| PaymentHash(*h.as_bytes()));
    !delivery.keys.is_empty() && delivery.keys.iter().map(Preimage::hash).eq(hashes)
}

// ---------------------------------------------------------------- people

/// Requester: lock the money, under the invoice that is here if it can still be paid, else under a new
/// lock.
pub(super) fn fund(
    job: &Job,
    max_fee: Msat,
    door: Option<JudgeDoor>,
    (nonce, hash): (&Nonce, &PaymentHash),
    world: &World,
) -> Result<Step, Refusal> {
    let Some(escrow) = &job.escrow else { return Ok(Step::default()) };
    unproven(job, world)?;
    affordable(job.terms().price, world)?;
    let step = Step::default().fact(Fact::Funding { max_fee, judge: door });
    let offered = escrow.invoice.as_ref().zip(escrow.end).filter(|_| !escrow.spent);
    if let Some((invoice, end)) = offered
        && let Ok(pay) = pay(job, escrow, invoice, end, max_fee, world)
    {
        // With no step it waits for its first block.
        return Ok(step.and(pay.unwrap_or_default()));
    }
    if escrow.invoice.is_none() && !escrow.spent && escrow.wanted.is_none() {
        // It is on its way, and is paid when it comes.
        return Ok(step);
    }
    let lock = Lock {
        milestone: job.milestone,
        attempt: escrow.next_attempt(),
        hash: *hash,
        nonce: *nonce,
    };
    Ok(step.say(Body::Lock(lock)))
}

/// Whether a hold invoice may be paid now, and the paying; nothing while our node has a block or two to
/// see that the worker's has seen. The final CLTV, and the tip it counts from, are
/// what makes the real deadline no earlier than P and the refund no later than was shown (!).
fn pay(
    job: &Job,
    escrow: &Escrow,
    invoice: &Invoice,
    end: u32,
    max_fee: Msat,
    world: &World,
) -> Result<Option<Step>, Refusal> {
    let Some(id) = job.job else { return Ok(None) };
    unproven(job, world)?;
    let amount = job.terms().price;
    let due = Due {
        payee: job.worker.node,
        hash: escrow.lock.hash,
        amount,
        network: job.terms().network,
        description_hash: hold_purpose(&id, &escrow.lock),
    };
    invoice.check_held(&due, final_cltv(window(job)), world.now)?;
    let (first, last) = payable_at(end, window(job));
    if world.height < first && (world.height == 0 || first - world.height <= BEHIND) {
        return Ok(None);
    }
    if !(first..=last).contains(&world.height) {
        let sentence = format!(
            "The hold invoice counts from block {first} to {last}, and your node is at {}. No money was locked.",
            world.height
        );
        return Err(Refusal::new("wrong-height", sentence)
            .next("Lock the money again: the worker's node makes a new invoice by itself."));
    }
    affordable(amount, world)?;
    let hash = escrow.lock.hash;
    let step = Step::default()
        .fact(Fact::Paying { tranche: escrow.lock.attempt, invoice: invoice.clone(), max_fee })
        .effect(Effect::Pay {
            tranche: escrow.lock.attempt,
            order: PayOrder {
                invoice: invoice.text.clone(),
                hash,
                amount,
                max_fee,
                tips: Some((first, last)),
            },
        });
    Ok(Some(step))
}

/// Requester: the secret goes to the worker.
pub(super) fn release(job: &Job) -> Result<Step, Refusal> {
    let record = job.attempt.as_ref().and_then(|work| work.record.as_ref());
    let (Some(escrow), Some(record)) = (&job.escrow, record) else {
        return Err(Refusal::new("wrong-phase", "There is nothing to release the money for."));
    };
    Ok(release_for(escrow, record.id))
}

fn release_for(escrow: &Escrow, manifest: crate::market::EventId) -> Step {
    let mut step = Step::default();
    step.says.push(Say::Release { manifest, nonce: escrow.lock.nonce });
    step
}

/// Worker: what is held goes back with the word that stops the job. The requester's word alone is a
/// question.
pub(super) fn cancelled(job: &Job, step: Step) -> Step {
    match &job.escrow {
        Some(escrow) if job.role == Role::Worker && escrow.is_locked() => {
            send_back(escrow, step, "you sent the money back", true)
        }
        _ => step,
    }
}

/// Written first, done after: what is going back takes no secret any more.
pub(super) fn send_back(escrow: &Escrow, step: Step, why: &str, ends: bool) -> Step {
    let hash = escrow.lock.hash;
    step.fact(Fact::Returning { hash, why: why.into(), ends }).effect(Effect::Fail { hash })
}

// ---------------------------------------------------------------- the other side

/// A verified record in its place; `step` has it as heard already.
pub(super) fn heard(
    job: &Job,
    record: &Record,
    invoice: Option<&Invoice>,
    world: &World,
    step: Step,
) -> Result<Step, Refusal> {
    let Some(escrow) = &job.escrow else { return Ok(step) };
    Ok(match &record.draft.body {
        Body::Lock(lock) => {
            if world.hash_known {
                return Err(hash_reused());
            }
            match job.job {
                Some(id) if escrow.takes(job.phase, lock) => step.effect(bill(job, &id, lock)),
                _ => step,
            }
        }
        Body::Fund { attempt, height, .. } => {
            let awaited = job.phase == Phase::Awarded
                && *attempt == escrow.lock.attempt
                && escrow.invoice.is_none()
                && !escrow.spent;
            if awaited { offered(job, escrow, invoice, *height, world, step) } else { step }
        }
        Body::Accept { x: Some(x), .. } => secret(job, escrow, x, step),
        Body::Funded { attempt, deadline } => {
            let on_time = escrow.end.is_some_and(|end| *deadline >= end);
            if job.phase == Phase::Funding && *attempt == escrow.lock.attempt && on_time {
                judge::appointing(job, escrow, step)
            } else {
                step
            }
        }
        // The judge can be called until its height.
        Body::Reject { .. } if job.judge().is_some() => step,
        Body::Reject { manifest, .. } => {
            let work = job.attempt.as_ref().filter(|work| work.is(manifest));
            let late = timetable(job).is_some_and(|t| world.height >= t.deliver());
            let stands = job.phase == Phase::Delivered && escrow.x.is_none();
            if work.is_some() && late && stands && escrow.returning.is_none() {
                send_back(escrow, step, TOO_LATE_TO_MEND, true)
            } else {
                step
            }
        }
        _ => step,
    })
}

/// Worker: x came, from the requester or from the judge.
pub(super) fn secret(job: &Job, escrow: &Escrow, x: &Preimage, step: Step) -> Step {
    let open = escrow.returning.is_none() && escrow.x.is_none() && !job.phase.is_over();
    match escrow.held.filter(|_| open) {
        Some(_) if x.hash() != escrow.lock.hash => {
            stuck(step, "the release", "the secret does not open the payment; it stays held")
        }
        Some((amount, _)) => step.effect(Effect::Claim {
            tranche: escrow.lock.attempt,
            hash: escrow.lock.hash,
            amount,
        }),
        None => step,
    }
}

const TOO_LATE_TO_MEND: &str = "the delivery was rejected, and it is too late for another one";

/// Requester: the worker's hold invoice.
fn offered(
    job: &Job,
    escrow: &Escrow,
    invoice: Option<&Invoice>,
    height: u32,
    world: &World,
    step: Step,
) -> Step {
    let attempt = escrow.lock.attempt;
    let refused =
        |step: Step, reason: String| step.fact(Fact::PayFailed { tranche: attempt, reason });
    let Some(invoice) = invoice else {
        let reason = "The worker's hold invoice is no BOLT 11 invoice. No money was locked.";
        return refused(step, reason.into());
    };
    if world.hash_known {
        return refused(step, hash_reused().sentence);
    }
    let step = step.fact(Fact::Offered { attempt, invoice: invoice.clone(), height });
    let Some(max_fee) = escrow.wanted else { return step };
    match pay(job, escrow, invoice, height, max_fee, world) {
        Ok(paying) => step.and(paying.unwrap_or_default()),
        Err(refusal) => refused(step, said(&refusal)),
    }
}

// ---------------------------------------------------------------- effects

/// What became of an effect; `None` where it means what it means in every mode.
pub(super) fn done(job: &Job, effect: &Effect, outcome: &Outcome, world: &World) -> Option<Step> {
    let escrow = job.escrow.as_ref()?;
    let step = Step::default();
    Some(match (effect, outcome) {
        (Effect::Bill { order, .. }, Outcome::Billed { billed, invoice, height }) => {
            if order.hash != escrow.lock.hash || escrow.end.is_some() || job.phase != Phase::Awarded
            {
                return Some(step);
            }
            let tranche = escrow.lock.attempt;
            let known = escrow.invoice.as_ref() == Some(invoice);
            let step = if known {
                step
            } else {
                step.fact(Fact::Billed {
                    tranche,
                    invoice: invoice.clone(),
                    lsp_fee: billed.lsp_fee,
                })
            };
            offer(job, escrow, invoice, (*height).max(world.height), step)
        }
        (Effect::Bill { order, .. }, Outcome::Failed { why }) => {
            if order.hash != escrow.lock.hash || escrow.end.is_some() || job.phase != Phase::Awarded
            {
                return Some(step);
            }
            let text = "The worker's node cannot make a hold invoice now. No money was locked.";
            stuck(step, "making the hold invoice", why).say(Body::Note { text: Raw(text.into()) })
        }
        (Effect::Pay { .. }, Outcome::Payment { hash, state }) => match state {
            PaymentState::Paid { preimage, fee } => paid(job, escrow, hash, preimage, *fee),
            PaymentState::Failed { reason } => pay_failed(job, escrow, hash, reason),
            PaymentState::Unknown | PaymentState::InFlight => step,
        },
        (Effect::Pay { order, .. }, Outcome::Failed { why }) => {
            pay_failed(job, escrow, &order.hash, why)
        }
        (Effect::Fail { hash }, Outcome::Done | Outcome::Failed { .. }) => {
            if *hash == escrow.lock.hash && escrow.held.is_some() {
                step.effect(Effect::Look { hash: *hash })
            } else {
                step
            }
        }
        (Effect::Look { .. }, Outcome::Looked { hash, holding }) => {
            looked(job, escrow, hash, holding.as_ref(), world)
        }
        // A node that cannot be asked is asked again with the next block.
        (Effect::Look { .. }, _) => step,
        (Effect::Inspect { manifest }, Outcome::Inspected) => {
            if inspecting(job, manifest) {
                step.fact(Fact::Inspected).effect(Effect::Open { tranche: 0 })
            } else {
                step
            }
        }
        (Effect::Open { tranche }, Outcome::Opened { path, digest }) => {
            if !opening(job, *tranche) {
                return Some(step);
            }
            step.fact(Fact::Opened { tranche: *tranche, path: path.clone(), digest: *digest })
        }
        (Effect::Open { tranche }, Outcome::Mismatch { chunk }) => {
            if !opening(job, *tranche) {
                return Some(step);
            }
            step.fact(Fact::Cheated { tranche: *tranche, chunk: *chunk }).effect(Effect::Prove {
                tranche: *tranche,
                chunk: *chunk,
                check: None,
            })
        }
        (Effect::Prove { tranche, chunk, .. }, Outcome::Proven { path }) => {
            let work = job.attempt.as_ref()?;
            let waits = work.cheat == Some((*tranche, *chunk)) && work.proof.is_none();
            let Some(record) = work.record.as_ref().filter(|_| waits) else { return Some(step) };
            let step = step
                .fact(Fact::Proven { path: path.clone() })
                .effect(Effect::Accuse { path: path.clone() });
            if job.phase != Phase::Delivered || escrow.released {
                return Some(step);
            }
            let reason = "The key does not open what was signed. The money stays locked.";
            step.say(Body::Reject { manifest: record.id, reason: Raw(reason.into()), next: None })
        }
        _ => return None,
    })
}

/// Whether the delivery that stands waits to be opened.
pub(super) fn opening(job: &Job, tranche: u32) -> bool {
    let waits = |work: &crate::market::Attempt| {
        work.inspected && work.cheat.is_none() && work.tranches.iter().any(|t| !t.opened)
    };
    let stands = matches!(job.phase, Phase::Delivered | Phase::Disputed) || job.is_owed_work();
    tranche == 0 && stands && job.attempt.as_ref().is_some_and(waits)
}

/// Worker: the invoice leaves with the height that everything counts from, once the node knows one.
fn offer(job: &Job, escrow: &Escrow, invoice: &Invoice, height: u32, step: Step) -> Step {
    if height == 0 {
        return step;
    }
    step.say(Body::Fund {
        attempt: escrow.lock.attempt,
        invoice: invoice.text.clone(),
        height: height.saturating_add(window(job)),
    })
}
