//! **earnest**: a terminal-first, peer-to-peer gig marketplace.
//!
//! The map of the rooms, innermost first. A room uses only rooms to the left of a `<`:
//!
//! ```text
//! text < {seal, verify} < market < {engine, wire} < {store, files, nostr, lightning, transfer, keys, relay}
//!      < {app, sim, bot} < {sandbox, rpc} < {tui, mcp} < cli < main
//! ```
//!
//! | room | holds |
//! |---|---|
//! | [`text`] | untrusted text in, printable text out |
//! | [`market`] | what a job is and what may happen next |
//! | [`seal`] | sealed deliverables and fraud proofs |
//! | [`verify`] | is the work what was asked: checks that anybody can run again |
//! | [`engine`] | the one loop, its ports, the handle of every front end |
//! | [`wire`] | domain to bytes and back; the protocol's page |
//! | [`store`], [`files`], [`nostr`], [`lightning`], [`transfer`], [`keys`] | adapters: a port each |
//! | [`relay`] | a relay of one's own, and its rules for strfry |
//! | [`app`] | the real assembly |
//! | [`bot`] | both sides of the market without a person, by a policy, through a handle alone |
//! | [`sim`] | the same engine on fake ports, fake time and one seed |
//! | [`sandbox`] | a local chain, relay and LSP, and stories told on the real assembly |
//! | [`rpc`] | one owner process; everybody else is a guest on its socket |
//! | [`config`] | settings, and where each came from; used by `app`, `cli` and `main` |
//! | [`tui`] | the terminal front end: keys in, screens out |
//! | [`mcp`] | the front end of AI agents: tools and resources over stdio |
//! | [`cli`] | the command line |
//!
//! `text`, `seal`, `verify` and `market` are pure: no clock, no dice, no disk, no network. Adapters never use each
//! other. `market` uses `seal` for the manifest in a delivery. `sandbox` stands on `app`, because a party
//! in it is an ordinary earnest, and on `relay`; `cli` calls what stands in the doors of `app`, `relay` and
//! `sandbox` and nothing behind them.
//!
//! Everything flows one way:
//!
//! ```text
//! input -> market::step -> facts + effects -> ONE commit -> outbox runs effects -> outcome -> input
//! ```
//!
//! `tests/rooms.rs` enforces the rule.

pub mod app;
pub mod bot;
pub mod cli;
pub mod config;
pub mod engine;
pub mod files;
pub mod keys;
pub mod lightning;
pub mod market;
pub mod mcp;
pub mod nostr;
pub mod relay;
pub mod rpc;
pub mod sandbox;
pub mod seal;
pub mod sim;
pub mod store;
pub mod text;
pub mod transfer;
pub mod tui;
pub mod verify;
pub mod wire;
