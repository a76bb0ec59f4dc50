"""The trail's one writer: a batch is one write and one sync, and restart finds what is there.

What is written is the journal's own line, with where it came from as a last field. A batch that
cannot be written whole is taken back, so that the file always ends with a line.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

from cert_otel.errors import InputError
from cert_otel.records import encode_line
from cert_otel.service import failpoints, trail
from cert_otel.service.seen import Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cert_otel.records import Record
    from cert_otel.service.trail import Origin

SEGMENT_BYTES: Final = 128 * 2**20
RESERVE_BYTES: Final = 64 * 2**20
"""Kept free in a file of its own: on a full disk the batch in hand can still be written."""
_RESERVE: Final = "reserve"
_LOCK: Final = "lock"
_FILE_MODE: Final = 0o600
_DIRECTORY_MODE: Final = 0o700
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_ORIGIN: Final = b',"origin":'
_encode_origin: Final = msgspec.json.Encoder().encode

_logger = logging.getLogger(__name__)


def encode(record: Record, origin: Origin) -> bytes:
    """Encode a record as a line of the trail; readers of journals pass over its last field."""
    return b"".join((encode_line(record)[:-2], _ORIGIN, _encode_origin(origin), b"}\n"))


class Sink:
    """Appends to the trail in a directory; one process at a time can."""

    def __init__(
        self,
        directory: Path | str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:
        """Take the directory, and cut what a kill left torn at the end.

        Raises:
            InputError: It cannot be written, or another process writes there.
        """
        self.directory = Path(directory)
        self._segment_bytes = segment_bytes
        self._reserve_bytes = reserve_bytes
        try:
            self.directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            self._lock = _take(self.directory / _LOCK)
            self._fd, self._size, self._next = self._open_last()
        except BlockingIOError:
            raise InputError(
                self.directory, "another process writes there; stop that, or name another path"
            ) from None
        except OSError as error:
            raise InputError(
                self.directory, f"the trail cannot be written: {error.strerror}"
            ) from error
        with contextlib.suppress(OSError):  # whoever works asks again, and waits
            self.keep_reserve()

    def append(self, lines: Sequence[bytes]) -> None:
        """Append lines, and return when they are on disk.

        Raises:
            OSError: They are not; the trail is as it was before.
        """
        if not lines:
            return
        if self._size and self._size + sum(map(len, lines)) > self._segment_bytes:
            self._open_next()
        try:
            self._write(lines)
        except OSError as error:
            if error.errno not in _FULL or not self._give_reserve():
                raise
            _logger.critical("the trail's disk is full: its reserve is used for this batch")
            self._write(lines)
        self._next += len(lines)

    def find_written(self, after_row: int) -> Iterator[tuple[Place, bytes]]:
        """Yield place and key of the records of later rows than this, newest first.

        Reading ends at the first earlier one, so nothing of a later row may come before it: that
        holds where a window begins.
        """
        for line in trail.read_backwards(self.directory):
            origin = trail.HEAD.decode(line).origin
            if origin is not None:
                if origin.row <= after_row:
                    return
                yield Place(origin.row, origin.span), bytes.fromhex(origin.key)

    def keep_reserve(self) -> None:
        """Make the reserve whole, where it was used or never was.

        Raises:
            OSError: There is no room for it.
        """
        path = self.directory / _RESERVE
        if not self._reserve_bytes or (
            path.exists() and path.stat().st_size == self._reserve_bytes
        ):
            return
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            os.posix_fallocate(fd, 0, self._reserve_bytes)
        except OSError:
            path.unlink()
            raise
        finally:
            os.close(fd)

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._fd)
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, lines: Sequence[bytes]) -> None:
        data = b"".join(lines)
        try:
            failpoints.reach("trail_write")
            _write_all(self._fd, data)
            os.fdatasync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)
        failpoints.reach("after_trail_sync")

    def _open_last(self) -> tuple[int, int, int]:
        """Open the last segment: descriptor, size, and the number of the line that is next."""
        segments = trail.list_segments(self.directory)
        first = segments[-1] if segments else 1
        path = trail.get_path(self.directory, first)
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        lines, size = _count_whole(path)
        cut = os.fstat(fd).st_size - size
        if cut:
            _logger.warning("%s: %d bytes of a torn line are cut off", path, cut)
            os.ftruncate(fd, size)
        os.fsync(fd)
        _sync_directory(self.directory)
        return fd, size, first + lines

    def _open_next(self) -> None:
        path = trail.get_path(self.directory, self._next)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(path, flags, _FILE_MODE)
        _sync_directory(self.directory)
        os.close(self._fd)
        self._fd, self._size = fd, 0

    def _give_reserve(self) -> bool:
        try:
            (self.directory / _RESERVE).unlink()
        except FileNotFoundError:
            return False
        return True


def _take(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    if failpoints.is_set("mid_trail_write"):
        view = view[os.write(fd, view[: len(view) - 1 - len(view) // 3]) :]
        failpoints.reach("mid_trail_write")
    while view:
        view = view[os.write(fd, view) :]


def _count_whole(path: Path) -> tuple[int, int]:
    """Count the whole lines of a file, and their bytes: what follows them is torn.

    A power cut may leave zeros where a line was: the last line has to be JSON as well.
    """
    lines, size, last = 0, 0, b""
    with path.open("rb") as file:
        for line in file:
            last = line
            lines += 1
            size += len(line)
    while last and not (last.endswith(b"\n") and _is_json(last)):
        lines, size = lines - 1, size - len(last)
        last = _read_line_before(path, size)
    return lines, size


def _read_line_before(path: Path, end: int) -> bytes:
    """Return the line that ends at an offset; nothing at the start of the file."""
    with path.open("rb") as file:
        step = 65_536
        while True:
            start = max(0, end - step)
            file.seek(start)
            data = file.read(end - start)
            cut = data.rfind(b"\n", 0, len(data) - 1)
            if cut >= 0 or start == 0:
                return data[cut + 1 :]
            step *= 2


def _is_json(line: bytes) -> bool:
    try:
        trail.HEAD.decode(line)
    except (msgspec.DecodeError, ValueError):
        return False
    return True


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
