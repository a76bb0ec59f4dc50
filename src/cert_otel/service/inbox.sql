-- What was received and is not yet finished. Only the process that appends writes here.
CREATE TABLE IF NOT EXISTS payload (
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, whatever was deleted
  received_ns INTEGER NOT NULL,
  size INTEGER NOT NULL,
  kind TEXT NOT NULL,
  encoding TEXT NOT NULL,
  tenant TEXT,
  body BLOB NOT NULL
) STRICT;

-- Figures without touching a body.
CREATE INDEX IF NOT EXISTS payload_figures ON payload (id, size, received_ns);
