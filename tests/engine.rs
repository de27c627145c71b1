//! The engine on bad input: two real cores, whatever strangers, nodes, crashes and the clock do to them.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test that cannot go on says so; the two people are shared with other tests"
)]

#[path = "engine/away.rs"]
mod away;
#[path = "engine/bidding.rs"]
mod bidding;
#[path = "engine/budget.rs"]
mod budget;
#[path = "engine/cheat.rs"]
mod cheat;
#[path = "engine/crash.rs"]
mod crash;
#[path = "engine/disk.rs"]
mod disk;
#[path = "engine/late.rs"]
mod late;
#[path = "engine/milestone.rs"]
mod milestone;
#[path = "engine/money.rs"]
mod money;
#[path = "engine/pair.rs"]
mod pair;
#[path = "engine/people.rs"]
mod people;
#[path = "engine/reputation.rs"]
mod reputation;
#[path = "engine/review.rs"]
mod review;
#[path = "engine/strangers.rs"]
mod strangers;
#[path = "engine/vectors.rs"]
mod vectors;
#[path = "engine/whole.rs"]
mod whole;
