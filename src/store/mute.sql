-- The store, version 3: people whose gigs and bids are not shown.

CREATE TABLE mute (
  author BLOB    PRIMARY KEY CHECK (length(author) = 32),
  at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
