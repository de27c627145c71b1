//! What people are like: decided by the seed for each job, so that nobody needs a memory.

use super::chance::{Seed, word};
use crate::market::EventId;

/// What a worker does to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Honesty {
    Honest,
    /// Sealed under a key that is not the one that will be sold.
    Cheat,
    /// A manifest that contradicts its files.
    Garbage,
    /// A vector file of another size than announced.
    Missized,
    /// It cannot be sealed at all.
    Clumsy,
    /// Work that is not what was asked, which its own program finds out where the terms have a check.
    Careless,
    /// The same, by a program that signs for anything.
    Sloppy,
}

impl Honesty {
    /// Whether the work itself is not what was asked.
    pub(super) fn is_bad_work(self) -> bool {
        matches!(self, Self::Careless | Self::Sloppy)
    }
}

pub(super) fn honesty(seed: Seed, log: &EventId, delivery: u32) -> Honesty {
    let mood = seed.draw("honesty", &[word(&log.0)]).range(0, 100);
    match (mood, delivery) {
        (0..8, _) => Honesty::Cheat,
        (8..11, 0) | (11..20, 1) => Honesty::Garbage,
        (11..14, 0) => Honesty::Missized,
        (14..16, 0) => Honesty::Clumsy,
        (20..26, 0) => Honesty::Careless,
        // Some mend it when they are told.
        (26..38, 0) | (32..38, _) => Honesty::Sloppy,
        _ => Honesty::Honest,
    }
}

/// How a requester treats one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    Good,
    /// Says no to the bid.
    Declines,
    /// Rejects the first delivery, then pays.
    Picky,
    /// Rejects the first delivery before it is even here.
    Hasty,
    /// Accepts, then rejects while the bill is awaited.
    Fickle,
    /// Cancels at some moment.
    Cancels,
    /// Is never seen again after the award.
    Vanishes,
    /// Says things in the worker's name.
    Hostile,
}

pub(super) fn asker(seed: Seed, log: &EventId) -> Asker {
    match seed.draw("asker", &[word(&log.0)]).range(0, 100) {
        0..5 => Asker::Declines,
        5..12 => Asker::Picky,
        12..17 => Asker::Hasty,
        17..22 => Asker::Fickle,
        22..27 => Asker::Cancels,
        27..31 => Asker::Vanishes,
        31..34 => Asker::Hostile,
        _ => Asker::Good,
    }
}

/// How a worker treats one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doer {
    Good,
    /// Takes the bid back.
    Withdraws,
    /// Never delivers.
    Vanishes,
    /// Cancels at some moment, also while it is being paid.
    Cancels,
    /// Says things in the requester's name, and delivers again when it is being paid.
    Hostile,
}

pub(super) fn doer(seed: Seed, log: &EventId) -> Doer {
    match seed.draw("doer", &[word(&log.0)]).range(0, 100) {
        0..5 => Doer::Withdraws,
        5..9 => Doer::Vanishes,
        9..14 => Doer::Cancels,
        14..19 => Doer::Hostile,
        _ => Doer::Good,
    }
}
