"""How far one destination is: a file that is replaced, never in part, and survives a power cut."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from cert_otel.errors import InputError
from cert_otel.service.trail import Position

if TYPE_CHECKING:
    from pathlib import Path

_FILE_MODE = 0o600
_DIRECTORY_MODE = 0o700


class Progress(msgspec.Struct, frozen=True):
    """What a cursor's file holds."""

    position: Position = Position()
    totals: dict[str, list[float]] = {}
    """Sums so far, for destinations that send them."""


class Cursor:
    """The progress of one destination; one thread may move it."""

    def __init__(self, path: Path) -> None:
        """Read where it stands; the start of the trail for a new one.

        Raises:
            InputError: The file is there and cannot be read.
        """
        self._path = path
        try:
            self.progress = msgspec.json.decode(path.read_bytes(), type=Progress)
        except FileNotFoundError:
            self.progress = Progress()
        except (OSError, msgspec.DecodeError) as error:
            raise InputError(
                path, f"is no cursor: {error}; delete it to send everything again"
            ) from None

    def move(self, progress: Progress) -> None:
        """Move on; when this returns it is on disk.

        Raises:
            OSError: It is not.
        """
        self._path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _FILE_MODE)
        # On a disk that fills a plain write may be short; through a buffer it is whole, or raises.
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(progress))
            file.flush()
            os.fsync(fd)
        new.rename(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self.progress = progress
