-- The store, version 2: a mark knows when it was made, so that it can be forgotten. Marks of before are
-- taken for new: the clock at the migration is all that is known of them.

ALTER TABLE inbox ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
UPDATE inbox SET at = unixepoch();
CREATE INDEX inbox_at ON inbox (at);
