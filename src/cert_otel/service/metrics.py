"""What workers and the JSON API count for Prometheus: CERT's names, and those for operations.

`semconv.Prometheus` declares each of them, `prometheus.py` has how the figures of several processes
come together, docs/metrics.md what they say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry

from cert_otel import semconv
from cert_otel.service import prometheus
from cert_otel.service.batches import estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client import Counter, Histogram

    from cert_otel.records import Record
    from cert_otel.service.judging import Case
    from cert_otel.service.selection import Selection

SCORER: Final = "scorer"
"""Value of the label `service` for what the workers do; the receiver has others."""
_NONE: Final = "none"
"""Value of a label that says nothing."""
_PERPLEXITY: Final = (1, 1.5, 2, 3, 5, 8, 13, 21, 34, 50, 100, 1000)
_ENTROPY: Final = (0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4, 6)
_SECONDS: Final = (0.001, 0.005, 0.02, 0.1, 0.25, 1, 2.5, 10, 30, 120)
_RECORDS: Final = (1, 8, 32, 64, 256, 1024)
_TOKENS: Final = (256, 1024, 4096, 16_384, 65_536, 131_072)


class Metrics:
    """The figures of one process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Register all of them, in a registry of their own if none is given."""
        self.registry = registry if registry is not None else CollectorRegistry()
        self.requests = self._count(semconv.Prometheus.REQUESTS)
        self.errors = self._count(semconv.Prometheus.ERRORS)
        self.duration_s = self._observe(semconv.Prometheus.DURATION, _SECONDS)
        self.perplexity = self._observe(semconv.Prometheus.PERPLEXITY, _PERPLEXITY)
        self.entropy = self._observe(semconv.Prometheus.ENTROPY, _ENTROPY)
        self.quality_checks = self._count(semconv.Prometheus.QUALITY_CHECKS)
        self.cache_hits = self._count(semconv.Prometheus.CACHE_HITS)
        self.records = self._count(semconv.Prometheus.RECORDS)
        self.passed = self._count(semconv.Prometheus.PASSED)
        self.duplicates = self._count(semconv.Prometheus.DUPLICATES)
        self.quarantined = self._count(semconv.Prometheus.QUARANTINED)
        self.batch_records = self._observe(semconv.Prometheus.BATCH_RECORDS, _RECORDS)
        self.batch_tokens = self._observe(semconv.Prometheus.BATCH_TOKENS, _TOKENS)
        self.busy_s = self._count(semconv.Prometheus.BUSY)
        self.trail_write_s = self._observe(semconv.Prometheus.TRAIL_WRITE, _SECONDS)
        self.delivered = self._count(semconv.Prometheus.DELIVERED)
        self.delivery_failures = self._count(semconv.Prometheus.DELIVERY_FAILURES)
        self.outbox_bytes = prometheus.make_gauge(semconv.Prometheus.OUTBOX_BYTES, self.registry)

    def count_selection(self, found: Selection) -> None:
        """Count what of a payload becomes no record."""
        for reason, count in (
            ("no_model", found.passed),
            ("own", found.own),
            ("unreadable", found.unreadable),
        ):
            if count:
                self.passed.labels(reason).inc(count)

    def count_record(self, record: Record) -> None:
        """Count a record that is in the trail."""
        status, reason = record.score_status or _NONE, record.score_reason or _NONE
        self.requests.labels(SCORER, status).inc()
        self.records.labels(status, reason).inc()
        if status == "error":
            self.errors.labels(SCORER, reason, "high").inc()
        found = record.trajectory
        if found is None:
            return
        if found.perplexity is not None:
            self.perplexity.observe(found.perplexity)
        if found.entropy_mean is not None:
            self.entropy.observe(found.entropy_mean)
        self.quality_checks.labels("fail" if found.flags else "pass").inc()

    def observe_batch(self, cases: Sequence[Case], duration_s: float) -> None:
        """Note what was judged at once, and how long it took."""
        self.duration_s.labels(SCORER, "judge").observe(duration_s)
        self.busy_s.inc(duration_s)
        self.batch_records.observe(len(cases))
        self.batch_tokens.observe(sum(map(estimate_tokens, cases)))

    def _count(self, metric: semconv.PrometheusMetric) -> Counter:
        return prometheus.make_counter(metric, self.registry)

    def _observe(self, metric: semconv.PrometheusMetric, buckets: Sequence[float]) -> Histogram:
        return prometheus.make_histogram(metric, self.registry, buckets)
