//! Notices: what is worth telling a person, in our own words. Derived from facts; never a stranger's text.

use serde::{Deserialize, Serialize};

use crate::market::{
    BidId, Body, Case, Checked, Fact, Job, Mode, Money, Phase, Role, Time, refuted,
};

/// How much it matters.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody waits for you.
    Act,
    /// Something went wrong.
    Warn,
}

/// One thing worth telling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Notice {
    /// When it became so.
    pub at: Time,
    /// How much it matters.
    pub severity: Severity,
    /// Stable, kebab-case.
    pub code: String,
    /// About which job.
    pub job: BidId,
    /// For a person.
    pub text: String,
    /// Where the money of it is.
    pub money: Money,
}

/// A notice with its place among everything that ever became so here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldNotice {
    /// Grows; what is told after it is newer.
    pub seq: u64,
    /// The fact that it tells of, `job:n`: the same however often it is told.
    pub id: String,
    /// What it says.
    #[serde(flatten)]
    pub notice: Notice,
}

impl Notice {
    /// Every code that a notice has, for whoever waits for some.
    pub const CODES: &[&str] = &[
        "approval-asked",
        "asked-back",
        "audited",
        "awarded",
        "bid",
        "cancelled",
        "cheated",
        "check-failed",
        "claiming",
        "damaged",
        "declined",
        "delivered",
        "delivery-refused",
        "equivocation",
        "file",
        "funded",
        "held",
        "inspected",
        "lapsed",
        "locking",
        "lost",
        "no-verdict",
        "not-paid",
        "note",
        "offered",
        "opened",
        "paid",
        "paying",
        "proven",
        "rated",
        "received",
        "refunded",
        "rejected",
        "released",
        "returned",
        "returning",
        "seal-failed",
        "sealed",
        "stuck",
        "taken",
        "underpaid",
        "withdrawn",
    ];
    /// What a new fact of a case means to its judge, if anything.
    pub fn of_case(case: &Case, fact: &Fact, at: Time) -> Option<Self> {
        use Severity::{Act, Info, Warn};
        let id = case.id.short();
        let by_hand = !case.is_deterministic();
        let act = if by_hand { Act } else { Info };
        let (severity, code, text) = match fact {
            Fact::Appointed(_) => (
                Info,
                "appointed",
                format!("Case {id} is yours: you hold its secret, and no money."),
            ),
            Fact::Brought { record, .. } => match &record.draft.body {
                Body::Dispute { .. }
                    if case.dispute.as_ref().is_some_and(|(of, ..)| of.id == record.id) =>
                {
                    let text =
                        format!("You are called in case {id}. Next: earnest judge show {id}");
                    (act, "disputed", text)
                }
                Body::Objection { .. } => {
                    (act, "objected", format!("The other side has answered in case {id}."))
                }
                // A call that is not ruled on is words.
                Body::Dispute { .. } | Body::Note { .. } => {
                    (Info, "note", format!("A note came in case {id}."))
                }
                _ => return None,
            },
            Fact::Examined(_) if by_hand => (
                Act,
                "examined",
                format!("The files of case {id} are looked at. Next: earnest judge show {id}"),
            ),
            Fact::Said { record } => match &record.draft.body {
                Body::Ruling { x, .. } => {
                    let whose = if x.is_some() { "worker" } else { "requester" };
                    (Info, "ruled", format!("Case {id} is ruled for the {whose}."))
                }
                _ => return None,
            },
            Fact::Lapsed { .. } => (Info, "case-closed", format!("Case {id} is over.")),
            Fact::Stuck { effect, why } => {
                (Warn, "stuck", format!("Case {id}: {effect} did not work: {why}"))
            }
            _ => return None,
        };
        let money = Money::Untouched;
        Some(Self { at, severity, code: code.into(), job: case.id, text, money })
    }

    /// What a new fact of this job means to a person, if anything. `job` is as after the fact.
    pub fn of(job: &Job, fact: &Fact, at: Time) -> Option<Self> {
        let id = job.id.short();
        let price = match job.job {
            Some(_) => job.terms().price,
            None => job.agreed().price,
        };
        let mine = |role| job.role == role;
        use Money::{Held, Spent, Untouched};
        use Severity::{Act, Info, Warn};
        let (severity, code, money, text) = match fact {
            Fact::Bid { .. } if mine(Role::Requester) => (
                Act,
                "bid",
                Untouched,
                format!("A bid of {price} came in. Next: earnest award {id}"),
            ),
            Fact::Awarded { .. } if mine(Role::Worker) && job.escrow.is_some() => (
                Info,
                "awarded",
                Untouched,
                format!(
                    "Job {id} is yours, for {price}, once the requester has locked the money. Do not work before."
                ),
            ),
            Fact::Awarded { .. } if mine(Role::Worker) => (
                Act,
                "awarded",
                Untouched,
                format!("Job {id} is yours, for {price}. Next: earnest deliver {id} FILE"),
            ),
            Fact::Sealed { .. } => (
                Info,
                "sealed",
                Untouched,
                format!("The delivery for {id} is sealed and announced."),
            ),
            Fact::SealFailed { why } => (
                Warn,
                "seal-failed",
                Untouched,
                format!("The delivery for {id} could not be sealed: {why} Nothing was sent."),
            ),
            Fact::Inspected if job.escrow.is_some() => return None,
            Fact::Opened { .. } if job.escrow.is_some() => (
                Act,
                "opened",
                Held,
                format!(
                    "The delivery for {id} is open. Look at it. Next: earnest accept {id}, or earnest reject {id}"
                ),
            ),
            Fact::Cheated { .. } if job.escrow.is_some() => (
                Warn,
                "cheated",
                Held,
                format!(
                    "The key for {id} does not open what the worker signed. A proof is being made; the money stays locked and comes back."
                ),
            ),
            Fact::Proven { path } if job.escrow.is_some() => (
                Warn,
                "proven",
                Held,
                format!(
                    "The proof lies at {}. Anybody can check it: earnest verify-proof FILE",
                    path.display()
                ),
            ),
            Fact::FromJudge { record, inner, .. } => {
                return Self::from_judge(job, record, inner.as_deref(), at);
            }
            Fact::ToJudge { record } => match &record.draft.body {
                Body::Dispute { .. } => (
                    Info,
                    "disputed",
                    Held,
                    format!("The judge of {id} is called. The money stays locked until it rules."),
                ),
                _ => return None,
            },
            Fact::Offered { .. } if job.escrow.as_ref().is_some_and(|e| e.wanted.is_none()) => (
                Act,
                "offered",
                Untouched,
                format!("The hold invoice for {id} is here. Next: earnest fund {id}"),
            ),
            Fact::Held { amount, .. } => (
                Info,
                "held",
                Held,
                format!("{amount} for {id} are held here. Do not work before they are confirmed."),
            ),
            Fact::Returning { why, ends, .. } => {
                let more = if *ends { "" } else { " It can be locked once more." };
                let text = format!("The money for {id} goes back to the requester: {why}.{more}");
                (Warn, "returning", Held, text)
            }
            Fact::Returned { .. } => (
                Info,
                "returned",
                Untouched,
                format!("The money for {id} has gone back to the requester."),
            ),
            Fact::PayFailed { .. } if job.phase == Phase::Refunded => (
                Info,
                "refunded",
                Untouched,
                format!(
                    "{price} for {id} are yours again: {}",
                    job.reason.clone().unwrap_or_default()
                ),
            ),
            Fact::Lost { .. } if job.escrow.is_some() => (
                Warn,
                "lost",
                Untouched,
                format!(
                    "The payment for {id} went back by age before the secret was used: the requester has it."
                ),
            ),
            Fact::Paying { .. } if job.escrow.is_some() => (
                Info,
                "locking",
                Held,
                format!("The money for {id} is on its way to be locked at the worker's node."),
            ),
            Fact::Paid { .. } if job.phase == Phase::Settled && job.reason.is_some() => {
                (Warn, "taken", Spent, format!("{id}: {}.", job.reason.clone().unwrap_or_default()))
            }
            Fact::Paid { fee, .. } if job.escrow.is_some() => {
                (Info, "paid", Spent, format!("{id} is paid. Routing fee {fee}."))
            }
            Fact::Said { record } | Fact::Heard { record }
                if matches!(record.draft.body, Body::Accept { .. } | Body::Settled { .. })
                    && job.past.last().is_some_and(|past| past.at == at)
                    && job.since == at =>
            {
                let (n, all) = (job.milestone + 1, job.milestones());
                let next = match (job.role, job.phase) {
                    (Role::Requester, Phase::Awarded) => format!("Next: earnest fund {id}"),
                    (Role::Worker, Phase::Working) => format!("Next: earnest deliver {id} FILE"),
                    (Role::Worker, _) => {
                        "Do not work before the requester has locked the money.".to_owned()
                    }
                    (Role::Requester, _) => "The worker works.".to_owned(),
                };
                let ours = next.starts_with("Next");
                let severity = if ours { Act } else { Info };
                let text = format!("Milestone {n} of {all} of {id} begins, for {price}. {next}");
                (severity, "milestone", Untouched, text)
            }
            Fact::Heard { record }
                if matches!(record.draft.body, Body::Cancel { .. })
                    && job.phase == Phase::Settled
                    && job.since == at =>
            {
                let why = job.reason.clone().unwrap_or_default();
                (Info, "ended", Untouched, format!("{id} ends here: {why}."))
            }
            Fact::Said { record } => match &record.draft.body {
                Body::Funded { .. } if job.judge().is_some() => (
                    Info,
                    "funded",
                    Held,
                    format!(
                        "The money for {id} is locked. Do not work before the judge has spoken."
                    ),
                ),
                Body::Funded { .. } => (
                    Act,
                    "funded",
                    Held,
                    format!("The money for {id} is locked. Next: earnest deliver {id} FILE"),
                ),
                _ => return None,
            },
            Fact::Audited { audited, .. } => {
                (Info, "audited", Untouched, format!("{id}: {}", audited.sentence()))
            }
            Fact::Checked { results, .. } if results.iter().any(Checked::failed) => {
                let money = if job.money_moved() { Spent } else { Untouched };
                let provable = refuted(results).is_some();
                let next = match job.terms().mode {
                    Mode::Sealed if provable => {
                        " A proof is being made; nothing more will be paid."
                    }
                    Mode::Sealed => {
                        " What fails is not one record of at most 16 KiB, so there is no proof of it for others; nothing more will be paid, and this worker is awarded nothing more here."
                    }
                    Mode::Escrow => " The money stays locked.",
                    Mode::Direct => "",
                };
                let text =
                    format!("What was opened for {id} does not pass a check of the terms.{next}");
                (Warn, "check-failed", money, text)
            }
            Fact::Checked { results, .. } if results.iter().any(Checked::unsure) => {
                let money = if job.money_moved() { Spent } else { Untouched };
                let text = format!(
                    "A check of the terms could not say anything of what was opened for {id}: this proves nothing."
                );
                (Warn, "no-verdict", money, text)
            }
            Fact::Inspected if job.terms().quality.audit > 0 => (
                Info,
                "inspected",
                Untouched,
                format!(
                    "The delivery for {id} is here and is what was signed; a sample is asked for."
                ),
            ),
            Fact::Inspected => (
                Act,
                "inspected",
                Untouched,
                format!(
                    "The delivery for {id} is here and is what was signed. Next: earnest accept {id}"
                ),
            ),
            Fact::Refused { sentence, .. } => (
                Warn,
                "delivery-refused",
                Untouched,
                format!("The delivery for {id} was refused before any payment: {sentence}"),
            ),
            Fact::Paying { .. } => {
                (Info, "paying", Held, format!("The payment for {id} is on its way."))
            }
            Fact::PayFailed { reason, .. } => {
                (Warn, "not-paid", Untouched, format!("{id} was not paid: {reason}"))
            }
            Fact::Paid { fee, .. } => {
                (Info, "paid", Spent, format!("{id} is paid; the key is here. Routing fee {fee}."))
            }
            Fact::Opened { .. } => (
                Info,
                "opened",
                Spent,
                format!("The delivery for {id} opened and is what the worker signed."),
            ),
            Fact::Damaged => (
                Warn,
                "damaged",
                Spent,
                format!(
                    "The delivery for {id} was damaged on this disk after it was inspected: it is fetched again. The key that you paid for is kept."
                ),
            ),
            Fact::Cheated { .. } => (
                Warn,
                "cheated",
                Spent,
                format!(
                    "The paid key for {id} does not open what the worker signed. A proof is being made; nothing more will be paid."
                ),
            ),
            Fact::Proven { path } => (
                Warn,
                "proven",
                Spent,
                format!(
                    "The proof lies at {}. Anybody can check it: earnest verify-proof FILE",
                    path.display()
                ),
            ),
            Fact::Claiming { amount, .. } => {
                (Info, "claiming", Held, format!("{amount} for {id} are held and being claimed."))
            }
            Fact::Underpaid { amount, .. } => (
                Warn,
                "underpaid",
                Untouched,
                format!("Only {amount} came for {id}: sent back. The key was not given away."),
            ),
            Fact::Received { amount, .. } => {
                (Info, "received", Spent, format!("{amount} for {id} are yours."))
            }
            Fact::Lost { .. } => (
                Warn,
                "lost",
                Untouched,
                format!(
                    "The payment for {id} died of age before it was claimed: the requester has it back, and the key was not given away."
                ),
            ),
            Fact::Lapsed { what } => {
                let money = if job.money_moved() { Spent } else { Untouched };
                (Warn, "lapsed", money, format!("{id}: {what}."))
            }
            Fact::ApprovalAsked { by, verb } => (
                Act,
                "approval-asked",
                Untouched,
                format!(
                    "{by} wants to {} {id} for {price}: more than it may decide alone. Next: earnest approve {id}",
                    verb.word()
                ),
            ),
            Fact::Stuck { effect, why } => {
                (Warn, "stuck", Untouched, format!("{id}: {effect} did not work: {why}"))
            }
            Fact::Equivocation { .. } => (
                Warn,
                "equivocation",
                Untouched,
                format!("{id}: the other side signed two records with one number. Both are kept."),
            ),
            Fact::Heard { record } => match &record.draft.body {
                Body::Funded { .. } if job.phase == Phase::Working => (
                    Info,
                    "funded",
                    Held,
                    format!("The money for {id} is locked; the worker works."),
                ),
                Body::Cancel { .. } if job.phase == Phase::Refunding => {
                    (Info, "returning", Held, format!("The worker sends the money for {id} back."))
                }
                Body::Cancel { .. }
                    if mine(Role::Worker)
                        && job.escrow.as_ref().is_some_and(|e| e.asked_back)
                        && !job.phase.is_over() =>
                {
                    (
                        Act,
                        "asked-back",
                        Held,
                        format!(
                            "The requester of {id} asks to have the money back. If you agree: earnest cancel {id}"
                        ),
                    )
                }
                Body::Reject { .. } if job.escrow.is_some() && job.phase == Phase::Working => (
                    Act,
                    "rejected",
                    Held,
                    format!(
                        "The delivery for {id} was rejected; the money stays locked. Next: earnest deliver {id} FILE"
                    ),
                ),
                Body::Accept { x: Some(_), .. } if job.phase == Phase::Paying => (
                    Info,
                    "released",
                    Held,
                    format!("The money for {id} is released and being claimed."),
                ),
                Body::Decline { .. } => {
                    (Info, "declined", Untouched, format!("Bid {id} was declined."))
                }
                Body::Withdraw { .. } => {
                    (Info, "withdrawn", Untouched, format!("Bid {id} was withdrawn."))
                }
                // Too late: nothing beats a payment on its way.
                Body::Cancel { .. } if job.phase != Phase::Cancelled => return None,
                Body::Reject { .. } if job.phase != Phase::Working => return None,
                Body::Deliver(_) if job.phase != Phase::Delivered => return None,
                Body::Cancel { .. } => {
                    (Warn, "cancelled", Untouched, format!("{id} was cancelled by the other side."))
                }
                Body::Reject { .. } => (
                    Act,
                    "rejected",
                    Untouched,
                    format!("The delivery for {id} was rejected. Next: earnest deliver {id} FILE"),
                ),
                Body::Deliver(_) => {
                    (Info, "delivered", Untouched, format!("A delivery for {id} is being fetched."))
                }
                Body::Note { .. } => (Act, "note", Untouched, format!("A note came for {id}.")),
                Body::Rate { .. } => (Info, "rated", Untouched, format!("{id} was rated.")),
                Body::Material(_) => (Info, "file", Untouched, format!("A file came for {id}.")),
                _ => return None,
            },
            _ => return None,
        };
        Some(Self { at, severity, code: code.into(), job: job.id, text, money })
    }

    /// What the judge's word means to a side.
    fn from_judge(
        job: &Job,
        record: &crate::market::Record,
        inner: Option<&crate::market::Record>,
        at: Time,
    ) -> Option<Self> {
        use Severity::{Act, Info, Warn};
        let id = job.id.short();
        let theirs = |by: &crate::market::Record| {
            job.peer_certificate().is_some_and(|peer| peer.session == by.author)
        };
        let (severity, code, text) = match (&record.draft.body, inner.map(|i| &i.draft.body)) {
            (Body::Holding { .. }, _) if job.role == Role::Worker => (
                Act,
                "judge-holds",
                format!("The judge holds the secret for {id}. Next: earnest deliver {id} FILE"),
            ),
            (Body::Holding { .. }, _) => {
                (Info, "judge-holds", format!("The judge holds a copy of the secret for {id}."))
            }
            (Body::Lodged { .. }, Some(Body::Dispute { .. })) if inner.is_some_and(theirs) => {
                let said = job.escrow.as_ref().and_then(|e| e.hearing.dispute.as_ref());
                let counts = said.is_some_and(|plea| inner.is_some_and(|i| i.id == plea.id));
                match job.role {
                    // A requester's call about no work, or after the worker's own.
                    Role::Worker if !counts => return None,
                    Role::Worker => (
                        Act,
                        "called",
                        format!(
                            "The requester of {id} has called the judge. Show your work: earnest dispute {id} --reason TEXT"
                        ),
                    ),
                    Role::Requester => (
                        Act,
                        "called",
                        format!(
                            "The other side of {id} has called the judge. Next: earnest object {id} --reason TEXT"
                        ),
                    ),
                }
            }
            (Body::Lodged { .. }, Some(Body::Objection { .. })) if inner.is_some_and(theirs) => {
                (Info, "objected", format!("The other side of {id} has answered to the judge."))
            }
            (Body::Ruling { x, .. }, _) => {
                let ours = x.is_some() == (job.role == Role::Worker);
                let severity = if ours { Info } else { Warn };
                let whose = if x.is_some() { "worker" } else { "requester" };
                (severity, "ruled", format!("The judge of {id} ruled for the {whose}."))
            }
            (Body::Note { .. }, _) => (Act, "note", format!("The judge of {id} wrote.")),
            _ => return None,
        };
        let money = Money::Held;
        Some(Self { at, severity, code: code.into(), job: job.id, text, money })
    }
}
