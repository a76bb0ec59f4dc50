"""The two SQLite files of an inbox: where they lie and how they are opened.

`inbox.db` has one writer, the process that receives; `progress.db` has the consumers. A commit
on one side therefore never waits for a lock of the other, which SQLite hands out by chance.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from cert_otel.errors import InboxError

_HERE: Final = Path(__file__).parent
_FILE_MODE: Final = 0o600
_DIRECTORY_MODE: Final = 0o700
_BUSY_TIMEOUT_S: Final = 10.0
PAGE_BYTES: Final = 16_384
"""A request is tens of kilobytes to megabytes: fewer, larger pages than the usual 4,096."""


class Files(NamedTuple):
    """Where an inbox lies: a directory of its own."""

    directory: Path

    @property
    def inbox(self) -> Path:
        """The payloads."""
        return self.directory / "inbox.db"

    @property
    def progress(self) -> Path:
        """What the consumers say about them."""
        return self.directory / "progress.db"

    @property
    def wal(self) -> Path:
        """SQLite's write-ahead log of the payloads."""
        return self.directory / "inbox.db-wal"

    @property
    def lock(self) -> Path:
        """Held by the one process that appends."""
        return self.directory / "lock"


def create(files: Files) -> None:
    """Make what is missing, readable by its owner only and on disk before anything is in it.

    Raises:
        InboxError: When a file cannot be made, or is no SQLite database.
    """
    try:
        files.directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        for path in (files.inbox, files.progress, files.lock):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE))
        for path, script in (
            (files.inbox, "inbox.sql"),
            (files.progress, "inbox_progress.sql"),
        ):
            connection = connect(path, synchronous="FULL")
            connection.executescript((_HERE / script).read_text(encoding="utf-8"))
            connection.close()
        for directory in (files.directory, files.directory.parent):
            _sync_directory(directory)
    except (OSError, sqlite3.Error) as error:
        raise InboxError(files.directory, f"cannot be opened: {error}") from error


def connect(path: Path, *, synchronous: str) -> sqlite3.Connection:
    """Open one of the files, in WAL and with autocommit."""
    connection = sqlite3.connect(
        path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    # The first two are heeded only while the file is empty.
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    # Some builds overwrite what is deleted with zeros, which doubles what is written.
    connection.execute("PRAGMA secure_delete = OFF")
    return connection


def lock(files: Files) -> int:
    """Take the inbox for this process, and return the descriptor that holds it.

    Raises:
        InboxError: When another process has it.
    """
    descriptor = os.open(files.lock, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise InboxError(
            files.directory, "another process receives into it; stop that, or name another path"
        ) from None
    return descriptor


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
