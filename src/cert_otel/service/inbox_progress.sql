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

-- What of them was ever there, and how much is kept: no figure costs a look at all lines.
CREATE TABLE IF NOT EXISTS quarantined (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  payloads INTEGER NOT NULL,
  kept_bytes INTEGER NOT NULL,
  kept_after INTEGER NOT NULL  -- rowid of the last one whose body is gone
) STRICT;
INSERT OR IGNORE INTO quarantined VALUES (1, 0, 0, 0);
