//! The relays: one task a relay, each with its own socket, health and back-off; nothing is handed on
//! that was not asked for, sized, and signed.
//!
//! The rule: a relay is neither trusted nor waited for. It may lie, repeat, fall silent or die, and the
//! worst it can do is to be no relay at all; whatever any other relay has still arrives.
//!
//! Events, filters, messages and the transport seam are nostr-sdk's. Its `Relay` object (0.44.3) is
//! not used, for reasons in its source: all relays verify under one lock that is held during the
//! check, so one that floods slows every other; an id that was verified once lets any other content
//! under it pass; the notification queue overwrites what was not read in time and nothing pushes back;
//! its database swallows older versions of a listing that a bid may name; what strangers send is
//! logged raw; after `CLOSED` nothing is asked again. So each relay's socket is driven here.

mod backoff;
mod inbox;
mod limits;
mod login;
mod pool;
mod publish;
mod questions;
mod relay;
mod session;
mod transport;

pub use inbox::{MAX_EVENT_BYTES, MAX_LISTING_CONTENT, MAX_PRIVATE_BYTES, MAX_SKEW, Refused};
pub use limits::Limits;
pub use pool::{Pool, PoolConfig, Timeouts};
pub use relay::Tally;
