"""`cert doctor`: is everything in place for calls to be recorded?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rich.markup import escape

from cert_otel.cli import _checks
from cert_otel.cli._output import Format, open_console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from cert_otel.cli._checks import Check

_MARKS = {"ok": "[green]ok  [/]", "info": "[cyan]note[/]", "attention": "[yellow]look[/]"}


def doctor(*, format: Format = "table") -> int:  # noqa: A002 - the option's name
    """Check SDKs, instrumentors, distribution, content, exporters, prices and settings.

    Looks at this environment and these settings: run it where, and as, the application runs.
    Exits with 0 when all is well and 1 when something needs attention.

    Example: CERT_OTEL_JSONL=calls.jsonl cert doctor

    Args:
        format: A table, or JSON for machines.
    """
    checks = _checks.run_all(os.environ)
    needs_attention = any(check.status == "attention" for check in checks)
    if format == "json":
        print_json({"healthy": not needs_attention, "checks": checks})
    else:
        with open_console() as console:
            _print_lines(checks, console)
    return 1 if needs_attention else 0


def _print_lines(checks: list[Check], console: Console) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        name = check.name.ljust(width)
        line = f"{_MARKS[check.status]}  [bold]{escape(name)}[/]  {escape(check.finding)}"
        # Never wrapped: a setting that is broken over two lines cannot be copied.
        console.print(line, soft_wrap=True)
        if check.advice:
            console.print(f"      [dim]{escape(check.advice)}[/]", soft_wrap=True)
