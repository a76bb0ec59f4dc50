"""`cert serve`: the scorer service, behind OTLP."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from cert_otel.cli._backlog import lock_results
from cert_otel.errors import InputError
from cert_otel.journal import get_scores_path
from cert_otel.service import logs
from cert_otel.service.overview import check_surroundings, describe
from cert_otel.service.settings import Settings, load
from cert_otel.service.supervisor import Supervisor
from cert_otel.service.watch import run as run_watch

DEFAULT: Final = Path("cert.yaml")

_logger = logging.getLogger("cert_otel.service")


def serve(
    *,
    config: Path | None = None,
    check: Annotated[bool, Parameter(negative="")] = False,
    watch: Path | None = None,
) -> int:
    """Receive OTLP, score and evaluate model calls, write the trail, send scores back.

    What is acknowledged is on disk. Runs until SIGTERM or Ctrl-C, and stops within 30 seconds.

    Example: cert serve --config cert.yaml --check

    Args:
        config: Settings in YAML; cert.yaml where there is one, else the defaults.
        check: Read the settings, look at what they name, say what would happen, and end.
        watch: Receive nothing: score what an application writes into this journal, as it comes, with
            the results beside it as `cert score` writes them.
    """
    path = config or (DEFAULT if DEFAULT.exists() else None)
    settings = load(path)
    if watch is not None:
        return _watch(watch, settings, check=check)
    check_surroundings(settings)
    if check:
        for line in describe(settings):
            sys.stdout.write(f"{line}\n")
        return 0
    logs.configure(settings.logs, logs.SUPERVISOR)
    for line in describe(settings):
        _logger.info("%s", line)
    return Supervisor(settings).run()


def _watch(path: Path, settings: Settings, *, check: bool) -> int:
    if check:
        sys.stdout.write(f"follows {path}, results in {get_scores_path(path)}\n")
        return 0
    logs.configure(settings.logs, "watch")
    try:
        with lock_results(path):
            run_watch(path, settings)
    except OSError as problem:
        raise InputError(get_scores_path(path), f"cannot be written: {problem.strerror}") from None
    return 0
