"""Logfire without its server: it exports OTLP where the environment says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import logfire

if TYPE_CHECKING:
    from collections.abc import Callable


def set_up() -> Callable[[], object]:
    """Instrument the openai SDK."""
    logfire.configure(
        send_to_logfire=False, console=False, inspect_arguments=False, service_version="1.0"
    )
    logfire.instrument_openai()
    flush: Callable[[], object] = logfire.force_flush
    return flush
