"""OTLP protobuf to plain spans: `read_traces` and `read_logs`, for whoever receives OTLP.

The protobuf library walks the bytes, but with descriptors of our own that stop at what repeats:
attributes, resources and scopes stay the bytes that they are, and bytes that were seen before are
looked up instead of decoded. Field numbers are those of opentelemetry-proto; texts are bytes here,
so that a text that is no UTF-8 spoils nothing but itself.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from cert_otel.wire._otlp import EVENT_NAME, STATUS_ERROR, find_time_ns
from cert_otel.wire._protobuf import decode_value, read_attributes
from cert_otel.wire.span import Batch, Event, LogEvent, Resource, Span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_BYTES: Final = _FIELD.TYPE_BYTES
_FIXED64: Final = _FIELD.TYPE_FIXED64
_INT32: Final = _FIELD.TYPE_INT32
_PACKAGE: Final = "cert_otel.wire"
_MESSAGES: Final[Mapping[str, Sequence[tuple[str, int, Any, bool]]]] = {
    # name, number, type or message, repeated
    "Traces": [("resources", 1, "ResourceSpans", True)],
    "ResourceSpans": [("resource", 1, _BYTES, False), ("scopes", 2, "ScopeSpans", True)],
    "ScopeSpans": [("scope", 1, _BYTES, False), ("spans", 2, "Span", True)],
    "Span": [
        ("trace_id", 1, _BYTES, False),
        ("span_id", 2, _BYTES, False),
        ("parent_span_id", 4, _BYTES, False),
        ("name", 5, _BYTES, False),
        ("start", 7, _FIXED64, False),
        ("end", 8, _FIXED64, False),
        ("attributes", 9, _BYTES, True),
        ("events", 11, _BYTES, True),
        ("status", 15, _BYTES, False),
    ],
    "Event": [("name", 2, _BYTES, False), ("attributes", 3, _BYTES, True)],
    "Status": [("code", 3, _INT32, False)],
    "Logs": [("resources", 1, "ResourceLogs", True)],
    "ResourceLogs": [("resource", 1, _BYTES, False), ("scopes", 2, "ScopeLogs", True)],
    "ScopeLogs": [("scope", 1, _BYTES, False), ("logs", 2, "Log", True)],
    "Log": [
        ("time", 1, _FIXED64, False),
        ("body", 5, _BYTES, False),
        ("attributes", 6, _BYTES, True),
        ("trace_id", 9, _BYTES, False),
        ("span_id", 10, _BYTES, False),
        ("observed", 11, _FIXED64, False),
        ("event_name", 12, _BYTES, False),
    ],
    "Resource": [("attributes", 1, _BYTES, True)],
    "Scope": [("name", 1, _BYTES, False)],
}
_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8
_ZEROS: Final = frozenset({bytes(_TRACE_ID_BYTES), bytes(_SPAN_ID_BYTES)})
"""Ids that are none."""


def _build_pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name="cert_otel/wire.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            added = message.field.add(name=field, number=number)
            added.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            if isinstance(kind, str):
                added.type = _FIELD.TYPE_MESSAGE
                added.type_name = f".{_PACKAGE}.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _get_parser(pool: descriptor_pool.DescriptorPool, name: str) -> Any:
    descriptor = pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
    return message_factory.GetMessageClass(descriptor).FromString


_POOL: Final = _build_pool()
_parse_traces: Final = _get_parser(_POOL, "Traces")
_parse_logs: Final = _get_parser(_POOL, "Logs")
_parse_event: Final = _get_parser(_POOL, "Event")
_parse_status: Final = _get_parser(_POOL, "Status")
_parse_resource: Final = _get_parser(_POOL, "Resource")
_parse_scope: Final = _get_parser(_POOL, "Scope")


def read_traces(message: bytes) -> Batch:
    """Read an `ExportTraceServiceRequest`, which is a `TracesData`.

    Raises:
        ValueError: It is neither. One span that cannot be read is in `problems`.
    """
    spans: list[Span] = []
    problems: list[str] = []
    for group in _parse(_parse_traces, message).resources:
        resource = _read_resource(group.resource)
        for scoped in group.scopes:
            scope = _read_scope(scoped.scope)
            for span in scoped.spans:
                try:
                    spans.append(_read_span(span, resource, scope))
                except (ValueError, DecodeError) as error:
                    problems.append(f"span {len(spans) + len(problems) + 1}: {error}")
    return Batch(spans, [], problems)


def read_logs(message: bytes) -> Batch:
    """Read an `ExportLogsServiceRequest`, which is a `LogsData`.

    Raises:
        ValueError: It is neither. One log record that cannot be read is in `problems`.
    """
    logs: list[LogEvent] = []
    problems: list[str] = []
    for group in _parse(_parse_logs, message).resources:
        resource = _read_resource(group.resource)
        for scoped in group.scopes:
            scope = _read_scope(scoped.scope)
            for log in scoped.logs:
                try:
                    logs.append(_read_log(log, resource, scope))
                except ValueError as error:
                    problems.append(f"log record {len(logs) + len(problems) + 1}: {error}")
    return Batch([], logs, problems)


def _parse(parse: Any, message: bytes) -> Any:
    try:
        return parse(message)
    except DecodeError:
        raise ValueError("not OTLP protobuf: cut off, or another message") from None


@functools.lru_cache(maxsize=256)
def _read_resource(message: bytes) -> Resource:
    return Resource.of(read_attributes(_parse(_parse_resource, message).attributes))


@functools.lru_cache(maxsize=256)
def _read_scope(message: bytes) -> str | None:
    return _decode(_parse(_parse_scope, message).name) or None


@functools.lru_cache(maxsize=256)
def _is_error(status: bytes) -> bool:
    return bool(status and _parse(_parse_status, status).code == STATUS_ERROR)


@functools.lru_cache(maxsize=1024)
def _decode(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _read_id(raw: bytes, size: int) -> str | None:
    return raw.hex() if len(raw) == size and raw not in _ZEROS else None


def _read_span(span: Any, resource: Resource, scope: str | None) -> Span:
    parent = span.parent_span_id
    return Span(
        _decode(span.name),
        _read_id(span.trace_id, _TRACE_ID_BYTES),
        _read_id(span.span_id, _SPAN_ID_BYTES),
        _read_id(parent, _SPAN_ID_BYTES) if parent else None,
        find_time_ns(span.start),
        find_time_ns(span.end),
        _is_error(span.status),
        read_attributes(span.attributes),
        [_read_event(event) for event in span.events] if span.events else (),
        resource,
        scope,
    )


def _read_event(message: bytes) -> Event:
    event = _parse(_parse_event, message)
    return Event(_decode(event.name), read_attributes(event.attributes))


def _read_log(log: Any, resource: Resource, scope: str | None) -> LogEvent:
    attributes = read_attributes(log.attributes)
    return LogEvent(
        _decode(log.event_name) or str(attributes.get(EVENT_NAME) or ""),
        _read_id(log.trace_id, _TRACE_ID_BYTES),
        _read_id(log.span_id, _SPAN_ID_BYTES),
        find_time_ns(log.time) or find_time_ns(log.observed),
        attributes,
        decode_value(log.body),
        resource,
        scope,
    )
