-- The store, version 5: a lease ends with the process that took it, so it is kept in memory. Writing it
-- down was one more write that waits for the disk with every effect.

DROP INDEX outbox_due;
ALTER TABLE outbox DROP COLUMN due;
ALTER TABLE outbox DROP COLUMN leased;
CREATE INDEX outbox_not_before ON outbox (not_before) WHERE parked = 0;
