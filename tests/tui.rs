//! The terminal front end: keys in, screens out, over a market that is only a snapshot.

#![expect(clippy::unwrap_used, reason = "a test that unwraps wrongly fails")]

#[path = "tui/stage.rs"]
mod stage;

#[path = "tui/hostile.rs"]
mod hostile;
#[path = "tui/journeys.rs"]
mod journeys;
#[path = "tui/judging.rs"]
mod judging;
#[path = "tui/money.rs"]
mod money;
#[path = "tui/people.rs"]
mod people;
#[path = "tui/screens.rs"]
mod screens;
