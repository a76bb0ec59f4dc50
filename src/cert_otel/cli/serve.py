"""`cert serve`: the scorer service, behind OTLP."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from cert_otel.service import logs
from cert_otel.service.overview import check_surroundings, describe
from cert_otel.service.settings import load
from cert_otel.service.supervisor import Supervisor

DEFAULT: Final = Path("cert.yaml")

_logger = logging.getLogger("cert_otel.service")


def serve(
    *, config: Path | None = None, check: Annotated[bool, Parameter(negative="")] = False
) -> int:
    """Receive OTLP, score and evaluate model calls, write the trail, send scores back.

    What is acknowledged is on disk. Runs until SIGTERM or Ctrl-C, and stops within 30 seconds.

    Example: cert serve --config cert.yaml --check

    Args:
        config: Settings in YAML; cert.yaml where there is one, else the defaults.
        check: Read the settings, look at what they name, say what would happen, and end.
    """
    path = config or (DEFAULT if DEFAULT.exists() else None)
    settings = load(path)
    check_surroundings(settings)
    if check:
        for line in describe(settings):
            sys.stdout.write(f"{line}\n")
        return 0
    logs.configure(settings.logs, logs.SUPERVISOR)
    for line in describe(settings):
        _logger.info("%s", line)
    return Supervisor(settings).run()
