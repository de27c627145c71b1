//! What happens in the market, for whoever watches it.

use std::path::PathBuf;

use serde::Serialize;

use crate::text::Clean;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Somebody came to the market.
    Arrived,
    /// A gig was posted.
    Posted,
    /// A bid was made.
    Bid,
    /// A job was awarded.
    Awarded,
    /// Work was handed over.
    Delivered,
    /// Work was sent back with a reason; nothing was paid.
    Rejected,
    /// A job was paid.
    Paid,
    /// A cheat was caught, with a proof.
    Caught,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Happening {
    /// When, in seconds since 1970.
    pub at: u64,
    /// What.
    pub what: What,
    /// Who did it.
    pub who: String,
    /// With whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// The title of the gig.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gig: Option<Clean>,
    /// How much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sats: Option<u64>,
    /// Where the fraud proof lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<PathBuf>,
    /// All of it in one sentence.
    pub text: String,
}
