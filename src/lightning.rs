//! The Lightning port on an embedded ldk-node: hold invoices that last, payments that happen once,
//! balances that are honest.
//!
//! The rule of the room: no type of ldk-node leaves it but through its own errors, every call runs off
//! the async workers, and a question about money is answered from a durable record.

mod bill;
mod channels;
mod events;
mod hashes;
mod holding;
mod holdings;
mod invoice;
mod journal;
mod lock;
mod node;
mod pay;
mod port;
mod remote;
mod wallet;

pub use crate::engine::ChannelInfo;
pub use channels::Peer;
pub use holdings::Holdings;
pub use node::{Chain, Lsp, Node, NodeConfig};
pub use remote::{Remote, WalletUri};
