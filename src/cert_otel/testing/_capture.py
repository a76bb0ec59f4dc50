"""Spans and metrics as plain dicts, from providers that are nobody's global."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    InMemoryMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cert_otel.testing._determinism import IncrementingIds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from opentelemetry.sdk.metrics.export import Metric
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.trace import Tracer

_STACKTRACE = "exception.stacktrace"


class SpanCapture:
    """A tracer provider that keeps its spans in memory, with ids 1, 2, 3 ….

    Hand `tracer_provider` to what is tested; the global provider is never touched.

    Example:
        >>> with SpanCapture() as capture:
        ...     with capture.tracer.start_as_current_span("ask") as span:
        ...         span.set_attribute("tokens", 3)
        >>> capture.spans()  # doctest: +NORMALIZE_WHITESPACE
        [{'name': 'ask', 'id': 1, 'parent': None, 'kind': 'INTERNAL', 'status': 'UNSET',
          'attributes': {'tokens': 3}, 'events': []}]
    """

    def __init__(self, *, resource: Mapping[str, str] | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider(
            resource=Resource(dict(resource or {})),
            id_generator=IncrementingIds(),
            shutdown_on_exit=False,
        )
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def tracer(self) -> Tracer:
        """A tracer for spans of the test itself, for instance a parent."""
        return self.tracer_provider.get_tracer("cert_otel.testing")

    @property
    def finished(self) -> tuple[ReadableSpan, ...]:
        """The SDK's own spans in the order in which they ended."""
        return self._exporter.get_finished_spans()

    def spans(self) -> list[dict[str, Any]]:
        """Return the spans that ended, in the order in which they started.

        `parent` is the parent's id. A description of the status and links are there only when
        the span has them; stack traces are left out of exception events.
        """
        return sorted((_describe_span(span) for span in self.finished), key=lambda span: span["id"])

    def clear(self) -> None:
        """Forget what was captured; ids count on."""
        self._exporter.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.tracer_provider.shutdown()


@contextmanager
def capture_spans(*, resource: Mapping[str, str] | None = None) -> Iterator[SpanCapture]:
    """Capture spans within a with block, as `SpanCapture` does.

    Example:
        >>> with capture_spans() as capture:
        ...     capture.tracer.start_span("ask").end()
        >>> [span["name"] for span in capture.spans()]
        ['ask']
    """
    with SpanCapture(resource=resource) as capture:
        yield capture


class MetricCapture:
    """A meter provider that keeps its metrics in memory; the global one is never touched.

    Example:
        >>> with MetricCapture() as capture:
        ...     meter = capture.meter_provider.get_meter("test")
        ...     meter.create_counter("calls", unit="{call}").add(2, {"model": "gpt-4o"})
        ...     points = capture.points()
        >>> points  # doctest: +NORMALIZE_WHITESPACE
        [{'name': 'calls', 'unit': '{call}', 'attributes': {'model': 'gpt-4o'}, 'value': 2}]
    """

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider(
            metric_readers=[self._reader], resource=Resource({}), shutdown_on_exit=False
        )

    def points(self) -> list[dict[str, Any]]:
        """Return every data point so far, sorted by name and attributes.

        A counter or gauge has a `value`, a histogram `count`, `sum`, `min` and `max`.
        Collecting ends with the with block: read before it does.
        """
        data = self._reader.get_metrics_data()
        points = [
            _describe_point(metric, point)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        ]
        return sorted(points, key=lambda point: (point["name"], repr(point["attributes"])))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.meter_provider.shutdown()


def _describe_span(span: ReadableSpan) -> dict[str, Any]:
    status = span.status
    described: dict[str, Any] = {
        "name": span.name,
        "id": _get_id(span),
        "parent": span.parent.span_id if span.parent else None,
        "kind": span.kind.name,
        "status": status.status_code.name,
        "attributes": _plain(span.attributes),
        "events": [_describe_event(event) for event in span.events],
    }
    if status.description:
        described["status_description"] = status.description
    if span.links:
        described["links"] = [link.context.span_id for link in span.links]
    return described


def _get_id(span: ReadableSpan) -> int | None:
    context = span.get_span_context()
    return context.span_id if context else None


def _describe_event(event: Event) -> dict[str, Any]:
    attributes = {
        name: value for name, value in _plain(event.attributes).items() if name != _STACKTRACE
    }
    return {"name": event.name, "attributes": attributes}


def _describe_point(metric: Metric, point: Any) -> dict[str, Any]:
    described = {"name": metric.name, "unit": metric.unit, "attributes": _plain(point.attributes)}
    if isinstance(point, (HistogramDataPoint, ExponentialHistogramDataPoint)):
        figures = {"count": point.count, "sum": point.sum, "min": point.min, "max": point.max}
        return described | figures
    return described | {"value": point.value}


def _plain(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return attributes sorted by name, with lists for the SDK's tuples."""
    return {name: _plain_value(value) for name, value in sorted((attributes or {}).items())}


def _plain_value(value: Any) -> Any:
    return list(value) if isinstance(value, (tuple, list)) else value
