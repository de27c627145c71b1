//! Whether a judge takes a case. What it does not take it does not answer: the worker's node then sends the
//! money back, and nobody has worked.

use crate::market::{
    Body, CaseBegins, Certificate, Digest, JobId, Lock, Mode, Network, Pubkey, Record, Refusal,
    Role, Status, Terms, Time, Timetable, job_id,
};

/// What a judge knows when it is appointed.
#[derive(Debug, Clone, Copy)]
pub struct Appointing {
    /// Our identity.
    pub me: Pubkey,
    /// Our chain.
    pub network: Network,
    /// Now.
    pub now: Time,
    /// Our node's best block.
    pub height: u32,
    /// Whether H was seen here before, in any case or payment.
    pub hash_known: bool,
    /// Open cases of this requester.
    pub open: usize,
    /// Whether the newest version of our listing takes cases.
    pub newest: Status,
    /// Hash of the bid's canonical terms.
    pub terms: Digest,
}

fn no(code: &str, sentence: &str) -> Refusal {
    Refusal::new(code, sentence)
}

/// Whether a case is taken. The records in it were verified by themselves before; here it is seen whether they
/// are of one job, of the two who are certified for it, and whether x opens what is locked.
///
/// # Errors
/// Why not.
pub fn admit_case(case: &CaseBegins, door: &Appointing) -> Result<(), Refusal> {
    let (Body::Appoint { x, .. }, Body::Bid(bid), Body::Award(award)) =
        (&case.record.draft.body, &case.bid.draft.body, &case.award.draft.body)
    else {
        return Err(no("wrong-body", "What was brought is not a bid and its award."));
    };
    let job = job_id(&case.bid.id, &case.award.id);
    let lock = locked(case, award.lock.as_ref(), &job)?;
    let agreed = bid.terms.part(lock.milestone).filter(|part| part.mode == Mode::Escrow);
    let Some(terms) = agreed.and_then(|part| part.escrow) else {
        return Err(no("no-escrow", "The two did not agree on an escrow."));
    };
    let ours = terms
        .judge
        .is_some_and(|judge| judge.identity == door.me && judge.listing == case.listing.id);
    if !ours {
        return Err(no(
            "wrong-judge",
            "The two agreed on another judge, or on other rules of ours.",
        ));
    }
    certified(case, &bid.terms, door)?;
    if award.bid != case.bid.id || case.award.draft.job != Some(JobId(case.bid.id.0)) {
        return Err(no("wrong-job", "The award is for another bid."));
    }
    let (Body::Fund { attempt, height: end, .. }, Body::Funded { attempt: held, deadline }) =
        (&case.fund.draft.body, &case.funded.draft.body)
    else {
        return Err(no("wrong-body", "What was brought does not say that money is locked."));
    };
    let worker = case.worker.session;
    let theirs = [&case.fund, &case.funded];
    if theirs.iter().any(|record| record.author != worker || record.draft.job != Some(job)) {
        return Err(no("wrong-author", "The worker did not say that the money is locked."));
    }
    if [*attempt, *held].iter().any(|n| *n != lock.attempt) || deadline < end {
        return Err(no(
            "wrong-lock",
            "The worker's word is of another lock, or of too short a one.",
        ));
    }
    if x.hash() != lock.hash {
        return Err(no("wrong-secret", "The secret does not open the lock."));
    }
    if door.hash_known {
        return Err(no("hash-reused", "The lock's hash was seen before."));
    }
    let case_id = crate::market::case_id(&job, &lock.hash);
    if case.record.draft.job.map(|j| j.0) != Some(case_id.0) || case.record.draft.seq != 0 {
        return Err(no("wrong-job", "The appointment does not begin this case."));
    }
    if case.record.author != case.requester.session {
        return Err(no("wrong-author", "Only the requester appoints."));
    }
    let t = Timetable { end: *end, window: terms.window };
    if door.height == 0 {
        return Err(no("early", "Our node does not know a height yet."));
    }
    if door.height >= t.holding() {
        return Err(no("too-late", "The height by which a judge must hold has passed."));
    }
    // A height that cannot be: whoever signed it would have the case stand for years.
    if *end > door.height.saturating_add(terms.window).saturating_add(144) {
        return Err(no("wrong-height", "The case would end later than its window allows."));
    }
    if door.newest == Status::Closed {
        return Err(no("judge-closed", "We take no more cases."));
    }
    if door.open >= crate::market::MOST_CASES {
        return Err(no("too-many-cases", "This requester has enough open cases here."));
    }
    let unknown = case.checks.iter().any(|check| check.body.is_none());
    if unknown && case.listing.tags.iter().any(|tag| tag == crate::market::DETERMINISTIC) {
        return Err(no(
            "no-check",
            "A check of the terms is not known here, so it could not be run.",
        ));
    }
    Ok(())
}

/// Whether both certificates are for this job: one each, of the two and no others.
fn certified(case: &CaseBegins, terms: &Terms, door: &Appointing) -> Result<(), Refusal> {
    let fits = |c: &Certificate, role, record: &Record, other: &Certificate| {
        c.role == role
            && c.session == record.author
            && c.counterparty == other.identity
            && c.terms == door.terms
            && c.network == terms.network
            && terms.network == door.network
    };
    let right = fits(&case.worker, Role::Worker, &case.bid, &case.requester)
        && fits(&case.requester, Role::Requester, &case.award, &case.worker)
        && case.worker.session != case.requester.session;
    if !right {
        return Err(no("wrong-certificate", "The certificates are not for one job of these two."));
    }
    if [case.worker.identity, case.requester.identity].contains(&door.me) {
        return Err(no("judge-is-party", "We are one of the two sides."));
    }
    Ok(())
}

/// The lock: that of the award, or of a later record of the requester's.
fn locked(case: &CaseBegins, first: Option<&Lock>, job: &JobId) -> Result<Lock, Refusal> {
    let lock = match &case.lock {
        None => first.copied(),
        Some(record) if record.author != case.requester.session => {
            return Err(no("wrong-author", "The lock is not the requester's."));
        }
        Some(record) if record.draft.job != Some(*job) => {
            return Err(no("wrong-job", "The lock is of another job."));
        }
        Some(record) => match &record.draft.body {
            Body::Lock(lock) => Some(*lock),
            _ => None,
        },
    };
    lock.ok_or_else(|| no("wrong-lock", "There is no lock in what was brought."))
}
