//! The store port: one commit, append-only facts, an outbox with leases, a payment ledger, a paged book.
//!
//! The store knows nothing of what facts and effects mean: it keeps them as JSON with a version, in
//! order, for good.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::Fault;
use crate::market::{
    Digest, EventId, Gig, Msat, Page, PaymentHash, Pubkey, Query, Testimony, Time,
};

/// One line of a log. `n` counts from 0 without gaps within its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactRow {
    /// The log: a bid's id for a job, the first listing event's id for a gig of ours.
    pub log: EventId,
    /// Its place in the log.
    pub n: u64,
    /// When it was committed.
    pub at: Time,
    /// Its kind, for people who look into the database.
    pub kind: String,
    /// The version of the body's form.
    pub v: u32,
    /// JSON.
    pub body: String,
}

/// One effect to run, at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectRow {
    /// Stable across crash and replay: hash of log, fact number and index.
    pub id: Digest,
    /// The log it belongs to.
    pub log: EventId,
    /// Its kind, for people who look into the database.
    pub kind: String,
    /// JSON.
    pub body: String,
    /// Not before.
    pub not_before: Time,
    /// How often it was tried.
    pub tries: u32,
}

/// An effect of one log that is not done yet, for eyes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    /// Its kind.
    pub kind: String,
    /// How often it was tried.
    pub tries: u32,
    /// Why it did not work the last time.
    pub why: Option<String>,
    /// Given up: it is never run again.
    pub parked: bool,
}

/// What became of a try to run an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectEnd {
    /// Done for good: the row is deleted.
    Done,
    /// Try again then, and remember why.
    Retry {
        /// When.
        not_before: Time,
        /// The last fault.
        why: String,
    },
    /// Replaced by another body under the same id (a first contact that has been wrapped), due now.
    Replace {
        /// The new kind.
        kind: String,
        /// The new body, JSON.
        body: String,
    },
    /// Given up: kept, never run again.
    Park {
        /// The last fault.
        why: String,
    },
}

/// Which way a payment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To us.
    In,
    /// From us.
    Out,
}

/// One line of the payment ledger. Its natural key is the payment hash: a hash belongs to one job, one
/// direction and one purpose for ever.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// The key.
    pub hash: PaymentHash,
    /// The job.
    pub log: EventId,
    /// Which way.
    pub direction: Direction,
    /// Which tranche, from 0.
    pub tranche: u32,
    /// What the invoice says.
    pub amount: Msat,
    /// BOLT 11.
    pub invoice: String,
    /// `intent`, `inflight`, `paid`, `failed`, `billed`, `claimable`, `received`, `lost`.
    pub state: String,
    /// Routing fees paid, or the LSP's fee kept, in msat.
    pub fee: Msat,
    /// When it was first written.
    pub at: Time,
}

impl fmt::Debug for LedgerRow {
    /// Not the invoice: whoever reads a log could pay it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerRow")
            .field("hash", &self.hash)
            .field("log", &self.log)
            .field("direction", &self.direction)
            .field("tranche", &self.tranche)
            .field("amount", &self.amount)
            .field("state", &self.state)
            .field("fee", &self.fee)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// One input by its natural key: seen before or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Where it came from.
    pub source: String,
    /// Its key there: an event id.
    pub key: String,
    /// When it was seen here: a mark is forgotten once nobody asks for its like any more.
    pub at: Time,
}

impl Mark {
    /// Of an event that relays have.
    pub fn relay(id: &EventId, at: Time) -> Self {
        Self { source: "relay".into(), key: id.to_string(), at }
    }
}

/// Everything that one input changes, in one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// The input: seen before means nothing below is written.
    pub mark: Option<Mark>,
    /// Events of ours that relays will show us again: known before they are read.
    pub echoes: Vec<Mark>,
    /// Appended.
    pub facts: Vec<FactRow>,
    /// Added to the outbox.
    pub effects: Vec<EffectRow>,
    /// What became of effects that were run.
    pub ends: Vec<(Digest, EffectEnd)>,
    /// New ledger lines. The same line again changes nothing; the same purpose with a new invoice is a
    /// hash billed again, refused while money may be moving; any other line for a hash that stands there
    /// already fails the whole commit.
    pub ledger: Vec<LedgerRow>,
    /// Ledger lines that move: hash, new state, fee.
    pub moves: Vec<(PaymentHash, String, Msat)>,
    /// Listings heard, newest version wins by (`created_at`, then lowest id, NIP-01).
    pub gigs: Vec<(Gig, String)>,
    /// Versions of listings that a job answers, or that are ours: kept after they are replaced and
    /// never forgotten.
    pub keep: Vec<EventId>,
    /// How far a subscription has been read.
    pub cursor: Option<(String, Time)>,
    /// Whose gigs and bids are not shown any more since then, or are again.
    pub mutes: Vec<(Pubkey, Option<Time>)>,
    /// What others say of people, verified. What is there by its name changes nothing.
    pub testimonies: Vec<Testimony>,
    /// Whom we follow, from now on these and nobody else.
    pub follows: Option<Vec<Pubkey>>,
}

/// Whether a commit was the first of its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Written.
    New,
    /// The mark was there already: nothing was written.
    Seen,
}

/// The store. Opening it takes an exclusive lock that lasts as long as the value.
pub trait Store: Send {
    /// One transaction, durable when it returns.
    fn commit(&mut self, commit: &Commit) -> Result<Committed, Fault>;
    /// Whether a mark is there.
    fn seen(&self, source: &str, key: &str) -> Result<bool, Fault>;
    /// Every log, each in order of `n`.
    fn logs(&self) -> Result<Vec<(EventId, Vec<FactRow>)>, Fault>;
    /// One log, in order.
    fn log(&self, log: &EventId) -> Result<Vec<FactRow>, Fault>;
    /// Facts in the order in which they became so, after this place, at most `limit`, each with its place.
    fn facts_after(&self, place: u64, limit: usize) -> Result<Vec<(u64, FactRow)>, Fault>;
    /// The place of the newest fact; 0 where there is none.
    fn newest_fact(&self) -> Result<u64, Fault>;
    /// Takes up to `limit` effects that are due at `now` and not leased, and leases them until `until`.
    /// Effects of one log come in the order they were added.
    fn lease(&mut self, now: Time, until: Time, limit: usize) -> Result<Vec<EffectRow>, Fault>;
    /// Gives every lease back: called once at start, when nobody can be running them.
    fn release_leases(&mut self);
    /// When the next effect is due, leased ones at the end of their lease.
    fn next_due(&self) -> Result<Option<Time>, Fault>;
    /// How many effects wait, and how many are parked.
    fn outbox(&self) -> Result<(u64, u64), Fault>;
    /// The effects of one log that are not done, oldest first, at most `limit`.
    fn pending(&self, log: &EventId, limit: usize) -> Result<Vec<PendingRow>, Fault>;
    /// A ledger line.
    fn payment(&self, hash: &PaymentHash) -> Result<Option<LedgerRow>, Fault>;
    /// Every ledger line, oldest first.
    fn payments(&self) -> Result<Vec<LedgerRow>, Fault>;
    /// A listing by the id of one of its versions, with its event JSON. Versions that a job answers are
    /// kept after they are replaced.
    fn gig(&self, id: &EventId) -> Result<Option<(Gig, String)>, Fault>;
    /// A window on the book. Gigs of the muted are not in it.
    fn find(&self, query: &Query, now: Time) -> Result<Page, Fault>;
    /// Takes what has closed off the open shelf, forgets listings long past their expiration that no job
    /// answers, and marks of what nobody asks relays for any more. Does a bounded piece and says how many
    /// rows it touched: call it again until 0.
    fn prune(&mut self, now: Time) -> Result<u64, Fault>;
    /// How far a subscription has been read.
    fn cursor(&self, subscription: &str) -> Result<Option<Time>, Fault>;
    /// Who is muted, and since when.
    fn mutes(&self) -> Result<Vec<(Pubkey, Time)>, Fault>;
    /// What was said about this person, at most [`MOST_TESTIMONIES`].
    fn testimonies(&self, about: &Pubkey) -> Result<Vec<Testimony>, Fault>;
    /// Whom we follow.
    fn follows(&self) -> Result<Vec<Pubkey>, Fault>;
}

/// What is kept about one person; proofs are always kept.
pub const MOST_TESTIMONIES: usize = 2_000;
