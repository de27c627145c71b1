//! The outbox: effects wait here with the facts that caused them, and are leased to whoever runs them.
//! A lease that ran out is taken again: at least once, never lost.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, Transaction, params};

use super::fault::fault;
use super::read::{int, time};
use crate::engine::{EffectEnd, EffectRow, Fault, PendingRow};
use crate::market::{Digest, EventId, Time};

/// What is leased, and until when. It is in memory alone: one process owns the store, and a lease ends with
/// it.
pub(super) type Leases = BTreeMap<Digest, Time>;

/// The id covers log, place, second and body: what is there under it already is this very effect, asked for
/// twice in one second, and is run once.
pub(super) fn add(tx: &Transaction<'_>, row: &EffectRow) -> Result<(), Fault> {
    tx.prepare_cached(
        "INSERT INTO outbox (id, log, kind, body, not_before, tries)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO NOTHING",
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
                "UPDATE outbox SET not_before = ?2, tries = tries + 1, last = ?3 WHERE id = ?1",
            )
            .and_then(|mut sql| sql.execute(params![id.0, int(not_before.0), why])),
        EffectEnd::Replace { kind, body } => tx
            .prepare_cached(
                "UPDATE outbox SET kind = ?2, body = ?3, not_before = 0, tries = 0 WHERE id = ?1",
            )
            .and_then(|mut sql| sql.execute(params![id.0, kind, body])),
        EffectEnd::Park { why } => tx
            .prepare_cached(
                "UPDATE outbox SET parked = 1, tries = tries + 1, last = ?2 WHERE id = ?1",
            )
            .and_then(|mut sql| sql.execute(params![id.0, why])),
    };
    done.map(drop).map_err(fault)
}

pub(super) fn lease(
    conn: &Connection,
    leases: &mut Leases,
    now: Time,
    until: Time,
    limit: usize,
) -> Result<Vec<EffectRow>, Fault> {
    let free = |row: &EffectRow| leases.get(&row.id).is_none_or(|until| *until <= now);
    let rows: Vec<EffectRow> = conn
        .prepare_cached(
            "SELECT id, log, kind, body, not_before, tries FROM outbox
             WHERE parked = 0 AND not_before <= ?1 ORDER BY seq LIMIT ?2",
        )
        .and_then(|mut sql| {
            let most = i64::try_from(limit.saturating_add(leases.len())).unwrap_or(i64::MAX);
            sql.query_map([int(now.0), most], effect)?.collect::<Result<Vec<_>, _>>()
        })
        .map_err(fault)?
        .into_iter()
        .filter(free)
        .take(limit)
        .collect();
    leases.extend(rows.iter().map(|row| (row.id, until)));
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

pub(super) fn next_due(conn: &Connection, leases: &Leases) -> Result<Option<Time>, Fault> {
    // Of so many rows one is not leased, if there is one.
    let rows = conn
        .prepare_cached(
            "SELECT id, not_before FROM outbox WHERE parked = 0 ORDER BY not_before LIMIT ?1",
        )
        .and_then(|mut sql| {
            let most = i64::try_from(leases.len().saturating_add(1)).unwrap_or(i64::MAX);
            let row = |row: &Row<'_>| Ok((Digest(row.get(0)?), time(row.get(1)?)));
            sql.query_map([most], row)?.collect::<Result<Vec<_>, _>>()
        })
        .map_err(fault)?;
    let due = rows.iter().map(|(id, not_before)| leases.get(id).unwrap_or(not_before));
    Ok(due.min().copied())
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
