"""Disks without room: a small one that is mounted where that is allowed, else a limit of a process.

A process whose files may not grow is told so by EFBIG, where a full disk says ENOSPC: for SQLite
and for the trail both are a failed write. The trail's reserve shows on a real disk alone.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_MEBIBYTE = 2**20


class Disk(Protocol):
    """Something that may be full."""

    def fill(self) -> None:
        """Leave no room."""

    def make_room(self) -> None:
        """Make it as it was."""


class MountedDisk:
    """A small file system in memory."""

    def __init__(self, path: Path) -> None:
        self._filler = path / "filler"

    def fill(self) -> None:
        """Take all there is."""
        free = os.statvfs(self._filler.parent)
        with self._filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)

    def make_room(self) -> None:
        """Give it back."""
        self._filler.unlink()


class LimitedProcess:
    """A process whose files may not grow, nor be written at all."""

    def __init__(self, find_pid: Callable[[], int | None]) -> None:
        self._find_pid = find_pid

    def fill(self) -> None:
        """Let every write to a file fail."""
        self._set(0)

    def make_room(self) -> None:
        """Let them succeed."""
        self._set(None)

    def _set(self, limit_bytes: int | None) -> None:
        pid = self._find_pid()
        assert pid is not None
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        soft = hard if limit_bytes is None else limit_bytes
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def mount_disk(path: Path, *, size_mib: int) -> Iterator[MountedDisk | None]:
    """Mount a disk at a folder; `None` where this user may not."""
    path.mkdir(parents=True)
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    options = ("-t", "tmpfs", "-o", f"size={size_mib * _MEBIBYTE}", "tmpfs", str(path))
    if not (mount and unmount) or subprocess.run([mount, *options], check=False).returncode:
        yield None
        return
    try:
        yield MountedDisk(path)
    finally:
        subprocess.run([unmount, path], check=True)
