//! Finding: one window on the book, however large the book is.
//!
//! Every word and every kind of thing a listing can be is a term of one index whose rows stand in the
//! order of publication. So *newest* is read off the intersection of terms as a stream that stops at
//! the window's end. *Price* and *closing* with terms go shelf by shelf (a sixteenth of an octave, an hour), each
//! shelf a term itself; without terms they walk an ordinary index.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

use super::fault::fault;
use super::listing::{mode, network, side, work};
use super::read::{int, parse};
use super::words::{self, ask, fold};
use crate::engine::Fault;
use crate::market::{Gig, Page, Query, Sort, Time};

/// The most gigs in a window.
const WINDOW: usize = 500;
/// Up to this many hits are sorted as they are, before shelves pay.
const FEW: usize = 400;

/// The longest beginning of a word that has an index of its own: `prefix` in schema.sql.
const PREFIX_CHARS: usize = 3;
/// Up to this many words are named one by one.
const MOST_WORDS: usize = 32;

/// Where a row stands in its order: the key it is sorted by (0 where the row number is the order), and
/// the row number.
type Place = (i64, i64);

/// A row of a window and its listing.
type Found = (Place, Gig);

pub(super) fn find(conn: &Connection, query: &Query, now: Time) -> Result<Page, Fault> {
    let limit = query.limit.clamp(1, WINDOW);
    let search = Search::new(conn, query, now)?;
    let after = query.after.as_deref().map(|text| unmark(text, query.sort)).transpose()?;
    // One more than asked tells whether there is a next window.
    let mut rows = search.rows(conn, after, limit + 1)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|(place, _)| mark(*place, query.sort));
    Ok(Page { gigs: rows.into_iter().map(|(_, gig)| gig).collect(), next, at: now })
}

fn letter(sort: Sort) -> &'static str {
    match sort {
        Sort::Newest => "n",
        Sort::Price => "p",
        Sort::Closing => "c",
    }
}

fn mark((key, id): Place, sort: Sort) -> String {
    format!("{}.{key}.{id}", letter(sort))
}

fn unmark(text: &str, sort: Sort) -> Result<Place, Fault> {
    let place = |text: &str| {
        let (key, id) = text.strip_prefix(letter(sort))?.strip_prefix('.')?.split_once('.')?;
        Some((key.parse().ok()?, id.parse().ok()?))
    };
    place(text).ok_or_else(|| {
        Fault::Never(
            "That mark does not belong to this order of the book: start from the first page."
                .into(),
        )
    })
}

/// A question, taken apart.
struct Search {
    sort: Sort,
    all: bool,
    /// Parts of an FTS5 expression, all of which must hold. Empty: no terms.
    terms: Vec<String>,
    /// One part more, where prices are bounded: the octaves they may be in. A row of the right octave
    /// may still have the wrong price; `filter` says.
    octaves: Option<String>,
    /// Folded texts that must occur, where terms do not say it all.
    literals: Vec<String>,
    /// SQL on `gig` that every row must pass, with its values.
    filter: &'static str,
    values: [Value; 4],
    /// The first and the last price.
    prices: (i64, i64),
    /// Nothing that closed before this is wanted.
    closes_from: i64,
}

impl Search {
    fn new(conn: &Connection, query: &Query, now: Time) -> Result<Self, Fault> {
        let (mut terms, mut literals) = (Vec::new(), Vec::new());
        for word in &query.words {
            let asked = ask(word).ok_or_else(|| {
                Fault::Never(format!(
                    "There is no letter or digit to search for in `{}`.",
                    word.chars().filter(|c| c.is_ascii_graphic()).take(20).collect::<String>()
                ))
            })?;
            terms.extend(asked.whole.into_iter().map(quoted));
            terms.extend(asked.prefix.map(|start| beginning(conn, &start)).transpose()?);
            literals.extend(asked.literal);
        }
        terms.extend(query.tags.iter().map(|tag| quoted(words::tag(tag))));
        terms.extend(query.mode.map(|m| quoted(words::mark('m', mode(m)))));
        terms.extend(query.work.map(|w| quoted(words::mark('w', work(w)))));
        terms.extend(query.side.map(|s| quoted(words::mark('s', side(s)))));
        terms.extend(query.author.map(|a| quoted(words::mark('a', a))));
        let prices = (
            query.price_min.map_or(0, |price| int(price.get())),
            query.price_max.map_or(i64::MAX, |price| int(price.get())),
        );
        let bounded = query.price_min.is_some() || query.price_max.is_some();
        let octaves =
            if bounded && query.sort != Sort::Price { octaves(conn, prices)? } else { None };
        let closes_from = if query.all { 0 } else { int(now.0).saturating_add(1) };
        let filter = if query.all {
            " AND g.network = ?1 AND g.price BETWEEN ?2 AND ?3 AND g.closes >= ?4
         AND g.author NOT IN (SELECT author FROM mute)"
        } else {
            " AND g.network = ?1 AND g.price BETWEEN ?2 AND ?3 AND g.closes >= ?4 AND g.open = 1
         AND g.author NOT IN (SELECT author FROM mute)"
        };
        let values = [
            Value::Text(network(query.network).to_owned()),
            Value::Integer(prices.0),
            Value::Integer(prices.1),
            Value::Integer(closes_from),
        ];
        let (sort, all) = (query.sort, query.all);
        Ok(Self { sort, all, terms, octaves, literals, filter, values, prices, closes_from })
    }

    fn rows(
        &self,
        conn: &Connection,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Found>, Fault> {
        if self.terms.is_empty() && self.octaves.is_none() {
            return self.walk(conn, after, limit);
        }
        if self.sort == Sort::Newest {
            return self.stream(conn, after, limit);
        }
        let mut few = self.places(conn, self.octaves.as_ref(), after, FEW)?;
        if few.len() < FEW {
            let mut rows = Vec::new();
            self.load(conn, &mut few, &mut rows, limit)?;
            return Ok(rows);
        }
        self.shelves(conn, after, limit)
    }

    /// No terms: the order itself is an index.
    fn walk(
        &self,
        conn: &Connection,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Found>, Fault> {
        let (index, key, compare, order) = match (self.sort, self.all) {
            (Sort::Newest, true) => ("NOT INDEXED", "0", "g.id < ?6 AND ?5 = ?5", "g.id DESC"),
            (Sort::Newest, false) => {
                ("INDEXED BY gig_open", "0", "g.id < ?6 AND ?5 = ?5", "g.id DESC")
            }
            (Sort::Price, true) => (
                "INDEXED BY gig_price",
                "g.price",
                "(g.price, g.id) < (?5, ?6)",
                "g.price DESC, g.id DESC",
            ),
            (Sort::Price, false) => (
                "INDEXED BY gig_open_price",
                "g.price",
                "(g.price, g.id) < (?5, ?6)",
                "g.price DESC, g.id DESC",
            ),
            (Sort::Closing, true) => (
                "INDEXED BY gig_closes",
                "g.closes",
                "(g.closes, g.id) > (?5, ?6)",
                "g.closes, g.id",
            ),
            (Sort::Closing, false) => (
                "INDEXED BY gig_open_closes",
                "g.closes",
                "(g.closes, g.id) > (?5, ?6)",
                "g.closes, g.id",
            ),
        };
        let sql = format!(
            "SELECT {key}, g.id, v.gig FROM gig g {index} CROSS JOIN version v ON v.event = g.event
             WHERE {compare}{} ORDER BY {order}",
            self.filter
        );
        self.read(conn, &sql, after, None, limit)
    }

    /// Terms, newest first: the order of rows in the index is the order asked for.
    fn stream(
        &self,
        conn: &Connection,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Found>, Fault> {
        let sql = format!(
            "SELECT 0, g.id, v.gig FROM word
             CROSS JOIN gig g ON g.id = word.rowid
             CROSS JOIN version v ON v.event = g.event
             WHERE word MATCH ?7 AND word.rowid < ?6 AND ?5 = ?5{} ORDER BY word.rowid DESC",
            self.filter
        );
        self.read(conn, &sql, after, Some(self.expression(self.octaves.as_ref())), limit)
    }

    /// Steps through rows of (key, id, gig) until the window is full.
    fn read(
        &self,
        conn: &Connection,
        sql: &str,
        after: Option<Place>,
        terms: Option<String>,
        limit: usize,
    ) -> Result<Vec<Found>, Fault> {
        let mut sql = conn.prepare_cached(sql).map_err(fault)?;
        let mut rows = sql.query(params_from_iter(self.bind(after, terms))).map_err(fault)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(fault)? {
            let place = (row.get(0).map_err(fault)?, row.get(1).map_err(fault)?);
            let gig = row.get_ref(2).map_err(fault)?;
            let gig = parse(gig.as_str().map_err(|e| fault(e.into()))?)?;
            if self.says(&gig) {
                found.push((place, gig));
                if found.len() == limit {
                    break;
                }
            }
        }
        Ok(found)
    }

    fn bind(&self, after: Option<Place>, terms: Option<String>) -> impl Iterator<Item = Value> {
        let (key, id) = after.unwrap_or(match self.sort {
            // Where the index walk begins: just before the first row that can pass the filter.
            Sort::Closing => (self.closes_from - 1, i64::MAX),
            Sort::Price => (self.prices.1, i64::MAX),
            Sort::Newest => (i64::MAX, i64::MAX),
        });
        let place = [Value::Integer(key), Value::Integer(id)];
        self.values.clone().into_iter().chain(place).chain(terms.map(Value::Text))
    }

    /// All terms, and one more.
    fn expression(&self, more: Option<&String>) -> String {
        more.into_iter().chain(&self.terms).map(String::as_str).collect::<Vec<_>>().join(" AND ")
    }

    /// The places of up to `limit` rows with these terms and one more, in the order of rows.
    fn places(
        &self,
        conn: &Connection,
        more: Option<&String>,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Place>, Fault> {
        let (key, compare) = match self.sort {
            Sort::Closing => ("closes", ">"),
            Sort::Newest | Sort::Price => ("price", "<"),
        };
        let sql = format!(
            "SELECT g.{key}, g.id FROM word CROSS JOIN gig g ON g.id = word.rowid
             WHERE word MATCH ?7 AND (g.{key}, g.id) {compare} (?5, ?6){} LIMIT ?8",
            self.filter
        );
        let limit = Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX));
        let values = self.bind(after, Some(self.expression(more))).chain([limit]);
        conn.prepare_cached(&sql)
            .and_then(|mut sql| {
                sql.query_map(params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .map_err(fault)
    }

    /// Terms, in the order of price or of closing: one shelf after the other, each read whole and
    /// sorted. Shelves that are empty in the whole book are stepped over.
    fn shelves(
        &self,
        conn: &Connection,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Found>, Fault> {
        let closing = self.sort == Sort::Closing;
        let sql = match (closing, self.all) {
            (true, true) => {
                "SELECT closes FROM gig INDEXED BY gig_closes
                 WHERE closes BETWEEN ?1 AND ?2 ORDER BY closes LIMIT 1"
            }
            (true, false) => {
                "SELECT closes FROM gig INDEXED BY gig_open_closes
                 WHERE open = 1 AND closes BETWEEN ?1 AND ?2 ORDER BY closes LIMIT 1"
            }
            (false, true) => {
                "SELECT price FROM gig INDEXED BY gig_price
                 WHERE price BETWEEN ?1 AND ?2 ORDER BY price DESC LIMIT 1"
            }
            (false, false) => {
                "SELECT price FROM gig INDEXED BY gig_open_price
                 WHERE open = 1 AND price BETWEEN ?1 AND ?2 ORDER BY price DESC LIMIT 1"
            }
        };
        let (mut low, mut high) = if closing { (self.closes_from, i64::MAX) } else { self.prices };
        match after {
            Some((key, _)) if closing => low = low.max(key),
            Some((key, _)) => high = high.min(key),
            None => {}
        }
        let mut found = Vec::new();
        while found.len() < limit && low <= high {
            let edge: Option<i64> = conn
                .prepare_cached(sql)
                .and_then(|mut sql| sql.query_row([low, high], |row| row.get(0)).optional())
                .map_err(fault)?;
            let Some(edge) = edge else { break };
            let shelf = if closing {
                words::mark('h', words::hour(edge))
            } else {
                words::mark('p', words::shelf(edge))
            };
            let mut places = self.places(conn, Some(&quoted(shelf)), after, usize::MAX)?;
            self.load(conn, &mut places, &mut found, limit)?;
            if closing {
                low = (words::hour(edge) + 1).saturating_mul(words::HOUR);
            } else {
                high = words::shelf_floor(edge) - 1;
            }
        }
        Ok(found)
    }

    /// Sorts places and reads their listings until `found` is full.
    fn load(
        &self,
        conn: &Connection,
        places: &mut [Place],
        found: &mut Vec<Found>,
        limit: usize,
    ) -> Result<(), Fault> {
        places.sort_unstable();
        if self.sort != Sort::Closing {
            places.reverse();
        }
        let mut sql = conn
            .prepare_cached(
                "SELECT v.gig FROM gig g JOIN version v ON v.event = g.event WHERE g.id = ?1",
            )
            .map_err(fault)?;
        for place in places {
            if found.len() == limit {
                break;
            }
            let gig: String = sql.query_row([place.1], |row| row.get(0)).map_err(fault)?;
            let gig = parse(&gig)?;
            if self.says(&gig) {
                found.push((*place, gig));
            }
        }
        Ok(())
    }

    /// Whether every literal occurs in one of the listing's texts, not inside a longer word.
    fn says(&self, gig: &Gig) -> bool {
        if self.literals.is_empty() {
            return true;
        }
        let texts = [gig.title.as_received(), gig.summary.as_received(), gig.content.as_received()];
        let folded: Vec<String> =
            texts.into_iter().chain(gig.tags.iter().map(String::as_str)).map(fold).collect();
        self.literals.iter().all(|literal| folded.iter().any(|text| occurs(text, literal)))
    }
}

/// A term for FTS5. What we fold has letters and digits only, so quoting it is safe.
fn quoted(token: String) -> String {
    format!("\"{token}\"")
}

/// An expression for the octaves of these prices that the book has; `None` if it has every one.
fn octaves(conn: &Connection, (min, max): (i64, i64)) -> Result<Option<String>, Fault> {
    let edge = |sql: &str| {
        conn.prepare_cached(sql)
            .and_then(|mut sql| sql.query_row([], |row| row.get::<_, Option<i64>>(0)))
            .map(Option::unwrap_or_default)
            .map_err(fault)
    };
    let lowest = edge("SELECT MIN(price) FROM gig")?;
    let highest = edge("SELECT MAX(price) FROM gig")?;
    if min <= lowest && highest <= max {
        return Ok(None);
    }
    let octaves = words::octave(min.max(lowest))..=words::octave(max.min(highest));
    let mut any: Vec<String> = octaves.map(|o| quoted(words::mark('o', o))).collect();
    if any.is_empty() {
        // No price of the book is in the range: a mark that no listing has.
        any.push(quoted(words::mark('o', "none")));
    }
    Ok(Some(format!("({})", any.join(" OR "))))
}

/// An expression for every word that begins so: the words themselves where they are few. FTS5 keeps an
/// index of the shortest beginnings; longer ones it would merge before the first row comes out.
fn beginning(conn: &Connection, start: &str) -> Result<String, Fault> {
    if start.chars().count() <= PREFIX_CHARS {
        return Ok(format!("\"{start}\"*"));
    }
    let end = format!("{start}{}", char::MAX);
    let mut words: Vec<String> = conn
        .prepare_cached("SELECT text FROM term WHERE text > ?1 AND text < ?2 LIMIT ?3")
        .and_then(|mut sql| {
            let most = i64::try_from(MOST_WORDS + 1).unwrap_or(i64::MAX);
            sql.query_map((start, &end, most), |row| row.get(0))?.collect()
        })
        .map_err(fault)?;
    if words.len() > MOST_WORDS {
        return Ok(format!("\"{start}\"*"));
    }
    words.push(start.to_owned());
    Ok(format!("({})", words.into_iter().map(quoted).collect::<Vec<_>>().join(" OR ")))
}

fn occurs(text: &str, literal: &str) -> bool {
    let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let begins = word(literal.chars().next());
    text.match_indices(literal).any(|(at, _)| !begins || !word(text[..at].chars().next_back()))
}
