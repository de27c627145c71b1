//! What others say of people, and whom we follow.

use rusqlite::{Connection, Transaction, params};

use super::fault::fault;
use crate::engine::{Fault, MOST_TESTIMONIES};
use crate::market::{Pubkey, Testimony};

/// Keeps a testimony under its name, and with everybody whom it is about. A receipt of somebody who has enough of
/// them already is not kept with them; a proof always is.
pub(super) fn put(tx: &Transaction<'_>, testimony: &Testimony) -> Result<(), Fault> {
    let body = serde_json::to_string(testimony).map_err(|e| Fault::Never(e.to_string()))?;
    let name = testimony.name();
    tx.prepare_cached("INSERT OR IGNORE INTO testimony (name, body) VALUES (?1, ?2)")
        .and_then(|mut sql| sql.execute(params![name.0, body]))
        .map_err(fault)?;
    let most = match testimony {
        Testimony::Proof { .. } => usize::MAX,
        Testimony::Receipt { .. } => MOST_TESTIMONIES,
    };
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    for who in testimony.about() {
        tx.prepare_cached(
            "INSERT OR IGNORE INTO about (who, name)
             SELECT ?1, ?2 WHERE (SELECT COUNT(*) FROM about WHERE who = ?1) < ?3",
        )
        .and_then(|mut sql| sql.execute(params![who.0, name.0, most]))
        .map_err(fault)?;
    }
    Ok(())
}

/// What was said about somebody. Written by us: what cannot be read is passed over, and counts for nothing.
pub(super) fn testimonies(conn: &Connection, about: &Pubkey) -> Result<Vec<Testimony>, Fault> {
    let bodies: Vec<String> = conn
        .prepare_cached(
            "SELECT body FROM testimony JOIN about USING (name) WHERE who = ?1 ORDER BY name",
        )
        .and_then(|mut sql| sql.query_map([about.0], |row| row.get(0))?.collect())
        .map_err(fault)?;
    Ok(bodies.iter().filter_map(|body| serde_json::from_str(body).ok()).collect())
}

/// These, and nobody else.
pub(super) fn follow(tx: &Transaction<'_>, follows: &[Pubkey]) -> Result<(), Fault> {
    tx.execute("DELETE FROM follow", []).map_err(fault)?;
    for who in follows {
        tx.prepare_cached("INSERT OR IGNORE INTO follow (who) VALUES (?1)")
            .and_then(|mut sql| sql.execute([who.0]))
            .map_err(fault)?;
    }
    Ok(())
}

pub(super) fn follows(conn: &Connection) -> Result<Vec<Pubkey>, Fault> {
    conn.prepare_cached("SELECT who FROM follow ORDER BY who")
        .and_then(|mut sql| sql.query_map([], |row| Ok(Pubkey(row.get(0)?)))?.collect())
        .map_err(fault)
}
