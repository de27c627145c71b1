//! What follows from what the other side says.

use crate::market::step::{affordable, escrow, halves, reputation, review, unproven};
use crate::market::{
    BILL_AGAIN_AFTER, BILL_EXPIRY, BillOrder, Body, Certificate, Delivery, Due, Effect, Fact,
    Invoice, Job, Mode, PayOrder, Phase, Purpose, Record, Refusal, Role, Step, World, job_id,
    purpose,
};
use crate::text::Raw;

fn no(code: &str, sentence: &str) -> Refusal {
    Refusal::new(code, sentence)
}

/// A verified record. Who may say it, its place in its chain and then what it says.
pub(super) fn heard(
    job: &Job,
    record: &Record,
    certificate: Option<&Certificate>,
    invoice: Option<&Invoice>,
    world: &World,
) -> Result<Step, Refusal> {
    match &record.draft.body {
        Body::Award(_) => return award(job, record, certificate, world),
        Body::Decline { .. } => return decline(job, record),
        Body::Withdraw { .. } => return withdraw(job, record),
        _ => {}
    }
    let Some(peer) = job.peer_certificate().filter(|_| job.job.is_some()) else {
        return Err(no("not-awarded", "The record came before the job was awarded."));
    };
    if record.author != peer.session {
        return Err(no("wrong-author", "The record is not signed by the other side's key."));
    }
    if record.draft.job != job.job {
        return Err(no("wrong-job", "The record belongs to another job."));
    }
    if record.draft.body.author().is_some_and(|role| role == job.role) {
        return Err(no("wrong-role", "The record says what only our own side may say."));
    }
    if record.draft.body.is_judges() {
        return Err(no("wrong-role", "The record says what only a judge may say."));
    }
    let draft = &record.draft;
    if draft.seq < job.theirs.next {
        let same = job.theirs.last.as_ref().filter(|last| last.draft.seq == draft.seq);
        return match same {
            // One proof of it is enough.
            Some(last) if last.id != record.id && !job.equivocated => {
                let step = Step::default().fact(Fact::Equivocation { record: record.clone() });
                let (before, record) = (last.event.clone(), record.event.clone());
                Ok(step.effect(Effect::Expose { before, record }))
            }
            _ => Err(no("old", "The record was heard before.")),
        };
    }
    if draft.seq > job.theirs.next {
        return Err(no("early", "A record before this one has not arrived yet."));
    }
    if draft.prev != job.theirs.last.as_ref().map(|last| last.id) {
        return Err(no("broken-chain", "The record does not follow the one before it."));
    }
    let step = Step::default().fact(Fact::Heard { record: record.clone() });
    if job.escrow.is_some() && !matches!(draft.body, Body::Deliver(_) | Body::Material(_)) {
        return escrow::heard(job, record, invoice, world, step);
    }
    Ok(match &draft.body {
        Body::Deliver(delivery) => deliver(job, record, delivery, world, step),
        Body::Ready { manifest, tranche } => {
            let mine = job.attempt.as_ref().and_then(|w| w.record.as_ref()).map(|r| r.id);
            if mine == Some(*manifest) { ready(job, *tranche, world, step) } else { step }
        }
        Body::Bill { manifest, tranche, .. } => {
            let theirs = job.attempt.as_ref().and_then(|w| w.record.as_ref()).map(|r| r.id);
            if theirs == Some(*manifest) { bill(job, *tranche, invoice, world, step) } else { step }
        }
        Body::Audit { manifest, seed } => review::audit(job, manifest, seed, step),
        Body::Open { manifest, .. } => review::opening(job, manifest, step),
        Body::Material(file) => match job.peer_address() {
            Some(from)
                if file.size <= MOST_MATERIAL
                    && job.materials.iter().filter(|m| m.from != job.role).count()
                        < MOST_MATERIALS =>
            {
                let (file, from) = (file.clone(), from.clone());
                step.effect(Effect::Fetch { file, from, purpose: Purpose::Input })
            }
            _ => step,
        },
        _ => step,
    })
}

/// The largest file that is fetched because the other side names it, in bytes (PROTOCOL.md 2).
const MOST_MATERIAL: u64 = 8 << 20;

/// As many as an award may name: the disk is ours.
const MOST_MATERIALS: usize = 16;

fn award(
    job: &Job,
    record: &Record,
    certificate: Option<&Certificate>,
    world: &World,
) -> Result<Step, Refusal> {
    let Body::Award(award) = &record.draft.body else {
        return Err(no("wrong-body", "Not an award."));
    };
    if job.role != Role::Worker || award.bid != job.id {
        return Err(no("wrong-job", "The award is for another bid."));
    }
    if let Some(first) = job.requester.as_ref() {
        // One award a bid: another is equivocation and changes nothing.
        return if first.session == record.author && job.theirs.next > 0 {
            Err(no("old", "The award was heard before."))
        } else {
            Err(no("awarded", "The bid was awarded already; a second award is ignored."))
        };
    }
    if !matches!(job.phase, Phase::Bid | Phase::Declined) {
        return Err(no("wrong-phase", "The bid no longer stands."));
    }
    if world.now >= job.bid.valid_until {
        return Err(no("bid-lapsed", "The award came after the bid had lapsed."));
    }
    let Some(c) = certificate else {
        return Err(no("no-certificate", "The award has no certificate."));
    };
    let fits = c.role == Role::Requester
        && c.identity == job.gig.author
        && c.counterparty == job.worker.identity
        && c.session == record.author
        && c.terms == job.worker.terms
        && c.network == job.terms().network;
    if !fits {
        return Err(no("wrong-certificate", "The award's certificate is not for this job."));
    }
    if c.endpoint != award.address.endpoint {
        return Err(no("wrong-endpoint", "The award's address is not the certified endpoint."));
    }
    if record.draft.job.map(|j| j.0) != Some(job.id.0) || record.draft.seq != 0 {
        return Err(no("broken-chain", "The award does not begin a chain on this bid."));
    }
    escrow::awarded(job, award, world)?;
    let id = job_id(&job.id, &record.id);
    let mut step = Step::default().fact(Fact::Awarded {
        record: record.clone(),
        certificate: c.clone(),
        nonce: None,
        job: id,
        paths: Vec::new(),
    });
    if let Some(lock) = &award.lock {
        step = step.effect(escrow::bill(job, &id, lock));
    }
    for file in award.inputs.iter().filter(|f| f.size <= MOST_MATERIAL) {
        step = step.effect(Effect::Fetch {
            file: file.clone(),
            from: award.address.clone(),
            purpose: Purpose::Input,
        });
    }
    Ok(step)
}

fn decline(job: &Job, record: &Record) -> Result<Step, Refusal> {
    // Anybody could sign this, but only the reader of the inbox knows the bid's id.
    if job.role != Role::Worker || record.draft.job.map(|j| j.0) != Some(job.id.0) {
        return Err(no("wrong-job", "The record is for another bid."));
    }
    if job.phase != Phase::Bid {
        return Err(no("wrong-phase", "The bid no longer waits for an answer."));
    }
    if record.draft.seq != 0 {
        return Err(no("broken-chain", "The decline does not begin a chain."));
    }
    Ok(Step::default().fact(Fact::Heard { record: record.clone() }))
}

fn withdraw(job: &Job, record: &Record) -> Result<Step, Refusal> {
    if job.role != Role::Requester || record.author != job.worker.session {
        return Err(no("wrong-author", "The withdrawal is not signed by the bidder's key."));
    }
    if record.draft.job.map(|j| j.0) != Some(job.id.0) {
        return Err(no("wrong-job", "The record is for another bid."));
    }
    // It beats an award that is not acknowledged; nothing beats what its author has acknowledged.
    let unanswered = job.theirs.next == 1;
    if !(matches!(job.phase, Phase::Bid | Phase::Declined)
        || matches!(job.phase, Phase::Working | Phase::Awarded) && unanswered)
    {
        return Err(no("wrong-phase", "The job has gone on since; it can be cancelled."));
    }
    let follows = |bid: &Record| record.draft.seq == 1 && record.draft.prev == Some(bid.id);
    if !job.theirs.last.as_ref().is_some_and(follows) {
        return Err(no("broken-chain", "The withdrawal does not follow the bid."));
    }
    Ok(Step::default().fact(Fact::Heard { record: record.clone() }))
}

/// The vector file holds a few dozen bytes a chunk; a stranger may not make it larger.
const MOST_VECTOR_BYTES_PER_CHUNK: u64 = 64;
const VECTOR_HEAD: u64 = 4096;

fn deliver(job: &Job, record: &Record, delivery: &Delivery, world: &World, step: Step) -> Step {
    let m = &delivery.manifest;
    let step = reputation::delivers_twice(job, record, delivery, step);
    let wrong = if !job.takes_delivery() {
        return step;
    } else if m.delivery < job.deliveries || m.delivery == u32::MAX {
        // A number may be missing: a delivery that could not be sealed was never sent. The last number
        // would leave none for the next.
        Some((
            "wrong-number",
            "The delivery has the number of an earlier one, or the last there is.",
        ))
    } else if m.tranches() != job.terms().tranches {
        Some(("wrong-tranches", "The delivery has another number of tranches than agreed."))
    } else if m.total > job.terms().max_bytes || m.blob_len > job.terms().max_bytes {
        Some(("too-large", "The delivery is larger than agreed."))
    } else if delivery.vector_size
        > m.n.saturating_mul(MOST_VECTOR_BYTES_PER_CHUNK).saturating_add(VECTOR_HEAD)
    {
        Some(("too-large", "The delivery's vector file is larger than its chunks allow."))
    } else if !escrow::keys_fit(job, delivery) {
        Some(("wrong-keys", "The delivery does not come with the keys that its manifest names."))
    } else if world.hash_known {
        Some(("hash-reused", "The delivery uses a payment hash that was seen before."))
    } else {
        None
    };
    if let Some((code, sentence)) = wrong {
        let sentence = format!("{sentence} Nothing was paid.");
        return step
            .fact(Fact::Refused { code: code.into(), sentence: sentence.clone() })
            .say(Body::Reject { manifest: record.id, reason: Raw(sentence), next: None });
    }
    let Some(from) = job.peer_address() else { return step };
    let [vector, blob] = halves(delivery, from);
    step.effect(vector).effect(blob)
}

/// The worker's node bills by itself, so that a person who accepts never waits for another person.
fn ready(job: &Job, tranche: u32, world: &World, step: Step) -> Step {
    let Some(work) = &job.attempt else { return step };
    let Some(record) = &work.record else { return step };
    if tranche != work.next_unpaid() || !matches!(job.phase, Phase::Delivered | Phase::Paying) {
        return step;
    }
    let index = usize::try_from(tranche).unwrap_or(usize::MAX);
    let (Some(slot), Some(hash)) = (work.tranches.get(index), work.hashes.get(index)) else {
        return step;
    };
    let Some(amount) = job.terms().price.tranche(tranche, job.terms().tranches) else {
        return step;
    };
    let mut again = false;
    if let Some(invoice) = &slot.invoice {
        if world.now < invoice.expires_at {
            return step.say(Body::Bill {
                manifest: record.id,
                tranche,
                invoice: invoice.text.clone(),
            });
        }
        if slot.claiming.is_some() || world.now < invoice.expires_at.after(BILL_AGAIN_AFTER) {
            let wait = world.now.until(invoice.expires_at.after(BILL_AGAIN_AFTER));
            let text = format!("The invoice has expired. A new one is safe in {wait}.");
            return step.say(Body::Note { text: Raw(text) });
        }
        again = true;
    }
    step.effect(Effect::Bill {
        tranche,
        order: BillOrder {
            hash: *hash,
            amount,
            description_hash: purpose(job.terms().mode, &record.id, tranche),
            expiry_secs: u32::try_from(BILL_EXPIRY.0).unwrap_or(u32::MAX),
            again,
            hold_blocks: None,
        },
    })
}

fn bill(job: &Job, tranche: u32, invoice: Option<&Invoice>, world: &World, step: Step) -> Step {
    let Some(work) = &job.attempt else { return step };
    let Some(record) = &work.record else { return step };
    if job.phase != Phase::Accepted || tranche != work.next_unpaid() {
        return step;
    }
    let index = usize::try_from(tranche).unwrap_or(usize::MAX);
    let Some(amount) = job.terms().price.tranche(tranche, job.terms().tranches) else {
        return step;
    };
    let Some(invoice) = invoice else {
        let reason = "The bill is not a BOLT 11 invoice. Nothing was paid.".into();
        return step.fact(Fact::PayFailed { tranche, reason });
    };
    // A direct delivery has no key, so any hash of the worker's own will do.
    let hash = match job.terms().mode {
        Mode::Sealed => work.hashes.get(index),
        Mode::Direct => Some(&invoice.hash),
        Mode::Escrow => None,
    };
    let Some(hash) = hash else { return step };
    let due = Due {
        payee: job.worker.node,
        hash: *hash,
        amount,
        network: job.terms().network,
        description_hash: purpose(job.terms().mode, &record.id, tranche),
    };
    let known = || {
        let sentence = "This payment hash is in the ledger for something else. Nothing was paid.";
        if world.hash_known { Err(Refusal::new("hash-reused", sentence)) } else { Ok(()) }
    };
    let checked = invoice
        .check(&due, world.now)
        .and_then(|()| known())
        .and_then(|()| unproven(job, world))
        .and_then(|()| affordable(amount, world));
    if let Err(refusal) = checked {
        return step.fact(Fact::PayFailed { tranche, reason: refusal.sentence });
    }
    let max_fee = work.max_fee;
    step.fact(Fact::Paying { tranche, invoice: invoice.clone(), max_fee }).effect(Effect::Pay {
        tranche,
        order: PayOrder { invoice: invoice.text.clone(), hash: *hash, amount, max_fee, tips: None },
    })
}
