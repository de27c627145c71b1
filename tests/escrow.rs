//! Mode escrow: two real cores, and whatever heights, crashes, nodes and liars do to the money that is held.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test that cannot go on says so; the two people are shared with other tests"
)]

#[path = "escrow/chain.rs"]
mod chain;
#[path = "escrow/course.rs"]
mod course;
#[path = "escrow/crash.rs"]
mod crash;
#[path = "escrow/heights.rs"]
mod heights;
#[path = "escrow/judge.rs"]
mod judge;
#[path = "escrow/judge_called.rs"]
mod judge_called;
#[path = "escrow/judge_crash.rs"]
mod judge_crash;
#[path = "escrow/judge_liars.rs"]
mod judge_liars;
#[path = "escrow/liars.rs"]
mod liars;
#[path = "escrow/milestone.rs"]
mod milestone;
#[path = "engine/pair.rs"]
mod pair;
