//! The people of the living market: each an ordinary earnest, with a name, a character and small programs
//! of its own.
//!
//! The rule: they act through their handle alone, as any front end does, and each decides from its own
//! snapshot, its own book and its own notebook. Nobody tells them what the others do.

mod character;
mod cheat;
mod notebook;
mod person;
mod requester;
mod trade;
mod worker;

pub(super) use character::{Character, ROSTER};
pub(super) use cheat::Cheat;
pub(super) use notebook::Notebook;
pub(super) use person::{Mood, Person, Teller};
