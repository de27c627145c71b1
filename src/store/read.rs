//! Reading: facts, marks, payments and cursors as they were written.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::fault::fault;
use crate::engine::{Direction, FactRow, Fault, LedgerRow};
use crate::market::{EventId, Gig, Msat, PaymentHash, Pubkey, Time};

/// SQLite's integers have a sign; nothing we store needs the last bit, and what a stranger put there
/// only means "very late".
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A moment that was stored.
pub(super) fn time(secs: i64) -> Time {
    Time(u64::try_from(secs).unwrap_or(0))
}

pub(super) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "in",
        Direction::Out => "out",
    }
}

pub(super) fn seen(conn: &Connection, source: &str, key: &str) -> Result<bool, Fault> {
    conn.prepare_cached("SELECT 1 FROM inbox WHERE source = ?1 AND key = ?2")
        .and_then(|mut sql| sql.exists([source, key]))
        .map_err(fault)
}

/// Every log in the order in which they began.
pub(super) fn logs(conn: &Connection) -> Result<Vec<(EventId, Vec<FactRow>)>, Fault> {
    let mut sql = conn
        .prepare_cached("SELECT log, n, at, kind, v, body FROM fact ORDER BY seq")
        .map_err(fault)?;
    let mut logs: Vec<(EventId, Vec<FactRow>)> = Vec::new();
    let mut place: BTreeMap<EventId, usize> = BTreeMap::new();
    for row in sql.query_map([], fact).map_err(fault)? {
        let row = row.map_err(fault)?;
        let i = *place.entry(row.log).or_insert_with(|| {
            logs.push((row.log, Vec::new()));
            logs.len() - 1
        });
        append(&mut logs[i].1, row)?;
    }
    Ok(logs)
}

pub(super) fn log(conn: &Connection, log: &EventId) -> Result<Vec<FactRow>, Fault> {
    let mut sql = conn
        .prepare_cached("SELECT log, n, at, kind, v, body FROM fact WHERE log = ?1 ORDER BY n")
        .map_err(fault)?;
    let mut rows = Vec::new();
    for row in sql.query_map([log.0], fact).map_err(fault)? {
        append(&mut rows, row.map_err(fault)?)?;
    }
    Ok(rows)
}

/// Facts of all logs in the order in which they were committed.
pub(super) fn facts_after(
    conn: &Connection,
    place: u64,
    limit: usize,
) -> Result<Vec<(u64, FactRow)>, Fault> {
    let mut sql = conn
        .prepare_cached(
            "SELECT log, n, at, kind, v, body, seq FROM fact WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )
        .map_err(fault)?;
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = sql
        .query_map([int(place), most], |row| {
            let seq: i64 = row.get(6)?;
            Ok((u64::try_from(seq).unwrap_or(0), fact(row)?))
        })
        .map_err(fault)?;
    rows.collect::<Result<Vec<_>, _>>().map_err(fault)
}

pub(super) fn newest_fact(conn: &Connection) -> Result<u64, Fault> {
    let newest = conn
        .prepare_cached("SELECT COALESCE(MAX(seq), 0) FROM fact")
        .and_then(|mut sql| sql.query_row([], |row| row.get::<_, i64>(0)))
        .map_err(fault)?;
    Ok(u64::try_from(newest).unwrap_or(0))
}

/// A job that is folded from a log with a hole in it would be another job.
fn append(rows: &mut Vec<FactRow>, row: FactRow) -> Result<(), Fault> {
    if usize::try_from(row.n) != Ok(rows.len()) {
        return Err(Fault::Never(format!(
            "The log of job {} misses its fact {}: the database is damaged. Nothing is done on a job \
             that is not whole. Stop earnest and copy the data directory.",
            row.log.short(),
            rows.len()
        )));
    }
    rows.push(row);
    Ok(())
}

fn fact(row: &Row<'_>) -> rusqlite::Result<FactRow> {
    Ok(FactRow {
        log: EventId(row.get(0)?),
        n: row.get(1)?,
        at: time(row.get(2)?),
        kind: row.get(3)?,
        v: row.get(4)?,
        body: row.get(5)?,
    })
}

pub(super) fn payment(conn: &Connection, hash: &PaymentHash) -> Result<Option<LedgerRow>, Fault> {
    conn.prepare_cached("SELECT * FROM ledger WHERE hash = ?1")
        .and_then(|mut sql| sql.query_row([hash.0], ledger_row).optional())
        .map_err(fault)
}

pub(super) fn payments(conn: &Connection) -> Result<Vec<LedgerRow>, Fault> {
    conn.prepare_cached("SELECT * FROM ledger ORDER BY at, seq")
        .and_then(|mut sql| sql.query_map([], ledger_row)?.collect())
        .map_err(fault)
}

pub(super) fn ledger_row(row: &Row<'_>) -> rusqlite::Result<LedgerRow> {
    let money =
        |name: &str| Ok::<_, rusqlite::Error>(Msat::new(row.get(name)?).unwrap_or(Msat::MAX));
    Ok(LedgerRow {
        hash: PaymentHash(row.get("hash")?),
        log: EventId(row.get("log")?),
        direction: match row.get_ref("direction")?.as_str()? {
            "in" => Direction::In,
            _ => Direction::Out,
        },
        tranche: row.get("tranche")?,
        amount: money("amount")?,
        invoice: row.get("invoice")?,
        state: row.get("state")?,
        fee: money("fee")?,
        at: time(row.get("at")?),
    })
}

pub(super) fn gig(conn: &Connection, id: &EventId) -> Result<Option<(Gig, String)>, Fault> {
    let found: Option<(String, String)> = conn
        .prepare_cached("SELECT gig, json FROM version WHERE event = ?1")
        .and_then(|mut sql| sql.query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .map_err(fault)?;
    found.map(|(gig, json)| Ok((parse(&gig)?, json))).transpose()
}

/// A listing as it was stored.
pub(super) fn parse(gig: &str) -> Result<Gig, Fault> {
    serde_json::from_str(gig).map_err(|_| {
        Fault::Never("A listing in the database is unreadable: the database is damaged.".into())
    })
}

pub(super) fn cursor(conn: &Connection, subscription: &str) -> Result<Option<Time>, Fault> {
    conn.prepare_cached("SELECT at FROM cursor WHERE subscription = ?1")
        .and_then(|mut sql| sql.query_row([subscription], |row| row.get(0)).optional())
        .map(|at| at.map(time))
        .map_err(fault)
}

pub(super) fn mutes(conn: &Connection) -> Result<Vec<(Pubkey, Time)>, Fault> {
    conn.prepare_cached("SELECT author, at FROM mute ORDER BY at, author")
        .and_then(|mut sql| {
            sql.query_map([], |row| Ok((Pubkey(row.get(0)?), time(row.get(1)?))))?.collect()
        })
        .map_err(fault)
}
