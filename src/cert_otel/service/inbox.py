"""The durable inbox: what is acknowledged is in it, until its records are in the trail.

One process appends (`Inbox.open`), others consume (`Inbox.attach`), each payload in these steps:

    append ──> read ──> begin ──> (records on disk) ──> finish ──> deleted by the appender
                          │  attempts + 1                 or quarantine, then finish
                          └─ killed: read again, with the attempts so far

Nothing here looks into a payload.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from cert_otel.errors import InboxError
from cert_otel.service import _inbox_files
from cert_otel.service._committer import Committer, Counters
from cert_otel.service._inbox_files import Files
from cert_otel.service._payload import Encoding, Kind, Payload, Row
from cert_otel.service._progress import Part, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future

__all__ = ["Encoding", "Inbox", "Kind", "Payload", "Row", "Stats"]

_FIGURES: Final = (
    "SELECT count(*), total(size), min(received_ns) FROM payload WHERE id > ? AND id % ? = ?"
)
_OLDEST: Final = "SELECT received_ns FROM payload WHERE id > ? AND id % ? = ? ORDER BY id LIMIT 1"
_SIZES: Final = "SELECT id, size FROM payload WHERE id > ? AND id % ? = ? ORDER BY id LIMIT 4096"
_BODIES: Final = (
    "SELECT id, kind, encoding, body, tenant, received_ns FROM payload"
    " WHERE id > ? AND id <= ? AND id % ? = ? ORDER BY id"
)


class Stats(msgspec.Struct, frozen=True):
    """What is in the inbox and not finished."""

    rows: int
    bytes: int
    oldest_age_s: float | None
    """`None` when nothing is in it."""
    quarantined: int
    """Payloads ever put aside."""


class Inbox:
    """The inbox in a directory of its own; any thread may call."""

    def __init__(self, files: Files, part: Part, *, cap_bytes: int | None) -> None:
        self._files = files
        self._part = part
        self._lock_descriptor = None if cap_bytes is None else _inbox_files.lock(files)
        self._progress = Progress(files.progress)
        self._reader = _inbox_files.connect(files.inbox, synchronous="FULL")
        self._reader_lock = threading.Lock()
        self._committer = None
        if cap_bytes is not None:
            self._committer = Committer(
                files, self._progress, cap_bytes=cap_bytes, parts=part.count
            )

    @classmethod
    def open(cls, path: Path | str, *, cap_bytes: int, parts: int = 1) -> Self:
        """Open the inbox to append to it, and read it if need be; one process at a time can.

        Args:
            path: A directory; it is made when it is not there.
            cap_bytes: How much disk it may take: four fifths of it in payloads.
            parts: How many consumers share it.

        Raises:
            InboxError: When it cannot be opened, or another process has it open this way.
        """
        files = Files(Path(path))
        _inbox_files.create(files)
        return cls(files, Part(0, parts), cap_bytes=cap_bytes)

    @classmethod
    def attach(cls, path: Path | str, *, part: int = 0, parts: int = 1) -> Self:
        """Open the inbox to consume it, in another process than the one that appends.

        Args:
            path: The directory; it may be opened before the appender opens it.
            part: Which of `parts` consumers this is, counted from 0. Each sees its share.
            parts: As the appender has it.

        Raises:
            InboxError: When it cannot be opened.
        """
        files = Files(Path(path))
        _inbox_files.create(files)
        return cls(files, Part(part, parts), cap_bytes=None)

    def append(self, payload: Payload) -> Future[int]:
        """Append a payload.

        Returns:
            Its id, as soon as it is on disk; or `InboxError`, when it could not be written.

        Raises:
            InboxFullError: When there is no room for it: offer it again later.
            InboxError: When the inbox is closed, or open for consumption only.
        """
        if self._committer is None:
            raise InboxError(self._files.directory, "is open for consumption only")
        return self._committer.offer(payload)

    def read(self, after: int, limit_bytes: int) -> list[Row]:
        """Return the next payloads, in order of arrival.

        Args:
            after: The last id that was seen; 0 begins behind what is finished.
            limit_bytes: How much to read, and 4,096 payloads at most. One is returned even if it
                is larger.
        """
        first = max(after, self._progress.get_finished(self._part))
        with self._reader_lock:
            last = self._find_last(first, limit_bytes)
            if last is None:
                return []
            found = self._query(_BODIES, (first, last, self._part.count, self._part.index))
        attempts = self._progress.get_attempts(first, last)
        return [
            Row(
                id_,
                Payload(
                    kind=kind, encoding=encoding, body=body, tenant=tenant, received_ns=received_ns
                ),
                attempts.get(id_, 0),
            )
            for id_, kind, encoding, body, tenant, received_ns in found
        ]

    def begin(self, ids: Iterable[int]) -> None:
        """Say that work on these begins: when it ends this process, `Row.attempts` shows it."""
        self._progress.begin(ids)

    def finish(self, through: int) -> None:
        """Say that everything up to this id is done, its records on disk; it is deleted soon."""
        self._progress.finish(self._part, through)

    def quarantine(self, id_: int, reason: str) -> None:
        """Keep a payload that nobody can read aside, with the reason; then `finish` it.

        The newest 256 MiB are kept whole; of older ones the size and the hash remain.
        """
        with self._reader_lock:
            found = self._query(_BODIES, (id_ - 1, id_, 1, 0))
        for id_found, kind, encoding, body, tenant, received_ns in found:
            payload = Payload(
                kind=kind, encoding=encoding, body=body, tenant=tenant, received_ns=received_ns
            )
            self._progress.quarantine(Row(id_found, payload, 0), reason)

    def list_quarantined(self) -> list[tuple[int, str]]:
        """Return id and reason of each payload that was put aside, the oldest first."""
        return self._progress.list_quarantined()

    def stats(self) -> Stats:
        """Count what is not finished: of this part, or of all where this process appends."""
        rows, sizes, oldest = zip(*self._ask_parts(_FIGURES), strict=True)
        return Stats(
            rows=sum(rows),
            bytes=int(sum(sizes)),
            oldest_age_s=_find_age_s(ns for ns in oldest if ns is not None),
            quarantined=self._progress.count_quarantined(),
        )

    def get_oldest_age_s(self) -> float | None:
        """Return how long the first payload that is not finished has waited, however many wait."""
        return _find_age_s(ns for (ns,) in self._ask_parts(_OLDEST))

    def _ask_parts(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask about what is not finished: of this part, or of each where this process appends."""
        parts = [self._part]
        if self._committer is not None:
            parts = [Part(index, self._part.count) for index in range(self._part.count)]
        with self._reader_lock:
            return [
                row
                for part in parts
                for row in self._query(
                    statement, (self._progress.get_finished(part), part.count, part.index)
                )
            ]

    def get_counters(self) -> Counters:
        """Return what was committed since the inbox was opened to append."""
        return Counters(0, 0.0, 0, 0) if self._committer is None else self._committer.counters

    @property
    def limit_bytes(self) -> int:
        """What is accepted; 0 when it is open for consumption."""
        return 0 if self._committer is None else self._committer.limit_bytes

    @property
    def is_writable(self) -> bool:
        """Whether what is appended now can be written, as far as is known."""
        return self._committer is not None and self._committer.is_writable

    def close(self) -> None:
        """Commit what was appended, and close the files."""
        if self._committer is not None:
            self._committer.close()
        self._progress.close()
        with self._reader_lock:
            self._reader.close()
        if self._lock_descriptor is not None:
            os.close(self._lock_descriptor)
            self._lock_descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _find_last(self, first: int, limit_bytes: int) -> int | None:
        """Return the id up to which payloads fit, the first in any case."""
        last = None
        used = 0
        for id_, size in self._query(_SIZES, (first, self._part.count, self._part.index)):
            used += size
            if last is not None and used > limit_bytes:
                break
            last = id_
        return last

    def _query(self, statement: str, values: Sequence[int]) -> list[tuple[Any, ...]]:
        try:
            return self._reader.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise InboxError(self._files.directory, f"cannot be read: {error}") from error


def _find_age_s(received_ns: Iterable[int]) -> float | None:
    first_ns = min(received_ns, default=None)
    return None if first_ns is None else max(0.0, (time.time_ns() - first_ns) / 1e9)
