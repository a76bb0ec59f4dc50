"""New files of commands: all of it, or nothing."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cert_otel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO


def check_new(path: Path) -> None:
    """Refuse to overwrite, before any work is done.

    Raises:
        InputError: There is something at `path`.
    """
    if path.exists():
        raise InputError(path, "is there already and is not overwritten; name a new file")


@contextmanager
def create(path: Path) -> Iterator[BinaryIO]:
    """Create a file that appears under its name when all of it is there, or never."""
    check_new(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # owner's alone
    except OSError as error:
        raise InputError(path, f"cannot be created: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)
    except FileExistsError:
        raise InputError(path, "was created meanwhile; name another file") from None
    finally:
        with suppress(OSError):
            Path(name).unlink()
