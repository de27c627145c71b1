//! What the nodes say of an escrow, and what blocks do to it.

use crate::market::step::escrow::{offer, pay, release_for, said, send_back, timetable};
use crate::market::step::judge;
use crate::market::{
    Body, CONFIRMATIONS, Effect, Escrow, Fact, Holding, Job, Msat, NodeEvent, PaymentHash, Phase,
    Preimage, Role, Step, World,
};

/// Blocks after the deadline at which a claim without an HTLC is a claim that came too late.
const SURE: u32 = 6;
/// Blocks after the deadline until a claim that was not confirmed is given up: it may be on the chain.
const LATE_BLOCKS: u32 = 144;

/// Worker: what the channels show.
pub(super) fn looked(
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

/// What the node says by itself. Nothing beats it.
pub(in crate::market::step) fn node(job: &Job, event: &NodeEvent) -> Step {
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
                .say(Body::Settled { manifest, receipt: None })
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
pub(super) fn paid(
    job: &Job,
    escrow: &Escrow,
    hash: &PaymentHash,
    preimage: &Preimage,
    fee: Msat,
) -> Step {
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
pub(super) fn pay_failed(job: &Job, escrow: &Escrow, hash: &PaymentHash, reason: &str) -> Step {
    let ours = job.role == Role::Requester && *hash == escrow.lock.hash && escrow.paying;
    if !ours || escrow.x.is_some() {
        return Step::default();
    }
    // The node's own words may say so already.
    let said = ["yours again", "Nothing was paid"].iter().any(|words| reason.contains(words));
    let reason = match said {
        true => reason.to_owned(),
        false => format!("{reason} Your money is yours again."),
    };
    Step::default().fact(Fact::PayFailed { tranche: escrow.lock.attempt, reason })
}

/// A block came. A held payment that dies of age raises no event and may take a channel with it, so the
/// worker's node never lets one: it sends it back first (lightning.md 2.4).
pub(in crate::market::step) fn height(job: &Job, height: u32, world: &World) -> Step {
    let step = Step::default();
    let Some(escrow) = &job.escrow else { return step };
    let world = &World { height, ..*world };
    match job.role {
        Role::Worker => workers_height(job, escrow, height, step),
        Role::Requester if job.phase == Phase::Awarded && !escrow.spent => {
            let offered = escrow.invoice.as_ref().zip(escrow.end).zip(escrow.wanted);
            let Some(((invoice, end), max_fee)) = offered else { return step };
            match pay(job, escrow, invoice, end, max_fee, world) {
                Ok(paying) => step.and(paying.unwrap_or_default()),
                Err(refusal) => step
                    .fact(Fact::PayFailed { tranche: escrow.lock.attempt, reason: said(&refusal) }),
            }
        }
        Role::Requester => {
            let open = escrow.paying
                && !escrow.released
                && matches!(
                    job.phase,
                    Phase::Funding | Phase::Working | Phase::Delivered | Phase::Disputed
                );
            let step = match open {
                true => judge::requesters_height(escrow, height, timetable(job), step),
                false => step,
            };
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
        // The node lets it go by itself, and tells nobody: seen to be gone, it is lost.
        return step.effect(Effect::Fail { hash }).effect(Effect::Look { hash });
    }
    if height >= t.claim() {
        return send_back(escrow, step, NOBODY_RELEASED, true);
    }
    let step = match job.judge() {
        Some(_) => match judge::workers_height(job, escrow, height, t, step) {
            Ok(step) => step,
            Err((step, why, ends)) => return send_back(escrow, step, why, ends),
        },
        None => step,
    };
    // A rejected delivery can be taken to the judge until that is due.
    let argued = job.judge().is_some() && escrow.hearing.rejection.is_some();
    if !delivered && !argued && height >= t.deliver() {
        let why = match escrow.funded {
            Some(_) => "there was no delivery in time",
            None => "the channel was not confirmed in time",
        };
        return send_back(escrow, step, why, true);
    }
    step.effect(Effect::Look { hash })
}
