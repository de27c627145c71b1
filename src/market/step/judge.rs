//! What is decided where a judge was agreed on: it is appointed, called and answered, and what it says is
//! believed of it alone (PROTOCOL.md 6.4).

use crate::market::step::{escrow, halves, heard};
use crate::market::{
    Attempt, Body, Escrow, EventId, Fact, Gig, Job, JudgeCertificate, JudgeDoor, LODGED_BYTES,
    Phase, Record, Refusal, Role, Say, Step, Timetable, World, can_be_lodged, check_judge,
    fit_an_appointment, judge_unknown, nested,
};
use crate::text::Raw;

fn no(code: &str, sentence: &str) -> Refusal {
    Refusal::new(code, sentence)
}

// ---------------------------------------------------------------- before the money is locked

/// Requester: where the judge takes cases, if one was agreed on; and whether the case can be brought at all.
pub(super) fn door(
    job: &Job,
    listing: Option<&Gig>,
    world: &World,
) -> Result<Option<JudgeDoor>, Refusal> {
    let Some(judge) = job.judge() else { return Ok(None) };
    let locked = |why: Refusal| Refusal {
        sentence: format!("{} No money was locked.", why.sentence),
        ..why
    };
    let Some(listing) = listing else { return Err(locked(judge_unknown())) };
    check_judge(listing, judge, job.terms().network, world.now).map_err(locked)?;
    if !fit_an_appointment([&*job.bid_event, &*job.award_event]) {
        let sentence = "Bid and award are too long to be shown to a judge. No money was locked.";
        return Err(no("too-long-for-a-judge", sentence)
            .next("Agree on shorter messages and fewer input files, or on no judge."));
    }
    Ok(Some(JudgeDoor { inbox: listing.offer.inbox.clone(), pow: listing.offer.pow }))
}

/// Requester: the money is held; the judge gets its copy of the secret, and not before (!).
pub(super) fn appointing(job: &Job, escrow: &Escrow, mut step: Step) -> Step {
    if job.role == Role::Requester && escrow.door.is_some() && escrow.hearing.ours.next == 0 {
        step.says.push(Say::Appoint { nonce: escrow.lock.nonce });
    }
    step
}

/// Worker: a delivery that could not be shown to a judge is not made.
pub(super) fn deliverable(job: &Job, message: &str) -> Result<(), Refusal> {
    // The message stands once more inside the signed record.
    if job.judge().is_none() || nested(message, 3) + MANIFEST <= LODGED_BYTES {
        return Ok(());
    }
    let sentence =
        "The message is too long to be shown to a judge with the delivery. Nothing was sent.";
    Err(no("text-too-long", sentence).next("Say it in a note."))
}

/// Bytes of a delivery without its message.
const MANIFEST: usize = 6 * 1024;

// ---------------------------------------------------------------- what the judge says

/// A record of the case. Who may say it, its place in the chain, then what it says.
pub(super) fn heard(
    job: &Job,
    record: &Record,
    certificate: Option<&JudgeCertificate>,
    inner: Option<&Record>,
    world: &World,
) -> Result<Step, Refusal> {
    let (Some(escrow), Some(case)) = (&job.escrow, job.case()) else {
        return Err(no("no-judge", "The job has no judge."));
    };
    if record.draft.job.map(|j| j.0) != Some(case.0) {
        return Err(no("wrong-job", "The record belongs to another case."));
    }
    let body = &record.draft.body;
    if !body.is_judges() && !matches!(body, Body::Note { .. }) {
        return Err(no("wrong-role", "The record says what only a side of the job may say."));
    }
    let hearing = &escrow.hearing;
    let session = match (body, certificate) {
        (Body::Holding { hash, .. }, Some(certificate)) => {
            if let Some(judge) = hearing.judge.as_ref().filter(|j| j.session != record.author) {
                let who = judge.identity == certificate.identity;
                return Err(match who {
                    true => no("judge-holds", "The judge has spoken already, by another key."),
                    false => {
                        no("wrong-judge", "Another judge was agreed on, and holds the secret.")
                    }
                });
            }
            if *hash != escrow.lock.hash {
                return Err(no("wrong-lock", "The judge speaks of another lock."));
            }
            seated(job, certificate)?;
            certificate.session
        }
        (Body::Holding { .. }, None) => {
            return Err(no("no-certificate", "The judge's word has no certificate."));
        }
        _ => match &hearing.judge {
            Some(judge) => judge.session,
            None => return Err(no("early", "The judge has not shown its certificate yet.")),
        },
    };
    if record.author != session {
        return Err(no("wrong-author", "The record is not signed by the judge's key."));
    }
    let draft = &record.draft;
    if draft.seq < hearing.theirs.next {
        let last = hearing.theirs.last.as_ref().filter(|last| last.draft.seq == draft.seq);
        return match last {
            Some(last) if last.id != record.id => {
                Ok(Step::default().fact(Fact::Equivocation { record: record.clone() }))
            }
            _ => Err(no("old", "The record was heard before.")),
        };
    }
    if draft.seq > hearing.theirs.next {
        return Err(no("early", "A record before this one has not arrived yet."));
    }
    if draft.prev != hearing.theirs.last.as_ref().map(|last| last.id) {
        return Err(no("broken-chain", "The record does not follow the one before it."));
    }
    if matches!(body, Body::Lodged { .. }) && !inner.is_some_and(|inner| of_the_job(job, inner)) {
        return Err(no("wrong-author", "What the judge lodged is of neither side of this job."));
    }
    let step = Step::default().fact(Fact::FromJudge {
        record: record.clone(),
        certificate: certificate.cloned(),
        inner: inner.cloned().map(Box::new),
    });
    Ok(match (body, inner) {
        (Body::Lodged { .. }, Some(inner)) => lodged(job, escrow, inner, world, step),
        (Body::Ruling { dispute, x, .. }, _) => {
            let about = hearing.dispute.as_ref().is_some_and(|plea| plea.id == *dispute);
            let open = about && hearing.ruling.is_none() && job.phase == Phase::Disputed;
            match (job.role, x) {
                (Role::Worker, Some(x)) if open => escrow::secret(job, escrow, x, step),
                (Role::Worker, None)
                    if open && escrow.x.is_none() && escrow.returning.is_none() =>
                {
                    escrow::send_back(escrow, step, RULED_AGAINST, true)
                }
                _ => step,
            }
        }
        _ => step,
    })
}

const RULED_AGAINST: &str = "the judge ruled for the requester";

/// Whether this certificate is of the judge that was agreed on, for this very job.
fn seated(job: &Job, c: &JudgeCertificate) -> Result<(), Refusal> {
    let (Some(judge), Some(requester)) = (job.judge(), &job.requester) else {
        return Err(no("no-judge", "The job has no judge."));
    };
    if c.identity != judge.identity {
        return Err(no("wrong-judge", "The certificate is of another judge than was agreed on."));
    }
    let fits = c.requester == requester.identity
        && c.worker == job.worker.identity
        && Some(c.job) == job.job
        && c.terms == job.worker.terms
        && c.network == job.terms().network;
    match fits {
        true => Ok(()),
        false => Err(no("wrong-certificate", "The judge's certificate is not for this job.")),
    }
}

/// Whether a record is one of the two's, in this job or in its case.
fn of_the_job(job: &Job, inner: &Record) -> bool {
    let requester = job.requester.as_ref().map(|c| c.session);
    let case = job.case().map(|case| case.0);
    let here = inner.draft.job.map(|j| j.0);
    (inner.author == job.worker.session || Some(inner.author) == requester)
        && (inner.draft.job == job.job || here == case)
}

/// The judge was given a record, and hands it on.
fn lodged(job: &Job, escrow: &Escrow, inner: &Record, world: &World, mut step: Step) -> Step {
    let peer = job.peer_certificate().map(|c| c.session);
    if peer != Some(inner.author) {
        return step;
    }
    match (&inner.draft.body, job.role) {
        // "I never got it" is no defence: it is here now, in its place of the chain or not at all.
        (Body::Deliver(_), Role::Requester) => {
            if let Some(refusal) = escrow.hearing.refusal(&inner.id) {
                return lodge(escrow, refusal, step);
            }
            if inner.draft.seq != job.theirs.next {
                return step;
            }
            let Ok(more) = heard::heard(job, inner, None, None, world) else { return step };
            step = step.and(more);
            if step.says.iter().any(|say| rejected(say).is_some()) {
                step.says.push(Say::Lodge);
            }
            step
        }
        (Body::Dispute { manifest, .. }, Role::Requester) => {
            let hearing = &escrow.hearing;
            for record in [&hearing.rejection, &hearing.rejection_seen].into_iter().flatten() {
                step = lodge(escrow, record, step);
            }
            // The files can be had from the judge, where the worker serves them no more.
            let about = |work: &&Attempt| manifest.is_some_and(|manifest| work.is(&manifest));
            let work = job.attempt.as_ref().or(hearing.rejected.as_deref()).filter(about);
            let missing = work.filter(|work| !work.inspected).and_then(Attempt::delivery);
            if let (Some(delivery), Some(from)) = (missing, &hearing.address) {
                let [vector, blob] = halves(delivery, from);
                step = step.effect(vector).effect(blob);
            }
            step
        }
        _ => step,
    }
}

// ---------------------------------------------------------------- what is said to it

/// Gives the judge a record, unless it has it.
pub(super) fn lodge(escrow: &Escrow, record: &Record, mut step: Step) -> Step {
    let twice = |say: &Say| matches!(say, Say::Plead(body) if body.inner() == Some(&record.event));
    let given = escrow.hearing.has(record) || step.says.iter().any(twice);
    if escrow.hearing.judge.is_some() && !given && can_be_lodged(record) {
        step.says.push(Say::Plead(Box::new(Body::Lodge { record: record.event.clone() })));
    }
    step
}

/// Calls the judge, with everything that it needs to look for itself.
pub(super) fn dispute(job: &Job, escrow: &Escrow, reason: Raw, mut step: Step) -> Step {
    let hearing = &escrow.hearing;
    let papers =
        [&hearing.delivery, &hearing.accepted, &hearing.rejection, &hearing.rejection_seen];
    for record in papers.into_iter().flatten() {
        step = lodge(escrow, record, step);
    }
    let manifest = hearing.delivery.as_ref().map(|record| record.id);
    // Better work may be on its way to be sealed: what opens that opens nothing of this.
    let about = |work: &&Attempt| manifest.is_some_and(|manifest| work.is(&manifest));
    let work = job.attempt.as_ref().filter(about).or(hearing.rejected.as_deref());
    let delivery = work.map_or(0, |work| work.number);
    step.says.push(Say::Dispute { manifest, delivery, reason });
    step
}

/// A person calls the judge.
pub(super) fn called(job: &Job, reason: Raw, world: &World) -> Result<Step, Refusal> {
    let (Some(escrow), Some(t)) = (&job.escrow, escrow::timetable(job)) else {
        return Err(no("no-judge", "The two of you agreed on no judge."));
    };
    in_time(world, t.escalate(), "The time to call the judge has passed.")?;
    Ok(dispute(job, escrow, reason, Step::default()))
}

/// A person answers what the other side says to the judge.
pub(super) fn objected(job: &Job, reason: Raw, world: &World) -> Result<Step, Refusal> {
    let (Some(escrow), Some(t)) = (&job.escrow, escrow::timetable(job)) else {
        return Err(no("no-judge", "The two of you agreed on no judge."));
    };
    let Some(plea) = &escrow.hearing.dispute else {
        return Err(no("wrong-phase", "Nobody has called the judge."));
    };
    in_time(world, t.objection(), "The time to answer has passed.")?;
    let mut step = Step::default();
    if job.role == Role::Requester && world.height < t.verdict() {
        // The judge rules on the answer at once.
        step = turned_down(escrow, step);
    }
    if job.role == Role::Worker && escrow.hearing.awaits_worker() && world.height < t.escalate() {
        // Words open nothing: the worker's answer is a call of its own.
        return Ok(dispute(job, escrow, reason, step));
    }
    step.says.push(Say::Plead(Box::new(Body::Objection { dispute: plea.id, reason })));
    Ok(step)
}

fn in_time(world: &World, mark: u32, sentence: &str) -> Result<(), Refusal> {
    if world.height < mark {
        return Ok(());
    }
    Err(no("too-late", sentence).money(crate::market::Money::Held))
}

/// Requester: a rejection counts until its height; after that the judge takes it for silence.
pub(super) fn may_reject(job: &Job, world: &World) -> Result<(), Refusal> {
    match escrow::timetable(job).filter(|_| job.judge().is_some()) {
        Some(t) => in_time(
            world,
            t.verdict(),
            "The time to reject has passed. Release the money, or answer when the worker calls the judge.",
        ),
        None => Ok(()),
    }
}

// ---------------------------------------------------------------- blocks

/// Worker: what a block does to an escrow that waits, or to which a judge was agreed on. `Ok` where the money
/// stays held, else why it goes back and whether the job ends with it.
pub(super) fn workers_height(
    job: &Job,
    escrow: &Escrow,
    height: u32,
    t: Timetable,
    step: Step,
) -> Result<Step, (Step, &'static str, bool)> {
    let hearing = &escrow.hearing;
    if hearing.judge.is_none() && height >= t.holding() {
        let why = match escrow.funded {
            Some(_) => "the judge did not say in time that it holds the secret",
            None => "the channel was not confirmed in time",
        };
        return Err((step, why, false));
    }
    match job.phase {
        Phase::Working if hearing.rejection.is_some() && height >= t.escalate() => {
            Err((step, "the delivery was rejected, and nobody called the judge in time", true))
        }
        Phase::Delivered => Ok(stands(job, escrow, height, t, step)),
        Phase::Disputed if hearing.awaits_worker() && hearing.rejection.is_none() => {
            Ok(stands(job, escrow, height, t, step))
        }
        _ => Ok(step),
    }
}

/// Worker: a delivery that was not rejected is lodged, and taken to the judge where nobody accepts it in time.
fn stands(job: &Job, escrow: &Escrow, height: u32, t: Timetable, mut step: Step) -> Step {
    if let Some(record) = &escrow.hearing.delivery {
        step = lodge(escrow, record, step);
    }
    if height >= t.verdict() && height < t.escalate() {
        step = dispute(job, escrow, Raw(SILENT.into()), step);
    }
    step
}

const SILENT: &str = "The requester neither accepted nor rejected the delivery in time.";

/// Requester: a rejection is lodged, also where the judge spoke after it.
pub(super) fn requesters_height(
    escrow: &Escrow,
    height: u32,
    t: Option<Timetable>,
    mut step: Step,
) -> Step {
    for record in escrow.hearing.refusals() {
        step = lodge(escrow, record, step);
    }
    match t {
        Some(t) if (t.verdict().saturating_sub(LAST_CALL)..t.verdict()).contains(&height) => {
            turned_down(escrow, step)
        }
        _ => step,
    }
}

/// Blocks before the verdict is due at which what is not here by then is rejected.
const LAST_CALL: u32 = 12;

/// Requester: work that the judge was shown and that never had a place here, because another delivery stood or
/// because of what the worker signed around it, is rejected: nobody could look at it, and silence would pay for
/// it (!).
fn turned_down(escrow: &Escrow, mut step: Step) -> Step {
    for manifest in escrow.hearing.unheld() {
        let reason = Raw(UNHELD.into());
        step = step.say(Body::Reject { manifest, reason, next: None });
        step.says.push(Say::Lodge);
    }
    step
}

const UNHELD: &str =
    "The judge was shown this delivery, and it never had a place here: nobody has looked at it.";

/// A delivery is given to the judge as soon as it is signed, and a rejection as soon as its delivery was: only
/// what it has lodged was on time. What it was not shown costs the requester none of its records (!).
pub(super) fn witnessed(job: &Job, mut step: Step) -> Step {
    let Some(escrow) = job.escrow.as_ref().filter(|escrow| escrow.hearing.judge.is_some()) else {
        return step;
    };
    let signed = |say: &Say| match say {
        Say::Post(body) if matches!(**body, Body::Deliver(_)) => true,
        say => rejected(say).is_some_and(|manifest| escrow.hearing.is_shown(manifest)),
    };
    if step.says.iter().any(signed) {
        step.says.push(Say::Lodge);
    }
    step
}

/// What is rejected by this.
fn rejected(say: &Say) -> Option<&EventId> {
    match say {
        Say::Post(body) => match &**body {
            Body::Reject { manifest, .. } => Some(manifest),
            _ => None,
        },
        _ => None,
    }
}
