//! The real adapters on a local chain, relay and LSP.
//!
//! The rule: a party in the sandbox cannot tell it from the world. The chain refuses what Bitcoin
//! Core refuses, and whoever drives it does so by the same RPC calls that drive a real `bitcoind`.

pub mod bitcoind;
pub mod chain;
pub mod client;
pub mod clock;
pub mod coins;
pub mod control;
pub mod faucet;
mod flaky;
mod fronts;
mod ground;
mod halt;
pub mod journal;
pub mod ledger;
pub mod lsp;
mod market;
pub mod mempool;
pub mod methods;
pub mod miner;
mod people;
pub mod rpc;
pub mod rules;
mod serve;
mod story;
mod tree;
mod wallet;
pub mod world;

pub use crate::relay::{KINDS, Relay, RelayConfig};
pub use chain::{Chain, ChainError};
pub use client::{Client, Endpoint, Fault};
pub use clock::Clock;
pub use control::ChainControl;
pub use faucet::{Faucet, FaucetKey};
pub use flaky::{Faults, FlakyRelay};
pub use fronts::{Fronts, Screen};
pub use ground::be_party;
pub use halt::{Call, Point};
pub use lsp::{Lsp, LspConfig};
pub use market::{Account, Happening, Market, MarketSetup, Newcomer, Pace, Places, Resident, What};
pub use rules::{Reject, RejectKind};
pub use serve::{Served, fund, mine, serve};
pub use story::{Assert, Play, StepTaken, Story, Summary, list, play, play_with};
pub use wallet::{WalletMood, WalletService};
