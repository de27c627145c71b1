//! A store with a fuse: a commit at which the machine dies, before or after it is durable, and commits that
//! find the disk full.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::engine::{Commit, Committed, EffectRow, FactRow, Fault, LedgerRow, PendingRow, Store};
use crate::market::{EventId, Gig, Page, PaymentHash, Pubkey, Query, Testimony, Time};
use crate::store::Database;

/// How the machine will die, shared with the world.
#[derive(Debug)]
pub(super) struct Fuse {
    /// Commits left; negative: none is coming.
    left: AtomicI64,
    /// Whether the commit at which it blows becomes durable.
    durable: AtomicBool,
    /// 0: whole. 1: blown before the commit was durable. 2: after.
    blown: AtomicI64,
    /// The disk is full for so many commits more.
    full: AtomicI64,
    /// A commit failed because it is.
    refused: AtomicBool,
}

impl Default for Fuse {
    fn default() -> Self {
        Self {
            left: AtomicI64::new(-1),
            durable: AtomicBool::new(false),
            blown: AtomicI64::new(0),
            full: AtomicI64::new(0),
            refused: AtomicBool::new(false),
        }
    }
}

impl Fuse {
    /// The machine dies at the `n`th commit from now, counted from 0.
    pub(super) fn light(&self, n: u32, durable: bool) {
        self.durable.store(durable, Ordering::Relaxed);
        self.left.store(i64::from(n), Ordering::Relaxed);
    }
    /// The next `n` commits find the disk full; nobody dies of it.
    pub(super) fn fill(&self, n: u32) {
        self.full.store(i64::from(n), Ordering::Relaxed);
    }
    /// Whether a commit found the disk full since this was last asked.
    pub(super) fn take_refused(&self) -> bool {
        self.refused.swap(false, Ordering::Relaxed)
    }
    /// Whether it is burning.
    pub(super) fn is_lit(&self) -> bool {
        self.left.load(Ordering::Relaxed) >= 0
    }
    /// Whether it blew, and if so whether that commit is durable.
    pub(super) fn blown(&self) -> Option<bool> {
        match self.blown.load(Ordering::Relaxed) {
            0 => None,
            how => Some(how == 2),
        }
    }
    /// A new machine.
    pub(super) fn renew(&self) {
        self.left.store(-1, Ordering::Relaxed);
        self.blown.store(0, Ordering::Relaxed);
        self.full.store(0, Ordering::Relaxed);
        self.refused.store(false, Ordering::Relaxed);
    }
    /// Whether this commit finds the disk full.
    fn is_full(&self) -> bool {
        let left = self.full.load(Ordering::Relaxed);
        if left > 0 {
            self.full.store(left - 1, Ordering::Relaxed);
            self.refused.store(true, Ordering::Relaxed);
        }
        left > 0
    }
    /// One commit more; true if it is the one.
    fn burn(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        if left >= 0 {
            self.left.store(left - 1, Ordering::Relaxed);
        }
        left == 0
    }
}

/// The real store behind a fuse.
#[derive(Debug)]
pub(super) struct Brittle {
    pub(super) db: Database,
    pub(super) fuse: Arc<Fuse>,
}

fn dead() -> Fault {
    Fault::Later("the machine is dead".into())
}

impl Store for Brittle {
    fn commit(&mut self, commit: &Commit) -> Result<Committed, Fault> {
        if self.fuse.blown().is_some() {
            return Err(dead());
        }
        if self.fuse.is_full() {
            return Err(Fault::Later("the disk is full".into()));
        }
        if self.fuse.burn() {
            let durable = self.fuse.durable.load(Ordering::Relaxed);
            if durable {
                self.db.commit(commit)?;
            }
            self.fuse.blown.store(if durable { 2 } else { 1 }, Ordering::Relaxed);
            return Err(dead());
        }
        self.db.commit(commit)
    }
    fn seen(&self, source: &str, key: &str) -> Result<bool, Fault> {
        self.db.seen(source, key)
    }
    fn logs(&self) -> Result<Vec<(EventId, Vec<FactRow>)>, Fault> {
        self.db.logs()
    }
    fn log(&self, log: &EventId) -> Result<Vec<FactRow>, Fault> {
        self.db.log(log)
    }
    fn facts_after(&self, place: u64, limit: usize) -> Result<Vec<(u64, FactRow)>, Fault> {
        self.db.facts_after(place, limit)
    }
    fn newest_fact(&self) -> Result<u64, Fault> {
        self.db.newest_fact()
    }
    fn lease(&mut self, now: Time, until: Time, limit: usize) -> Result<Vec<EffectRow>, Fault> {
        if self.fuse.blown().is_some() {
            return Err(dead());
        }
        self.db.lease(now, until, limit)
    }
    fn release_leases(&mut self) {
        self.db.release_leases();
    }
    fn next_due(&self) -> Result<Option<Time>, Fault> {
        self.db.next_due()
    }
    fn outbox(&self) -> Result<(u64, u64), Fault> {
        self.db.outbox()
    }
    fn pending(&self, log: &EventId, limit: usize) -> Result<Vec<PendingRow>, Fault> {
        self.db.pending(log, limit)
    }
    fn payment(&self, hash: &PaymentHash) -> Result<Option<LedgerRow>, Fault> {
        self.db.payment(hash)
    }
    fn payments(&self) -> Result<Vec<LedgerRow>, Fault> {
        self.db.payments()
    }
    fn gig(&self, id: &EventId) -> Result<Option<(Gig, String)>, Fault> {
        self.db.gig(id)
    }
    fn find(&self, query: &Query, now: Time) -> Result<Page, Fault> {
        self.db.find(query, now)
    }
    fn prune(&mut self, now: Time) -> Result<u64, Fault> {
        self.db.prune(now)
    }
    fn cursor(&self, subscription: &str) -> Result<Option<Time>, Fault> {
        self.db.cursor(subscription)
    }
    fn mutes(&self) -> Result<Vec<(Pubkey, Time)>, Fault> {
        self.db.mutes()
    }
    fn testimonies(&self, about: &Pubkey) -> Result<Vec<Testimony>, Fault> {
        self.db.testimonies(about)
    }
    fn follows(&self) -> Result<Vec<Pubkey>, Fault> {
        self.db.follows()
    }
}
