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
    if *caller == Role::Requester {
        // Only the worker can show that the money is earned, and it still may. If it does not, the money comes
        // back by height: a requester needs no ruling for that, and could bend one (!).
        return Opinion::Open;
    }
    let Some((exhibit, _)) = case.disputed() else {
        return back("There is no delivery that the worker signed.");
    };
    let manifest = exhibit.record.id;
    // What was answered is older than its answer, and nothing else says when it came (!): whoever writes a note
    // after late work, or a late rejection, acknowledges it. Only who accepts it does not call it late.
    let by = |id: EventId, mark: u32| {
        let shows = |e: &Exhibit| e.record.id == id || e.record.draft.seen == Some(id);
        case.exhibits.iter().any(|e| shows(e) && e.height.is_some_and(|at| at <= mark))
    };
    let accepts = |e: &Exhibit| {
        let body = &e.record.draft.body;
        e.by == Role::Requester
            && matches!(body, Body::Accept { manifest: of, .. } if *of == manifest)
    };
    if !by(manifest, t.deliver()) && !case.exhibits.iter().any(accepts) {
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
    let rejects = |e: &&Exhibit| {
        let body = &e.record.draft.body;
        e.by == Role::Requester
            && matches!(body, Body::Reject { manifest: of, .. } if *of == manifest)
    };
    let rejected_in_time =
        case.exhibits.iter().filter(rejects).any(|e| by(e.record.id, t.verdict()));
    if rejected_in_time && results.is_empty() {
        return back("It was rejected in time, and the terms have no check that says otherwise.");
    }
    // The other side is heard first.
    if case.objection.is_none() && height < t.objection() {
        return Opinion::Open;
    }
    let why = match (results.is_empty(), rejected_in_time) {
        (false, _) => "The delivery came in time, opens, and passes every check of the terms.",
        (true, _) => "The delivery came in time and opens, and it was not rejected in time.",
    };
    Opinion::For(Role::Worker, why.to_owned())
}
