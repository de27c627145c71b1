//! The commit: everything that one input changes, in one transaction.

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::fault::fault;
use super::read::{direction, int, ledger_row};
use super::{listing, outbox, people};
use crate::engine::{Commit, Committed, FactRow, Fault, LedgerRow, Mark};
use crate::market::{Msat, PaymentHash};

/// Writes it all or nothing. Dropping the transaction on the way out rolls it back.
pub(super) fn commit(conn: &mut Connection, commit: &Commit) -> Result<Committed, Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
    if let Some(seen) = &commit.mark
        && mark(&tx, seen)? == 0
    {
        return Ok(Committed::Seen);
    }
    for echo in &commit.echoes {
        mark(&tx, echo)?;
    }
    for row in &commit.facts {
        fact(&tx, row)?;
    }
    for (id, end) in &commit.ends {
        outbox::end(&tx, id, end)?;
    }
    for row in &commit.effects {
        outbox::add(&tx, row)?;
    }
    for row in &commit.ledger {
        ledger(&tx, row)?;
    }
    for (hash, state, fee) in &commit.moves {
        movement(&tx, hash, state, *fee)?;
    }
    for id in &commit.keep {
        tx.prepare_cached("INSERT OR IGNORE INTO kept (event) VALUES (?1)")
            .and_then(|mut sql| sql.execute([id.0]))
            .map_err(fault)?;
    }
    for (gig, json) in &commit.gigs {
        listing::put(&tx, gig, json)?;
    }
    if let Some((subscription, at)) = &commit.cursor {
        tx.prepare_cached(
            "INSERT INTO cursor (subscription, at) VALUES (?1, ?2)
             ON CONFLICT (subscription) DO UPDATE SET at = excluded.at",
        )
        .and_then(|mut sql| sql.execute(params![subscription, int(at.0)]))
        .map_err(fault)?;
    }
    for (author, since) in &commit.mutes {
        match since {
            Some(at) => tx
                .prepare_cached("INSERT OR IGNORE INTO mute (author, at) VALUES (?1, ?2)")
                .and_then(|mut sql| sql.execute(params![author.0, int(at.0)])),
            None => tx
                .prepare_cached("DELETE FROM mute WHERE author = ?1")
                .and_then(|mut sql| sql.execute([author.0])),
        }
        .map_err(fault)?;
    }
    for testimony in &commit.testimonies {
        people::put(&tx, testimony)?;
    }
    if let Some(follows) = &commit.follows {
        people::follow(&tx, follows)?;
    }
    tx.commit().map_err(fault)?;
    Ok(Committed::New)
}

/// How many marks are new: one or none.
fn mark(tx: &Transaction<'_>, mark: &Mark) -> Result<usize, Fault> {
    tx.prepare_cached("INSERT OR IGNORE INTO inbox (source, key, at) VALUES (?1, ?2, ?3)")
        .and_then(|mut sql| sql.execute(params![mark.source, mark.key, int(mark.at.0)]))
        .map_err(fault)
}

fn fact(tx: &Transaction<'_>, row: &FactRow) -> Result<(), Fault> {
    tx.prepare_cached(
        "INSERT INTO fact (log, n, at, kind, v, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .and_then(|mut sql| {
        sql.execute(params![row.log.0, int(row.n), int(row.at.0), row.kind, row.v, row.body])
    })
    .map(drop)
    .map_err(fault)
}

/// A hash belongs to one job, one direction, one tranche and one amount for ever.
fn ledger(tx: &Transaction<'_>, row: &LedgerRow) -> Result<(), Fault> {
    let there = tx
        .prepare_cached("SELECT * FROM ledger WHERE hash = ?1")
        .and_then(|mut sql| sql.query_row([row.hash.0], ledger_row).optional())
        .map_err(fault)?;
    let Some(there) = there else {
        return tx
            .prepare_cached(
                "INSERT INTO ledger
                   (hash, log, direction, tranche, amount, invoice, state, fee, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )
            .and_then(|mut sql| {
                sql.execute(params![
                    row.hash.0,
                    row.log.0,
                    direction(row.direction),
                    row.tranche,
                    int(row.amount.get()),
                    row.invoice,
                    row.state,
                    int(row.fee.get()),
                    int(row.at.0),
                ])
            })
            .map(drop)
            .map_err(fault);
    };
    let purpose = |r: &LedgerRow| (r.log, r.direction, r.tranche, r.amount);
    if purpose(&there) != purpose(row) {
        return Err(Fault::Never(format!(
            "The payment hash {} already belongs to job {}, tranche {}: it is never used for anything \
             else. Nothing was written and no money moved.",
            row.hash.short(),
            there.log.short(),
            there.tranche
        )));
    }
    if there.invoice == row.invoice {
        return Ok(());
    }
    if matches!(there.state.as_str(), "inflight" | "paid" | "claimable" | "received") {
        return Err(Fault::Never(format!(
            "The payment {} of job {} may be moving ({}): it is not billed again. Nothing was \
             written.",
            row.hash.short(),
            row.log.short(),
            there.state
        )));
    }
    tx.prepare_cached("UPDATE ledger SET invoice = ?2, state = ?3, fee = ?4 WHERE hash = ?1")
        .and_then(|mut sql| {
            sql.execute(params![row.hash.0, row.invoice, row.state, int(row.fee.get())])
        })
        .map(drop)
        .map_err(fault)
}

fn movement(tx: &Transaction<'_>, hash: &PaymentHash, state: &str, fee: Msat) -> Result<(), Fault> {
    let moved = tx
        .prepare_cached("UPDATE ledger SET state = ?2, fee = ?3 WHERE hash = ?1")
        .and_then(|mut sql| sql.execute(params![hash.0, state, int(fee.get())]))
        .map_err(fault)?;
    if moved == 0 {
        return Err(Fault::Never(format!(
            "The payment hash {} is not in the ledger. Nothing was written.",
            hash.short()
        )));
    }
    Ok(())
}
