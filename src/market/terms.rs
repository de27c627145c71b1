//! Terms: what a listing offers, what a bid binds itself to, and their limits.
//!
//! A listing can be replaced by its author at any moment, so nothing is ever agreed by pointing at
//! one: a bid carries the complete [`Terms`], and the certificates of both sides commit to their hash.

use serde::{Deserialize, Serialize};

use crate::market::{
    Digest, EndpointId, EscrowTerms, EventId, Milestone, Msat, Pubkey, Quality, Span, Time,
};
use crate::text::Raw;

/// Which chain the money is on. Regtest is the sandbox.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Real money.
    Bitcoin,
    /// The signed test network.
    Signet,
    /// Testnet 3.
    Testnet,
    /// A local chain.
    Regtest,
}

/// What is asked for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// A file is delivered.
    File,
    /// A batch of items is labelled.
    Label,
    /// Units flow and are metered.
    Meter,
    /// Disputes are judged.
    Judge,
}

/// How the money moves (PROTOCOL.md 5 and 6).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The key that opens the delivery is the payment preimage.
    Sealed,
    /// Delivered in the open, paid on acceptance.
    Direct,
    /// Locked at the worker's own node before the work, released by the requester.
    Escrow,
}

impl Mode {
    /// As written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Direct => "direct",
            Self::Escrow => "escrow",
        }
    }
}

/// Whether the author of a listing wants work or offers it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Work is wanted.
    Request,
    /// Work is offered.
    Service,
}

/// The `s` tag of a listing. Never proof of anything.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Takes bids.
    Open,
    /// Every slot is awarded.
    Reserved,
    /// Takes no more bids.
    Closed,
}

/// Where first contacts for one listing are read: a fresh key and one to three relays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbox {
    /// The key that first contacts are wrapped to.
    pub key: Pubkey,
    /// `ws://` or `wss://` URLs.
    pub relays: Vec<String>,
}

/// How long each phase may take. What happens at the end of each is in [`crate::market::Job::wake_at`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadlines {
    /// From the award to a delivery.
    pub deliver: Span,
    /// From a delivery to its payment.
    pub pay: Span,
}

/// What a listing offers: its `terms` tag, canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// The version of this structure: 1.
    pub v: u32,
    /// What is asked for.
    pub work: Work,
    /// Settlement modes the author agrees to, the preferred first.
    pub modes: Vec<Mode>,
    /// How many workers are wanted.
    pub slots: u32,
    /// The price of one slot, in msat.
    pub price: Msat,
    /// The largest deliverable, in bytes.
    pub max_bytes: u64,
    /// Deadlines.
    pub deadlines: Deadlines,
    /// How an escrow would be; there exactly when the modes name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escrow: Option<EscrowTerms>,
    /// Proof of work asked of a first contact: leading zero bits (NIP-13).
    pub pow: u8,
    /// Where bids are read.
    pub inbox: Inbox,
    /// What a delivery is held against.
    #[serde(default, skip_serializing_if = "Quality::is_none")]
    pub quality: Quality,
    /// The parts that it is done in; one alone where empty. What stands beside them follows from them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub milestones: Vec<Milestone>,
    /// Input files, given to whoever is awarded: what they are, before anyone commits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Attachment>,
}

/// A file named by what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// Plain BLAKE3 of the file.
    pub blob: Digest,
    /// Bytes.
    pub size: u64,
    /// What its owner calls it. Never used as a path: see [`crate::text::file_name`].
    pub name: Raw,
}

/// A gig as its author published it: one version of one NIP-99 listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gig {
    /// The event that said so.
    pub id: EventId,
    /// Who.
    pub author: Pubkey,
    /// The `d` tag: with the author it names the listing across its versions.
    pub d: String,
    /// `created_at` of this version.
    pub at: Time,
    /// `published_at` of the first version.
    pub published_at: Time,
    /// One line.
    pub title: Raw,
    /// A few lines.
    pub summary: Raw,
    /// Markdown.
    pub content: Raw,
    /// Hashtags, lower case.
    pub tags: Vec<String>,
    /// Wanted or offered.
    pub side: Side,
    /// Whether it takes bids, by its author's word.
    pub status: Status,
    /// Which chain.
    pub network: Network,
    /// No bids after this.
    pub expires_at: Time,
    /// The machine-readable part.
    pub offer: Offer,
}

impl Gig {
    /// What names the listing across its versions, in a form that holds no text of a stranger's: a hash of
    /// author and `d` tag.
    pub fn listing(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("earnest/v1/listing");
        hasher.update(&self.author.0);
        hasher.update(self.d.as_bytes());
        Digest(*hasher.finalize().as_bytes())
    }

    /// Of all that its offer asks, to the byte of every check and every input; not of where bids are read.
    pub fn asks(&self) -> Digest {
        let mut offer = self.offer.clone();
        offer.inbox = Inbox { key: Pubkey([0; 32]), relays: Vec::new() };
        // A structure of ours has no way not to be written.
        let written = serde_json::to_vec(&offer).unwrap_or_default();
        Digest(blake3::derive_key("earnest/v1/gig-asks", &written))
    }

    /// What an owner that does not say it asks: no gig does.
    pub fn unsaid() -> Digest {
        Digest([0; 32])
    }
}

/// The complete terms of one job: what a bid offers and an award accepts, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The version of this structure: 1.
    pub v: u32,
    /// What is asked for.
    pub work: Work,
    /// How the money moves.
    pub mode: Mode,
    /// What the requester pays, in msat.
    pub price: Msat,
    /// In how many equal tranches.
    pub tranches: u32,
    /// The largest deliverable, in bytes.
    pub max_bytes: u64,
    /// Deadlines.
    pub deadlines: Deadlines,
    /// What a delivery is held against, without the bodies of checks.
    #[serde(default, skip_serializing_if = "Quality::is_none")]
    pub quality: Quality,
    /// Which chain.
    pub network: Network,
    /// The escrow; there exactly in that mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escrow: Option<EscrowTerms>,
    /// The parts that it is done in; one alone where empty. Beside them stand the price of all and the first
    /// one's mode, tranches, deadlines and escrow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub milestones: Vec<Milestone>,
}

/// Where an endpoint can be reached. Travels encrypted only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// Whose.
    pub endpoint: EndpointId,
    /// `ip:port`, at most eight.
    pub direct: Vec<String>,
    /// An iroh relay, if its owner configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
}
