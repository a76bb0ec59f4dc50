"""How commands print: JSON for machines, tables for people."""

from __future__ import annotations

import sys
from typing import Any, Literal

import msgspec
from rich.console import Console

Format = Literal["table", "json"]


def print_json(value: Any) -> None:
    """Print one JSON document and a newline."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def make_console() -> Console:
    """Return the console of a command; it knows the terminal's width and `NO_COLOR`."""
    return Console(highlight=False)


def escape(text: str) -> str:
    """Return a text in which rich sees no markup."""
    return text.replace("[", r"\[")
