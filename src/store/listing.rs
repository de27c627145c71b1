//! Listings: which version stands in the book, for how long, and how many an author may have there; and
//! what is forgotten in time.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::fault::fault;
use super::read::int;
use super::words;
use crate::engine::Fault;
use crate::market::{EventId, Gig, Mode, Network, Pubkey, Side, Span, Status, Time, Work};

/// How many listings of one author the book holds: the newest. More would let one author flood it.
pub const LISTINGS_PER_AUTHOR: u32 = 200;
/// How long past its expiration a listing is remembered. It must be longer than relays keep what has
/// expired, or an old version that was closed would come back as open.
pub const FORGET_AFTER: Span = Span(30 * Span::DAY.0);
/// However far away an author puts the expiration, it is forgotten this long after it was published.
const LONGEST: Span = Span(366 * Span::DAY.0);
/// How long a mark is kept. Longer than relays are ever asked about the past: a listing's inbox from its
/// publication (90 days at most), a channel from its award (two phases of 90 days). What is heard again
/// after that is judged again, and changes nothing a second time.
pub const FORGET_MARK_AFTER: Span = Span(240 * Span::DAY.0);
/// Rows one call of [`prune`] touches at most: a few milliseconds.
const PRUNE: u32 = 500;
/// Bits of a row number below the second of first publication.
const SLOT_BITS: u32 = 16;

/// One row of the book as replacement sees it.
struct Standing {
    id: i64,
    event: EventId,
    at: i64,
    until: i64,
}

/// Puts a version of a listing into the book if it is the newest of its author and `d` (NIP-01: the
/// latest `created_at`, then the lowest id), and drops the one it replaces unless that is kept.
pub(super) fn put(tx: &Transaction<'_>, gig: &Gig, json: &str) -> Result<(), Fault> {
    let body = serde_json::to_string(gig)
        .map_err(|_| Fault::Never("A listing could not be written as JSON.".into()))?;
    let standing = standing(tx, &gig.author, &gig.d).map_err(fault)?;
    let at = int(gig.at.0);
    let mut until = int(gig.expires_at.min(gig.at.after(LONGEST)).after(FORGET_AFTER).0);
    match &standing {
        Some(old) if old.event == gig.id => return Ok(()),
        Some(old) if (at, old.event) < (old.at, gig.id) => {
            return keep_only(tx, gig, &body, json).map_err(fault);
        }
        Some(old) => {
            until = until.max(old.until);
            remove(tx, old.id, &old.event).map_err(fault)?;
        }
        None if !make_room(tx, &gig.author, (gig.status == Status::Open, at)).map_err(fault)? => {
            return keep_only(tx, gig, &body, json).map_err(fault);
        }
        None => {}
    }
    insert(tx, gig, &body, json, until).map_err(fault)
}

fn standing(tx: &Transaction<'_>, author: &Pubkey, d: &str) -> rusqlite::Result<Option<Standing>> {
    tx.prepare_cached("SELECT id, event, at, until FROM gig WHERE author = ?1 AND d = ?2")?
        .query_row(params![author.0, d], |row| {
            Ok(Standing {
                id: row.get(0)?,
                event: EventId(row.get(1)?),
                at: row.get(2)?,
                until: row.get(3)?,
            })
        })
        .optional()
}

/// Stores a version that does not stand in the book, if a job answers it.
fn keep_only(tx: &Transaction<'_>, gig: &Gig, body: &str, json: &str) -> rusqlite::Result<()> {
    if is_kept(tx, &gig.id)? {
        version(tx, gig, body, json)?;
    }
    Ok(())
}

fn version(tx: &Transaction<'_>, gig: &Gig, body: &str, json: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR IGNORE INTO version (event, gig, json) VALUES (?1, ?2, ?3)")?
        .execute(params![gig.id.0, body, json])
        .map(drop)
}

fn is_kept(tx: &Transaction<'_>, id: &EventId) -> rusqlite::Result<bool> {
    tx.prepare_cached("SELECT 1 FROM kept WHERE event = ?1")?.exists([id.0])
}

/// Makes room for one more listing of an author by forgetting the oldest that takes no bids, or the oldest of
/// all where each does; `false` if that would be the newcomer. In whatever order they arrive, the same stay.
fn make_room(
    tx: &Transaction<'_>,
    author: &Pubkey,
    (open, at): (bool, i64),
) -> rusqlite::Result<bool> {
    let count: u32 = tx
        .prepare_cached("SELECT COUNT(*) FROM gig WHERE author = ?1")?
        .query_row([author.0], |row| row.get(0))?;
    if count < LISTINGS_PER_AUTHOR {
        return Ok(true);
    }
    let (id, event, least): (i64, [u8; 32], (bool, i64)) = tx
        .prepare_cached(
            "SELECT id, event, open, at FROM gig WHERE author = ?1 ORDER BY open, at LIMIT 1",
        )?
        .query_row([author.0], |row| Ok((row.get(0)?, row.get(1)?, (row.get(2)?, row.get(3)?))))?;
    if (open, at) <= least {
        return Ok(false);
    }
    remove(tx, id, &EventId(event))?;
    Ok(true)
}

fn insert(
    tx: &Transaction<'_>,
    gig: &Gig,
    body: &str,
    json: &str,
    until: i64,
) -> rusqlite::Result<()> {
    version(tx, gig, body, json)?;
    let id = free_id(tx, gig)?;
    tx.prepare_cached(
        "INSERT INTO gig (id, event, author, d, at, network, open, price, closes, until)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        id,
        gig.id.0,
        gig.author.0,
        gig.d,
        int(gig.at.0),
        network(gig.network),
        gig.status == Status::Open,
        int(gig.offer.price.get()),
        int(gig.expires_at.0),
        until,
    ])?;
    let words = words_of(gig);
    count_terms(
        tx,
        &words,
        "INSERT INTO term (text, gigs) VALUES (?1, 1)
                             ON CONFLICT (text) DO UPDATE SET gigs = gigs + 1",
    )?;
    let all: Vec<String> = words.into_iter().chain(marks_of(gig)).collect();
    tx.prepare_cached("INSERT INTO word (rowid, words) VALUES (?1, ?2)")?
        .execute(params![id, all.join(" ")])
        .map(drop)
}

fn count_terms(tx: &Transaction<'_>, words: &BTreeSet<String>, sql: &str) -> rusqlite::Result<()> {
    let mut sql = tx.prepare_cached(sql)?;
    words.iter().try_for_each(|word| sql.execute([word]).map(drop))
}

/// A row number that grows with the time of first publication. An author may claim that time to be
/// later than that of this version, to stand on top for ever: then this version's counts.
fn free_id(tx: &Transaction<'_>, gig: &Gig) -> rusqlite::Result<i64> {
    let newest = int(gig.published_at.min(gig.at).0).min(1 << (62 - SLOT_BITS));
    let name = blake3::Hasher::new().update(&gig.author.0).update(gig.d.as_bytes()).finalize();
    let slot = i64::from(u16::from_le_bytes([name.as_bytes()[0], name.as_bytes()[1]]));
    let mut id = newest << SLOT_BITS | slot;
    let mut taken = tx.prepare_cached("SELECT 1 FROM gig WHERE id = ?1")?;
    while taken.exists([id])? {
        id += 1;
    }
    Ok(id)
}

/// The words of a listing.
fn words_of(gig: &Gig) -> BTreeSet<String> {
    let texts = [gig.title.as_received(), gig.summary.as_received(), gig.content.as_received()];
    let folded: Vec<String> =
        texts.into_iter().chain(gig.tags.iter().map(String::as_str)).map(words::fold).collect();
    folded.iter().flat_map(|text| words::tokens(text)).map(str::to_owned).collect()
}

/// The marks for what a listing is.
fn marks_of(gig: &Gig) -> impl Iterator<Item = String> {
    let price = int(gig.offer.price.get());
    let one = [
        words::mark('a', gig.author),
        words::mark('w', work(gig.offer.work)),
        words::mark('s', side(gig.side)),
        words::mark('o', words::octave(price)),
        words::mark('p', words::shelf(price)),
        words::mark('h', words::hour(int(gig.expires_at.0))),
    ];
    let modes = gig.offer.modes.iter().map(|m| words::mark('m', mode(*m)));
    gig.tags.iter().map(|tag| words::tag(tag)).chain(modes).chain(one)
}

/// Takes a row out of the book, and its version too unless a job answers it.
fn remove(tx: &Transaction<'_>, id: i64, event: &EventId) -> rusqlite::Result<()> {
    let gig: String = tx
        .prepare_cached("SELECT gig FROM version WHERE event = ?1")?
        .query_row([event.0], |row| row.get(0))?;
    // A listing that cannot be read leaves its words counted: a question then names one word too many.
    if let Ok(gig) = serde_json::from_str::<Gig>(&gig) {
        let words = words_of(&gig);
        count_terms(tx, &words, "UPDATE term SET gigs = gigs - 1 WHERE text = ?1")?;
        count_terms(tx, &words, "DELETE FROM term WHERE text = ?1 AND gigs <= 0")?;
    }
    tx.prepare_cached("DELETE FROM word WHERE rowid = ?1")?.execute([id])?;
    tx.prepare_cached("DELETE FROM gig WHERE id = ?1")?.execute([id])?;
    if !is_kept(tx, event)? {
        tx.prepare_cached("DELETE FROM version WHERE event = ?1")?.execute([event.0])?;
    }
    Ok(())
}

/// See [`crate::engine::Store::prune`].
pub(super) fn prune(conn: &mut Connection, now: Time) -> Result<u64, Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
    let touched = prune_in(&tx, int(now.0)).map_err(fault)?;
    tx.commit().map_err(fault)?;
    Ok(touched)
}

fn prune_in(tx: &Transaction<'_>, now: i64) -> rusqlite::Result<u64> {
    let forgotten: Vec<(i64, [u8; 32])> = tx
        .prepare_cached("SELECT id, event FROM gig WHERE until < ?1 LIMIT ?2")?
        .query_map([now, i64::from(PRUNE)], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (id, event) in &forgotten {
        remove(tx, *id, &EventId(*event))?;
    }
    let closed = tx
        .prepare_cached(
            "UPDATE gig SET open = 0 WHERE id IN
               (SELECT id FROM gig INDEXED BY gig_open_closes
                WHERE open = 1 AND closes <= ?1 ORDER BY closes LIMIT ?2)",
        )?
        .execute([now, i64::from(PRUNE)])?;
    let marks = tx
        .prepare_cached(
            "DELETE FROM inbox WHERE (source, key) IN
               (SELECT source, key FROM inbox INDEXED BY inbox_at WHERE at < ?1 LIMIT ?2)",
        )?
        .execute(params![now.saturating_sub(int(FORGET_MARK_AFTER.0)), i64::from(PRUNE)])?;
    Ok((forgotten.len() + closed + marks) as u64)
}

pub(super) fn network(network: Network) -> &'static str {
    match network {
        Network::Bitcoin => "bitcoin",
        Network::Signet => "signet",
        Network::Testnet => "testnet",
        Network::Regtest => "regtest",
    }
}

pub(super) fn work(work: Work) -> &'static str {
    match work {
        Work::File => "file",
        Work::Label => "label",
        Work::Meter => "meter",
        Work::Judge => "judge",
    }
}

pub(super) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Sealed => "sealed",
        Mode::Direct => "direct",
        Mode::Escrow => "escrow",
    }
}

pub(super) fn side(side: Side) -> &'static str {
    match side {
        Side::Request => "request",
        Side::Service => "service",
    }
}
