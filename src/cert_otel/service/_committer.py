"""The one thread that writes payloads: all that wait go into one transaction, with one sync."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, NamedTuple

from cert_otel.errors import InboxError, InboxFullError
from cert_otel.service import _inbox_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.service._inbox_files import Files
    from cert_otel.service._payload import Payload
    from cert_otel.service._progress import Part, Progress

_logger = logging.getLogger("cert_otel.service")

_GROUP_BYTES: Final = 8 * 2**20
"""A transaction takes no more than this, so that the first of a burst does not wait for all."""
_PENDING_BYTES: Final = 96 * 2**20
"""What may wait for its commit, in memory."""
_ACCEPTED_SHARE: Final = 0.8
"""Of the cap: the rest is for the WAL, for pages half empty and for what is under way."""
_WAL_CHECKPOINT_BYTES: Final = 8 * 2**20
_WAL_KEPT_BYTES: Final = 64 * 2**20
"""The WAL file is cut to this when it starts anew."""
_WAL_LIMIT_BYTES: Final = 192 * 2**20
"""Beyond it nothing is taken until it can be emptied; with one more group it stays below 256 MB."""
_WAL_WAIT_MS: Final = 500
_DELETED_BYTES: Final = 16 * 2**20
"""At once, as what arrives meanwhile waits."""
_VACUUMED_PAGES: Final = 256
_IDLE_S: Final = 0.25
_RETRY_S: Final = (1.0, 60.0)

_INSERT: Final = (
    "INSERT INTO payload (received_ns, size, kind, encoding, tenant, body)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_FINISHED: Final = "SELECT id, size FROM payload WHERE id <= ? AND id % ? = ? ORDER BY id LIMIT 256"
_DELETE: Final = "DELETE FROM payload WHERE id <= ? AND id % ? = ?"


class _Offer(NamedTuple):
    payload: Payload
    durable: Future[int]


class Counters(NamedTuple):
    """What the committer has done since it started."""

    commits: int
    commit_s: float
    """Time spent in transactions, all together."""
    payloads: int
    failures: int


class Committer:
    """Appends payloads and deletes those that consumers are done with."""

    def __init__(self, files: Files, progress: Progress, *, cap_bytes: int, parts: int) -> None:
        self._files = files
        self._progress = progress
        self.limit_bytes = int(cap_bytes * _ACCEPTED_SHARE)
        self._connection = self._connect()
        self._offers: queue.SimpleQueue[_Offer | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._adopt(parts)
        self._stored_bytes = self._sum_bytes()
        self._pending_bytes = 0
        self._closed = False
        self._wal_is_held = False
        self._has_failed = False
        self._drain = _DrainRate()
        self.counters = Counters(0, 0.0, 0, 0)
        self._thread = threading.Thread(target=self._run, name="inbox-committer", daemon=True)
        self._thread.start()

    def offer(self, payload: Payload) -> Future[int]:
        """Queue a payload; the future has its id once it is on disk.

        Raises:
            InboxFullError: When there is no room for it now.
            InboxError: When the inbox is closed.
        """
        size = len(payload.body)
        with self._lock:
            if self._closed:
                raise InboxError(self._files.directory, "is closed")
            self._check_room(size)
            self._pending_bytes += size
            durable: Future[int] = Future()
            self._offers.put(_Offer(payload, durable))
        return durable

    @property
    def is_writable(self) -> bool:
        """Whether the last attempt to write succeeded, be it only a trial."""
        return not (self._has_failed or self._wal_is_held or self._closed)

    def close(self) -> None:
        """Commit what was offered, then stop."""
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed:
            self._offers.put(None)
        self._thread.join()

    def _check_room(self, size: int) -> None:
        if self._wal_is_held:
            raise InboxError(
                self._files.directory,
                "cannot be written: a reader keeps its log from being emptied",
            )
        if self._pending_bytes and self._pending_bytes + size > _PENDING_BYTES:
            raise InboxFullError(
                self._files.directory, "too much waits for its commit", retry_after_s=_RETRY_S[0]
            )
        over = self._stored_bytes + self._pending_bytes + size - self.limit_bytes
        if over > 0:
            raise InboxFullError(
                self._files.directory,
                f"holds {self._stored_bytes:,} bytes, and may take {self.limit_bytes:,}",
                retry_after_s=self._drain.estimate_s(over),
            )

    def _run(self) -> None:
        idle_s = _IDLE_S
        while True:
            group, stopping = self._take(idle_s)
            if group:
                self._commit(group)
            # What is behind is deleted little by little, so that no acknowledgement waits long.
            behind = self._tidy(vacuum=not group)
            idle_s = 0.0 if behind else _IDLE_S
            if stopping:
                self._connection.close()
                return

    def _take(self, idle_s: float) -> tuple[list[_Offer], bool]:
        """Return what waits, or nothing after `idle_s`; and whether that was the last."""
        group: list[_Offer] = []
        size = 0
        try:
            offer = self._offers.get(timeout=idle_s) if idle_s else self._offers.get_nowait()
            while offer is not None:
                size += len(offer.payload.body)
                group.append(offer)
                if size >= _GROUP_BYTES:
                    return group, False
                offer = self._offers.get_nowait()
        except queue.Empty:
            return group, False
        return group, True

    def _commit(self, group: Sequence[_Offer]) -> None:
        taken = [offer for offer in group if offer.durable.set_running_or_notify_cancel()]
        started = time.perf_counter()
        try:
            ids = self._insert([offer.payload for offer in taken])
        except Exception as error:  # noqa: BLE001 - this thread answers everybody: it never dies
            self._settle(group, stored_bytes=0)
            self._fail(taken, error)
            return
        self._has_failed = False
        duration_s = time.perf_counter() - started
        self._settle(group, stored_bytes=sum(len(offer.payload.body) for offer in taken))
        done = self.counters
        self.counters = done._replace(
            commits=done.commits + 1,
            commit_s=done.commit_s + duration_s,
            payloads=done.payloads + len(taken),
        )
        for offer, id_ in zip(taken, ids, strict=True):
            offer.durable.set_result(id_)

    def _insert(self, payloads: Sequence[Payload]) -> list[int]:
        connection = self._connection
        if connection.in_transaction:  # a rollback failed, on a disk that fails
            connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
        try:
            ids = [self._insert_one(payload) for payload in payloads]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return ids

    def _insert_one(self, payload: Payload) -> int:
        cursor = self._connection.execute(
            _INSERT,
            (
                payload.received_ns,
                len(payload.body),
                payload.kind,
                payload.encoding,
                payload.tenant,
                payload.body,
            ),
        )
        return cursor.lastrowid or 0

    def _settle(self, group: Sequence[_Offer], *, stored_bytes: int) -> None:
        with self._lock:
            self._pending_bytes -= sum(len(offer.payload.body) for offer in group)
            self._stored_bytes += stored_bytes

    def _fail(self, taken: Sequence[_Offer], error: Exception) -> None:
        self._has_failed = True
        _logger.error("nothing can be written into the inbox: %s", error)
        self.counters = self.counters._replace(failures=self.counters.failures + 1)
        for offer in taken:
            offer.durable.set_exception(
                InboxError(self._files.directory, f"cannot be written: {error}")
            )

    def _tidy(self, *, vacuum: bool) -> bool:
        """Delete some of what is behind the consumers; whether more may be left."""
        behind = False
        try:
            for part, finished in self._progress.list_parts():
                behind |= self._delete_some(part, finished)
            self._wal_is_held = not self._bound_wal()
            if self._has_failed:
                self._try_to_write()
            if vacuum and not behind:
                # As a script: `execute` would end after the first page.
                self._connection.executescript(f"PRAGMA incremental_vacuum({_VACUUMED_PAGES})")
        except (sqlite3.Error, OSError) as error:
            _logger.warning("the inbox cannot be tidied up: %s", error)
            return False
        return behind

    def _delete_some(self, part: Part, finished: int) -> bool:
        """Delete what one consumer is done with, up to a size; whether something was deleted."""
        size, last = 0, None
        for id_, bytes_ in self._connection.execute(
            _FINISHED, (finished, part.count, part.index)
        ).fetchall():
            if last is not None and size + bytes_ > _DELETED_BYTES:
                break
            size, last = size + bytes_, id_
        if last is not None:
            self._connection.execute(_DELETE, (last, part.count, part.index))
        with self._lock:
            self._stored_bytes -= size
        self._drain.add(size)
        return last is not None

    def _try_to_write(self) -> None:
        """Find out whether a disk that failed can be written again: nobody may be sending."""
        self._connection.execute(f"PRAGMA user_version = {int(time.monotonic())}")
        self._has_failed = False

    def _bound_wal(self) -> bool:
        """Empty the write-ahead log when it has grown too long; whether it is short now.

        SQLite does so by itself, unless somebody reads without end: a backup, a debugger.
        """
        if self._get_wal_bytes() <= _WAL_LIMIT_BYTES:
            return True
        self._connection.execute(f"PRAGMA busy_timeout = {_WAL_WAIT_MS}")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return self._get_wal_bytes() <= _WAL_LIMIT_BYTES

    def _get_wal_bytes(self) -> int:
        try:
            return self._files.wal.stat().st_size
        except FileNotFoundError:
            return 0

    def _adopt(self, parts: int) -> None:
        """Delete what is finished, before another number of consumers sees it again."""
        row = self._connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'payload'"
        ).fetchone()
        last_id = 0 if row is None else int(row[0])
        for part, finished in self._progress.list_parts():
            if finished <= last_id:
                self._connection.execute(_DELETE, (finished, part.count, part.index))
        self._progress.adopt(parts=parts, last_id=last_id)

    def _connect(self) -> sqlite3.Connection:
        connection = _inbox_files.connect(self._files.inbox, synchronous="FULL")
        pages = _WAL_CHECKPOINT_BYTES // _inbox_files.PAGE_BYTES
        connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
        return connection

    def _sum_bytes(self) -> int:
        (total,) = self._connection.execute("SELECT total(size) FROM payload").fetchone()
        return int(total)


class _DrainRate:
    """How fast consumers make room, over the last minute or so."""

    _HALF_LIFE_S: Final = 30.0

    def __init__(self) -> None:
        self._bytes_per_s = 0.0
        self._last = time.monotonic()

    def add(self, size: int) -> None:
        now = time.monotonic()
        elapsed = now - self._last
        if elapsed <= 0:
            return
        kept = 0.5 ** (elapsed / self._HALF_LIFE_S)
        self._bytes_per_s = kept * self._bytes_per_s + (1 - kept) * size / elapsed
        self._last = now

    def estimate_s(self, size: int) -> float:
        """Return when `size` bytes will be free, within bounds that a sender can live with."""
        shortest, longest = _RETRY_S
        if not self._bytes_per_s:
            return longest
        return min(longest, max(shortest, size / self._bytes_per_s))
