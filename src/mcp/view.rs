//! What an agent sees: our own words and numbers as they are, a stranger's words marked.

use serde_json::{Map, Value, json};

use crate::engine::{
    DeliveryView, FactView, GigView, JobView, MilestoneView, PendingView, PersonView, PostView,
};
use crate::market::{Msat, Role, Verb};
use crate::mcp::desk::Options;
use crate::mcp::table;
use crate::text::Clean;

/// Every job's resource begins so.
pub(super) const JOB: &str = "earnest://job/";
/// Every gig's of ours.
pub(super) const GIG: &str = "earnest://gig/";

/// A stranger's words: data, whatever they say.
pub(super) fn words(text: &Clean) -> Value {
    json!({"untrusted": true, "text": text})
}

fn some(text: &Clean) -> Value {
    if text.is_empty() { Value::Null } else { words(text) }
}

/// Satoshis; with decimals where there are millisatoshis.
pub(super) fn sats(amount: Msat) -> Value {
    match amount.get() % 1_000 {
        0 => json!(amount.whole_sats()),
        rest => {
            let text = format!("{}.{rest:03}", amount.whole_sats());
            text.parse::<f64>().map_or(Value::Null, |sats| json!(sats))
        }
    }
}

/// A gig of somebody's, or of ours.
pub(super) fn gig(gig: &GigView, ours: bool, options: &Options) -> Value {
    let text = |text: &Clean| if ours { json!(text) } else { some(text) };
    json!({
        "gig": gig.id,
        "by": (options.npub)(&gig.author),
        "title": text(&gig.title),
        "summary": text(&gig.summary),
        "content": text(&gig.content),
        "tags": gig.tags.iter().map(text).collect::<Vec<_>>(),
        "side": gig.side,
        "work": gig.work,
        "status": gig.status,
        "price_sats": sats(gig.price),
        "workers": gig.slots,
        "modes": gig.modes,
        "milestones": milestones(&gig.milestones, ours),
        "deliver_within_seconds": gig.deliver_secs,
        "closes_at": gig.expires_at,
        "max_bytes": gig.max_bytes,
    })
}

/// The parts of a gig or a job, in order.
fn milestones(all: &[MilestoneView], ours: bool) -> Vec<Value> {
    let one = |m: &MilestoneView| {
        let title = if ours { json!(m.title) } else { words(&m.title) };
        json!({
            "title": title, "price_sats": sats(m.price), "mode": m.mode, "stands": m.stage,
            "deliver_within_seconds": m.deliver_secs,
        })
    };
    all.iter().map(one).collect()
}

/// A gig of ours, with what came of it.
pub(super) fn post(post: &PostView, options: &Options) -> Value {
    json!({
        "gig": gig(&post.gig, true, options),
        "id": post.id,
        "bids_waiting": post.bids,
        "awarded": post.awarded,
        "published": !post.pending.iter().any(PendingView::is_talk),
    })
}

/// A job at a glance.
pub(super) fn job(job: &JobView, options: &Options) -> Value {
    let requester = job.role == Role::Requester;
    let title = if requester { json!(job.title) } else { words(&job.title) };
    json!({
        "job": job.id,
        "gig": job.gig,
        "you_are": job.role,
        "phase": job.phase.word(),
        "over": job.phase.is_over(),
        "title": title,
        "with": (options.npub)(&job.peer),
        "price_sats": sats(job.price),
        "mode": job.mode,
        "milestones": milestones(&job.milestones, requester),
        "deadline": job.deadline,
        "if_nobody_acts": job.otherwise,
        "resource": format!("{JOB}{}", job.id),
        "can": tools(job),
        "waits_for_a_person": job.asked.as_ref().map(|(_, verb)| verb.word()),
    })
}

/// A job, whole.
pub(super) fn whole(view: &JobView, history: &[FactView], options: &Options) -> Value {
    let Value::Object(mut all) = job(view, options) else { return Value::Null };
    let mut add = |name: &str, value: Value| all.insert(name.to_owned(), value);
    add("since", json!(view.since));
    add("bid_message", some(&view.message));
    add("reason", view.reason.as_ref().map_or(Value::Null, some));
    add("parts", json!(view.tranches));
    add("largest_loss_sats", sats(view.largest_loss));
    add("cannot", json!(refused(view)));
    let answers = view.answers.iter().map(|answer| match view.role {
        Role::Requester => json!(answer),
        // Whoever asks wrote them.
        _ => words(answer),
    });
    add("answers", answers.collect());
    add("delivery", view.delivery.as_ref().map_or(Value::Null, delivery));
    add("audit", audit(view));
    add("pending", json!(view.pending.iter().map(|effect| &effect.kind).collect::<Vec<_>>()));
    // Why something is stuck may be what a relay or a peer said.
    let stuck = view
        .stuck
        .iter()
        .map(|why| words(&crate::text::Raw(why.clone()).clean(crate::text::Limit::one_line(400))));
    add("stuck", stuck.collect());
    if let Some(escrow) = &view.escrow {
        add(
            "escrow",
            json!({
                "locked": escrow.locked, "window_blocks": escrow.window, "deliver_by": escrow.deliver_by,
                "claim_by": escrow.claim_by, "refund_by": escrow.refund_by, "risk": escrow.risk,
            }),
        );
    }
    add("history", history.iter().map(|line| fact(line, view.role)).collect());
    Value::Object(all)
}

/// One line of a history.
fn fact(line: &FactView, me: Role) -> Value {
    let mut shown = Map::new();
    shown.insert("at".into(), json!(line.at));
    shown.insert("what".into(), json!(line.sentence(me)));
    if !line.text.is_empty() {
        let ours = line.by == Some(me);
        let said = if ours { json!(line.text) } else { words(&line.text) };
        shown.insert("words".into(), said);
    }
    Value::Object(shown)
}

/// The delivery that stands.
fn delivery(d: &DeliveryView) -> Value {
    json!({
        "number": d.number,
        "name": some(&d.name),
        "message": some(&d.message),
        "bytes": d.size,
        "checked": d.inspected,
        "open": d.output.is_some(),
        "parts_paid": d.paid,
        "fees_sats": sats(d.fee),
        "blake3": d.digest,
        "fraud_proof": d.proof,
    })
}

/// What was seen before payment, and what the checks said.
pub(super) fn audit(job: &JobView) -> Value {
    let Some(d) = &job.delivery else { return Value::Null };
    json!({
        "delivery_is_what_was_signed": d.inspected,
        // Verdicts are ours; a reason may quote the delivery or a check that somebody wrote.
        "sample": d.audit.as_ref().map(words),
        "checks": d.checks.iter().map(words).collect::<Vec<_>>(),
        "cheated": d.proof.is_some(),
    })
}

/// Somebody, from our own jobs alone.
pub(super) fn person(person: &PersonView, options: &Options) -> Value {
    json!({
        "person": (options.npub)(&person.key),
        "muted": person.muted.is_some(),
        "worked_for_you": person.worked,
        "you_worked_for_them": person.gave,
        "open": person.open,
        "settled": person.settled,
        "cheated": person.cheats,
        "equivocated": person.equivocations,
        "you_paid_sats": sats(person.paid),
        "they_paid_sats": sats(person.received),
        "last_heard": person.heard_at,
        "standing": person.standing,
        "limits": person.limits,
    })
}

/// The tools that the market allows now.
fn tools(job: &JobView) -> Vec<&'static str> {
    let can = job.legal.iter().filter(|offered| offered.refusal.is_none());
    can.filter_map(|offered| table::tool_of(offered.verb)).collect()
}

/// The tools that it does not, and why.
fn refused(job: &JobView) -> Vec<Value> {
    let tool = |verb: Verb| table::tool_of(verb);
    job.legal
        .iter()
        .filter_map(|offered| {
            let why = offered.refusal.as_ref()?;
            Some(json!({"tool": tool(offered.verb)?, "code": why.code, "why": why.sentence}))
        })
        .collect()
}
