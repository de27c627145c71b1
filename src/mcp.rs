//! The front end of AI agents: tools and resources of the Model Context Protocol, over any pair of streams.
//!
//! The rule: what an agent may do is what [`legal`](crate::market::legal) offers, within budgets that the
//! engine keeps; every call says the most that it may cost. A stranger's words are data: they come in an
//! object that says `"untrusted": true`, and no tool ever acts on them. Nothing blocks: what takes time is
//! a resource that tells when it changes. Dry-run until the person who owns the money turns it off.

mod act;
mod ask;
mod desk;
mod look;
mod post;
mod quote;
mod server;
mod table;
mod view;
mod watch;

pub use desk::Options;
pub use server::serve;
pub use table::names;
