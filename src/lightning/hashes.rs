//! What this node ever promised or did with a payment hash, durable before anybody else hears of it.
//!
//! ldk-node keeps a payment store of its own, and it has two gaps (ldk-node#966). A hash registered
//! twice is silently reopened. And a payment sent just before a crash is in flight, or even done, without
//! a record. So a bill is written here before its invoice leaves, and a payment before it is sent.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use rusqlite::{Connection, OptionalExtension, params};

use crate::engine::{BillOrder, Billed, Fault};
use crate::market::{Msat, PaymentHash, Preimage, Time};

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS bill (
        hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
        wanted TEXT NOT NULL,       -- the order, JSON
        invoice TEXT,               -- NULL: asked for, never handed out
        lsp_fee INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        held INTEGER NOT NULL       -- an HTLC for it arrived
    ) STRICT;
    CREATE TABLE IF NOT EXISTS payment (
        hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
        state TEXT NOT NULL CHECK (state IN ('intent', 'paid', 'failed')),
        fee INTEGER NOT NULL,
        preimage BLOB,
        reason TEXT                 -- of a failure; of an intent, which wallet elsewhere was asked
    ) STRICT;
    -- What has no hash and is being done by hand: a row stands only while it is.
    CREATE TABLE IF NOT EXISTS by_hand (what TEXT PRIMARY KEY) STRICT;
    -- Invoices that a person paid, so that they are told from those of jobs.
    CREATE TABLE IF NOT EXISTS hand (hash BLOB PRIMARY KEY CHECK (length(hash) = 32)) STRICT;
";

const FILE: &str = "hashes.sqlite";

/// Three hours: LDK takes an HTLC up to two hours past an invoice's expiry.
const AFTER_EXPIRY: u64 = 3 * 3600;

/// A payment of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    /// About to be sent, or on its way.
    Intent,
    /// Done.
    Paid { preimage: Preimage, fee: Msat },
    /// Not done, nothing in flight.
    Failed { reason: String },
}

/// What to do about an order for an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// The hash is free: make one.
    Free,
    /// An earlier try ended before its invoice left: make one, though ldk-node may know the hash.
    Unfinished,
    /// The very same order was answered already: that answer.
    Answered(Billed),
}

pub(super) struct Hashes {
    db: Mutex<Connection>,
}

impl Hashes {
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(FILE);
        let db = Connection::open(&path)
            .and_then(|db| db.execute_batch(SCHEMA).map(|()| db))
            .with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { db: Mutex::new(db) })
    }

    /// What another payer's record in this folder says of a payment; nothing where there is none.
    pub(super) fn sent_elsewhere(dir: &Path, hash: &PaymentHash) -> Result<Option<Sent>, Fault> {
        if !dir.join(FILE).exists() {
            return Ok(None);
        }
        let other = Self::open(dir)
            .map_err(|why| Fault::Later(format!("{why:#}. Nothing new was paid.")))?;
        other.sent(hash)
    }

    fn with<T>(&self, run: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Fault> {
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        run(&db).map_err(|why| {
            Fault::Later(format!("The node's own record cannot be used ({why}). No money moved."))
        })
    }

    /// Judges an order for an invoice, and marks the hash as asked for unless it was answered.
    pub(super) fn ask_bill(&self, order: &BillOrder, now: Time) -> Result<Standing, Fault> {
        // Neither whether it is asked `again` nor for how long is part of what is asked for.
        let plain = BillOrder { again: false, expiry_secs: 0, ..order.clone() };
        let wanted = serde_json::to_string(&plain)
            .map_err(|why| Fault::Never(format!("This order cannot be written down: {why}")))?;
        let row = self.with(|db| {
            db.query_row(
                "SELECT wanted, invoice, lsp_fee, expires_at, held FROM bill WHERE hash = ?1",
                [order.hash.as_bytes()],
                |row| {
                    Ok((
                        row.get::<_, String>(0)?,
                        row.get::<_, Option<String>>(1)?,
                        row.get::<_, i64>(2)?,
                        row.get::<_, i64>(3)?,
                        row.get::<_, bool>(4)?,
                    ))
                },
            )
            .optional()
        })?;
        let standing = match row {
            None => Standing::Free,
            Some((_, None, ..)) => Standing::Unfinished,
            Some((was, Some(invoice), fee, expires_at, held)) => {
                let over = now.0 >= unsigned(expires_at).saturating_add(AFTER_EXPIRY);
                if order.again && over && !held {
                    Standing::Unfinished
                } else if was == wanted {
                    return Ok(Standing::Answered(Billed { invoice, lsp_fee: msat(fee) }));
                } else if held {
                    return Err(Fault::Never(
                        "A payment for this hash arrived already, so it is not billed again."
                            .to_owned(),
                    ));
                } else {
                    return Err(Fault::Never(
                        "This hash was billed before with other terms. It can be billed again \
                         only three hours after that invoice expired unpaid."
                            .to_owned(),
                    ));
                }
            }
        };
        self.with(|db| {
            db.execute(
                "INSERT INTO bill VALUES (?1, ?2, NULL, 0, 0, 0) ON CONFLICT (hash) DO UPDATE \
                 SET wanted = ?2, invoice = NULL, lsp_fee = 0, expires_at = 0",
                params![order.hash.as_bytes(), wanted],
            )
        })?;
        Ok(standing)
    }

    /// Writes the answer down; only then may it be handed out.
    pub(super) fn answer_bill(
        &self,
        hash: &PaymentHash,
        billed: &Billed,
        expires_at: Time,
    ) -> Result<(), Fault> {
        self.with(|db| {
            db.execute(
                "UPDATE bill SET invoice = ?2, lsp_fee = ?3, expires_at = ?4 WHERE hash = ?1",
                params![
                    hash.as_bytes(),
                    billed.invoice,
                    signed(billed.lsp_fee.get()),
                    signed(expires_at.0)
                ],
            )
        })
        .map(|_| ())
    }

    /// The hash was refused before anything was handed out: forget it.
    pub(super) fn forget_bill(&self, hash: &PaymentHash) -> Result<(), Fault> {
        self.with(|db| {
            db.execute(
                "DELETE FROM bill WHERE hash = ?1 AND invoice IS NULL AND held = 0",
                [hash.as_bytes()],
            )
        })
        .map(|_| ())
    }

    /// An HTLC for this hash arrived: it is never billed again.
    pub(super) fn held(&self, hash: &PaymentHash) -> Result<(), Fault> {
        self.with(|db| db.execute("UPDATE bill SET held = 1 WHERE hash = ?1", [hash.as_bytes()]))
            .map(|_| ())
    }

    /// A payment is about to be sent. Keeps `Paid` if it stands.
    pub(super) fn intend(&self, hash: &PaymentHash) -> Result<(), Fault> {
        self.intend_by(hash, None)
    }

    /// The same, by this wallet elsewhere.
    pub(super) fn intend_by(&self, hash: &PaymentHash, whom: Option<&str>) -> Result<(), Fault> {
        self.with(|db| {
            db.execute(
                "INSERT INTO payment VALUES (?1, 'intent', 0, NULL, ?2) ON CONFLICT (hash) DO \
                 UPDATE SET state = 'intent', reason = ?2 WHERE state <> 'paid'",
                params![hash.as_bytes(), whom],
            )
        })
        .map(|_| ())
    }

    /// Which wallet elsewhere was asked for a payment that is still in doubt.
    pub(super) fn asked_of(&self, hash: &PaymentHash) -> Result<Option<String>, Fault> {
        let found = self.with(|db| {
            db.query_row(
                "SELECT reason FROM payment WHERE hash = ?1 AND state = 'intent'",
                [hash.as_bytes()],
                |row| row.get::<_, Option<String>>(0),
            )
            .optional()
        })?;
        Ok(found.flatten())
    }

    /// A payment is done.
    pub(super) fn paid(
        &self,
        hash: &PaymentHash,
        preimage: &Preimage,
        fee: Msat,
    ) -> Result<(), Fault> {
        self.with(|db| {
            db.execute(
                "INSERT INTO payment VALUES (?1, 'paid', ?2, ?3, NULL) ON CONFLICT (hash) DO \
                 UPDATE SET state = 'paid', fee = ?2, preimage = ?3, reason = NULL",
                params![hash.as_bytes(), signed(fee.get()), preimage.expose()],
            )
        })
        .map(|_| ())
    }

    /// A payment failed with nothing in flight. `Paid` is final.
    pub(super) fn failed(&self, hash: &PaymentHash, reason: &str) -> Result<(), Fault> {
        self.with(|db| {
            db.execute(
                "INSERT INTO payment VALUES (?1, 'failed', 0, NULL, ?2) ON CONFLICT (hash) DO \
                 UPDATE SET state = 'failed', reason = ?2 WHERE state <> 'paid'",
                params![hash.as_bytes(), reason],
            )
        })
        .map(|_| ())
    }

    /// Something without a natural key is about to be done by hand. `false` if the last time it was begun
    /// it never came to an end: that is told once.
    pub(super) fn begin_by_hand(&self, what: &str) -> Result<bool, Fault> {
        if self.with(|db| db.execute("DELETE FROM by_hand WHERE what = ?1", [what]))? > 0 {
            return Ok(false);
        }
        self.with(|db| db.execute("INSERT INTO by_hand VALUES (?1)", [what])).map(|_| true)
    }

    /// It came to an end, whichever.
    pub(super) fn end_by_hand(&self, what: &str) -> Result<(), Fault> {
        self.with(|db| db.execute("DELETE FROM by_hand WHERE what = ?1", [what])).map(|_| ())
    }

    /// This invoice is about to be paid by a person.
    pub(super) fn pay_by_hand(&self, hash: &PaymentHash) -> Result<(), Fault> {
        self.with(|db| db.execute("INSERT OR IGNORE INTO hand VALUES (?1)", [hash.as_bytes()]))
            .map(|_| ())
    }

    /// Whether a person paid it, or tried to.
    pub(super) fn is_by_hand(&self, hash: &PaymentHash) -> Result<bool, Fault> {
        self.with(|db| {
            db.query_row(
                "SELECT EXISTS (SELECT 1 FROM hand WHERE hash = ?1)",
                [hash.as_bytes()],
                |row| row.get(0),
            )
        })
    }

    /// What became of a payment of ours, as far as this record knows.
    pub(super) fn sent(&self, hash: &PaymentHash) -> Result<Option<Sent>, Fault> {
        self.with(|db| {
            db.query_row(
                "SELECT state, fee, preimage, reason FROM payment WHERE hash = ?1",
                [hash.as_bytes()],
                |row| {
                    let state: String = row.get(0)?;
                    Ok(match (state.as_str(), row.get::<_, Option<[u8; 32]>>(2)?) {
                        ("paid", Some(bytes)) => Sent::Paid {
                            preimage: Preimage::new(bytes),
                            fee: msat(row.get::<_, i64>(1)?),
                        },
                        ("failed", _) => Sent::Failed {
                            reason: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
                        },
                        _ => Sent::Intent,
                    })
                },
            )
            .optional()
        })
    }
}

// SQLite has signed integers only. Amounts and times are far below 2^63.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
fn msat(n: i64) -> Msat {
    Msat::new(unsigned(n)).unwrap_or(Msat::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Digest;

    fn order() -> BillOrder {
        BillOrder {
            hash: PaymentHash([1; 32]),
            amount: Msat::sats(5000).unwrap(),
            description_hash: Digest([2; 32]),
            expiry_secs: 3600,
            again: false,
            hold_blocks: None,
        }
    }
    fn answered(hashes: &Hashes) -> Billed {
        let billed = Billed { invoice: "lnbcrt1".into(), lsp_fee: Msat::sats(50).unwrap() };
        hashes.answer_bill(&order().hash, &billed, Time(4600)).unwrap();
        billed
    }

    #[test]
    fn the_same_order_gets_the_same_invoice_and_another_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let hashes = Hashes::open(dir.path()).unwrap();
        assert_eq!(hashes.ask_bill(&order(), Time(1000)), Ok(Standing::Free));
        // Killed in between: nothing had left.
        assert_eq!(hashes.ask_bill(&order(), Time(1000)), Ok(Standing::Unfinished));
        let billed = answered(&hashes);
        drop(hashes);
        let hashes = Hashes::open(dir.path()).unwrap();
        let longer = BillOrder { expiry_secs: 7200, ..order() };
        for same in [order(), longer] {
            assert_eq!(hashes.ask_bill(&same, Time(1001)), Ok(Standing::Answered(billed.clone())));
        }
        for other in [
            BillOrder { amount: Msat::sats(5001).unwrap(), ..order() },
            BillOrder { description_hash: Digest([3; 32]), ..order() },
            BillOrder { hold_blocks: Some(144), ..order() },
        ] {
            assert!(matches!(hashes.ask_bill(&other, Time(1001)), Err(Fault::Never(_))));
        }
    }

    #[test]
    fn a_hash_is_billed_again_only_three_hours_after_and_only_unheld() {
        let dir = tempfile::tempdir().unwrap();
        let hashes = Hashes::open(dir.path()).unwrap();
        hashes.ask_bill(&order(), Time(1000)).unwrap();
        let billed = answered(&hashes);
        let again = BillOrder { again: true, ..order() };
        let dearer = BillOrder { amount: Msat::sats(6000).unwrap(), ..again.clone() };
        let early = Time(4600 + AFTER_EXPIRY - 1);
        let late = Time(4600 + AFTER_EXPIRY);
        assert_eq!(hashes.ask_bill(&again, early), Ok(Standing::Answered(billed.clone())));
        assert!(matches!(hashes.ask_bill(&dearer, early), Err(Fault::Never(_))));
        assert_eq!(hashes.ask_bill(&order(), late), Ok(Standing::Answered(billed)));
        assert_eq!(hashes.ask_bill(&dearer, late), Ok(Standing::Unfinished));
        answered(&hashes);
        hashes.held(&order().hash).unwrap();
        assert!(matches!(hashes.ask_bill(&again, late), Err(Fault::Never(_))));
    }

    #[test]
    fn what_was_cut_off_by_a_crash_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let hashes = Hashes::open(dir.path()).unwrap();
        for _ in 0..2 {
            assert_eq!(hashes.begin_by_hand("send 1 sat"), Ok(true));
            hashes.end_by_hand("send 1 sat").unwrap();
        }
        assert_eq!(hashes.begin_by_hand("send 1 sat"), Ok(true));
        drop(hashes);
        let hashes = Hashes::open(dir.path()).unwrap();
        assert_eq!(hashes.begin_by_hand("send 2 sat"), Ok(true));
        assert_eq!(hashes.begin_by_hand("send 1 sat"), Ok(false));
        assert_eq!(hashes.begin_by_hand("send 1 sat"), Ok(true));
    }

    #[test]
    fn a_payment_by_hand_is_told_from_a_job_s() {
        let dir = tempfile::tempdir().unwrap();
        let hashes = Hashes::open(dir.path()).unwrap();
        let hash = PaymentHash([1; 32]);
        assert_eq!(hashes.is_by_hand(&hash), Ok(false));
        for _ in 0..2 {
            hashes.pay_by_hand(&hash).unwrap();
        }
        drop(hashes);
        let hashes = Hashes::open(dir.path()).unwrap();
        assert_eq!(hashes.is_by_hand(&hash), Ok(true));
        assert_eq!(hashes.is_by_hand(&PaymentHash([2; 32])), Ok(false));
    }

    #[test]
    fn paid_is_final() {
        let dir = tempfile::tempdir().unwrap();
        let hashes = Hashes::open(dir.path()).unwrap();
        let hash = PaymentHash([1; 32]);
        assert_eq!(hashes.sent(&hash), Ok(None));
        hashes.intend(&hash).unwrap();
        assert_eq!(hashes.sent(&hash), Ok(Some(Sent::Intent)));
        hashes.failed(&hash, "no route").unwrap();
        assert_eq!(hashes.sent(&hash), Ok(Some(Sent::Failed { reason: "no route".into() })));
        hashes.intend(&hash).unwrap();
        let paid = Sent::Paid { preimage: Preimage::new([7; 32]), fee: Msat::sats(1).unwrap() };
        hashes.paid(&hash, &Preimage::new([7; 32]), Msat::sats(1).unwrap()).unwrap();
        hashes.failed(&hash, "late").unwrap();
        hashes.intend(&hash).unwrap();
        drop(hashes);
        assert_eq!(Hashes::open(dir.path()).unwrap().sent(&hash), Ok(Some(paid)));
    }
}
