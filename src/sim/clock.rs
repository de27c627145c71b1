//! Time and dice: one queue of what happens next, one clock for each peer, both moved by the world alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::chance::Seed;
use crate::engine::{Clock, Dice};
use crate::market::{Nonce, Time};

/// When every world begins: 2026-01-01, in seconds.
pub(super) const GENESIS: u64 = 1_767_225_600;

/// Milliseconds since 1970, by the world's own clock.
pub(super) type Ms = u64;

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A peer's loop turns.
    Wake(usize),
    /// A person at a peer looks at the screen.
    Act(usize),
    /// A peer runs what a lane of its holds: peer, which start of it, which run.
    Run(usize, u64, u64),
    /// The outcome of a run comes in: the same three.
    Told(usize, u64, u64),
    /// A payment takes its next hop.
    Hop(u64),
    /// A block is found.
    Block,
    /// A relay goes down or comes back.
    Flip(usize),
    /// The LSP goes down or comes back.
    Lsp,
    /// A peer's machine starts.
    Start(usize),
    /// A peer is restarted in good order, if it is at rest.
    Restart(usize),
    /// Chaos ends: from here on everything works.
    Calm,
}

/// The queue and the time. Shared by the world and all its fakes.
#[derive(Debug, Default)]
pub(super) struct Clockwork {
    now: AtomicU64,
    next: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    seq: u64,
    next: BTreeMap<(Ms, u64), What>,
    /// Wakes that are planned: a loop that turns once takes everything that is there.
    wakes: BTreeSet<(Ms, usize)>,
}

/// A loop turns ten times a second at most.
const TURN: Ms = 100;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clockwork {
    pub(super) fn new() -> Arc<Self> {
        let clockwork = Self::default();
        clockwork.now.store(GENESIS * 1000, Ordering::Relaxed);
        Arc::new(clockwork)
    }

    pub(super) fn now(&self) -> Ms {
        self.now.load(Ordering::Relaxed)
    }

    /// Something will happen then; two things at one moment happen in the order they were planned.
    pub(super) fn at(&self, when: Ms, what: What) {
        let mut queue = lock(&self.next);
        let mut when = when;
        if let What::Wake(peer) = what {
            when = when.next_multiple_of(TURN);
            if !queue.wakes.insert((when, peer)) {
                return;
            }
        }
        queue.seq += 1;
        let seq = queue.seq;
        queue.next.insert((when, seq), what);
    }

    pub(super) fn after(&self, wait: Ms, what: What) {
        self.at(self.now() + wait, what);
    }

    /// The next thing that happens, not after `end`. The time moves to it.
    pub(super) fn next(&self, end: Ms) -> Option<What> {
        let mut queue = lock(&self.next);
        let entry = queue.next.first_entry().filter(|e| e.key().0 <= end)?;
        let ((when, _), what) = entry.remove_entry();
        if let What::Wake(peer) = what {
            queue.wakes.remove(&(when, peer));
        }
        self.now.fetch_max(when, Ordering::Relaxed);
        Some(what)
    }
}

/// A peer's clock: the world's, a little fast or slow.
#[derive(Debug)]
pub(super) struct PeerClock {
    pub(super) clockwork: Arc<Clockwork>,
    /// Seconds ahead.
    pub(super) skew: AtomicI64,
}

impl PeerClock {
    /// Seconds ahead of the world.
    pub(super) fn ahead(&self) -> i64 {
        self.skew.load(Ordering::Relaxed)
    }
}

impl Clock for PeerClock {
    fn now(&self) -> Time {
        Time((self.clockwork.now() / 1000).saturating_add_signed(self.ahead()))
    }
}

/// A peer's dice: they follow from the seed and never repeat, whatever crashes.
#[derive(Debug)]
pub(super) struct PeerDice {
    pub(super) seed: Seed,
    pub(super) peer: u64,
    pub(super) thrown: AtomicU64,
}

impl Dice for PeerDice {
    fn nonce(&self) -> Nonce {
        let n = self.thrown.fetch_add(1, Ordering::Relaxed);
        Nonce(self.seed.bytes("nonce", &[self.peer, n]))
    }
}
