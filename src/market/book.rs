//! The book: what is asked of it and the window it answers with. A million gigs stay in the store.

use serde::{Deserialize, Serialize};

use crate::market::{Gig, Mode, Msat, Network, Pubkey, Side, Time, Work};

/// A question to the book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Words that must all occur in title, summary, content or tags (a prefix of a word is enough).
    pub words: Vec<String>,
    /// Hashtags that must all be there.
    pub tags: Vec<String>,
    /// At least this price a slot.
    pub price_min: Option<Msat>,
    /// At most this price a slot.
    pub price_max: Option<Msat>,
    /// Offers this settlement mode.
    pub mode: Option<Mode>,
    /// Asks for this kind of work.
    pub work: Option<Work>,
    /// By this author.
    pub author: Option<Pubkey>,
    /// Wanted or offered.
    pub side: Option<Side>,
    /// On this chain.
    pub network: Network,
    /// Also those that take no bids any more.
    pub all: bool,
    /// In this order.
    pub sort: Sort,
    /// After this one: [`Page::next`] of the window before.
    pub after: Option<String>,
    /// At most this many, 1 to 500.
    pub limit: usize,
}

/// In which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// Newest first.
    #[default]
    Newest,
    /// Best paid first.
    Price,
    /// Those that close first.
    Closing,
}

/// A window on the book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The gigs.
    pub gigs: Vec<Gig>,
    /// Where the next window begins; `None` at the end.
    pub next: Option<String>,
    /// When the question was answered.
    pub at: Time,
}
