//! Records: what two sides of a job say to each other, and the chains they form.
//!
//! A record is signed by its author's session key and only ever travels inside encryption
//! (PROTOCOL.md 3). The `wire` room turns one into a Nostr event of kind 3921 and back.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::market::{
    Address, Attachment, Digest, EndpointId, EventId, JobId, Lock, Msat, Network, NodeId, Nonce,
    PaymentHash, Preimage, Pubkey, Signature, Terms, Time,
};
use crate::seal::Manifest;
use crate::text::Raw;

/// Which side of a job.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Asks and pays.
    Requester,
    /// Works and is paid.
    Worker,
}

impl Role {
    /// The other side.
    pub fn other(self) -> Self {
        match self {
            Self::Requester => Self::Worker,
            Self::Worker => Self::Requester,
        }
    }
}

/// An identity's word that a session key speaks for it in one job (kind 3924, PROTOCOL.md 1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The identity that signed the certificate event.
    pub identity: Pubkey,
    /// The session key that it certifies.
    pub session: Pubkey,
    /// For which side.
    pub role: Role,
    /// With whom.
    pub counterparty: Pubkey,
    /// Hash of the canonical terms.
    pub terms: Digest,
    /// What the session key was derived from.
    pub nonce: Nonce,
    /// The Lightning node that is paid or pays.
    pub node: NodeId,
    /// The endpoint that serves and fetches.
    pub endpoint: EndpointId,
    /// Which chain.
    pub network: Network,
    /// The signed event itself, as JSON: evidence.
    pub event: String,
}

/// What a record says. Each body has one role that may author it ([`Body::author`]).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Body {
    /// Worker: I would do it, on these terms. First contact.
    Bid(Bid),
    /// Requester: no.
    Decline {
        /// Why, for a person.
        reason: Raw,
    },
    /// Requester: the job is yours. First contact to the bidder's session key.
    Award(Award),
    /// Worker: I take my bid back.
    Withdraw {
        /// Why, for a person.
        reason: Raw,
    },
    /// Either: a file for the job.
    Material(Attachment),
    /// Worker: the work, committed to.
    Deliver(Delivery),
    /// Requester: I hold all the ciphertext, bill me for this tranche.
    Ready {
        /// The `deliver` record it answers.
        manifest: EventId,
        /// Which tranche, from 0.
        tranche: u32,
    },
    /// Worker: the invoice for this tranche.
    Bill {
        /// The `deliver` record it bills.
        manifest: EventId,
        /// Which tranche, from 0.
        tranche: u32,
        /// BOLT 11.
        invoice: String,
    },
    /// Requester: it is what was asked; after verification, never before.
    Accept {
        /// The `deliver` record it accepts; in escrow, where x is given before there is one, the record
        /// that holds the lock.
        manifest: EventId,
        /// Where another milestone follows an audited one: what commits to the next audit seed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<NextSeed>,
        /// In escrow: x, which releases the money.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        x: Option<Preimage>,
        /// The requester's identity on the receipt of the job, if it gives one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<Signature>,
    },
    /// Requester: it is not.
    Reject {
        /// The `deliver` record it rejects.
        manifest: EventId,
        /// Why, for a person.
        reason: Raw,
        /// The seed of the next audit, once the last was revealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<NextSeed>,
    },
    /// Requester, in escrow: the money will be locked for this hash. The first stands in the award.
    Lock(Lock),
    /// Worker, in escrow: the hold invoice for the lock.
    Fund {
        /// Of which lock.
        attempt: u32,
        /// BOLT 11.
        invoice: String,
        /// P: the worker's tip and the window. Every height of the escrow is counted from it.
        height: u32,
    },
    /// Worker, in escrow: the money is held at my node, over a channel that the chain has confirmed.
    Funded {
        /// Of which lock.
        attempt: u32,
        /// The height from which it really goes back; not before P.
        deadline: u32,
    },
    /// Requester, to the judge's inbox: this is the job that you are asked to judge.
    Appoint {
        /// The signed bid.
        bid: String,
        /// The signed award.
        award: String,
        /// The signed record that holds the lock; absent where the award does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lock: Option<String>,
        /// The signed `fund`, which says P.
        fund: String,
        /// The signed `funded`.
        funded: String,
        /// The signed version of the listing that the bid is on, where it fits: relays keep the newest alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        listing: Option<String>,
        /// x.
        x: Preimage,
    },
    /// Judge, as a first contact to both sides: I hold x of this lock.
    Holding {
        /// H.
        hash: PaymentHash,
        /// The signed certificate event of the judge, as JSON.
        certificate: String,
        /// Where its endpoint is: evidence is handed over there.
        address: Address,
    },
    /// Either, to the judge: a signed record of this job, of either side.
    Lodge {
        /// The signed event, as JSON.
        record: String,
    },
    /// Judge, to both sides: this record was given to me at this height.
    Lodged {
        /// The signed event, as JSON: so that nobody can say it never came.
        record: String,
        /// The judge's tip.
        height: u32,
    },
    /// Requester: this is s_R; open the records that it draws. Once a delivery, before any `ready`.
    Audit {
        /// The `deliver` record whose sample is asked for.
        manifest: EventId,
        /// s_R, whose hash a_R was recorded before that delivery.
        seed: Preimage,
    },
    /// Worker: the keys of the sample.
    Open {
        /// The `deliver` record whose sample is opened.
        manifest: EventId,
        /// k_i of every chunk of the sample, in its order, 32 bytes each, together in base64.
        keys: String,
    },
    /// Either, to the judge: we do not agree.
    Dispute {
        /// The `deliver` record that it is about, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manifest: Option<EventId>,
        /// Why, for a person.
        reason: Raw,
        /// S_t, one a tranche, with which the judge opens the delivery by itself; absent where there is
        /// none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        secrets: Vec<Preimage>,
    },
    /// Either, to the judge: what the other side says is not so.
    Objection {
        /// The `dispute` record that it answers.
        dispute: EventId,
        /// Why, for a person.
        reason: Raw,
    },
    /// Judge: the end of a dispute.
    Ruling {
        /// The `dispute` record that it answers.
        dispute: EventId,
        /// x, if the worker is to be paid; without it the money goes back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        x: Option<Preimage>,
        /// Why, for a person.
        reason: Raw,
    },
    /// Either: let us stop here. In escrow, once the money is on its way: the requester asks the worker
    /// to send it back, and the worker does by saying the same.
    Cancel {
        /// Why, for a person.
        reason: Raw,
    },
    /// Worker: I was paid in full.
    Settled {
        /// The `deliver` record that was paid.
        manifest: EventId,
        /// The worker's identity on the receipt of the job, if it gives one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<Signature>,
    },
    /// Either: one to five for the other side.
    Rate {
        /// From 1 to 5.
        stars: u8,
        /// For a person.
        comment: Raw,
    },
    /// Either: words.
    Note {
        /// For a person.
        text: Raw,
    },
}

/// What commits to an audit seed before there is a delivery to draw from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextSeed {
    /// a_R = SHA-256(s_R).
    pub audit: Digest,
    /// What s_R is derived from.
    pub audit_nonce: Nonce,
}

/// The body of a bid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bid {
    /// The exact listing event it answers.
    pub gig: EventId,
    /// Complete.
    pub terms: Terms,
    /// The signed certificate event of the worker, as JSON.
    pub certificate: String,
    /// Where the award is read.
    pub relays: Vec<String>,
    /// Where the worker's endpoint is.
    pub address: Address,
    /// An award after this is late.
    pub valid_until: Time,
    /// The least first payment that the worker's node can receive.
    pub least_first: Msat,
    /// For a person.
    pub message: Raw,
}

/// The body of an award: it names the bid and adds only what is listed here (PROTOCOL.md 4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Award {
    /// The bid's record id.
    pub bid: EventId,
    /// The signed certificate event of the requester, as JSON.
    pub certificate: String,
    /// The relays of the channel.
    pub relays: Vec<String>,
    /// Where the requester's endpoint is.
    pub address: Address,
    /// The inputs, by hash.
    pub inputs: Vec<Attachment>,
    /// SHA-256 of the audit seed s_R.
    pub audit: Digest,
    /// What s_R was derived from.
    pub audit_nonce: Nonce,
    /// The first lock; there exactly in escrow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,
}

/// The body of a delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// What is committed to.
    pub manifest: Manifest,
    /// What the worker calls the file. Never used as a path.
    pub name: Raw,
    /// Bytes of the vector file.
    pub vector_size: u64,
    /// For a person.
    pub message: Raw,
    /// In escrow: the keys themselves, one a tranche, since the money is locked already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Preimage>,
}

impl fmt::Debug for Body {
    /// Only its kind and what it is about: no words of a stranger's, no invoice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bid(bid) => write!(f, "bid({:?}, {:?})", bid.gig, bid.terms),
            Self::Award(award) => write!(f, "award({:?})", award.bid),
            Self::Material(file) => write!(f, "material({:?}, {} bytes)", file.blob, file.size),
            Self::Deliver(delivery) => write!(f, "deliver({:?})", delivery.manifest),
            Self::Ready { manifest, tranche } | Self::Bill { manifest, tranche, .. } => {
                write!(f, "{}({manifest:?}, {tranche})", self.kind())
            }
            Self::Accept { manifest, .. }
            | Self::Reject { manifest, .. }
            | Self::Settled { manifest, .. } => write!(f, "{}({manifest:?})", self.kind()),
            Self::Rate { stars, .. } => write!(f, "rate({stars})"),
            Self::Lock(lock) => write!(f, "lock({}, {:?})", lock.attempt, lock.hash),
            Self::Fund { attempt, height, .. } => write!(f, "fund({attempt}, {height})"),
            Self::Funded { attempt, deadline } => write!(f, "funded({attempt}, {deadline})"),
            Self::Holding { hash, .. } => write!(f, "holding({hash:?})"),
            Self::Lodged { height, .. } => write!(f, "lodged({height})"),
            Self::Objection { dispute, .. } | Self::Ruling { dispute, .. } => {
                write!(f, "{}({dispute:?})", self.kind())
            }
            Self::Audit { manifest, .. } | Self::Open { manifest, .. } => {
                write!(f, "{}({manifest:?})", self.kind())
            }
            Self::Appoint { .. }
            | Self::Lodge { .. }
            | Self::Dispute { .. }
            | Self::Decline { .. }
            | Self::Withdraw { .. }
            | Self::Cancel { .. }
            | Self::Note { .. } => f.write_str(self.kind()),
        }
    }
}

impl Body {
    /// The name on the wire, and the `type` of the JSON form.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bid(_) => "bid",
            Self::Decline { .. } => "decline",
            Self::Award(_) => "award",
            Self::Withdraw { .. } => "withdraw",
            Self::Material(_) => "material",
            Self::Deliver(_) => "deliver",
            Self::Ready { .. } => "ready",
            Self::Bill { .. } => "bill",
            Self::Accept { .. } => "accept",
            Self::Reject { .. } => "reject",
            Self::Audit { .. } => "audit",
            Self::Open { .. } => "open",
            Self::Lock(_) => "lock",
            Self::Fund { .. } => "fund",
            Self::Funded { .. } => "funded",
            Self::Appoint { .. } => "appoint",
            Self::Holding { .. } => "holding",
            Self::Lodge { .. } => "lodge",
            Self::Lodged { .. } => "lodged",
            Self::Dispute { .. } => "dispute",
            Self::Objection { .. } => "objection",
            Self::Ruling { .. } => "ruling",
            Self::Cancel { .. } => "cancel",
            Self::Settled { .. } => "settled",
            Self::Rate { .. } => "rate",
            Self::Note { .. } => "note",
        }
    }

    /// The one role that may author it; `None` for either, and for what only a judge says
    /// ([`Body::is_judges`]). Both sides hold the channel's outer key, so the outer signature says nothing
    /// about who speaks (PROTOCOL.md 3).
    pub fn author(&self) -> Option<Role> {
        match self {
            Self::Bid(_)
            | Self::Withdraw { .. }
            | Self::Deliver(_)
            | Self::Bill { .. }
            | Self::Fund { .. }
            | Self::Funded { .. }
            | Self::Open { .. }
            | Self::Settled { .. } => Some(Role::Worker),
            Self::Decline { .. }
            | Self::Award(_)
            | Self::Ready { .. }
            | Self::Accept { .. }
            | Self::Lock(_)
            | Self::Audit { .. }
            | Self::Appoint { .. }
            | Self::Reject { .. } => Some(Role::Requester),
            Self::Material(_)
            | Self::Holding { .. }
            | Self::Lodge { .. }
            | Self::Lodged { .. }
            | Self::Dispute { .. }
            | Self::Objection { .. }
            | Self::Ruling { .. }
            | Self::Cancel { .. }
            | Self::Rate { .. }
            | Self::Note { .. } => None,
        }
    }

    /// Whether neither side of a job may author it, but the judge alone.
    pub fn is_judges(&self) -> bool {
        matches!(self, Self::Holding { .. } | Self::Lodged { .. } | Self::Ruling { .. })
    }

    /// The signature on the receipt of the job that it brings.
    pub fn receipt(&self) -> Option<Signature> {
        match self {
            Self::Accept { receipt, .. } | Self::Settled { receipt, .. } => *receipt,
            _ => None,
        }
    }

    /// The signed record that it hands on.
    pub fn inner(&self) -> Option<&str> {
        match self {
            Self::Lodge { record } | Self::Lodged { record, .. } => Some(record),
            _ => None,
        }
    }

    /// The hash that it would lock money under.
    pub fn lock(&self) -> Option<&Lock> {
        match self {
            Self::Lock(lock) => Some(lock),
            Self::Award(award) => award.lock.as_ref(),
            _ => None,
        }
    }
}

/// A record before it is signed: a body with its place in its author's chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// J; the bid's id in an award; `None` in a bid.
    pub job: Option<JobId>,
    /// The author's sequence number, from 0, counting first contacts.
    pub seq: u64,
    /// The author's previous record.
    pub prev: Option<EventId>,
    /// The last record seen from the other side: an acknowledgement.
    pub seen: Option<EventId>,
    /// The author's clock. Proves nothing.
    pub at: Time,
    /// What it says.
    pub body: Body,
}

/// A signed record, verified when it came from a stranger.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The event id.
    pub id: EventId,
    /// The session key that signed it.
    pub author: Pubkey,
    /// What was signed.
    pub draft: Draft,
    /// The signed event itself, as JSON: evidence.
    pub event: String,
}

impl fmt::Debug for Record {
    /// Not the event: it holds the body in full.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("id", &self.id)
            .field("author", &self.author)
            .field("draft", &self.draft)
            .finish_non_exhaustive()
    }
}
