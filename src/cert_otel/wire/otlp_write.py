"""Records back to OTLP: for a backend that takes spans, and to prove that nothing is lost.

All that a span can tell comes back equal when it is read again. Of what was found out after a
call, threshold, evidence and who evaluated have no attribute.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cert_otel import semconv
from cert_otel.wire._otlp import STATUS_ERROR
from cert_otel.wire._scores import list_scores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cert_otel.records import Record

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_TEXTS: Final = (
    (semconv.RECORD_KIND, "kind"),
    (semconv.OPERATION_NAME, "operation"),
    (semconv.FUNCTION_NAME, "function"),
    (semconv.AGENT_NAME, "agent"),
    (semconv.ENDUSER_PSEUDO_ID, "user"),
    (semconv.CONVERSATION_ID, "conversation"),
    (semconv.TENANT, "tenant"),
    (semconv.TASK_TYPE, "task_type"),
    (semconv.PROVIDER_NAME, "platform"),
    (semconv.RESPONSE_ID, "response_id"),
    (semconv.RESPONSE_MODEL, "model"),
    (semconv.REQUEST_MODEL, "request_model"),
    (semconv.PROMPT_FINGERPRINT, "prompt_fingerprint"),
    (semconv.ERROR_TYPE, "error_type"),
    (semconv.INPUT_DATA, "input_data"),
    (semconv.OUTPUT_DATA, "output_data"),
    (semconv.RESPONSE_FINISH_REASONS, "finish_reasons"),
    (semconv.STREAM_OUTCOME, "stream_outcome"),
    (semconv.PERPLEXITY, "perplexity"),
    (semconv.SCORE_STATUS, "score_status"),
    (semconv.SCORE_REASON, "score_reason"),
    (semconv.SCORER_MODEL, "scorer"),
    (semconv.SCORER_REVISION, "scorer_revision"),
    (semconv.COST_AMOUNT, "cost"),
    (semconv.COST_CURRENCY, "currency"),
)
_STRUCTURES: Final = (
    (semconv.INPUT_MESSAGES, "input_messages"),
    (semconv.OUTPUT_MESSAGES, "output_messages"),
    (semconv.TOOL_DEFINITIONS, "tools"),
    (semconv.CONTEXT, "context"),
    (semconv.METADATA, "metadata"),
)
"""Fields that are JSON texts on a span."""
_COUNTS: Final = (
    (semconv.USAGE_INPUT_TOKENS, "prompt"),
    (semconv.USAGE_OUTPUT_TOKENS, "completion"),
    (semconv.USAGE_CACHE_READ_TOKENS, "cache_read"),
    (semconv.USAGE_CACHE_WRITE_TOKENS, "cache_write"),
    (semconv.USAGE_REASONING_TOKENS, "reasoning"),
)
_COST: Final = (
    (semconv.COST_INPUT, "input"),
    (semconv.COST_OUTPUT, "output"),
    (semconv.COST_CACHE_READ, "cache_read"),
    (semconv.COST_CACHE_WRITE, "cache_write"),
    (semconv.COST_TOOLS, "tools"),
    (semconv.COST_SOURCE, "source"),
    (semconv.COST_PRICING_VERSION, "pricing_version"),
    (semconv.COST_PARTIAL, "partial"),
)
_RESOURCE: Final = ((semconv.SERVICE_NAME, "service"), (semconv.SERVICE_VERSION, "service_version"))
_KIND_CLIENT: Final = 3


def list_attributes(record: Record) -> dict[str, Any]:
    """Return the attributes of the span that reads as this record."""
    attributes = dict(_take(record, _TEXTS))
    for name, field in _STRUCTURES:
        if value := getattr(record, field):
            attributes[name] = msgspec.json.encode(value).decode()
    attributes |= _take(record.tokens, _COUNTS)
    attributes |= _take(record.cost_detail, _COST)
    if record.time_to_first_token_ms is not None:
        seconds = _to_seconds(record.time_to_first_token_ms)
        attributes[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = seconds
    return attributes | dict(list_scores(record))


def encode_line(record: Record) -> bytes:
    """Encode one record as a line of OTLP JSON, newline included."""
    start_ns, end_ns = _find_times(record)
    span = {
        "traceId": record.trace_id or "",
        "spanId": record.span_id or "",
        "parentSpanId": record.parent_span_id or "",
        "name": _find_name(record),
        "kind": _KIND_CLIENT,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(end_ns),
        "attributes": list(_encode_pairs(list_attributes(record))),
        "status": {"code": STATUS_ERROR} if record.status == "error" else {},
    }
    scoped = {"scope": {"name": _find_scope(record)}, "spans": [span]}
    resource = {"attributes": list(_encode_pairs(dict(_take(record, _RESOURCE))))}
    line = {"resourceSpans": [{"resource": resource, "scopeSpans": [scoped]}]}
    return msgspec.json.encode(line) + b"\n"


def encode_traces(records: Iterable[Record]) -> bytes:
    """Encode records as one `ExportTraceServiceRequest` in protobuf."""
    from opentelemetry.proto.trace.v1 import trace_pb2  # noqa: PLC0415 - lines need no protobuf

    message = trace_pb2.TracesData()
    for record in records:
        group = message.resource_spans.add()
        _add_pairs(group.resource.attributes, dict(_take(record, _RESOURCE)))
        scoped = group.scope_spans.add()
        scoped.scope.name = _find_scope(record)
        start_ns, end_ns = _find_times(record)
        span = scoped.spans.add(
            trace_id=bytes.fromhex(record.trace_id or ""),
            span_id=bytes.fromhex(record.span_id or ""),
            parent_span_id=bytes.fromhex(record.parent_span_id or ""),
            name=_find_name(record),
            kind=trace_pb2.Span.SPAN_KIND_CLIENT,
            start_time_unix_nano=start_ns,
            end_time_unix_nano=end_ns,
        )
        if record.status == "error":
            span.status.code = trace_pb2.Status.STATUS_CODE_ERROR
        _add_pairs(span.attributes, list_attributes(record))
    return message.SerializeToString()


def _take(source: Any, names: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Any]]:
    if source is None:
        return
    for name, field in names:
        value = getattr(source, field)
        if value is not None:
            yield name, value


def _to_seconds(milliseconds: float) -> float:
    """Return the seconds that are exactly so many milliseconds when read again."""
    seconds = milliseconds / 1000
    nearby = (seconds, math.nextafter(seconds, math.inf), math.nextafter(seconds, 0))
    return next((near for near in nearby if near * 1000 == milliseconds), seconds)


def _find_times(record: Record) -> tuple[int, int]:
    start_ns = (record.timestamp - _EPOCH) // _MICROSECOND * 1000
    if record.latency_ms is None:
        return start_ns, 0
    return start_ns, start_ns + round(record.latency_ms * 1e6)


def _find_name(record: Record) -> str:
    words = (record.operation or record.kind, record.function or record.request_model or "")
    return " ".join(filter(None, words))


def _find_scope(record: Record) -> str:
    scope = record.metadata.get(semconv.SCOPE_NAME)
    return scope if isinstance(scope, str) else ""


def _encode_pairs(attributes: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, value in attributes.items():
        yield {"key": name, "value": _encode_value(value)}


def _encode_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list | tuple):
        return {"arrayValue": {"values": [_encode_value(item) for item in value]}}
    return {"stringValue": value}


def _add_pairs(pairs: Any, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        _set_value(pairs.add(key=name).value, value)


def _set_value(message: Any, value: Any) -> None:
    if isinstance(value, list | tuple):
        message.array_value.SetInParent()
        for item in value:
            _set_value(message.array_value.values.add(), item)
        return
    field = next(field for kind, field in _VALUE_FIELDS if isinstance(value, kind))
    setattr(message, field, value)


_VALUE_FIELDS: Final[tuple[tuple[type, str], ...]] = (
    (bool, "bool_value"),
    (int, "int_value"),
    (float, "double_value"),
    (str, "string_value"),
)
"""In this order: True is an int."""
