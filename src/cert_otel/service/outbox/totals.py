"""Metrics by OTLP: sums over the whole trail, kept beside the cursor. Pure.

Cumulative from the first record on: a backend that was away for hours sees the sums of then, and
a restart begins nothing anew.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE

from cert_otel import semconv
from cert_otel.service.outbox.messages import add_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cert_otel.records import Record

Totals = dict[str, list[float]]
"""Numbers by what they count: `records`, status and reason, or `perplexity`, separated by tabs."""

BOUNDS: Final = (1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 50.0, 100.0, 1000.0)
"""Of perplexity; 50 is the gate."""
_RECORDS: Final = "records"
_PERPLEXITY: Final = "perplexity"


def add_records(totals: Mapping[str, list[float]], records: Iterable[Record]) -> Totals:
    """Return the sums with these records in them."""
    sums = {key: list(numbers) for key, numbers in totals.items()}
    for record in records:
        key = "\t".join((_RECORDS, record.score_status or "", record.score_reason or ""))
        sums.setdefault(key, [0])[0] += 1
        perplexity = None if record.trajectory is None else record.trajectory.perplexity
        if perplexity is not None:
            # The sum, then the counts of each bucket.
            numbers = sums.setdefault(_PERPLEXITY, [0.0] * (len(BOUNDS) + 2))
            numbers[0] += perplexity
            numbers[1 + bisect_left(BOUNDS, perplexity)] += 1
    return sums


def make_metrics(totals: Totals, *, start_ns: int, now_ns: int) -> ExportMetricsServiceRequest:
    """Make the message that says the sums."""
    request = ExportMetricsServiceRequest()
    scoped = request.resource_metrics.add().scope_metrics.add()
    scoped.scope.name = semconv.Scope.SCORER
    times = {"start_time_unix_nano": start_ns, "time_unix_nano": now_ns}
    _add_counts(scoped.metrics.add(name=semconv.METRIC_SCORED_RECORDS), totals, times)
    numbers = totals.get(_PERPLEXITY)
    if numbers:
        _add_histogram(scoped.metrics.add(name=semconv.METRIC_SCORED_PERPLEXITY), numbers, times)
    return request


def _add_counts(metric: Any, totals: Totals, times: Mapping[str, int]) -> None:
    metric.unit = "{record}"
    metric.description = "Records of the trail by outcome"
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    for key, (count,) in ((key, n) for key, n in totals.items() if key.startswith(_RECORDS)):
        _, status, reason = key.split("\t")
        point = metric.sum.data_points.add(as_int=int(count), **times)
        named = {semconv.SCORE_STATUS: status, semconv.SCORE_REASON: reason}
        add_attributes(point.attributes, {name: value for name, value in named.items() if value})


def _add_histogram(metric: Any, numbers: list[float], times: Mapping[str, int]) -> None:
    metric.unit = "1"
    metric.description = "Perplexity of answers under the scoring model"
    metric.histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    total, *counts = numbers
    metric.histogram.data_points.add(
        sum=total,
        count=int(sum(counts)),
        bucket_counts=[int(count) for count in counts],
        explicit_bounds=BOUNDS,
        **times,
    )
