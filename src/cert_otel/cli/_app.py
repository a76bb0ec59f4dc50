"""The command line as a whole: which commands there are, and how they end."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import cyclopts

from cert_otel import __version__
from cert_otel.cli import EXIT_UNUSABLE
from cert_otel.cli.costs import costs
from cert_otel.cli.doctor import doctor
from cert_otel.cli.version import version

if TYPE_CHECKING:
    from collections.abc import Sequence

app: Final = cyclopts.App(
    name="cert",
    help="What model calls cost, and whether they are recorded.",
    version=__version__,
    result_action="return_value",
)
for _command in (costs, doctor, version):
    app.command(_command)


def run(argv: Sequence[str]) -> int:
    """Run one command and return its exit code."""
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
