//! A relay for gigs: nostr-relay-builder over LMDB, behind a front that says no.
//!
//! The rule: what a client sends reaches the relay behind only after the front has judged it, and what the
//! relay answers reaches a client only if that client may read it. The library decides how events are
//! kept, replaced, deleted and found; size, kind, dates, work, rates, logins and who reads a gift wrap are
//! decided here, because the library does not bound a message, gates gift wraps in filters that name
//! their kind only, and counts by connection alone. `relay-policy` judges by the same rules for strfry.

mod document;
mod front;
mod keeper;
mod policy;
mod rates;
mod reading;
mod rules;
mod session;
mod settings;
mod wall;

pub use front::{KINDS, Relay, RelayConfig, serve};
pub use policy::{Policy, Verdict};
pub use reading::Wraps;
pub use rules::{KindRule, Refused, Rules};
pub use settings::{
    DEFAULT, Info, Kinds, Limits, Listen, Reading, Settings, SettingsError, Storage,
};
pub use wall::Wall;
