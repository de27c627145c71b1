//! A job's history for eyes: its facts, line by line, with what was said in them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::market::{Body, Fact, Msat, Role, Time};
use crate::text::{Clean, Limit, Raw};

/// The most lines of one history: the newest.
pub const MOST_LINES: usize = 2_000;

/// One line of a job's history, for eyes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FactView {
    /// Its place.
    pub n: u64,
    /// When.
    pub at: Time,
    /// Its kind; for what was said, the kind of record.
    pub kind: String,
    /// Who, if anybody said it.
    pub by: Option<Role>,
    /// The words in it: a note, a reason, a message, why something failed.
    pub text: Clean,
    /// The money it is about.
    pub amount: Option<Msat>,
    /// What that money cost: routing at whoever pays, the LSP's share at whoever is paid.
    pub fee: Option<Msat>,
    /// Which tranche it is about, from 0.
    pub tranche: Option<u32>,
    /// In which milestone, from 0; `None` where there are none.
    #[serde(default)]
    pub milestone: Option<u32>,
    /// From 1 to 5.
    pub stars: Option<u8>,
    /// What the file in it is called.
    pub file: Option<Clean>,
    /// Where that file lies here.
    pub path: Option<PathBuf>,
}

impl FactView {
    /// A fact, without anything secret.
    pub fn of(n: u64, at: Time, role: Role, fact: &Fact) -> Self {
        let (kind, by, body) = match fact {
            Fact::Said { record } => (record.draft.body.kind(), Some(role), Some(record)),
            Fact::Heard { record } => (record.draft.body.kind(), Some(role.other()), Some(record)),
            Fact::ToJudge { record } => (record.draft.body.kind(), Some(role), Some(record)),
            Fact::FromJudge { record, inner, .. } => match inner {
                // Whoever wrote it, it came by way of the judge.
                Some(_) => ("lodged", None, Some(record)),
                None => (record.draft.body.kind(), None, Some(record)),
            },
            Fact::Bid { record, .. } => ("bid", Some(Role::Worker), Some(record)),
            Fact::Awarded { record, .. } => ("award", Some(Role::Requester), Some(record)),
            other => (other.kind(), None, None),
        };
        let view = Self {
            n,
            at,
            kind: kind.to_owned(),
            by,
            text: Clean::default(),
            amount: None,
            fee: None,
            tranche: None,
            milestone: None,
            stars: None,
            file: None,
            path: None,
        };
        match body {
            Some(record) => view.said(&record.draft.body),
            None => view.found(fact),
        }
    }

    fn words(self, raw: &Raw) -> Self {
        Self { text: raw.clean(Limit::BLOCK), ..self }
    }

    fn why(self, why: &str) -> Self {
        self.words(&Raw(why.to_owned()))
    }

    fn said(self, body: &Body) -> Self {
        match body {
            Body::Bid(bid) => Self { amount: Some(bid.terms.price), ..self.words(&bid.message) },
            Body::Decline { reason }
            | Body::Withdraw { reason }
            | Body::Cancel { reason }
            | Body::Reject { reason, .. } => self.words(reason),
            Body::Note { text } => self.words(text),
            Body::Rate { stars, comment } => Self { stars: Some(*stars), ..self.words(comment) },
            Body::Material(file) => Self { file: Some(file.name.clean(Limit::TITLE)), ..self },
            Body::Deliver(delivery) => Self {
                file: Some(delivery.name.clean(Limit::TITLE)),
                ..self.words(&delivery.message)
            },
            Body::Ready { tranche, .. } | Body::Bill { tranche, .. } => {
                Self { tranche: Some(*tranche), ..self }
            }
            Body::Audit { .. } | Body::Open { .. } => self,
            Body::Dispute { reason, .. }
            | Body::Objection { reason, .. }
            | Body::Ruling { reason, .. } => self.words(reason),
            Body::Award(_)
            | Body::Accept { .. }
            | Body::Settled { .. }
            | Body::Lock(_)
            | Body::Fund { .. }
            | Body::Funded { .. }
            | Body::Appoint { .. }
            | Body::Holding { .. }
            | Body::Lodge { .. }
            | Body::Lodged { .. } => self,
        }
    }

    fn found(self, fact: &Fact) -> Self {
        let (amount, tranche, fee) = match fact {
            Fact::Accepting { max_fee } | Fact::Funding { max_fee, .. } => {
                (None, None, Some(*max_fee))
            }
            Fact::Automated { most, .. } => (*most, None, None),
            Fact::Offered { invoice, .. } => (invoice.amount, None, None),
            Fact::Held { amount, .. } => (Some(*amount), None, None),
            Fact::Billed { tranche, invoice, lsp_fee } => {
                (invoice.amount, Some(*tranche), Some(*lsp_fee))
            }
            Fact::Paying { tranche, invoice, max_fee } => {
                (invoice.amount, Some(*tranche), Some(*max_fee))
            }
            Fact::Paid { tranche, fee, .. } => (None, Some(*tranche), Some(*fee)),
            Fact::Claiming { tranche, amount, .. }
            | Fact::Underpaid { tranche, amount, .. }
            | Fact::Received { tranche, amount, .. } => (Some(*amount), Some(*tranche), None),
            Fact::PayFailed { tranche, .. }
            | Fact::Opened { tranche, .. }
            | Fact::Cheated { tranche, .. }
            | Fact::Lost { tranche, .. } => (None, Some(*tranche), None),
            _ => (None, None, None),
        };
        let view = Self { amount, tranche, fee, ..self };
        match fact {
            Fact::Fetched { path, .. }
            | Fact::Opened { path, .. }
            | Fact::Exposed { path }
            | Fact::Proven { path } => Self { path: Some(path.clone()), ..view },
            Fact::Sealing { name, source, .. } => Self {
                file: Some(Raw(name.clone()).clean(Limit::TITLE)),
                path: Some(source.clone()),
                ..view
            },
            Fact::SealFailed { why } | Fact::Lapsed { what: why } => view.why(why),
            Fact::Refused { sentence, .. } => view.why(sentence),
            Fact::PayFailed { reason, .. } => view.why(reason),
            Fact::Returning { why, .. } => view.why(why),
            Fact::Automated { by, verb, .. } | Fact::ApprovalAsked { by, verb } => {
                view.why(&format!("{by}: {}", verb.word()))
            }
            Fact::Stuck { effect, why } => view.why(&format!("{effect}: {why}")),
            _ => view,
        }
    }

    /// What it says to a person who stands on the side of `me`: one sentence in our own words, without
    /// the text, which is the other side's.
    pub fn sentence(&self, me: Role) -> String {
        let who = match self.by {
            Some(role) if role == me => "You",
            Some(Role::Requester) => "The requester",
            Some(Role::Worker) => "The worker",
            None => "",
        };
        let amount = self.amount.map(|a| a.to_string()).unwrap_or_default();
        let fee = self.fee.map(|a| a.to_string()).unwrap_or_default();
        let part = match (self.milestone, self.tranche) {
            (Some(m), Some(t)) if t > 0 => format!(" (milestone {}, part {})", m + 1, t + 1),
            (Some(m), _) => format!(" (milestone {})", m + 1),
            (None, Some(t)) if t > 0 => format!(" (part {})", t + 1),
            _ => String::new(),
        };
        match self.kind.as_str() {
            "bid" => format!("{who} bid {amount}."),
            "award" => format!("{who} awarded the job."),
            "decline" => format!("{who} declined the bid."),
            "withdraw" => format!("{who} withdrew the bid."),
            "cancel" => format!("{who} cancelled the job."),
            "reject" => format!("{who} sent the delivery back."),
            "note" if self.by.is_none() => "The judge wrote:".to_owned(),
            "note" => format!("{who} wrote:"),
            "rate" => format!("{who} gave {} of 5 stars.", self.stars.unwrap_or_default()),
            "material" => format!("{who} sent a file."),
            "deliver" => format!("{who} delivered{part}."),
            "ready" => format!("{who} asked for the bill{part}."),
            "bill" => format!("{who} sent the bill{part}."),
            "accept" => format!("{who} opened the delivery and took it{part}."),
            "settled" => format!("{who} confirmed the payment{part}."),
            "lock" => format!("{who} chose the secret that the money will be locked with."),
            "fund" => format!("{who} sent the bill to lock the money with{part}."),
            "funded" => format!("{who} confirmed that the money is locked{part}."),
            "appoint" => format!("{who} asked a judge."),
            "lodge" => format!("{who} gave the judge a record."),
            "holding" => "The judge holds a copy of the secret.".to_owned(),
            "lodged" => "The judge was given a record in time.".to_owned(),
            "dispute" => format!("{who} called the judge:"),
            "objection" => format!("{who} objected:"),
            "ruling" => "The judge ruled:".to_owned(),
            "equivocation" => "The other side signed two records with one number.".to_owned(),
            "exposed" => "The proof that it signed two things at once is made.".to_owned(),
            "fetched" => "A file came, whole.".to_owned(),
            "sealing" => "Your delivery is being sealed.".to_owned(),
            "seal_failed" => "Your delivery could not be sealed. Nothing was sent.".to_owned(),
            "sealed" => "Your delivery is sealed.".to_owned(),
            "inspected" => "The delivery is here and is what was signed.".to_owned(),
            "refused" => "The delivery was refused before any payment.".to_owned(),
            "accepting" => format!("You accepted; at most {fee} for routing."),
            "billed" => format!("Your node made the bill over {amount}{part}."),
            "paying" => format!("{amount} went on their way{part}."),
            "pay_failed" => format!("The payment did not go through{part}. No money moved."),
            "paid" => format!("It is paid{part}, {fee} for routing. The key is here."),
            "opened" => format!("The delivery opened{part} and is what was signed."),
            "cheated" => format!("The paid key does not open what was signed{part}."),
            "proven" => "The fraud proof is made.".to_owned(),
            "damaged" => "The file on this disk was damaged: it is fetched again.".to_owned(),
            "offered" => format!("The bill to lock {amount} with is here."),
            "funding" => format!("You said to lock the money; at most {fee} for routing."),
            "held" => format!("{amount} are locked at your node. They are not yours yet."),
            "returning" => "The locked money goes back to the requester.".to_owned(),
            "returned" => "The locked money is back with the requester.".to_owned(),
            "claiming" => format!("{amount} are held for you{part} and being claimed."),
            "underpaid" => format!("Only {amount} came{part}: sent back."),
            "received" => format!("{amount} are yours{part}."),
            "lost" => format!("The payment died of age{part}: the requester has it back."),
            "lapsed" => "A deadline passed.".to_owned(),
            "resent_to_judge" => "What the judge has not answered was said again.".to_owned(),
            "automated" if self.amount.is_some() => {
                format!("Automation promised at most {amount} of its budget.")
            }
            "automated" => "Automation did it:".to_owned(),
            "approval_asked" => "Automation asks for your word:".to_owned(),
            "approved" => "You let automation do this job.".to_owned(),
            "resent" => "What was not answered was said again.".to_owned(),
            "stuck" => "Something did not work:".to_owned(),
            other => other.to_owned(),
        }
    }
}
