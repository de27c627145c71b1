//! Migrations: each released schema is a step; a database is taken from where it is to the newest.

use rusqlite::{Connection, TransactionBehavior};

use super::open::NotOpen;

/// Marks a SQLite file as ours (`PRAGMA application_id`): "earn".
const APPLICATION: i32 = 0x6561_726e;

/// Step `i` takes a database from version `i` to `i + 1`. A released step is never edited.
const STEPS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("marks.sql"),
    include_str!("mute.sql"),
    include_str!("people.sql"),
    include_str!("leases.sql"),
];

/// The version this program writes.
pub const VERSION: usize = STEPS.len();

/// Brings a database to [`VERSION`], one transaction a step, so that a crash leaves a whole version.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), NotOpen> {
    let pragma = |conn: &Connection, name: &str| {
        conn.pragma_query_value(None, name, |row| row.get::<_, i32>(0))
    };
    let found = pragma(conn, "user_version")?;
    let from = usize::try_from(found).map_err(|_| NotOpen::Foreign)?;
    let tables: i64 = conn.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if pragma(conn, "application_id")? != APPLICATION && (tables > 0 || from > 0) {
        return Err(NotOpen::Foreign);
    }
    if from > VERSION {
        return Err(NotOpen::Newer { found: from, known: VERSION });
    }
    for (i, step) in STEPS.iter().enumerate().skip(from) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(step)?;
        tx.pragma_update(None, "application_id", APPLICATION)?;
        tx.pragma_update(None, "user_version", i64::try_from(i + 1).unwrap_or(i64::MAX))?;
        tx.commit()?;
    }
    Ok(())
}
