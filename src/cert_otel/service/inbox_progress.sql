-- How far the consumers are. Only they write here, so that neither side waits for the other.
CREATE TABLE IF NOT EXISTS progress (
  parts INTEGER NOT NULL,
  part INTEGER NOT NULL,
  finished INTEGER NOT NULL,  -- the last id that this part is done with
  PRIMARY KEY (parts, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS attempt (
  id INTEGER PRIMARY KEY,
  attempts INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS quarantine (
  id INTEGER NOT NULL,
  reason TEXT NOT NULL,
  quarantined_ns INTEGER NOT NULL,
  received_ns INTEGER NOT NULL,
  size INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  kind TEXT NOT NULL,
  encoding TEXT NOT NULL,
  tenant TEXT,
  body BLOB,  -- gone when newer ones needed the room
  PRIMARY KEY (id, sha256)  -- ids begin anew when somebody removes inbox.db
) STRICT;
