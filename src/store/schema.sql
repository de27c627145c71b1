-- The store, version 1. A released schema is never edited: a change is a new step in migrate.rs and a
-- new fixture in tests/fixtures.
--
-- Ids and hashes are blobs (look at them with hex()); times are seconds since 1970; money is msat.

-- ------------------------------------------------------------------ facts: the only truth

CREATE TABLE fact (
  seq  INTEGER PRIMARY KEY,
  log  BLOB    NOT NULL CHECK (length(log) = 32),
  n    INTEGER NOT NULL CHECK (n >= 0),
  at   INTEGER NOT NULL,
  kind TEXT    NOT NULL,
  v    INTEGER NOT NULL,
  body TEXT    NOT NULL CHECK (json_valid(body)),
  UNIQUE (log, n)
) STRICT;

CREATE TRIGGER fact_is_never_changed BEFORE UPDATE ON fact
BEGIN SELECT RAISE(ABORT, 'a fact is never changed'); END;

CREATE TRIGGER fact_is_never_deleted BEFORE DELETE ON fact
BEGIN SELECT RAISE(ABORT, 'a fact is never deleted'); END;

CREATE TRIGGER fact_leaves_no_gap BEFORE INSERT ON fact
WHEN NEW.n <> (SELECT COALESCE(MAX(n) + 1, 0) FROM fact WHERE log = NEW.log)
BEGIN SELECT RAISE(ABORT, 'a fact must be the next of its log'); END;

-- ------------------------------------------------------------------ inbox: seen before?

CREATE TABLE inbox (
  source TEXT NOT NULL,
  key    TEXT NOT NULL,
  PRIMARY KEY (source, key)
) STRICT, WITHOUT ROWID;

-- ------------------------------------------------------------------ outbox: effects to run

-- `due` is when the row may next be taken: `not_before`, or the end of its lease.
CREATE TABLE outbox (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  id         BLOB    NOT NULL UNIQUE CHECK (length(id) = 32),
  log        BLOB    NOT NULL CHECK (length(log) = 32),
  kind       TEXT    NOT NULL,
  body       TEXT    NOT NULL CHECK (json_valid(body)),
  not_before INTEGER NOT NULL,
  due        INTEGER NOT NULL,
  leased     INTEGER NOT NULL DEFAULT 0 CHECK (leased IN (0, 1)),
  tries      INTEGER NOT NULL,
  parked     INTEGER NOT NULL DEFAULT 0 CHECK (parked IN (0, 1)),
  last       TEXT
) STRICT;

CREATE INDEX outbox_due ON outbox (due) WHERE parked = 0;

-- ------------------------------------------------------------------ ledger: one hash, one purpose

CREATE TABLE ledger (
  seq       INTEGER PRIMARY KEY,
  hash      BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
  log       BLOB    NOT NULL CHECK (length(log) = 32),
  direction TEXT    NOT NULL CHECK (direction IN ('in', 'out')),
  tranche   INTEGER NOT NULL,
  amount    INTEGER NOT NULL CHECK (amount >= 0),
  invoice   TEXT    NOT NULL,
  state     TEXT    NOT NULL CHECK (state IN ('intent', 'inflight', 'paid', 'failed', 'billed',
                                              'claimable', 'received', 'lost')),
  fee       INTEGER NOT NULL CHECK (fee >= 0),
  at        INTEGER NOT NULL
) STRICT;

CREATE TRIGGER ledger_keeps_its_purpose
BEFORE UPDATE OF hash, log, direction, tranche, amount, at ON ledger
BEGIN SELECT RAISE(ABORT, 'a payment never changes its purpose'); END;

-- A hash may be billed again after its invoice died (PROTOCOL.md 4), never while money may move.
CREATE TRIGGER ledger_keeps_a_live_invoice BEFORE UPDATE OF invoice ON ledger
WHEN OLD.state IN ('inflight', 'paid', 'claimable', 'received') AND NEW.invoice <> OLD.invoice
BEGIN SELECT RAISE(ABORT, 'a payment that may be moving keeps its invoice'); END;

CREATE TRIGGER ledger_is_never_deleted BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'a payment is never deleted'); END;

-- ------------------------------------------------------------------ the book

-- Versions of listings that some job answers: they stay when they are replaced.
CREATE TABLE kept (event BLOB PRIMARY KEY CHECK (length(event) = 32)) STRICT, WITHOUT ROWID;

-- What was published, whole: the newest version of each listing, and older ones that are kept.
CREATE TABLE version (
  event BLOB PRIMARY KEY CHECK (length(event) = 32),
  gig   TEXT NOT NULL,
  json  TEXT NOT NULL
) STRICT;

-- The newest version of each listing, narrow: what a question filters and sorts by. `id` grows with
-- the time of first publication, so that the order of rows, and of hits in the word index, is newest
-- last. `until` is when it may be forgotten.
CREATE TABLE gig (
  id      INTEGER PRIMARY KEY,
  event   BLOB    NOT NULL UNIQUE,
  author  BLOB    NOT NULL,
  d       TEXT    NOT NULL,
  at      INTEGER NOT NULL,
  network TEXT    NOT NULL,
  open    INTEGER NOT NULL CHECK (open IN (0, 1)),
  price   INTEGER NOT NULL,
  closes  INTEGER NOT NULL,
  until   INTEGER NOT NULL,
  UNIQUE (author, d)
) STRICT;

CREATE INDEX gig_author      ON gig (author, at);
CREATE INDEX gig_until       ON gig (until);
CREATE INDEX gig_price       ON gig (price, id);
CREATE INDEX gig_closes      ON gig (closes, id);
CREATE INDEX gig_open        ON gig (id)         WHERE open = 1;
CREATE INDEX gig_open_price  ON gig (price, id)  WHERE open = 1;
CREATE INDEX gig_open_closes ON gig (closes, id) WHERE open = 1;

-- The words of each listing, folded by us (store/words.rs), with a few marks for what it is. It keeps
-- rows, not places: small, and a common word is answered as a stream in the order of rows.
CREATE VIRTUAL TABLE word USING fts5 (
  words, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii', prefix = '1 2 3'
);

-- In how many listings each word stands. FTS5 answers a prefix by merging every word that begins with
-- it before the first row comes out; named one by one, they are a stream.
CREATE TABLE term (text TEXT PRIMARY KEY, gigs INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- ------------------------------------------------------------------ how far relays were read

CREATE TABLE cursor (subscription TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
