//! Facts: the append-only vocabulary of a log. A job is the fold of its facts and of nothing else.
//!
//! Rules of change: a released fact keeps its meaning for ever; a new field is an `Option` or has a
//! default; a log with a fact that is not known is refused, never guessed at.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::market::{
    Actor, Attachment, Audited, CaseBegins, Certificate, Checked, Digest, EventId, Finding, Gig,
    Invoice, JobId, JudgeCertificate, JudgeDoor, Msat, Nonce, PaymentHash, Preimage, Record, Role,
    Verb,
};

/// The version of the form that [`Fact`] has now.
pub const FACT_VERSION: u32 = 1;

/// One thing that is so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// The log of a job begins: a bid was made or heard.
    Bid {
        /// Which side we are on.
        role: Role,
        /// The signed bid.
        record: Record,
        /// The worker's certificate.
        certificate: Certificate,
        /// The listing version that it answers.
        gig: Box<Gig>,
        /// What our session key is derived from; `None` for a requester who has not awarded.
        nonce: Option<Nonce>,
        /// The automated actor that made it; `None` for a person, and for a bid of somebody else's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Actor>,
    },
    /// The bid was accepted: J is known.
    Awarded {
        /// The signed award.
        record: Record,
        /// The requester's certificate.
        certificate: Certificate,
        /// What the requester's session key is derived from; `None` at the worker.
        nonce: Option<Nonce>,
        /// J.
        job: JobId,
        /// Where the requester's own copies of the inputs lie; empty at the worker.
        paths: Vec<PathBuf>,
    },
    /// We said this in the job's channel, or as a first contact.
    Said {
        /// Signed.
        record: Record,
    },
    /// They said this.
    Heard {
        /// Verified.
        record: Record,
    },
    /// They signed two records with one sequence number. Evidence; changes nothing else.
    Equivocation {
        /// The second one.
        record: Record,
    },
    /// The proof that they signed two things that cannot both stand.
    Exposed {
        /// Where it lies, JSON.
        path: PathBuf,
    },
    /// A file of theirs lies here, whole and verified.
    Fetched {
        /// Which.
        blob: Digest,
        /// Where.
        path: PathBuf,
    },
    /// Worker: a delivery is being sealed. On disk before any key of it is published.
    Sealing {
        /// From 0.
        number: u32,
        /// What the tranche keys are derived from.
        nonce: Nonce,
        /// The file, copied so that nobody changes it.
        source: PathBuf,
        /// What the worker calls it.
        name: String,
        /// For a person.
        message: String,
    },
    /// Worker: sealing failed for good.
    SealFailed {
        /// Why.
        why: String,
    },
    /// Worker: the sealed files lie here.
    Sealed {
        /// The ciphertext.
        blob: PathBuf,
        /// The vector file.
        vector: PathBuf,
        /// BLAKE3 of the ciphertext.
        blob_hash: Digest,
        /// Its bytes.
        blob_size: u64,
        /// BLAKE3 of the vector file.
        vector_hash: Digest,
        /// Its bytes.
        vector_size: u64,
        /// One payment hash a tranche.
        hashes: Vec<PaymentHash>,
    },
    /// Requester: everything but the keys is here and is what the manifest says.
    Inspected,
    /// Requester: the worker opened the sample, and this is what it told.
    Audited {
        /// How much was seen.
        audited: Audited,
        /// What the checks said of the sample.
        results: Vec<Checked>,
    },
    /// Requester: the checks of the terms were run on an opened tranche.
    Checked {
        /// Which tranche.
        tranche: u32,
        /// What they said.
        results: Vec<Checked>,
    },
    /// Requester: the delivery was refused before any payment.
    Refused {
        /// Stable.
        code: String,
        /// For a person.
        sentence: String,
    },
    /// Requester: a person or policy says pay. The worker is asked for the bill.
    Accepting {
        /// The most to pay in routing fees, for each tranche.
        max_fee: Msat,
    },
    /// Worker: an invoice was made.
    Billed {
        /// For which tranche.
        tranche: u32,
        /// Decoded.
        invoice: Invoice,
        /// What the LSP will keep.
        lsp_fee: Msat,
    },
    /// Requester: this will be paid. In the ledger before the node is asked.
    Paying {
        /// For which tranche.
        tranche: u32,
        /// Decoded and checked.
        invoice: Invoice,
        /// The most to pay in routing fees.
        max_fee: Msat,
    },
    /// Requester: it was not paid, and no HTLC is left.
    PayFailed {
        /// For which tranche.
        tranche: u32,
        /// Why.
        reason: String,
    },
    /// Requester: it was paid, and this is the key.
    Paid {
        /// For which tranche.
        tranche: u32,
        /// The ledger's key.
        hash: PaymentHash,
        /// The tranche key.
        preimage: Preimage,
        /// Routing fees.
        fee: Msat,
    },
    /// Requester: the tranche opened, and every chunk is what was committed to.
    Opened {
        /// Which tranche.
        tranche: u32,
        /// Where the plaintext lies; complete when it is the last.
        path: PathBuf,
        /// BLAKE3 of the whole plaintext, with the last tranche.
        digest: Option<Digest>,
    },
    /// Requester: this disk lost or changed the delivery after it was inspected. It is fetched again; the key
    /// that was paid for is kept.
    Damaged,
    /// Requester: a paid key does not open what the worker signed.
    Cheated {
        /// Which tranche.
        tranche: u32,
        /// The first chunk that shows it.
        chunk: u64,
    },
    /// Requester: the proof of it.
    Proven {
        /// Where it lies, JSON.
        path: PathBuf,
    },
    /// Worker: the payment is held at our node and is being claimed.
    Claiming {
        /// For which tranche.
        tranche: u32,
        /// The ledger's key.
        hash: PaymentHash,
        /// What arrived.
        amount: Msat,
        /// Lost after this height.
        deadline: Option<u32>,
    },
    /// Requester, in escrow: the worker's hold invoice, decoded.
    Offered {
        /// Of which lock.
        attempt: u32,
        /// Not checked yet.
        invoice: Invoice,
        /// P.
        height: u32,
    },
    /// Requester, in escrow: a person or policy says lock the money.
    Funding {
        /// The most to pay in routing fees.
        max_fee: Msat,
        /// Where the judge that was agreed on takes cases.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        judge: Option<JudgeDoor>,
    },
    /// In escrow: we said this to the judge.
    ToJudge {
        /// Signed, of the case's chain.
        record: Record,
    },
    /// In escrow: the judge said this.
    FromJudge {
        /// Verified.
        record: Record,
        /// In a `holding`: the judge's certificate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        certificate: Option<JudgeCertificate>,
        /// In a `lodged`: the record that was lodged, verified.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inner: Option<Box<Record>>,
    },
    /// In escrow: what the judge has not answered was said to it again.
    ResentToJudge,
    /// Worker, in escrow: the payment is held at our node.
    Held {
        /// Of which lock.
        attempt: u32,
        /// The ledger's key.
        hash: PaymentHash,
        /// What arrived.
        amount: Msat,
        /// It goes back from this height.
        deadline: u32,
    },
    /// In escrow: the worker's node sends the payment back. At the worker, the decision, before the node
    /// is asked; at the requester, what the height says. No secret is taken any more.
    Returning {
        /// The ledger's key.
        hash: PaymentHash,
        /// Why.
        why: String,
        /// Whether the job ends with it; else the money can be locked once more.
        ends: bool,
    },
    /// Worker, in escrow: the node holds it no more.
    Returned {
        /// The ledger's key.
        hash: PaymentHash,
    },
    /// Worker: less arrived than was billed; it goes back.
    Underpaid {
        /// For which tranche.
        tranche: u32,
        /// The ledger's key.
        hash: PaymentHash,
        /// What arrived.
        amount: Msat,
    },
    /// Worker: the money is ours.
    Received {
        /// For which tranche.
        tranche: u32,
        /// The ledger's key.
        hash: PaymentHash,
        /// What arrived.
        amount: Msat,
    },
    /// Worker: the held payment died of age before the claim took. The key was not given away.
    Lost {
        /// For which tranche.
        tranche: u32,
        /// The ledger's key.
        hash: PaymentHash,
    },
    /// A deadline passed.
    Lapsed {
        /// Which, in words.
        what: String,
    },
    /// What we said last was not acknowledged, and was said again.
    Resent,
    /// An effect was given up. For a person.
    Stuck {
        /// Which.
        effect: String,
        /// Why.
        why: String,
    },

    /// Judge: the log of a case begins.
    Appointed(Box<CaseBegins>),
    /// Judge: one side brought this.
    Brought {
        /// Verified, of the case's chain.
        record: Record,
        /// In a `lodge`: the record in it, verified.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inner: Option<Box<Record>>,
    },
    /// Judge: what the files say.
    Examined(Finding),
    /// An automated actor asked for what follows, within the budget.
    Automated {
        /// Who.
        by: Actor,
        /// What.
        verb: Verb,
        /// What the job may cost in all from now on, fees included; `None` where no money is promised.
        most: Option<Msat>,
    },
    /// An automated actor asked for what needs a person's word.
    ApprovalAsked {
        /// Who.
        by: Actor,
        /// What.
        verb: Verb,
    },
    /// A person said that automation may do this job at its price.
    Approved,
    /// The log of the kill switch: automation is stopped.
    Halted {
        /// Why, by whoever stopped it.
        why: String,
    },
    /// The log of the kill switch: automation may go on.
    Resumed,

    /// The log of a gig of ours begins.
    Posted {
        /// As published.
        gig: Box<Gig>,
        /// The signed listing.
        event: String,
        /// What the listing's inbox key is derived from.
        nonce: Nonce,
        /// Where our own copies of its inputs lie.
        paths: Vec<(Attachment, PathBuf)>,
        /// The automated actor that published it; `None` for a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Actor>,
        /// What makes it one gig however often it is asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// A gig of ours was published again, with another status.
    Revised {
        /// As published.
        gig: Box<Gig>,
        /// The signed listing.
        event: String,
    },
}

impl Fact {
    /// Its name, as in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bid { .. } => "bid",
            Self::Awarded { .. } => "awarded",
            Self::Said { .. } => "said",
            Self::Heard { .. } => "heard",
            Self::Equivocation { .. } => "equivocation",
            Self::Exposed { .. } => "exposed",
            Self::Fetched { .. } => "fetched",
            Self::Sealing { .. } => "sealing",
            Self::SealFailed { .. } => "seal_failed",
            Self::Sealed { .. } => "sealed",
            Self::Inspected => "inspected",
            Self::Audited { .. } => "audited",
            Self::Checked { .. } => "checked",
            Self::Refused { .. } => "refused",
            Self::Accepting { .. } => "accepting",
            Self::Billed { .. } => "billed",
            Self::Paying { .. } => "paying",
            Self::PayFailed { .. } => "pay_failed",
            Self::Paid { .. } => "paid",
            Self::Opened { .. } => "opened",
            Self::Damaged => "damaged",
            Self::Cheated { .. } => "cheated",
            Self::Proven { .. } => "proven",
            Self::Claiming { .. } => "claiming",
            Self::Offered { .. } => "offered",
            Self::Funding { .. } => "funding",
            Self::Held { .. } => "held",
            Self::Returning { .. } => "returning",
            Self::Returned { .. } => "returned",
            Self::Underpaid { .. } => "underpaid",
            Self::Received { .. } => "received",
            Self::Lost { .. } => "lost",
            Self::Lapsed { .. } => "lapsed",
            Self::Resent => "resent",
            Self::Stuck { .. } => "stuck",
            Self::ToJudge { .. } => "to_judge",
            Self::FromJudge { .. } => "from_judge",
            Self::ResentToJudge => "resent_to_judge",
            Self::Appointed(_) => "appointed",
            Self::Brought { .. } => "brought",
            Self::Examined(_) => "examined",
            Self::Automated { .. } => "automated",
            Self::ApprovalAsked { .. } => "approval_asked",
            Self::Approved => "approved",
            Self::Halted { .. } => "halted",
            Self::Resumed => "resumed",
            Self::Posted { .. } => "posted",
            Self::Revised { .. } => "revised",
        }
    }
}

/// The id of one event of a log, for people: `job:n`.
pub fn fact_id(log: &EventId, n: u64) -> String {
    format!("{}:{n}", log.short())
}
