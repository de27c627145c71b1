//! What is decided in an escrow: locking, releasing, sending back. The worker's node acts by block height,
//! and nothing of the money is believed that a node has not said (PROTOCOL.md 6).

use crate::market::step::affordable;
use crate::market::step::done::{inspecting, stuck};
use crate::market::{
    Award, AwardParts, BILL_EXPIRY, BillOrder, Body, CONFIRMATIONS, Delivery, Due, Effect, Escrow,
    Fact, Holding, Invoice, Job, JobId, Lock, Mode, Msat, NodeEvent, Nonce, Outcome, PayOrder,
    PaymentHash, PaymentState, Phase, Preimage, Record, Refusal, Role, Say, Step, Timetable, World,
    final_cltv, hold_purpose, payable_at,
};
use crate::text::Raw;

/// Blocks after the deadline at which a claim without an HTLC is a claim that came too late.
const SURE: u32 = 6;
/// Blocks after the deadline until a claim that was not confirmed is given up: it may be on the chain.
const LATE_BLOCKS: u32 = 144;

fn window(job: &Job) -> u32 {
    job.terms().escrow.as_ref().map_or(crate::market::WINDOW, |terms| terms.window)
}

fn timetable(job: &Job) -> Option<Timetable> {
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
        Some(lock) => job.terms().mode == Mode::Escrow && lock.milestone == 0 && lock.attempt == 0,
        None => job.terms().mode != Mode::Escrow,
    };
    if right {
        return Ok(());
    }
    Err(Refusal::new("wrong-lock", "The award's lock is not one for this job. No money moved."))
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
    nonce: &Nonce,
    hash: &PaymentHash,
    world: &World,
) -> Result<Step, Refusal> {
    let Some(escrow) = &job.escrow else { return Ok(Step::default()) };
    affordable(job.terms().price, world)?;
    let step = Step::default().fact(Fact::Funding { max_fee });
    let offered = escrow.invoice.as_ref().zip(escrow.end).filter(|_| !escrow.spent);
    if let Some((invoice, end)) = offered
        && let Ok(pay) = pay(job, escrow, invoice, end, max_fee, world)
    {
        return Ok(step.and(pay));
    }
    if escrow.invoice.is_none() && !escrow.spent && escrow.wanted.is_none() {
        // It is on its way, and is paid when it comes.
        return Ok(step);
    }
    let lock = Lock { milestone: 0, attempt: escrow.lock.attempt + 1, hash: *hash, nonce: *nonce };
    Ok(step.say(Body::Lock(lock)))
}

/// Whether a hold invoice may be paid now, and the paying. The final CLTV, and the tip it counts from, are
/// what makes the real deadline no earlier than P and the refund no later than was shown (!).
fn pay(
    job: &Job,
    escrow: &Escrow,
    invoice: &Invoice,
    end: u32,
    max_fee: Msat,
    world: &World,
) -> Result<Step, Refusal> {
    let Some(id) = job.job else { return Ok(Step::default()) };
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
    Ok(Step::default()
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
        }))
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
        Some(escrow) if job.role == Role::Worker && escrow.held.is_some() => {
            send_back(escrow, step, "you sent the money back", true)
        }
        _ => step,
    }
}

/// Written first, done after: what is going back takes no secret any more.
fn send_back(escrow: &Escrow, step: Step, why: &str, ends: bool) -> Step {
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
        Body::Accept { x: Some(x), .. } => {
            let open = escrow.returning.is_none() && escrow.x.is_none() && !job.phase.is_over();
            match escrow.held.filter(|_| open) {
                Some(_) if x.hash() != escrow.lock.hash => stuck(
                    step,
                    "the release",
                    "the secret does not open the payment; it stays held",
                ),
                Some((amount, _)) => step.effect(Effect::Claim {
                    tranche: escrow.lock.attempt,
                    hash: escrow.lock.hash,
                    amount,
                }),
                None => step,
            }
        }
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
        Ok(paying) => step.and(paying),
        Err(refusal) => refused(step, refusal.sentence),
    }
}

// ---------------------------------------------------------------- effects

/// What became of an effect; `None` where it means what it means in every mode.
pub(super) fn done(job: &Job, effect: &Effect, outcome: &Outcome, world: &World) -> Option<Step> {
    let escrow = job.escrow.as_ref()?;
    let step = Step::default();
    Some(match (effect, outcome) {
        (Effect::Bill { order, .. }, Outcome::Billed { billed, invoice }) => {
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
            offer(job, escrow, invoice, world.height, step)
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
            step.fact(Fact::Cheated { tranche: *tranche, chunk: *chunk })
                .effect(Effect::Prove { tranche: *tranche, chunk: *chunk })
        }
        (Effect::Prove { tranche, chunk }, Outcome::Proven { path }) => {
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
            step.say(Body::Reject { manifest: record.id, reason: Raw(reason.into()) })
        }
        _ => return None,
    })
}

/// Whether the delivery that stands waits to be opened.
fn opening(job: &Job, tranche: u32) -> bool {
    let waits = |work: &crate::market::Attempt| {
        work.inspected && work.cheat.is_none() && work.tranches.iter().any(|t| !t.opened)
    };
    tranche == 0 && job.phase == Phase::Delivered && job.attempt.as_ref().is_some_and(waits)
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

/// Worker: what the channels show.
fn looked(
    job: &Job,
    escrow: &Escrow,
    hash: &PaymentHash,
    holding: Option<&Holding>,
    world: &World,
) -> Step {
    let step = Step::default();
    let Some((_, deadline)) = escrow.held.filter(|_| *hash == escrow.lock.hash) else {
        return step;
    };
    if escrow.received.is_some() {
        return step;
    }
    match holding {
        None if escrow.returning.is_some() => step.fact(Fact::Returned { hash: *hash }),
        None if escrow.x.is_some() => match world.height > deadline.saturating_add(SURE) {
            // The claim said Ok, and there is nothing that it could have taken.
            true => step.fact(Fact::Lost { tranche: escrow.lock.attempt, hash: *hash }),
            false => step,
        },
        None if world.height >= deadline => {
            step.fact(Fact::Lost { tranche: escrow.lock.attempt, hash: *hash })
        }
        None => step,
        Some(holding) => {
            let waits = escrow.returning.is_none() && escrow.x.is_none();
            if waits && world.height >= deadline {
                return send_back(escrow, step, NOBODY_RELEASED, true);
            }
            let idle = escrow.funded.is_none() && escrow.returning.is_none() && escrow.x.is_none();
            if !idle || job.phase != Phase::Funding {
                step
            } else if escrow.end.is_none_or(|end| holding.deadline < end) {
                send_back(escrow, step, ENDS_TOO_EARLY, false)
            } else if holding.confirmations >= CONFIRMATIONS {
                let attempt = escrow.lock.attempt;
                step.say(Body::Funded { attempt, deadline: holding.deadline })
            } else {
                step
            }
        }
    }
}

const NOBODY_RELEASED: &str = "nobody released the money in time";
const ENDS_TOO_EARLY: &str =
    "the payment came with too short a life, and was sent back; no work is asked for yet";

// ---------------------------------------------------------------- the node

/// What the node says by itself. Nothing beats it.
pub(super) fn node(job: &Job, event: &NodeEvent) -> Step {
    let step = Step::default();
    let Some(escrow) = &job.escrow else { return step };
    match event {
        NodeEvent::Claimable { hash, amount, deadline } => {
            arrived(job, escrow, hash, *amount, *deadline)
        }
        NodeEvent::Received { hash, amount } => {
            let ours = job.role == Role::Worker && *hash == escrow.lock.hash;
            if !ours || escrow.received.is_some() {
                return step;
            }
            let record = job.attempt.as_ref().and_then(|work| work.record.as_ref());
            let manifest = record.map_or(escrow.record, |record| record.id);
            let tranche = escrow.lock.attempt;
            step.fact(Fact::Received { tranche, hash: *hash, amount: *amount })
                .say(Body::Settled { manifest })
        }
        NodeEvent::Paid { hash, preimage, fee } => paid(job, escrow, hash, preimage, *fee),
        NodeEvent::Failed { hash, reason } => pay_failed(job, escrow, hash, reason),
        NodeEvent::Channels(_) => step,
    }
}

/// Worker: a payment waits at our node.
fn arrived(
    job: &Job,
    escrow: &Escrow,
    hash: &PaymentHash,
    amount: Msat,
    deadline: Option<u32>,
) -> Step {
    let step = Step::default();
    let ours = job.role == Role::Worker && *hash == escrow.lock.hash;
    if ours && escrow.received.is_some() {
        return step;
    }
    let awaited = ours && !escrow.spent && escrow.returning.is_none() && !job.phase.is_over();
    let (Some(invoice), Some(end), true) = (&escrow.invoice, escrow.end, awaited) else {
        // Another hash, a lock that is used up, a job that is over: never kept.
        return step.effect(Effect::Fail { hash: *hash });
    };
    if escrow.held.is_some() {
        // Told twice. The next block looks at it anyway.
        return step;
    }
    let least = invoice.amount.unwrap_or(Msat::MAX).saturating_sub(escrow.lsp_fee);
    let step = step.fact(Fact::Held {
        attempt: escrow.lock.attempt,
        hash: *hash,
        amount,
        deadline: deadline.unwrap_or(0),
    });
    if amount < least {
        let why =
            "less came than the invoice asks for, and was sent back; no work is asked for yet";
        send_back(escrow, step, why, false)
    } else if deadline.is_none_or(|deadline| deadline < end) {
        send_back(escrow, step, ENDS_TOO_EARLY, false)
    } else {
        step.effect(Effect::Look { hash: *hash })
    }
}

/// Requester: the payment was taken. If x was not released yet, somebody on its way has it: the worker
/// gets it at once, whose own payment is still there to claim (!).
fn paid(job: &Job, escrow: &Escrow, hash: &PaymentHash, preimage: &Preimage, fee: Msat) -> Step {
    let ours = job.role == Role::Requester && *hash == escrow.lock.hash;
    if !ours || escrow.x.is_some() || preimage.hash() != *hash {
        return Step::default();
    }
    let tranche = escrow.lock.attempt;
    let step = Step::default().fact(Fact::Paid { tranche, hash: *hash, preimage: *preimage, fee });
    if escrow.released {
        return step;
    }
    let record = job.attempt.as_ref().and_then(|work| work.record.as_ref());
    step.and(release_for(escrow, record.map_or(escrow.record, |record| record.id)))
}

/// Requester: no HTLC is left.
fn pay_failed(job: &Job, escrow: &Escrow, hash: &PaymentHash, reason: &str) -> Step {
    let ours = job.role == Role::Requester && *hash == escrow.lock.hash && escrow.paying;
    if !ours || escrow.x.is_some() {
        return Step::default();
    }
    let reason = format!("{reason} Your money is yours again.");
    Step::default().fact(Fact::PayFailed { tranche: escrow.lock.attempt, reason })
}

// ---------------------------------------------------------------- blocks

/// A block came. A held payment that dies of age raises no event and may take a channel with it, so the
/// worker's node never lets one: it sends it back first (lightning.md 2.4).
pub(super) fn height(job: &Job, height: u32) -> Step {
    let step = Step::default();
    let Some(escrow) = &job.escrow else { return step };
    match job.role {
        Role::Worker => workers_height(job, escrow, height, step),
        Role::Requester => {
            let open = escrow.paying
                && !escrow.released
                && matches!(job.phase, Phase::Funding | Phase::Working | Phase::Delivered);
            match timetable(job) {
                Some(t) if open && height >= t.claim() => step.fact(Fact::Returning {
                    hash: escrow.lock.hash,
                    why: "the time to release the money has passed; it is coming back".into(),
                    ends: true,
                }),
                _ => step,
            }
        }
    }
}

fn workers_height(job: &Job, escrow: &Escrow, height: u32, step: Step) -> Step {
    let hash = escrow.lock.hash;
    let tranche = escrow.lock.attempt;
    let Some((amount, deadline)) = escrow.held.filter(|_| escrow.received.is_none()) else {
        return match &escrow.invoice {
            Some(invoice) if escrow.end.is_none() && job.phase == Phase::Awarded => {
                offer(job, escrow, invoice, height, step)
            }
            _ => step,
        };
    };
    if escrow.returning.is_some() {
        return step.effect(Effect::Fail { hash });
    }
    if escrow.x.is_some() {
        if height > deadline.saturating_add(LATE_BLOCKS) {
            return step.fact(Fact::Lost { tranche, hash });
        }
        let step = step.effect(Effect::Claim { tranche, hash, amount });
        return match height > deadline.saturating_add(SURE) {
            true => step.effect(Effect::Look { hash }),
            false => step,
        };
    }
    let Some(t) = timetable(job) else { return step.effect(Effect::Look { hash }) };
    let delivered = job.attempt.as_ref().is_some_and(|work| work.record.is_some());
    if height >= deadline {
        // There may be nothing left to send back.
        return step.effect(Effect::Look { hash });
    }
    if height >= t.claim() {
        return send_back(escrow, step, NOBODY_RELEASED, true);
    }
    if !delivered && height >= t.deliver() {
        let why = match escrow.funded {
            Some(_) => "there was no delivery in time",
            None => "the channel was not confirmed in time",
        };
        return send_back(escrow, step, why, true);
    }
    step.effect(Effect::Look { hash })
}
