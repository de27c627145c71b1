//! A store whose process can be killed at any commit, and whose disk can be full at one.

use std::sync::{Arc, Mutex};

use earnest::engine::*;
use earnest::market::*;
use earnest::store::Database;

/// When a store dies.
#[derive(Debug, Default)]
pub(crate) struct Death {
    /// Commits so far.
    pub(crate) commits: u64,
    /// At this one.
    pub(crate) at: Option<u64>,
    /// Before it is durable, or right after.
    pub(crate) before: bool,
    /// It has happened: nothing more is written.
    pub(crate) dead: bool,
    /// At this one the disk is full, and nobody dies of it.
    pub(crate) full_at: Option<u64>,
}

/// A store whose process can be killed at any commit.
pub(crate) struct Frail(pub(super) Database, pub(super) Arc<Mutex<Death>>);

impl Store for Frail {
    fn commit(&mut self, commit: &Commit) -> Result<Committed, Fault> {
        let killed = || Fault::Later("killed".into());
        let mut death = self.1.lock().unwrap();
        if death.dead {
            return Err(killed());
        }
        death.commits += 1;
        if death.full_at == Some(death.commits) {
            return Err(Fault::Later("the disk is full".into()));
        }
        if death.at == Some(death.commits) {
            death.dead = true;
            if !death.before {
                self.0.commit(commit)?;
            }
            return Err(killed());
        }
        self.0.commit(commit)
    }
    fn seen(&self, source: &str, key: &str) -> Result<bool, Fault> {
        self.0.seen(source, key)
    }
    fn logs(&self) -> Result<Vec<(EventId, Vec<FactRow>)>, Fault> {
        self.0.logs()
    }
    fn log(&self, log: &EventId) -> Result<Vec<FactRow>, Fault> {
        self.0.log(log)
    }
    fn facts_after(&self, place: u64, limit: usize) -> Result<Vec<(u64, FactRow)>, Fault> {
        self.0.facts_after(place, limit)
    }
    fn newest_fact(&self) -> Result<u64, Fault> {
        self.0.newest_fact()
    }
    fn lease(&mut self, now: Time, until: Time, limit: usize) -> Result<Vec<EffectRow>, Fault> {
        self.0.lease(now, until, limit)
    }
    fn release_leases(&mut self) {
        self.0.release_leases();
    }
    fn next_due(&self) -> Result<Option<Time>, Fault> {
        self.0.next_due()
    }
    fn outbox(&self) -> Result<(u64, u64), Fault> {
        self.0.outbox()
    }
    fn pending(&self, log: &EventId, limit: usize) -> Result<Vec<PendingRow>, Fault> {
        self.0.pending(log, limit)
    }
    fn payment(&self, hash: &PaymentHash) -> Result<Option<LedgerRow>, Fault> {
        self.0.payment(hash)
    }
    fn payments(&self) -> Result<Vec<LedgerRow>, Fault> {
        self.0.payments()
    }
    fn gig(&self, id: &EventId) -> Result<Option<(Gig, String)>, Fault> {
        self.0.gig(id)
    }
    fn find(&self, query: &Query, now: Time) -> Result<Page, Fault> {
        self.0.find(query, now)
    }
    fn prune(&mut self, now: Time) -> Result<u64, Fault> {
        self.0.prune(now)
    }
    fn cursor(&self, subscription: &str) -> Result<Option<Time>, Fault> {
        self.0.cursor(subscription)
    }
    fn mutes(&self) -> Result<Vec<(Pubkey, Time)>, Fault> {
        self.0.mutes()
    }
    fn testimonies(&self, about: &Pubkey) -> Result<Vec<Testimony>, Fault> {
        self.0.testimonies(about)
    }
    fn follows(&self) -> Result<Vec<Pubkey>, Fault> {
        self.0.follows()
    }
}

impl Frail {
    /// A listing version is still here.
    pub(crate) fn gig_kept(&self, id: &EventId) -> bool {
        self.0.gig(id).unwrap().is_some()
    }
}
