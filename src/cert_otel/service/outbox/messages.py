"""Results as OTLP: an event or a span for each, grouped by the resource of what was judged. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import SEVERITY_NUMBER_INFO, LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from cert_otel import semconv

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cert_otel.service.outbox.results import Result

_SPAN_ID_CHARS: Final = 16
_SPAN_NS: Final = 1
"""Length of a result's span: Jaeger calls one that ends when it begins damaged, and says so on it."""


def make_events(results: Iterable[Result], *, now_ns: int) -> ExportLogsServiceRequest:
    """Make a `gen_ai.evaluation.result` event of each result, beside the span that was judged."""
    request = ExportLogsServiceRequest()
    for resource, group in _group(results):
        logs = request.resource_logs.add()
        add_attributes(logs.resource.attributes, resource)
        scoped = logs.scope_logs.add()
        scoped.scope.name = semconv.Scope.SCORER
        scoped.log_records.extend(_make_event(one, now_ns) for one in group)
    return request


def make_spans(results: Iterable[Result]) -> ExportTraceServiceRequest:
    """Make a span of a nanosecond of each result, below the span that was judged.

    Its id is made of what it says: a copy is the same span to every backend.
    """
    request = ExportTraceServiceRequest()
    for resource, group in _group(results):
        traces = request.resource_spans.add()
        add_attributes(traces.resource.attributes, resource)
        scoped = traces.scope_spans.add()
        scoped.scope.name = semconv.Scope.SCORER
        scoped.spans.extend(map(_make_span, group))
    return request


def add_attributes(pairs: Any, attributes: Mapping[str, Any]) -> None:
    """Add attributes to a message's list of pairs; values that OTLP has no kind for as text."""
    for name, value in attributes.items():
        _set_value(pairs.add(key=name).value, value)


def _make_event(result: Result, now_ns: int) -> LogRecord:
    event = LogRecord(
        time_unix_nano=result.at_ns,
        observed_time_unix_nano=now_ns,
        severity_number=SEVERITY_NUMBER_INFO,
        event_name=semconv.EVENT_EVALUATION_RESULT,
        trace_id=bytes.fromhex(result.trace_id),
        span_id=bytes.fromhex(result.span_id),
        flags=1,
    )
    add_attributes(
        event.attributes, _list_attributes(result) | {semconv.LOG_RECORD_UID: result.uid}
    )
    return event


def _make_span(result: Result) -> Span:
    span = Span(
        trace_id=bytes.fromhex(result.trace_id),
        span_id=bytes.fromhex(result.uid[:_SPAN_ID_CHARS]),
        parent_span_id=bytes.fromhex(result.span_id),
        name=f"evaluate {result.name}",
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=result.at_ns,
        end_time_unix_nano=result.at_ns + _SPAN_NS,
        flags=1,
    )
    if result.error_type is not None:
        span.status.code = Status.STATUS_CODE_ERROR
    add_attributes(span.attributes, _list_attributes(result))
    return span


def _list_attributes(result: Result) -> dict[str, Any]:
    named = (
        (semconv.EVALUATION_NAME, result.name),
        (semconv.EVALUATION_SCORE_VALUE, result.score),
        (semconv.EVALUATION_SCORE_LABEL, result.label),
        (semconv.EVALUATION_EXPLANATION, result.explanation),
        (semconv.ERROR_TYPE, result.error_type),
    )
    return {name: value for name, value in named if value is not None} | result.attributes


def _group(results: Iterable[Result]) -> Iterator[tuple[Mapping[str, Any], list[Result]]]:
    groups: dict[bytes, list[Result]] = {}
    for result in results:
        key = msgspec.json.encode(result.resource, enc_hook=repr, order="deterministic")
        groups.setdefault(key, []).append(result)
    for group in groups.values():
        yield group[0].resource, group


def _set_value(message: Any, value: Any) -> None:
    if isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, int):
        message.int_value = value
    elif isinstance(value, float):
        message.double_value = value
    elif isinstance(value, list | tuple):
        message.array_value.SetInParent()
        for item in value:
            _set_value(message.array_value.values.add(), item)
    elif isinstance(value, dict):
        message.kvlist_value.SetInParent()
        add_attributes(message.kvlist_value.values, value)
    elif value is not None:
        message.string_value = str(value)
