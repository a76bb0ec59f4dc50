"""Lines appended to a file that several processes share, without a lock between them.

Each batch is one `write` to a descriptor opened with `O_APPEND`: on a local file system the
kernel lets nobody in between, so no lock is held while a line is written and a stopped process
stops no other. What can still go wrong is found afterwards and put right by the writer itself:

- A write is cut short (the disk is full). The torn piece at its end is ours alone, since others
  append behind it: it is overwritten with blanks and a newline, where it stands. Truncating
  would take the lines of others with it.
- The line before ours is torn (its writer was killed in the middle). Then our first line is
  glued to it and unreadable: it is written once more.
- The file was deleted under us. Then the batch is written once more, into a new file.

No descriptor outlives a call. That costs some microseconds a batch and makes fork, rotation by
someone else, a closed descriptor table and a recreated directory no cases at all.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_logger = logging.getLogger("cert_otel.journal")

# O_RDWR to look at the byte before ours; a named pipe is not waited for either, but refused.
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOCTTY
_FILE_MODE: Final = 0o600
_DIRECTORY_MODE: Final = 0o700
_ATTEMPTS: Final = 8
"""Writes of one batch: each of the three repairs takes one more, and none recurs by itself."""
_MEGABYTE: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_ROTATED_AT: Final = "%Y%m%dT%H%M%S%fZ"
_ROTATED_MARK: Final = re.compile(r"\d{8}T\d{12}Z")


class Appended(NamedTuple):
    """What became of a batch."""

    lost: int
    """Lines that are not in the file."""
    error: OSError | None
    """Why; `None` when none was lost."""


class JSONLWriter:
    """Appends batches of lines to one file; any number of threads and processes may.

    Files are created readable by their owner only, missing directories likewise; the mode of
    what exists is left. With `max_mb`, a file that would grow beyond it is renamed first, to
    `NAME.<UTC time>.SUFFIX` beside it, and the `max_files` newest of those are kept.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        max_mb: float | None = None,
        max_files: int = 10,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.path = _get_absolute(path)
        self._max_bytes = None if max_mb is None else int(max_mb * _MEGABYTE)
        self._max_files = max_files
        self._clock = clock
        self._warned_of_rotation = False

    def append(self, lines: Sequence[bytes]) -> Appended:
        """Append `lines`, in order and with nothing of others between them.

        Args:
            lines: Each ends with its only newline.

        Returns:
            How many lines could not be written, and why. Nothing is raised, nothing is kept
            for later: a caller that wants a retry calls again.
        """
        pending: Sequence[bytes] = lines
        for _ in range(_ATTEMPTS):
            if not pending:
                return Appended(0, None)
            try:
                pending = self._append_once(pending)
            except OSError as error:
                return Appended(len(pending), error)
        return Appended(len(pending), OSError(errno.EIO, "cut short again and again"))

    def _append_once(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """Write `lines` and return those that have to be written again."""
        data = b"".join(lines)
        fd = self._open_with_room(len(data))
        try:
            written = os.write(fd, data)
            end = os.lseek(fd, 0, os.SEEK_CUR)
            if os.fstat(fd).st_nlink == 0:
                return lines
            whole, torn = _count_whole(lines, written)
            if torn:
                _blank(fd, end - torn, torn)
            again = lines[whole:]
            if whole and _is_glued(fd, end - written):
                return [lines[0], *again]
            return again
        finally:
            os.close(fd)

    def _open_with_room(self, size: int) -> int:
        fd = self._open()
        if self._max_bytes is None:
            return fd
        used = os.fstat(fd).st_size
        if not used or used + size <= self._max_bytes or not self._rotate(fd):
            return fd
        os.close(fd)
        return self._open()

    def _open(self) -> int:
        try:
            fd = os.open(self.path, _FLAGS, _FILE_MODE)
        except FileNotFoundError:
            _make_directory(self.path.parent)
            fd = os.open(self.path, _FLAGS, _FILE_MODE)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file", str(self.path))
        return fd

    def _rotate(self, fd: int) -> bool:
        """Rename the file that `fd` has open; whether the path may now lead to another one.

        Those that have it open already still write their batch to it, under its new name. Where
        it cannot be renamed it grows on: a large file is better than a lost line.
        """
        try:
            # Released by closing the descriptor.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), self.path.stat()):
                now = _EPOCH + timedelta(microseconds=self._clock() // 1000)
                self.path.rename(_name_rotated(self.path, now))
                self._prune()
        except BlockingIOError:
            # Another process is just doing it.
            return False
        except FileNotFoundError:
            return True
        except OSError as error:
            self._warn_of_rotation(error)
            return False
        return True

    def _prune(self) -> None:
        rotated = find_rotated(self.path)
        for old in rotated[: max(0, len(rotated) - self._max_files)]:
            old.unlink(missing_ok=True)

    def _warn_of_rotation(self, error: OSError) -> None:
        if not self._warned_of_rotation:
            self._warned_of_rotation = True
            _logger.warning("%s cannot be rotated and grows on: %s", self.path, error)


def find_rotated(path: Path) -> list[Path]:
    """Return the files that `path` was renamed to by rotation, oldest first."""
    head, tail = f"{path.stem}.", path.suffix
    with contextlib.suppress(OSError):
        return sorted(
            entry
            for entry in path.parent.iterdir()
            if entry.name.startswith(head)
            and entry.name.endswith(tail)
            and _ROTATED_MARK.fullmatch(entry.name[len(head) : len(entry.name) - len(tail)])
        )
    return []


def _name_rotated(path: Path, now: datetime) -> Path:
    """Return the first name that is free, from `now` on: the clock may have been set back."""
    while (target := path.with_name(f"{path.stem}.{now:{_ROTATED_AT}}{path.suffix}")).exists():
        now += _MICROSECOND
    return target


def _get_absolute(path: Path | str) -> Path:
    """Pin `path` to where it points now; the application may change its directory later."""
    expanded = Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser() may raise
    with contextlib.suppress(OSError):
        return expanded.absolute()
    return expanded


def _make_directory(directory: Path) -> None:
    missing = [parent for parent in (directory, *directory.parents) if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)


def _count_whole(lines: Sequence[bytes], written: int) -> tuple[int, int]:
    """Return how many lines `written` bytes hold, and how many bytes of the next one."""
    left = written
    for count, line in enumerate(lines):
        if left < len(line):
            return count, left
        left -= len(line)
    return len(lines), 0


def _blank(fd: int, start: int, size: int) -> None:
    """Turn a torn piece into an empty line, without moving what others have appended.

    Where even that fails, the next writer finds its line glued and repeats it.
    """
    with contextlib.suppress(OSError):
        # On Linux, pwrite() to a descriptor with O_APPEND appends, whatever its offset.
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_APPEND)
        os.pwrite(fd, b" " * (size - 1) + b"\n", start)


def _is_glued(fd: int, start: int) -> bool:
    """Whether the line before `start` has no end. An empty answer: the file was truncated."""
    return start > 0 and os.pread(fd, 1, start - 1) not in (b"\n", b"")
