-- Spans that were taken, each by the place in the inbox where it came first.
CREATE TABLE IF NOT EXISTS seen (
  key BLOB PRIMARY KEY,    -- hash of ids and content
  row INTEGER NOT NULL,
  span INTEGER NOT NULL,
  seen_s INTEGER NOT NULL  -- since 1970
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS seen_age ON seen (seen_s);

-- What a worker has in hand while records are tried one at a time.
CREATE TABLE IF NOT EXISTS in_hand (
  part INTEGER PRIMARY KEY,
  row INTEGER NOT NULL,
  span INTEGER NOT NULL
) STRICT;

-- Where the window began whose rows were last begun for the first time: records of all later rows follow its
-- first record in the trail.
CREATE TABLE IF NOT EXISTS "window" (
  part INTEGER PRIMARY KEY,
  first_row INTEGER NOT NULL
) STRICT;

-- Resources of spans, for results that are sent back beside them.
CREATE TABLE IF NOT EXISTS resource (
  id TEXT PRIMARY KEY,
  attributes TEXT NOT NULL,  -- JSON
  met_s INTEGER NOT NULL     -- last, to the day
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS resource_age ON resource (met_s);
