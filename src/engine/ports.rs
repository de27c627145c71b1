//! Ports: what the engine asks of the world, in the market's words. Each adapter implements one.
//!
//! Three words for failure: the market says no is a `Refusal`; the world failed is a [`Fault`];
//! a bug or a start that cannot be is an `anyhow::Error`.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::market::{
    Address, Certificate, CoSigned, Digest, Draft, EndpointId, EventId, Gig, Holding, Invoice,
    JobId, JobReceipt, JudgeCertificate, Msat, Network, NodeId, Nonce, PaymentHash, Preimage,
    Pubkey, Record, Role, Signature, Terms, Testimony, Time,
};

pub use crate::market::Purpose;
pub use crate::market::{BillOrder, Billed, FetchOrder, Grant, NodeEvent, PayOrder, PaymentState};

/// The world failed. Every effect is safe to run again, so `Later` is never a loss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Fault {
    /// May work later; nothing happened, or the same thing will happen once.
    #[error("{0}")]
    Later(String),
    /// Will not work however often it is tried.
    #[error("{0}")]
    Never(String),
}

/// The clock.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Time;
}

/// The dice.
pub trait Dice: Send + Sync {
    /// Thirty-two fresh random bytes.
    fn nonce(&self) -> Nonce;
}

// ---------------------------------------------------------------- keys and wire

/// What a certificate is asked to say; the scribe adds identity and signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateDraft {
    /// For which side.
    pub role: Role,
    /// With whom.
    pub counterparty: Pubkey,
    /// The terms; their canonical hash goes in.
    pub terms: Terms,
    /// The session key is derived from it.
    pub nonce: Nonce,
    /// Our node.
    pub node: NodeId,
    /// Our endpoint.
    pub endpoint: EndpointId,
    /// When.
    pub at: Time,
}

/// What a judge's certificate is asked to say; the scribe adds identity and signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JudgeDraft {
    /// The requester's identity.
    pub requester: Pubkey,
    /// The worker's identity.
    pub worker: Pubkey,
    /// J.
    pub job: JobId,
    /// Hash of the canonical terms.
    pub terms: Digest,
    /// The session key is derived from it.
    pub nonce: Nonce,
    /// Our endpoint.
    pub endpoint: EndpointId,
    /// Which chain.
    pub network: Network,
    /// When.
    pub at: Time,
}

/// A signed Nostr event, ready to publish, as JSON.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireEvent {
    /// Its id.
    pub id: EventId,
    /// The JSON form of NIP-01.
    pub json: String,
}

impl fmt::Debug for WireEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WireEvent({}, {} bytes)", self.id, self.json.len())
    }
}

/// What a stranger's first contact turned out to be, after proof of work, size, decryption and
/// every signature inside were checked.
#[derive(Debug, Clone, PartialEq)]
pub struct FirstContact {
    /// The signed record: a bid, an award, a decline, a withdraw, an appointment or a judge's `holding`.
    pub record: Record,
    /// The certificate inside a bid or an award, verified: its identity signed it for this record's
    /// author. `None` for a decline or a withdraw.
    pub certificate: Option<Certificate>,
    /// The judge's certificate inside a `holding`, verified: its identity signed it for this record's author.
    pub judge: Option<JudgeCertificate>,
    /// The canonical hash of the bid's terms. `None` unless it is a bid.
    pub terms: Option<Digest>,
}

/// Why an event was not taken. Stable code and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{sentence}")]
pub struct Unreadable {
    /// Stable, kebab-case: `too-large`, `bad-signature`, `no-proof-of-work`, `unknown-version`...
    pub code: String,
    /// For a person.
    pub sentence: String,
}

/// The scribe holds the keys: it signs, seals and opens. No secret ever leaves it but a
/// [`Preimage`] or a tranche key that the job needs at that moment.
pub trait Scribe: Send + Sync {
    /// The user's Nostr identity.
    fn identity(&self) -> Pubkey;
    /// The public session key of this nonce.
    fn session(&self, nonce: &Nonce) -> Pubkey;
    /// The public inbox key of this nonce (a listing's own inbox).
    fn inbox(&self, nonce: &Nonce) -> Pubkey;
    /// Hash of the canonical terms.
    fn terms_hash(&self, terms: &Terms) -> Digest;

    /// Signs a certificate with the identity (kind 3924).
    fn certify(&self, draft: &CertificateDraft) -> Result<Certificate, Fault>;
    /// Answers a relay's challenge in the name of one of our keys (NIP-42, kind 22242).
    fn log_in(&self, reader: &WrapKey, challenge: &str, relay: &str) -> Result<WireEvent, Fault>;
    /// Signs a judge's certificate with the identity (kind 3924).
    fn certify_judge(&self, draft: &JudgeDraft) -> Result<JudgeCertificate, Fault>;
    /// Reads a record that stands inside another: by itself, whoever wrote it.
    fn read_record(&self, event: &str) -> Result<Record, Unreadable>;
    /// Checks a certificate event: kind, signature, every field.
    fn read_certificate(&self, event: &str) -> Result<Certificate, Unreadable>;
    /// Signs a record with the session key of `nonce` (kind 3921).
    fn sign(&self, nonce: &Nonce, draft: &Draft) -> Result<Record, Fault>;
    /// Signs a listing with the identity (kind 30402), closed or open; refuses one over size.
    fn listing(&self, gig: &Gig) -> Result<WireEvent, Fault>;

    /// Wraps a first contact (NIP-59) to `to`, with `pow` leading zero bits (NIP-13). Takes seconds
    /// above 20 bits: never on the engine's loop.
    fn wrap(
        &self,
        nonce: &Nonce,
        record: &Record,
        to: &Pubkey,
        pow: u8,
        now: Time,
    ) -> Result<WireEvent, Fault>;
    /// Puts a record into the job's channel (kind 3920).
    fn post(&self, channel: &Channel, record: &Record, now: Time) -> Result<WireEvent, Fault>;
    /// The author that the channel's outer events carry: pub(K_sign).
    fn channel_author(&self, channel: &Channel) -> Pubkey;

    /// Reads a listing event (already verified): kind, tags, limits, terms.
    fn read_listing(&self, event: &str) -> Result<Gig, Unreadable>;
    /// Opens a gift wrap addressed to `to`, which is a session key or an inbox key of ours.
    fn open_wrap(&self, to: &WrapKey, event: &str, pow: u8) -> Result<FirstContact, Unreadable>;
    /// Opens a channel event and verifies the record inside: its author must be one of the two
    /// session keys of the channel.
    fn open_post(&self, channel: &Channel, event: &str) -> Result<Record, Unreadable>;

    /// Decodes a BOLT 11 invoice and checks its signature.
    fn read_invoice(&self, text: &str) -> Result<Invoice, Unreadable>;

    /// The tranche key K_t of a delivery: HKDF(seed, tag with t, nonce). It is the preimage of h_t.
    fn tranche_key(&self, nonce: &Nonce, tranche: u32) -> Preimage;
    /// S: the secret both sides of the channel share, from which every S_t follows.
    fn shared_secret(&self, channel: &Channel) -> SharedSecret;
    /// x of an escrow's lock: HKDF(seed, tag, nonce). It is the preimage of H.
    fn escrow_key(&self, nonce: &Nonce) -> Preimage;
    /// The audit seed s_R of an award.
    fn audit_seed(&self, nonce: &Nonce) -> Preimage;

    /// The event (kind 3922) that publishes a proof against somebody.
    fn proof_event(&self, proof: &str, against: &Pubkey, now: Time) -> Result<WireEvent, Fault>;
    /// The payment hash as a receipt of this channel's job names it.
    fn salted(&self, channel: &Channel, hash: &PaymentHash) -> Digest;
    /// Our identity's signature on a receipt.
    fn cosign(&self, receipt: &JobReceipt) -> Result<Signature, Fault>;
    /// The event (kind 3923) that publishes a receipt. `Never` unless both signatures are good.
    fn receipt_event(&self, signed: &CoSigned) -> Result<WireEvent, Fault>;
    /// A receipt or a proof as somebody hands it over, everything in it verified.
    fn read_testimony(&self, json: &str) -> Result<Testimony, Unreadable>;
    /// Whom the author of a contact list (kind 3, NIP-02) follows.
    fn read_follows(&self, json: &str) -> Result<Vec<Pubkey>, Unreadable>;
}

/// Which of our keys a wrap was addressed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WrapKey {
    /// A listing's inbox.
    Inbox(Nonce),
    /// A job's session key.
    Session(Nonce),
}

/// A job's private channel: our session key, theirs, and J (PROTOCOL.md 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// What our session key was derived from.
    pub nonce: Nonce,
    /// Their session key.
    pub peer: Pubkey,
    /// The job.
    pub job: JobId,
}

/// Thirty-two bytes that two sides share. Never shown.
#[derive(Clone, PartialEq, Eq, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct SharedSecret(pub [u8; 32]);

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(..)")
    }
}

// ---------------------------------------------------------------- relays

/// One standing question to relays. The adapter keeps it asked, whatever the relays do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subscription {
    /// What is wanted.
    pub want: Want,
    /// Where; the configured relays when empty.
    pub relays: Vec<String>,
    /// Events from here on; the adapter asks for them all, by pages.
    pub since: Time,
    /// Whose they are to read: a relay that serves them to nobody else is shown this key (NIP-42).
    pub reader: Option<WrapKey>,
}

/// What a subscription wants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// The market's listings (kinds 30402 with `y` = earnest and `n` = this network).
    Listings(Network),
    /// Gift wraps addressed to this key (kind 1059, `#p`).
    Wraps(Pubkey),
    /// Channel events by this author (kind 3920).
    Channel(Pubkey),
    /// Receipts of this person and proofs against it (kinds 3922 and 3923, `#p`).
    About(Pubkey),
    /// Whom this person follows (kind 3).
    Follows(Pubkey),
}

/// An event from a relay: size and signature already verified, id recomputed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayEvent {
    /// Which relay gave it first.
    pub relay: String,
    /// The event's id.
    pub id: EventId,
    /// Its kind.
    pub kind: u16,
    /// Its author.
    pub author: Pubkey,
    /// The key in its `p` tag, if it has exactly one.
    pub to: Option<Pubkey>,
    /// Its `created_at`.
    pub at: Time,
    /// The JSON form of NIP-01, re-serialised.
    pub json: String,
}

/// What became of an event at the relays it was meant for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Relays that said OK, or that it is a duplicate.
    pub accepted: Vec<String>,
    /// Relays that will never take it, and why.
    pub refused: Vec<(String, String)>,
    /// Relays that did not answer.
    pub silent: Vec<String>,
}

/// How one relay is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RelayHealth {
    /// Its URL.
    pub url: String,
    /// Whether the socket is open.
    pub connected: bool,
    /// Whether every subscription there has reached the end of what is stored and stands.
    pub live: bool,
    /// The last thing that went wrong, if anything did since it last worked.
    pub trouble: Option<String>,
    /// When it last said anything.
    pub heard_at: Option<Time>,
    /// When it last took an event of ours.
    #[serde(default)]
    pub took_at: Option<Time>,
    /// Milliseconds from that event to its `OK`.
    #[serde(default)]
    pub latency_ms: Option<u64>,
    /// What it says it takes; `None` when it says nothing or was not asked.
    #[serde(default)]
    pub limits: Option<RelayLimits>,
}

/// What a relay says of itself (NIP-11, `limitation`). What it does not state is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RelayLimits {
    /// Bytes of a whole message.
    pub max_message: Option<u64>,
    /// Unicode characters of an event's content.
    pub max_content: Option<u64>,
    /// Tags of an event.
    pub max_tags: Option<u64>,
    /// Leading zero bits of an event's id (NIP-13).
    pub min_pow: Option<u64>,
    /// Events in one answer.
    pub max_answer: Option<u64>,
    /// Only those who paid may do anything.
    pub payment_required: bool,
}

/// The relays.
#[async_trait]
pub trait Relays: Send + Sync {
    /// Replaces the set of standing questions.
    async fn watch(&self, subscriptions: Vec<Subscription>);
    /// The next event; waits for one. Repeats are possible and harmless.
    async fn next(&self) -> RelayEvent;
    /// Publishes to these relays (the configured ones when empty) and waits for their answers, a
    /// bounded time. `Later` unless at least one accepted; `Never` if every one refused for good.
    async fn publish(&self, event: &WireEvent, relays: &[String]) -> Result<Published, Fault>;
    /// How each relay is doing.
    async fn health(&self) -> Vec<RelayHealth>;
}

// ---------------------------------------------------------------- lightning

/// What the node has, said honestly.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Balances {
    /// Confirmed coins on the chain that can be spent now.
    pub onchain_spendable: Msat,
    /// All coins on the chain, unconfirmed and anchor reserve included.
    pub onchain_total: Msat,
    /// Our side of all channels, reserve included.
    pub lightning_total: Msat,
    /// What can be sent over Lightning now.
    pub lightning_spendable: Msat,
    /// What can be received over existing channels now.
    pub lightning_receivable: Msat,
    /// Incoming HTLCs that wait for a preimage.
    pub held_incoming: Msat,
    /// Coins on their way back from closed channels.
    pub closing: Msat,
}

/// The node at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NodeStatus {
    /// Its id.
    pub node: NodeId,
    /// Whether it runs and has seen a block lately.
    pub running: bool,
    /// Best block height it knows.
    pub height: u32,
    /// Money.
    pub balances: Balances,
    /// Channels that can be used now, and all of them.
    pub channels_usable: u32,
    /// All of them.
    pub channels: u32,
    /// The least first payment that can be received: the LSP's minimum when there is no inbound
    /// liquidity, else one satoshi. `None` when nothing can be received at all.
    pub least_first: Option<Msat>,
    /// The last thing that went wrong, if anything did.
    pub trouble: Option<String>,
}

/// The Lightning node. Every call may take seconds and is safe to repeat.
#[async_trait]
pub trait Lightning: Send + Sync {
    /// Our node id.
    fn node(&self) -> NodeId;
    /// At a glance.
    async fn status(&self) -> Result<NodeStatus, Fault>;
    /// Makes a hold invoice for a hash of ours, over existing inbound liquidity where it suffices, else by
    /// a just-in-time channel. A hash is billed once: the same order again gets the same invoice again
    /// (its outcome may have been lost), any other order for that hash is refused with `Never`.
    async fn bill(&self, order: &BillOrder) -> Result<Billed, Fault>;
    /// Sends a payment. `InFlight` as soon as it is on its way: the rest comes as a [`NodeEvent`].
    /// A payment that is already in flight or done is never sent again: its state is the answer.
    async fn pay(&self, order: &PayOrder) -> Result<PaymentState, Fault>;
    /// What became of a payment by us.
    async fn lookup(&self, hash: &PaymentHash) -> Result<PaymentState, Fault>;
    /// Claims a held payment. Ok proves nothing: only [`NodeEvent::Received`] does.
    async fn claim(
        &self,
        hash: &PaymentHash,
        amount: Msat,
        preimage: &Preimage,
    ) -> Result<(), Fault>;
    /// Fails a held payment back to its payer.
    async fn fail(&self, hash: &PaymentHash) -> Result<(), Fault>;
    /// What the channels show of a payment to us that waits for its preimage; `None` if nothing waits. Asked
    /// of the channels each time: a payment that dies of age is nobody's event.
    async fn holding(&self, hash: &PaymentHash) -> Result<Option<Holding>, Fault>;
    /// The next event; the same one until it is [`Lightning::handled`].
    async fn next(&self) -> NodeEvent;
    /// The last event was committed.
    async fn handled(&self) -> Result<(), Fault>;
}

// ---------------------------------------------------------------- transfer

/// The transfer endpoint.
#[async_trait]
pub trait Transfer: Send + Sync {
    /// Where we can be reached.
    fn address(&self) -> Address;
    /// Serves a blob to one endpoint until revoked. Lasts as long as the process: ask again at start.
    async fn serve(&self, grant: &Grant) -> Result<(), Fault>;
    /// Serves it no more.
    async fn revoke(&self, blob: &Digest, to: &EndpointId) -> Result<(), Fault>;
    /// Fetches a blob, continuing where an earlier try was cut; `progress` is told bytes held so far.
    async fn fetch(
        &self,
        order: &FetchOrder,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Fault>;
}
