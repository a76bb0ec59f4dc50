"""What the receiver counts, and what it tells of the inbox, for Prometheus."""

from __future__ import annotations

import logging
import os
import time
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING, Final, Literal, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from cert_otel import semconv
from cert_otel.service import prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from cert_otel.service.inbox import Inbox, Stats

Protocol = Literal["grpc", "http"]
Outcome = Literal[
    "accepted",
    "empty",
    "full",
    "unavailable",
    "too_large",
    "unauthenticated",
    "unsupported",
    "incomplete",
]
OUTCOMES: Final = {
    "accepted": "on disk, acknowledged",
    "empty": "acknowledged; there was nothing in it",
    "full": "refused for now: the inbox is full; the sender tries again",
    "unavailable": "refused for now: stopping, or the disk cannot be written; likewise",
    "too_large": "refused for good: over the limit",
    "unauthenticated": "refused for good: no token, or a wrong one",
    "unsupported": "refused for good: a signal, path, method or encoding that is not taken",
    "incomplete": "did not arrive in time, or not whole",
}
"""Each outcome of a request, and what it means."""
_logger = logging.getLogger("cert_otel.service")

_SECONDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Counters:
    """Requests of this process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = prometheus.make_counter(semconv.Prometheus.RECEIVED, self.registry)
        # From the start at zero: Prometheus sees no increase in a series that begins with 1.
        for protocol, outcome in product(get_args(Protocol), OUTCOMES):
            self._requests.labels(protocol, outcome)
        self._bytes = prometheus.make_counter(semconv.Prometheus.RECEIVED_BYTES, self.registry)
        self._duration_s = prometheus.make_histogram(
            semconv.Prometheus.ACKNOWLEDGED, self.registry, _SECONDS
        )

    def count(self, protocol: Protocol, outcome: Outcome) -> None:
        """Count a request."""
        with _lenient():
            self._requests.labels(protocol, outcome).inc()

    def count_accepted(self, signal: str, size: int, duration_s: float) -> None:
        """Count what was acknowledged."""
        with _lenient():
            self._bytes.labels(signal).inc(size)
            self._duration_s.observe(duration_s)


@contextmanager
def _lenient() -> Iterator[None]:
    """Let a request be answered that cannot be counted: figures are in files as well."""
    try:
        yield
    except OSError as problem:
        _logger.warning("a request could not be counted: %s", problem)


class InboxCollector:
    """The inbox as it is when asked; at most once a second."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._asked_s = float("-inf")
        self._stats: Stats | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield the figures."""
        if time.monotonic() - self._asked_s > 1 or self._stats is None:
            self._stats, self._asked_s = self._inbox.stats(), time.monotonic()
        stats, counters = self._stats, self._inbox.get_counters()
        names = semconv.Prometheus
        yield prometheus.show(names.BACKLOG_PAYLOADS, stats.rows)
        yield prometheus.show(names.BACKLOG_BYTES, stats.bytes)
        yield prometheus.show(names.BACKLOG_AGE, stats.oldest_age_s or 0.0)
        yield prometheus.show(names.ACCEPTED_BYTES, self._inbox.limit_bytes)
        yield prometheus.show_summary(names.COMMIT, counters.commits, counters.commit_s)
        yield prometheus.show(names.COMMIT_FAILURES, counters.failures)


def render(counters: Counters, inbox: InboxCollector) -> bytes:
    """Return the figures of all processes of the service, as Prometheus reads them."""
    together = CollectorRegistry()
    if os.environ.get(prometheus.DIRECTORY):
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # the library's own gap
    else:
        together.register(counters.registry)
    together.register(inbox)
    return generate_latest(together)
