"""How commands print: JSON for machines, tables for people."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator

Format = Literal["table", "json"]
_UNLIMITED: Final = 10_000
"""Columns, where no terminal limits them."""


def print_json(value: Any) -> None:
    """Print one JSON document and a newline."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


@contextmanager
def open_console() -> Iterator[Console]:
    """Print to a console whose text appears at once, when all of it is there.

    It knows the terminal's width and `NO_COLOR`; what goes into a file or a pipe is cut to no
    width, unless `COLUMNS` says so.
    """
    limited = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(highlight=False, width=None if limited else _UNLIMITED)
    with console.capture() as capture:
        yield console
    sys.stdout.write(capture.get())
