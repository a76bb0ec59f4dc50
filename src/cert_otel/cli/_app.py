"""The command line as a whole: which commands there are, and how they end."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Final

import cyclopts

from cert_otel import __version__
from cert_otel.cli import EXIT_UNUSABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

app: Final = cyclopts.App(
    name="cert",
    help="What model calls cost, how sure their answers are, and whether they are recorded.",
    version=__version__,
    result_action="return_value",
)
_COMMANDS: Final = {
    "costs": "costs:costs",
    "score": "score:score",
    "evaluate": "evaluate:evaluate",
    "validate": "validate:validate",
    "serve": "serve:serve",
    "models": "models:models",
    "read": "read:read",
    "doctor": "doctor:doctor",
    "prices": "prices:app",
    "version": "version:version",
}
for _name, _place in _COMMANDS.items():
    # By name: a command is imported when it is called.
    app.command(f"cert_otel.cli.{_place}", name=_name)


def run(argv: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal without the euro sign, or a model's name, is no reason to fail.
        sys.stdout.reconfigure(errors="replace")
    if not argv or argv[0] in app.help_flags:
        for name in _COMMANDS:
            app[name]  # imported, for the first sentence of its docstring
    try:
        result = app(list(argv), exit_on_error=False)
        sys.stdout.flush()
    except cyclopts.CycloptsError:
        return EXIT_UNUSABLE  # cyclopts has said what is wrong
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; the interpreter must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0
