//! The store port on SQLite: what was decided, durable when a commit returns.
//!
//! The rule: a commit is one transaction and either all of it is there or nothing; facts and payments
//! are never changed or deleted, and the schema itself refuses whoever tries. The store does not know
//! what a fact or an effect means. One process owns a data directory, and the lock file says which.

mod commit;
mod fault;
mod find;
mod listing;
mod migrate;
mod open;
mod outbox;
mod people;
mod read;
mod words;

pub use listing::{FORGET_AFTER, FORGET_MARK_AFTER, LISTINGS_PER_AUTHOR};
pub use migrate::VERSION;
pub use open::{NotOpen, Owner};

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use outbox::Leases;
use rusqlite::Connection;

use crate::engine::{Commit, Committed, EffectRow, FactRow, Fault, LedgerRow, PendingRow, Store};
use crate::market::{EventId, Gig, Page, PaymentHash, Pubkey, Query, Testimony, Time};

/// A database, on disk or in memory.
#[derive(Debug)]
pub struct Database {
    /// `None` only while it is dropped.
    conn: Option<Connection>,
    leases: Leases,
    home: Home,
}

/// What holds the database when nobody has it open.
#[derive(Debug)]
enum Home {
    /// The disk, and the lock of the directory.
    Disk(#[expect(dead_code, reason = "held, not read: dropping it gives the lock back")] Owner),
    /// Memory that can be opened again.
    Ram(Ram),
}

/// Memory that outlives a [`Database`] on it, as a disk does: a simulated machine that crashes opens
/// the same memory again. Like a disk it is open once at a time.
#[derive(Debug, Clone, Default)]
pub struct Ram(Arc<Mutex<Slot>>);

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Blank,
    Open,
    Closed(Connection),
}

impl Ram {
    /// Opens the memory.
    ///
    /// # Errors
    /// [`NotOpen::MemoryInUse`] while another handle has it open.
    pub fn open(&self) -> Result<Database, NotOpen> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let conn = match std::mem::replace(&mut *slot, Slot::Open) {
            Slot::Open => return Err(NotOpen::MemoryInUse),
            Slot::Closed(conn) => conn,
            Slot::Blank => open::in_memory().inspect_err(|_| *slot = Slot::Blank)?,
        };
        Ok(Database { conn: Some(conn), leases: Leases::new(), home: Home::Ram(self.clone()) })
    }
}

impl Database {
    /// Opens the store in `dir`, made with mode 0700 if it is missing, and takes the directory's lock
    /// for as long as the value lives. `what` names this process to whoever comes second.
    ///
    /// # Errors
    /// [`NotOpen::Owned`] while another process has it; every other [`NotOpen`] but `MemoryInUse`.
    pub fn open(dir: &Path, what: &str) -> Result<Self, NotOpen> {
        let owner = Owner::take(dir, what)?;
        let conn = Some(open::on_disk(dir)?);
        Ok(Self { conn, leases: Leases::new(), home: Home::Disk(owner) })
    }

    /// A store in memory that ends with the value. For one that outlives it, see [`Ram`].
    ///
    /// # Errors
    /// Only when memory is short.
    pub fn memory() -> Result<Self, NotOpen> {
        Ram::default().open()
    }

    /// Lets the database grow to about this many bytes and no further: beyond, a commit fails as it
    /// does on a full disk.
    ///
    /// # Errors
    /// Only what a broken database says.
    pub fn limit_bytes(&mut self, bytes: u64) -> Result<(), Fault> {
        let page = |conn: &Connection| {
            conn.pragma_query_value(None, "page_size", |row| row.get::<_, u64>(0))
        };
        let conn = self.conn()?;
        let pages = bytes / page(conn).map_err(fault::fault)?.max(1);
        let sql = format!("PRAGMA max_page_count = {pages}");
        conn.query_row(&sql, [], |_| Ok(())).map_err(fault::fault)
    }

    fn conn(&self) -> Result<&Connection, Fault> {
        self.conn.as_ref().ok_or_else(closed)
    }

    fn conn_mut(&mut self) -> Result<&mut Connection, Fault> {
        self.conn.as_mut().ok_or_else(closed)
    }
}

fn closed() -> Fault {
    Fault::Never("The store is closed.".into())
}

impl Drop for Database {
    fn drop(&mut self) {
        let conn = self.conn.take();
        if let (Home::Ram(ram), Some(conn)) = (&self.home, conn) {
            *ram.0.lock().unwrap_or_else(PoisonError::into_inner) = Slot::Closed(conn);
        }
        // On disk the connection was closed by the line above, before the lock goes with `home`.
    }
}

impl Store for Database {
    fn commit(&mut self, commit: &Commit) -> Result<Committed, Fault> {
        let committed = commit::commit(self.conn_mut()?, commit)?;
        if committed == Committed::New {
            for (id, _) in &commit.ends {
                self.leases.remove(id);
            }
        }
        Ok(committed)
    }
    fn seen(&self, source: &str, key: &str) -> Result<bool, Fault> {
        read::seen(self.conn()?, source, key)
    }
    fn logs(&self) -> Result<Vec<(EventId, Vec<FactRow>)>, Fault> {
        read::logs(self.conn()?)
    }
    fn log(&self, log: &EventId) -> Result<Vec<FactRow>, Fault> {
        read::log(self.conn()?, log)
    }
    fn facts_after(&self, place: u64, limit: usize) -> Result<Vec<(u64, FactRow)>, Fault> {
        read::facts_after(self.conn()?, place, limit)
    }
    fn newest_fact(&self) -> Result<u64, Fault> {
        read::newest_fact(self.conn()?)
    }
    fn lease(&mut self, now: Time, until: Time, limit: usize) -> Result<Vec<EffectRow>, Fault> {
        let conn = self.conn.as_ref().ok_or_else(closed)?;
        outbox::lease(conn, &mut self.leases, now, until, limit)
    }
    fn release_leases(&mut self) {
        self.leases.clear();
    }
    fn next_due(&self) -> Result<Option<Time>, Fault> {
        outbox::next_due(self.conn()?, &self.leases)
    }
    fn outbox(&self) -> Result<(u64, u64), Fault> {
        outbox::count(self.conn()?)
    }
    fn pending(&self, log: &EventId, limit: usize) -> Result<Vec<PendingRow>, Fault> {
        outbox::pending(self.conn()?, log, limit)
    }
    fn payment(&self, hash: &PaymentHash) -> Result<Option<LedgerRow>, Fault> {
        read::payment(self.conn()?, hash)
    }
    fn payments(&self) -> Result<Vec<LedgerRow>, Fault> {
        read::payments(self.conn()?)
    }
    fn gig(&self, id: &EventId) -> Result<Option<(Gig, String)>, Fault> {
        read::gig(self.conn()?, id)
    }
    fn find(&self, query: &Query, now: Time) -> Result<Page, Fault> {
        find::find(self.conn()?, query, now)
    }
    fn prune(&mut self, now: Time) -> Result<u64, Fault> {
        listing::prune(self.conn_mut()?, now)
    }
    fn cursor(&self, subscription: &str) -> Result<Option<Time>, Fault> {
        read::cursor(self.conn()?, subscription)
    }
    fn mutes(&self) -> Result<Vec<(Pubkey, Time)>, Fault> {
        read::mutes(self.conn()?)
    }
    fn testimonies(&self, about: &Pubkey) -> Result<Vec<Testimony>, Fault> {
        people::testimonies(self.conn()?, about)
    }
    fn follows(&self) -> Result<Vec<Pubkey>, Fault> {
        people::follows(self.conn()?)
    }
}
