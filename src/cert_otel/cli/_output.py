"""How commands print: JSON for machines, tables for people."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Format = Literal["table", "json"]
_UNLIMITED: Final = 10_000
"""Columns, where no terminal limits them."""
_COLUMN_GAP: Final = 2
_NAME_WIDTH: Final = 16


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


def fit_columns(
    cells: Mapping[str, Sequence[str]], width: int, *, left_out_first: Sequence[str]
) -> list[str]:
    """Leave columns out until the others have room beside a name, which can be folded."""
    widths = {
        name: _COLUMN_GAP + max(len(name), *map(len, column)) for name, column in cells.items()
    }
    for name in left_out_first:
        if _NAME_WIDTH + sum(widths.values()) <= width:
            break
        widths.pop(name, None)
    return list(widths)
