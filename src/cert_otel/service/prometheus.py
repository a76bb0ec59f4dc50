"""Metrics as `semconv.Prometheus` declares them, and how those of several processes come together.

The supervisor sets `PROMETHEUS_MULTIPROC_DIR`, so that each process leaves its figures in files and
the receiver serves the sum of all (`receiver/counters.py`); a worker that is killed takes none with
it. The files are named after the process's part in the service and not after its number: the next
one counts on in them, however often it starts.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge, Histogram, values
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from cert_otel.semconv import PrometheusMetric

DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The library's own variable."""


def name_process(name: str) -> None:
    """Count as this process of the service, from the next metric on; for each name one at a time."""
    if os.environ.get(DIRECTORY):
        # The library's own seam; the class is looked up whenever a metric is made.
        values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call] # the library's own gap


def make_counter(metric: PrometheusMetric, registry: CollectorRegistry) -> Counter:
    """Make a counter that is shown in a registry."""
    return Counter(
        metric.name, metric.description, metric.labels, unit=metric.unit, registry=registry
    )


def make_histogram(
    metric: PrometheusMetric, registry: CollectorRegistry, buckets: Sequence[float]
) -> Histogram:
    """Make a histogram that is shown in a registry; buckets by their upper bounds."""
    return Histogram(
        metric.name,
        metric.description,
        metric.labels,
        unit=metric.unit,
        registry=registry,
        buckets=buckets,
    )


def make_gauge(metric: PrometheusMetric, registry: CollectorRegistry) -> Gauge:
    """Make a gauge that is shown in a registry; of several processes the sum."""
    return Gauge(
        metric.name,
        metric.description,
        metric.labels,
        unit=metric.unit,
        registry=registry,
        multiprocess_mode="sum",
    )


def show(metric: PrometheusMetric, value: float) -> Metric:
    """Show a figure that is kept elsewhere, a counter or a gauge."""
    family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return family(metric.name, metric.description, value=value, unit=metric.unit)


def show_summary(metric: PrometheusMetric, count: int, total: float) -> Metric:
    """Show how often something happened, and the sum of what it took."""
    return SummaryMetricFamily(
        metric.name, metric.description, count_value=count, sum_value=total, unit=metric.unit
    )
