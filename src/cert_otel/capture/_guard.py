"""The one place where an error of ours ends: counted, logged once, never raised."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from opentelemetry import metrics

from cert_otel import semconv

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("cert_otel.capture")

error_counts: Final[Counter[str]] = Counter()
"""Swallowed errors of this process by the step that failed; `cert.instrumentation.errors`."""


def report(step: str, error: Exception) -> None:
    """Count an error that telemetry code met, and log the first of each step at DEBUG.

    Args:
        step: What failed, low cardinality, for instance `read_reply`.
        error: Is logged with its traceback and not kept.
    """
    error_counts[step] += 1
    try:
        if error_counts[step] == 1:
            _log.debug("telemetry step %s failed; the call is unaffected", step, exc_info=error)
        _counter().add(1, {"step": step, semconv.ERROR_TYPE: type(error).__name__})
    except Exception:  # noqa: BLE001, S110 - the last line of defence has nowhere to report to
        pass


def attempt(step: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
    """Return what a function returns, or report its error and return `None`."""
    try:
        return function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - the guard
        report(step, error)
        return None


def _counter() -> metrics.Counter:
    return metrics.get_meter("cert_otel").create_counter(
        semconv.METRIC_INSTRUMENTATION_ERRORS,
        unit="{error}",
        description="Errors inside the instrumentation that were kept from the application",
    )
