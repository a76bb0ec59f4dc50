"""What consumers say about payloads: how far they are, what they try, what cannot be read."""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from cert_otel.service import _inbox_files

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from cert_otel.service._payload import Row

_QUARANTINE_BYTES: Final = 256 * 2**20
"""Bodies that are kept to be looked at; of older ones the line stays, with size and hash."""
_QUARANTINE_LINES: Final = 100_000
"""The oldest of more go, with their bodies; they stay counted."""
_QUARANTINE: Final = "INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_COUNT: Final = "UPDATE quarantined SET payloads = payloads + 1, kept_bytes = kept_bytes + ?"


class Part(msgspec.Struct, frozen=True):
    """One of several consumers: it has the payloads whose id leaves `index` divided by `count`."""

    index: int
    count: int


class Progress:
    """`progress.db`. Any thread may call; a crash of the process loses nothing that returned."""

    def __init__(self, path: Path) -> None:
        # NORMAL: only a power cut can lose its last lines, and then payloads are done once
        # more, which consumers notice by their own keys.
        self._connection = _inbox_files.connect(path, synchronous="NORMAL")
        self._lock = threading.Lock()

    def get_finished(self, part: Part) -> int:
        """Return the last id that this consumer is done with; 0 at first."""
        with self._lock:
            row = self._connection.execute(
                "SELECT finished FROM progress WHERE parts = ? AND part = ?",
                (part.count, part.index),
            ).fetchone()
        return 0 if row is None else int(row[0])

    def list_parts(self) -> list[tuple[Part, int]]:
        """Return every consumer that ever finished something, and how far it is."""
        with self._lock:
            rows = self._connection.execute("SELECT part, parts, finished FROM progress").fetchall()
        return [(Part(index, count), finished) for index, count, finished in rows]

    def finish(self, part: Part, through: int) -> None:
        """Move on; never back."""
        with self._write() as connection:
            connection.execute(
                "INSERT INTO progress VALUES (?1, ?2, ?3) ON CONFLICT"
                " DO UPDATE SET finished = max(finished, ?3)",
                (part.count, part.index, through),
            )
            connection.execute(
                "DELETE FROM attempt WHERE id <= ? AND id % ? = ?",
                (through, part.count, part.index),
            )

    def adopt(self, *, parts: int, last_id: int) -> None:
        """Drop what was said by another number of consumers, or of payloads that never were.

        The latter is there when somebody removed `inbox.db` alone: its ids begin anew, and what
        comes must not pass for finished.
        """
        with self._write() as connection:
            connection.execute("DELETE FROM progress WHERE parts <> ?", (parts,))
            connection.execute("UPDATE progress SET finished = min(finished, ?)", (last_id,))
            connection.execute("DELETE FROM attempt WHERE id > ?", (last_id,))

    def begin(self, ids: Iterable[int]) -> None:
        """Count one attempt for each."""
        with self._write() as connection:
            connection.executemany(
                "INSERT INTO attempt VALUES (?, 1) ON CONFLICT DO UPDATE SET attempts = attempts + 1",
                [(id_,) for id_ in ids],
            )

    def get_attempts(self, first: int, last: int) -> Mapping[int, int]:
        """Return how often each was begun; those never begun are left out."""
        with self._lock:
            return dict(
                self._connection.execute(
                    "SELECT id, attempts FROM attempt WHERE id BETWEEN ? AND ?", (first, last)
                ).fetchall()
            )

    def quarantine(self, row: Row, reason: str) -> None:
        """Keep the payload aside, and make room among older ones; once, however often it is said."""
        payload = row.payload
        values = (
            row.id,
            reason,
            time.time_ns(),
            payload.received_ns,
            len(payload.body),
            hashlib.sha256(payload.body).hexdigest(),
            payload.kind,
            payload.encoding,
            payload.tenant,
            payload.body,
        )
        with self._write() as connection:
            if connection.execute(_QUARANTINE, values).rowcount:
                connection.execute(_COUNT, (len(payload.body),))
                _make_room(connection)

    def count_quarantined(self) -> int:
        """Return how many payloads were ever put aside."""
        with self._lock:
            (count,) = self._connection.execute("SELECT payloads FROM quarantined").fetchone()
        return int(count)

    def list_quarantined(self) -> list[tuple[int, str]]:
        """Return id and reason of each, the oldest first."""
        with self._lock:
            return self._connection.execute(
                "SELECT id, reason FROM quarantine ORDER BY rowid"
            ).fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.rollback()
                raise
            self._connection.commit()


def _make_room(connection: sqlite3.Connection) -> None:
    """Let go of the oldest lines, and of the oldest bodies of the others."""
    kept, after, last = connection.execute(
        "SELECT kept_bytes, kept_after, (SELECT max(rowid) FROM quarantine) FROM quarantined"
    ).fetchone()
    oldest = last - _QUARANTINE_LINES
    (gone,) = connection.execute(
        "SELECT total(size) FROM quarantine WHERE rowid > ? AND rowid <= ?", (after, oldest)
    ).fetchone()
    connection.execute("DELETE FROM quarantine WHERE rowid <= ?", (oldest,))
    kept, after = kept - int(gone), max(after, oldest)
    while kept > _QUARANTINE_BYTES:
        after, size = connection.execute(
            "SELECT rowid, size FROM quarantine WHERE rowid > ? ORDER BY rowid LIMIT 1", (after,)
        ).fetchone()
        connection.execute("UPDATE quarantine SET body = NULL WHERE rowid = ?", (after,))
        kept -= size
    connection.execute("UPDATE quarantined SET kept_bytes = ?, kept_after = ?", (kept, after))
