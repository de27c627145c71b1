//! The market on bad input: every phase against every kind of input, and random lives of a job.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test that cannot go on says so; the two people are shared with other tests"
)]

#[path = "engine/pair.rs"]
mod pair;
#[path = "market/random.rs"]
mod random;
#[path = "market/table.rs"]
mod table;
