//! Inputs: everything that can happen to a job.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::market::{
    Address, Attachment, Audited, Billed, Body, Certificate, Checked, Digest, Effect, Escrow,
    Exposure, Finding, Gig, Holding, Invoice, Job, JudgeCertificate, Limits, Lock, Msat, NodeEvent,
    Nonce, PaymentHash, PaymentState, Phase, Preimage, Record, Role, Time, Verb,
};
use crate::seal::Manifest;

/// What the market may know of the world at one instant. The engine gathers it; nothing here is a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct World {
    /// Now.
    pub now: Time,
    /// What the node can send now.
    pub spendable: Msat,
    /// Slots of the gig that are not awarded.
    pub slots_left: u32,
    /// A payment hash in this input is in the ledger already, for anything else.
    pub hash_known: bool,
    /// The node's best block; 0 until it has said so.
    pub height: u32,
    /// What the other side may hold of ours: looked up where something is about to be agreed. Where money may move
    /// for what is agreed, only whether something is proven against them. Else no limit.
    pub limits: Limits,
    /// What is open with the other side, where something is about to be agreed.
    pub open: Exposure,
}

/// What a person, a bot or an agent asks of one job.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Requester: the job is yours. The engine has prepared what must be signed.
    Award(Box<AwardParts>),
    /// Requester: no.
    Decline {
        /// For a person.
        reason: String,
        /// For a session key of its own: a decline is signed by a key that stands for nothing.
        nonce: Nonce,
    },
    /// Worker: I take my bid back.
    Withdraw {
        /// For a person.
        reason: String,
    },
    /// Worker: here is the work.
    Deliver {
        /// A copy that nobody changes.
        source: PathBuf,
        /// Its bytes.
        size: u64,
        /// What it is called.
        name: String,
        /// For a person.
        message: String,
        /// Fresh.
        nonce: Nonce,
    },
    /// Requester: it is what I asked for; pay.
    Accept {
        /// The most to pay in routing fees.
        max_fee: Msat,
    },
    /// Requester, in escrow: lock the money.
    Fund {
        /// The most to pay in routing fees.
        max_fee: Msat,
        /// For the next lock, if one is needed.
        nonce: Nonce,
        /// H of the secret that this nonce gives.
        hash: PaymentHash,
        /// The listing of the judge that was agreed on, if there is one and it is here.
        judge: Option<Box<Gig>>,
    },
    /// Either, in escrow: call the judge.
    Dispute {
        /// For a person.
        reason: String,
    },
    /// Either, in escrow: what the other side says to the judge is not so.
    Object {
        /// For a person.
        reason: String,
    },
    /// Requester: ask for the audit again, that was not answered.
    Audit,
    /// Requester: it is not; deliver again.
    Reject {
        /// For a person.
        reason: String,
    },
    /// Either: let us stop here.
    Cancel {
        /// For a person.
        reason: String,
    },
    /// Either: words.
    Note {
        /// For a person.
        text: String,
    },
    /// Either: one to five for the other side.
    Rate {
        /// From 1 to 5.
        stars: u8,
        /// For a person.
        comment: String,
    },
    /// A person: automation may do this job at its price.
    Approve,
}

impl Ask {
    /// The verb that it is; `None` for what no front end asks.
    pub fn verb(&self) -> Option<Verb> {
        Some(match self {
            Self::Award(_) => Verb::Award,
            Self::Decline { .. } => Verb::Decline,
            Self::Withdraw { .. } => Verb::Withdraw,
            Self::Deliver { .. } => Verb::Deliver,
            Self::Accept { .. } => Verb::Accept,
            Self::Fund { .. } => Verb::Fund,
            Self::Reject { .. } => Verb::Reject,
            Self::Cancel { .. } => Verb::Cancel,
            Self::Dispute { .. } => Verb::Dispute,
            Self::Object { .. } => Verb::Object,
            Self::Note { .. } => Verb::Note,
            Self::Rate { .. } => Verb::Rate,
            Self::Approve => Verb::Approve,
            Self::Audit => return None,
        })
    }
}

/// What an award needs beyond the decision.
#[derive(Debug, Clone, PartialEq)]
pub struct AwardParts {
    /// What our session key is derived from.
    pub nonce: Nonce,
    /// Signed.
    pub certificate: Certificate,
    /// The channel's relays.
    pub relays: Vec<String>,
    /// Where we are.
    pub address: Address,
    /// The inputs and where our copies lie.
    pub inputs: Vec<(Attachment, PathBuf)>,
    /// SHA-256 of s_R.
    pub audit: Digest,
    /// What s_R is derived from.
    pub audit_nonce: Nonce,
    /// In escrow: the first lock.
    pub lock: Option<Lock>,
}

/// What became of an effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing to tell.
    Done,
    /// It cannot be done.
    Failed {
        /// Why.
        why: String,
    },
    /// A file is here.
    Fetched {
        /// Which.
        blob: Digest,
        /// Where.
        path: PathBuf,
    },
    /// A delivery is sealed.
    Sealed {
        /// What is committed to.
        manifest: Box<Manifest>,
        /// SHA-256 of each tranche's key; in mode direct, of the key that only makes the invoice ours.
        hashes: Vec<PaymentHash>,
        /// The ciphertext.
        blob: PathBuf,
        /// The vector file.
        vector: PathBuf,
        /// Bytes of the vector file.
        vector_size: u64,
        /// In escrow: the keys, which are delivered with it.
        keys: Vec<Preimage>,
    },
    /// Everything but the keys is as the manifest says.
    Inspected,
    /// It is not.
    Refused {
        /// Stable.
        code: String,
        /// For a person.
        sentence: String,
    },
    /// Worker: the keys of the sample.
    Revealed {
        /// Base64 of all of them, 32 bytes each.
        keys: String,
    },
    /// Requester: what the opened sample told.
    Audited {
        /// How much was seen.
        audited: Audited,
        /// Why the keys do not open what was promised, if they do not.
        wrong: Option<String>,
        /// What the checks said of the sample.
        results: Vec<Checked>,
    },
    /// Requester: what the checks said of an opened tranche.
    Checked {
        /// One or more a check.
        results: Vec<Checked>,
    },
    /// Judge: what the files say.
    Examined {
        /// It.
        finding: Finding,
    },
    /// An invoice is made.
    Billed {
        /// As made.
        billed: Billed,
        /// Decoded.
        invoice: Invoice,
        /// In escrow: the node's best block when it was made; else 0.
        #[serde(default)]
        height: u32,
    },
    /// What the node says of a payment by us.
    Payment {
        /// Which.
        hash: PaymentHash,
        /// How it stands.
        state: PaymentState,
    },
    /// What the node's channels show of a payment to us; `None` if nothing is held for it.
    Looked {
        /// Of which.
        hash: PaymentHash,
        /// What is there.
        holding: Option<Holding>,
    },
    /// A tranche opened.
    Opened {
        /// Where the plaintext lies.
        path: PathBuf,
        /// BLAKE3 of the whole, with the last tranche.
        digest: Option<Digest>,
    },
    /// A tranche did not open.
    Mismatch {
        /// The first chunk that shows it.
        chunk: u64,
    },
    /// A tranche could not be opened: the files here are not those that were inspected.
    Damaged,
    /// The proof lies here.
    Proven {
        /// JSON.
        path: PathBuf,
    },
}

impl Input {
    /// Whether by it money of ours may go to the other side for what is agreed already.
    pub fn may_pay(&self, job: &Job) -> bool {
        let waits = |escrow: &Escrow| job.phase == Phase::Awarded && escrow.wanted.is_some();
        job.role == Role::Requester
            && match self {
                Self::Ask(ask) => matches!(ask, Ask::Fund { .. } | Ask::Accept { .. }),
                Self::Heard { record, .. } => {
                    matches!(record.draft.body, Body::Bill { .. } | Body::Fund { .. })
                }
                // A hold invoice may wait for a block to be paid at.
                Self::Height(_) => job.escrow.as_ref().is_some_and(waits),
                _ => false,
            }
    }
}

/// Everything that can happen to a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Somebody asks.
    Ask(Ask),
    /// The other side speaks: a verified record of theirs, with the certificate inside an award and the
    /// decoded invoice inside a bill.
    Heard {
        /// Verified.
        record: Box<Record>,
        /// In an award: verified, and signed for this record's author.
        certificate: Option<Box<Certificate>>,
        /// In a bill: decoded; `None` if it does not decode.
        invoice: Option<Box<Invoice>>,
    },
    /// The judge speaks: a verified record of the case, with what is in it.
    Judged {
        /// Verified.
        record: Box<Record>,
        /// In a `holding`: verified, and signed for this record's author.
        certificate: Option<Box<JudgeCertificate>>,
        /// In a `lodged`: the record in it, verified by itself.
        inner: Option<Box<Record>>,
    },
    /// An effect was run.
    Done {
        /// Which effect.
        effect: Box<Effect>,
        /// What became of it.
        outcome: Box<Outcome>,
    },
    /// The node says.
    Node(NodeEvent),
    /// A block came: the node knows this height.
    Height(u32),
    /// Time passes: `now >= job.wake_at()`.
    Tick,
}
