"""What the workers remember between two starts: spans that were taken, and what kills them.

All workers of a machine share one file, `seen.db`. A span belongs to the place in the inbox where
it came first; at any other place it is a copy, which a retry made. That holds whatever is killed
in between: the place is noted before its record is written, and found again afterwards.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from cert_otel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SCHEMA: Final = Path(__file__).with_suffix(".sql")
_BUSY_TIMEOUT_S: Final = 30.0
_CACHE_KIB: Final = 64 * 1024
_ASKED_AT_ONCE: Final = 500
_FORGOTTEN_AT_ONCE: Final = 50_000
_MET_AGAIN_S: Final = 24 * 3600
"""A resource that is met all the time is noted that often."""
_FILE_MODE: Final = 0o600

_logger = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where in the inbox a span came."""

    row: int
    span: int
    """Index in its payload; -1 while the payload is read."""


def find_places(path: Path, keys: Sequence[bytes]) -> dict[bytes, Place]:
    """Return where spans came first, of those that a worker has taken; asked by other processes."""
    found: dict[bytes, Place] = {}
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S)) as connection:
            for at in range(0, len(keys), _ASKED_AT_ONCE):
                found.update(_select_places(connection, keys[at : at + _ASKED_AT_ONCE]))
    except sqlite3.OperationalError as problem:
        # No worker has ever run here: nothing was taken.
        _logger.debug("%s: %s", path, problem)
    return found


def _select_places(
    connection: sqlite3.Connection, keys: Sequence[bytes]
) -> Iterator[tuple[bytes, Place]]:
    marks = ",".join("?" * len(keys))
    rows = connection.execute(
        f"SELECT key, row, span FROM seen WHERE key IN ({marks})",  # noqa: S608 - marks alone
        keys,
    )
    return ((key, Place(row, span)) for key, row, span in rows)


class Seen:
    """`seen.db`; any thread may call.

    A power cut may take its last commits (`synchronous=NORMAL`); `Worker` repeats them from the
    trail when it starts. Being killed takes nothing.
    """

    def __init__(self, path: Path | str, *, part: int = 0, parts: int = 1) -> None:
        """Open it, or make it.

        Args:
            path: The file.
            part: Which worker asks.
            parts: How many share the inbox, each its rows.

        Raises:
            InputError: It cannot be opened.
        """
        self._part = part
        self._parts = parts
        self._lock = threading.Lock()
        try:
            Path(path).touch(mode=_FILE_MODE)
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._connection.executescript(_SCHEMA.read_text(encoding="utf-8"))
        except (OSError, sqlite3.Error) as error:
            raise InputError(path, f"cannot be opened: {error}") from error

    def claim(self, spans: Sequence[tuple[bytes, Place]], *, now_s: int) -> list[bool]:
        """Take spans, in order.

        Args:
            spans: Key and place of each.
            now_s: Seconds since 1970.

        Returns:
            Of each, whether this is where it came first; False is a copy.
        """
        first: dict[bytes, Place] = {}
        with self._lock, self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?)",
                [(key, place.row, place.span, now_s) for key, place in spans],
            )
            keys = [key for key, _ in spans]
            for at in range(0, len(keys), _ASKED_AT_ONCE):
                first.update(_select_places(connection, keys[at : at + _ASKED_AT_ONCE]))
        return [first[key] == place for key, place in spans]

    def forget(self, before_s: int) -> bool:
        """Forget spans and resources that were last met before a time, some of them at most.

        Returns:
            Whether more may be left.
        """
        with self._lock:
            spans = self._connection.execute(
                "DELETE FROM seen WHERE key IN (SELECT key FROM seen WHERE seen_s < ? LIMIT ?)",
                (before_s, _FORGOTTEN_AT_ONCE),
            ).rowcount
            # A day longer: when it was met is noted once a day.
            resources = self._connection.execute(
                "DELETE FROM resource WHERE id IN"
                " (SELECT id FROM resource WHERE met_s < ? LIMIT ?)",
                (before_s - _MET_AGAIN_S, _FORGOTTEN_AT_ONCE),
            ).rowcount
        return max(spans, resources) == _FORGOTTEN_AT_ONCE

    def get_last_row(self) -> int:
        """Return the last row of this worker's that anything was taken of; 0 at first."""
        with self._lock:
            (row,) = self._connection.execute(
                "SELECT coalesce(max(row), 0) FROM (SELECT row FROM seen WHERE row % ? = ?"
                " ORDER BY seen_s DESC LIMIT 100000)",
                (self._parts, self._part),
            ).fetchone()
        return int(row)

    def note_window(self, first_row: int) -> None:
        """Note where a window begins none of whose rows was begun before."""
        with self._lock:
            self._connection.execute(
                'INSERT OR REPLACE INTO "window" VALUES (?, ?)', (self._part, first_row)
            )

    def find_window(self) -> int | None:
        """Return where the last such window began; `None` at first."""
        with self._lock:
            found = self._connection.execute(
                'SELECT first_row FROM "window" WHERE part = ?', (self._part,)
            ).fetchone()
        return None if found is None else int(found[0])

    def take_in_hand(self, place: Place) -> None:
        """Note what is tried next, so that the next start knows what this one died of."""
        with self._lock:
            self._connection.execute(
                "INSERT OR REPLACE INTO in_hand VALUES (?, ?, ?)", (self._part, *place)
            )

    def find_in_hand(self) -> Place | None:
        """Return what was tried last; `None` when nothing was left."""
        with self._lock:
            found = self._connection.execute(
                "SELECT row, span FROM in_hand WHERE part = ?", (self._part,)
            ).fetchone()
        return None if found is None else Place(*found)

    def lay_down(self) -> None:
        """Note that what was tried is done."""
        with self._lock:
            self._connection.execute("DELETE FROM in_hand WHERE part = ?", (self._part,))

    def keep_resource(self, id_: str, attributes: Mapping[str, Any], *, now_s: int) -> None:
        """Keep the attributes of a resource under an id, and that it was met now."""
        text = msgspec.json.encode(attributes, enc_hook=repr).decode()
        with self._lock:
            self._connection.execute(
                "INSERT INTO resource VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE"
                " SET met_s = ?3 WHERE met_s < ?3 - ?4",
                (id_, text, now_s, _MET_AGAIN_S),
            )

    def find_resource(self, id_: str) -> dict[str, Any] | None:
        """Return the attributes of a resource; `None` when it is not known."""
        with self._lock:
            found = self._connection.execute(
                "SELECT attributes FROM resource WHERE id = ?", (id_,)
            ).fetchone()
        return None if found is None else msgspec.json.decode(found[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
