//! The ruling that a program can make: from what was signed, when it came and what the files say, and from
//! nothing else. Anybody with the same records and files comes to the same.

use crate::market::case::{Case, Exhibit};
use crate::market::{Body, Checked, EventId, Finding, Role};

/// What the records and files come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opinion {
    /// Something is still awaited.
    Open,
    /// For this side, and why.
    For(Role, String),
    /// A program cannot say: a check gives no verdict. The money stays where it is.
    Silent(String),
}

/// What the case comes to at this height.
pub fn opinion(case: &Case, height: u32) -> Opinion {
    let t = case.timetable();
    let back = |why: &str| Opinion::For(Role::Requester, why.to_owned());
    let Some((_, caller, called)) = &case.dispute else { return Opinion::Open };
    if *caller == Role::Worker && *called > t.escalate() {
        return back("The judge was called too late.");
    }
    let gives_up = |e: &Exhibit| {
        let cancels = matches!(e.record.draft.body, Body::Cancel { .. });
        e.by == Role::Worker && cancels && case.is_of_lock(e)
    };
    if case.exhibits.iter().any(gives_up) {
        return back("The worker signed that it sends the money back.");
    }
    let Some((exhibit, _)) = case.disputed() else {
        return back("There is no delivery that the worker signed.");
    };
    let manifest = exhibit.record.id;
    let taken = |e: &&Exhibit| e.by == Role::Requester && acknowledges(e, &manifest);
    let on_time = exhibit.height.is_some_and(|at| at <= t.deliver())
        || case.exhibits.iter().any(|e| taken(&e) && !rejects(e, &manifest));
    if !on_time {
        return back("The delivery is not shown to have come in time.");
    }
    let results = match &case.finding {
        None => return Opinion::Open,
        Some(Finding::Unfit { sentence, .. }) => {
            return back(&format!("The delivery is not what was signed: {sentence}"));
        }
        Some(Finding::Mismatch { chunk }) => {
            return back(&format!(
                "The key does not open chunk {chunk} to what the worker signed."
            ));
        }
        Some(Finding::Opened { results, .. }) => results,
    };
    if results.iter().any(Checked::failed) {
        return back("The delivery does not pass a check of the terms.");
    }
    if results.iter().any(Checked::unsure) {
        return Opinion::Silent("A check of the terms gives no verdict.".into());
    }
    let rejection = case.exhibits.iter().find(|e| e.by == Role::Requester && rejects(e, &manifest));
    let seen = |e: &Exhibit| {
        let seen =
            |by: &Exhibit| by.by == Role::Worker && by.record.draft.seen == Some(e.record.id);
        case.exhibits.iter().any(seen)
    };
    let rejected_in_time =
        rejection.is_some_and(|e| e.height.is_some_and(|at| at <= t.verdict()) || seen(e));
    if rejected_in_time && results.is_empty() {
        return back("It was rejected in time, and the terms have no check that says otherwise.");
    }
    // The other side is heard first.
    if *caller == Role::Worker && case.objection.is_none() && height < t.objection() {
        return Opinion::Open;
    }
    let why = match (results.is_empty(), rejected_in_time) {
        (false, _) => "The delivery came in time, opens, and passes every check of the terms.",
        (true, _) => "The delivery came in time and opens, and it was not rejected in time.",
    };
    Opinion::For(Role::Worker, why.to_owned())
}

/// Whether this record shows that its author has that one.
fn acknowledges(e: &Exhibit, manifest: &EventId) -> bool {
    e.record.draft.seen == Some(*manifest)
        || matches!(&e.record.draft.body, Body::Accept { manifest: of, .. } if of == manifest)
}

fn rejects(e: &Exhibit, manifest: &EventId) -> bool {
    matches!(&e.record.draft.body, Body::Reject { manifest: of, .. } if of == manifest)
}
