//! What each tool takes. The sentences here are what a model reads.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::market;

/// Nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Empty {}

/// A window on the book.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Find {
    /// Words and parts in any order: label images price<50k price>=1000 #rust from:npub1... mode:sealed
    /// sort:price all "two words". Everything if left out.
    pub(super) query: Option<String>,
    /// At most so many, 1 to 100; 20 if left out.
    pub(super) limit: Option<u16>,
    /// Go on after this mark, which the window before ended with.
    pub(super) after: Option<String>,
}

/// What a job would cost.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Quote {
    /// The most that each worker would be paid, in satoshis.
    pub(super) max_price_sats: u64,
    /// How many workers; 1 if left out.
    pub(super) workers: Option<u32>,
    /// Gigs to compare the price with, as in find_gigs.
    pub(super) query: Option<String>,
}

/// Settlement mode.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    /// The key that opens the delivery is what the payment buys.
    Sealed,
    /// Delivered in the open, paid on acceptance.
    Direct,
    /// Locked at the worker's node before the work, released on acceptance.
    Escrow,
}

impl From<Mode> for market::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Sealed => Self::Sealed,
            Mode::Direct => Self::Direct,
            Mode::Escrow => Self::Escrow,
        }
    }
}

/// A file for whoever is awarded.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// What the file is called.
    pub(super) name: String,
    /// Its content. Paths of this machine are never read.
    pub(super) text: String,
}

/// A part of the work: delivered and paid before the next begins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// One line, public.
    pub(super) title: String,
    /// What it pays, in satoshis. All parts together are max_price_sats.
    pub(super) price_sats: u64,
    /// Settlement mode; sealed if left out.
    pub(super) mode: Option<Mode>,
    /// From its beginning to its delivery, in minutes; as the gig's if left out.
    pub(super) deliver_within_minutes: Option<u64>,
    /// From its delivery to its payment, in minutes; as the gig's if left out.
    pub(super) pay_within_minutes: Option<u64>,
    /// Checks that its delivery must pass.
    #[serde(default)]
    pub(super) checks: Vec<serde_json::Map<String, serde_json::Value>>,
    /// Random records of it that may be seen before payment.
    pub(super) audit_records: Option<u64>,
}

/// A gig to publish.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PostJob {
    /// Idempotency key, 1 to 128 bytes, of your choice: the same key again never posts a second gig.
    pub(super) key: String,
    /// One line, public.
    pub(super) title: String,
    /// A few lines for the list, public.
    pub(super) summary: Option<String>,
    /// What is to be done, in Markdown, public.
    pub(super) instructions: String,
    /// For a question with answers to choose from: the answers. The delivery then names one of them, which
    /// every worker's program checks.
    #[serde(default)]
    pub(super) choices: Vec<String>,
    /// The most that each worker is paid, in satoshis. Higher bids are not taken.
    pub(super) max_price_sats: u64,
    /// How many workers; 1 if left out.
    pub(super) workers: Option<u32>,
    /// From the award to the delivery, in minutes; 3 days if left out.
    pub(super) deliver_within_minutes: Option<u64>,
    /// From the delivery to the payment, in minutes; a day if left out.
    pub(super) pay_within_minutes: Option<u64>,
    /// How long bids are taken, in minutes; a day if left out.
    pub(super) bids_within_minutes: Option<u64>,
    /// Checks that every delivery must pass, as objects: {"v":1,"kind":"schema","scope":"whole",
    /// "unit":"whole","schema":"..."} and others, see earnest help check.
    #[serde(default)]
    pub(super) checks: Vec<serde_json::Map<String, serde_json::Value>>,
    /// Random records that may be seen before payment, never more than a tenth of them.
    pub(super) audit_records: Option<u64>,
    /// Files for whoever is awarded, as texts.
    #[serde(default)]
    pub(super) inputs: Vec<Input>,
    /// Hashtags.
    #[serde(default)]
    pub(super) tags: Vec<String>,
    /// Settlement modes, the preferred first; sealed if left out.
    #[serde(default)]
    pub(super) modes: Vec<Mode>,
    /// The largest delivery, in bytes; 1 MiB if left out.
    pub(super) max_bytes: Option<u64>,
    /// Parts that are delivered and paid one after the other, 2 to 16; none if left out. Each has its own mode,
    /// checks and audit: choices, checks, audit_records and modes are then left out.
    #[serde(default)]
    pub(super) milestones: Vec<Part>,
}

/// Gigs and jobs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListJobs {
    /// Also what is over.
    pub(super) all: Option<bool>,
}

/// One job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OfJob {
    /// Id of a job or bid, or its first digits; job_status also takes a gig.
    pub(super) job: String,
}

/// The work of one job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Deliverable {
    /// Id of the job, or its first digits.
    pub(super) job: String,
    /// The most to read of it, 1 to 65536; 16384 if left out. The whole lies at the path that is told.
    pub(super) max_bytes: Option<u64>,
}

/// Somebody.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Person {
    /// npub1... or 64 hex digits.
    pub(super) person: String,
}

/// A bidder to give the job to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Award {
    /// Id of the bid, or its first digits.
    pub(super) job: String,
    /// The most that you mean to pay, in satoshis: a dearer bid is refused.
    pub(super) max_price_sats: u64,
}

/// A payment that a job waits for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pay {
    /// Id of the job, or its first digits.
    pub(super) job: String,
    /// The most that may leave the wallet for it, routing fees included, in satoshis.
    pub(super) max_total_sats: u64,
}

/// Words about a job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Because {
    /// Id of the job or bid, or its first digits.
    pub(super) job: String,
    /// Why, in your own words, signed and sent to the other side.
    pub(super) reason: String,
}

/// Words for the other side.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    /// Id of the job, or its first digits.
    pub(super) job: String,
    /// What to say, private, signed.
    pub(super) text: String,
}

/// Stars.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rate {
    /// Id of the job, or its first digits.
    pub(super) job: String,
    /// 1 to 5.
    pub(super) stars: u8,
    /// For the other side; may be left out.
    #[serde(default)]
    pub(super) comment: String,
}

/// A gig of ours.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OfGig {
    /// Id of the gig, or its first digits.
    pub(super) gig: String,
}
