//! The outbox: effects wait here with the facts that caused them, and are leased to whoever runs them.
//! A lease that ran out is taken again: at least once, never lost.

use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use super::fault::fault;
use super::read::{int, time};
use crate::engine::{EffectEnd, EffectRow, Fault, PendingRow};
use crate::market::{Digest, EventId, Time};

/// The id covers log, place, second and body: what is there under it already is this very effect, asked for
/// twice in one second, and is run once.
pub(super) fn add(tx: &Transaction<'_>, row: &EffectRow) -> Result<(), Fault> {
    tx.prepare_cached(
        "INSERT INTO outbox (id, log, kind, body, not_before, due, tries)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6) ON CONFLICT (id) DO NOTHING",
    )
    .and_then(|mut sql| {
        let due = int(row.not_before.0);
        sql.execute(params![row.id.0, row.log.0, row.kind, row.body, due, row.tries])
    })
    .map(drop)
    .map_err(fault)
}

/// An effect that is not there any more was ended by another runner of it: nothing to do.
pub(super) fn end(tx: &Transaction<'_>, id: &Digest, end: &EffectEnd) -> Result<(), Fault> {
    let done = match end {
        EffectEnd::Done => tx
            .prepare_cached("DELETE FROM outbox WHERE id = ?1")
            .and_then(|mut sql| sql.execute([id.0])),
        EffectEnd::Retry { not_before, why } => tx
            .prepare_cached(
                "UPDATE outbox SET not_before = ?2, due = ?2, leased = 0, tries = tries + 1, last = ?3
                 WHERE id = ?1",
            )
            .and_then(|mut sql| sql.execute(params![id.0, int(not_before.0), why])),
        EffectEnd::Replace { kind, body } => tx
            .prepare_cached(
                "UPDATE outbox SET kind = ?2, body = ?3, not_before = 0, due = 0, leased = 0, tries = 0
                 WHERE id = ?1",
            )
            .and_then(|mut sql| sql.execute(params![id.0, kind, body])),
        EffectEnd::Park { why } => tx
            .prepare_cached(
                "UPDATE outbox SET parked = 1, leased = 0, tries = tries + 1, last = ?2
                 WHERE id = ?1",
            )
            .and_then(|mut sql| sql.execute(params![id.0, why])),
    };
    done.map(drop).map_err(fault)
}

pub(super) fn lease(
    conn: &mut Connection,
    now: Time,
    until: Time,
    limit: usize,
) -> Result<Vec<EffectRow>, Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
    let rows = tx
        .prepare_cached(
            "SELECT id, log, kind, body, not_before, tries FROM outbox
             WHERE parked = 0 AND due <= ?1 ORDER BY seq LIMIT ?2",
        )
        .and_then(|mut sql| {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            sql.query_map([int(now.0), limit], effect)?.collect::<Result<Vec<_>, _>>()
        })
        .map_err(fault)?;
    for row in &rows {
        tx.prepare_cached("UPDATE outbox SET due = ?2, leased = 1 WHERE id = ?1")
            .and_then(|mut sql| sql.execute(params![row.id.0, int(until.0)]))
            .map_err(fault)?;
    }
    if rows.is_empty() {
        return Ok(rows);
    }
    tx.commit().map_err(fault)?;
    Ok(rows)
}

fn effect(row: &Row<'_>) -> rusqlite::Result<EffectRow> {
    Ok(EffectRow {
        id: Digest(row.get(0)?),
        log: EventId(row.get(1)?),
        kind: row.get(2)?,
        body: row.get(3)?,
        not_before: time(row.get(4)?),
        tries: row.get(5)?,
    })
}

pub(super) fn release_leases(conn: &Connection) -> Result<(), Fault> {
    conn.prepare_cached("UPDATE outbox SET due = not_before, leased = 0 WHERE leased = 1")
        .and_then(|mut sql| sql.execute([]))
        .map(drop)
        .map_err(fault)
}

pub(super) fn next_due(conn: &Connection) -> Result<Option<Time>, Fault> {
    conn.prepare_cached("SELECT MIN(due) FROM outbox WHERE parked = 0")
        .and_then(|mut sql| sql.query_row([], |row| row.get::<_, Option<i64>>(0)))
        .map(|due| due.map(time))
        .map_err(fault)
}

/// What of one log is not done, in the order in which it was added.
pub(super) fn pending(
    conn: &Connection,
    log: &EventId,
    limit: usize,
) -> Result<Vec<PendingRow>, Fault> {
    let row = |row: &Row<'_>| {
        Ok(PendingRow {
            kind: row.get(0)?,
            tries: row.get(1)?,
            why: row.get(2)?,
            parked: row.get::<_, i64>(3)? != 0,
        })
    };
    conn.prepare_cached(
        "SELECT kind, tries, last, parked FROM outbox WHERE log = ?1 ORDER BY seq LIMIT ?2",
    )
    .and_then(|mut sql| {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        sql.query_map(params![log.0, limit], row)?.collect()
    })
    .map_err(fault)
}

/// How many wait, and how many are parked.
pub(super) fn count(conn: &Connection) -> Result<(u64, u64), Fault> {
    conn.prepare_cached("SELECT COALESCE(SUM(1 - parked), 0), COALESCE(SUM(parked), 0) FROM outbox")
        .and_then(|mut sql| sql.query_row([], |row| Ok((row.get(0)?, row.get(1)?))))
        .map_err(fault)
}
