//! **earnest**: a terminal-first, peer-to-peer gig marketplace.
//!
//! The map of the rooms, innermost first. A room uses only rooms to the left of a `<`:
//!
//! ```text
//! text < {market, seal} < {engine, wire} < {store, files, nostr, lightning, transfer, keys}
//!      < {app, sim, sandbox} < cli < main
//! ```
//!
//! and everything flows one way:
//!
//! ```text
//! input -> market::step -> facts + effects -> ONE commit -> outbox runs effects -> outcome -> input
//! ```
//!
//! `tests/rooms.rs` enforces the rule.

pub mod app;
pub mod cli;
pub mod config;
pub mod engine;
pub mod files;
pub mod keys;
pub mod lightning;
pub mod market;
pub mod nostr;
pub mod sandbox;
pub mod seal;
pub mod sim;
pub mod store;
pub mod text;
pub mod transfer;
pub mod wire;
