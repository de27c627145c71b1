-- The store, version 4: what others say of people, every signature in it checked before, and whom we follow.

CREATE TABLE testimony (
  name BLOB PRIMARY KEY CHECK (length(name) = 32),
  body TEXT NOT NULL CHECK (json_valid(body))
) STRICT, WITHOUT ROWID;

CREATE TABLE about (
  who  BLOB NOT NULL CHECK (length(who) = 32),
  name BLOB NOT NULL CHECK (length(name) = 32),
  PRIMARY KEY (who, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE follow (who BLOB PRIMARY KEY CHECK (length(who) = 32)) STRICT, WITHOUT ROWID;
