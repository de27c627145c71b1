//! Notices: what is worth telling a person, in our own words. Derived from facts; never a stranger's text.

use serde::{Deserialize, Serialize};

use crate::market::{BidId, Body, Fact, Job, Money, Phase, Role, Time};

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

impl Notice {
    /// What a new fact of this job means to a person, if anything. `job` is as after the fact.
    pub fn of(job: &Job, fact: &Fact, at: Time) -> Option<Self> {
        let id = job.id.short();
        let price = job.terms().price;
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
}
