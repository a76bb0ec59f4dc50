"""OTLP JSON to plain spans: `read_line`, for the lines of any OpenTelemetry file exporter.

A line is one `TracesData` or `LogsData`, or both keys at once. Ids are hexadecimal, 64-bit
integers are texts (or numbers: some write them so), enumerations numbers or names; unknown fields
are passed over. A span that is none is named and does not spoil the others of its line.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from cert_otel.wire._otlp import (
    EVENT_NAME,
    SPAN_ID_CHARS,
    STATUS_ERROR,
    TRACE_ID_CHARS,
    find_id,
    find_time_ns,
)
from cert_otel.wire._values import UNREADABLE, decode_json
from cert_otel.wire.span import Batch, Event, LogEvent, Resource, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

TRACES: Final = "resourceSpans"
LOGS: Final = "resourceLogs"
OTHER_SIGNALS: Final = frozenset({"resourceMetrics", "resourceProfiles"})
_ERROR_NAMES: Final = frozenset({STATUS_ERROR, "STATUS_CODE_ERROR", str(STATUS_ERROR)})
_INT64: Final = range(-(1 << 63), 1 << 64)
"""Unsigned ones included, for times."""
_MAX_DIGITS: Final = 20
_MAX_DEPTH: Final = 32
"""Of values within values; what is deeper is left out."""
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


def read_line(line: bytes | str) -> Batch:
    """Read one line.

    Raises:
        ValueError: It is no JSON object, or holds neither spans nor log records.
    """
    try:
        document = decode_json(line.decode() if isinstance(line, bytes) else line, _OBJECT)
    except UNREADABLE as error:
        raise ValueError(f"not a JSON object: {error}") from None
    return read_document(document)


def is_otlp(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is OTLP, of whatever signal."""
    return TRACES in document or LOGS in document or not OTHER_SIGNALS.isdisjoint(document)


def read_document(document: Mapping[str, Any]) -> Batch:
    """Read a decoded `TracesData` or `LogsData`; metrics and profiles hold nothing for us.

    Raises:
        ValueError: It is no OTLP.
    """
    if not is_otlp(document):
        raise ValueError(f"not OTLP JSON: it has neither {TRACES} nor {LOGS}")
    problems: list[str] = []
    spans = _read_all(_find_items(document, TRACES, "scopeSpans", "spans"), _read_span, problems)
    logs = _read_all(_find_items(document, LOGS, "scopeLogs", "logRecords"), _read_log, problems)
    return Batch(spans, logs, problems)


class _Item:
    """One span or log record, with what it shares with others."""

    __slots__ = ("content", "resource", "scope")

    def __init__(self, content: Any, resource: Resource, scope: str | None) -> None:
        self.content = content
        self.resource = resource
        self.scope = scope


def _find_items(
    document: Mapping[str, Any], groups: str, scopes: str, items: str
) -> Iterator[_Item]:
    for group in _list(document.get(groups)):
        given = _object(_object(group).get("resource")).get("attributes")
        resource = Resource.of(_read_attributes(given))
        for scoped in _list(_object(group).get(scopes)):
            name = _object(_object(scoped).get("scope")).get("name")
            scope = name if isinstance(name, str) and name else None
            yield from (_Item(item, resource, scope) for item in _list(_object(scoped).get(items)))


def _read_all(
    items: Iterator[_Item], read: Callable[[Any, _Item], T], problems: list[str]
) -> list[T]:
    found = []
    for number, item in enumerate(items, 1):
        try:
            found.append(read(_require_object(item.content), item))
        except (ValueError, RecursionError) as error:
            problems.append(f"{read.__name__.removeprefix('_read_')} {number}: {error}")
    return found


def _require_object(content: Any) -> dict[str, Any]:
    if isinstance(content, dict):
        return content
    raise ValueError("not a JSON object")


def _read_span(span: dict[str, Any], item: _Item) -> Span:
    status = _object(span.get("status")).get("code")
    return Span(
        _text(span.get("name")),
        _read_id(span.get("traceId"), TRACE_ID_CHARS),
        _read_id(span.get("spanId"), SPAN_ID_CHARS),
        _read_id(span.get("parentSpanId"), SPAN_ID_CHARS),
        _read_time(span.get("startTimeUnixNano")),
        _read_time(span.get("endTimeUnixNano")),
        isinstance(status, str | int) and status in _ERROR_NAMES,
        _read_attributes(span.get("attributes")),
        [
            Event(_text(event.get("name")), _read_attributes(event.get("attributes")))
            for event in map(_object, _list(span.get("events")))
        ],
        item.resource,
        item.scope,
    )


def _read_log(log: dict[str, Any], item: _Item) -> LogEvent:
    attributes = _read_attributes(log.get("attributes"))
    return LogEvent(
        _text(log.get("eventName")) or _text(attributes.get(EVENT_NAME)),
        _read_id(log.get("traceId"), TRACE_ID_CHARS),
        _read_id(log.get("spanId"), SPAN_ID_CHARS),
        _read_time(log.get("timeUnixNano")) or _read_time(log.get("observedTimeUnixNano")),
        attributes,
        _read_value(log.get("body"), 0),
        item.resource,
        item.scope,
    )


def _read_attributes(pairs: Any) -> dict[str, Any]:
    attributes = {}
    for pair in _list(pairs):
        if isinstance(pair, dict) and isinstance(name := pair.get("key"), str):
            attributes[name] = _read_value(pair.get("value"), 0)
    return attributes


def _read_value(value: Any, depth: int) -> Any:
    """Read an `AnyValue`: an object with one key. What is none of its kinds is `None`."""
    if not isinstance(value, dict) or depth > _MAX_DEPTH:
        return None
    for kind, content in value.items():
        reader = _READERS.get(kind)
        if reader is not None:
            return reader(content, depth)
    return None


def _read_text(content: Any, _depth: int) -> str | None:
    return content if isinstance(content, str) else None


def _read_bool(content: Any, _depth: int) -> bool | None:
    return content if isinstance(content, bool) else None


def _read_int(content: Any, _depth: int) -> int | None:
    return _find_int(content)


def _read_double(content: Any, _depth: int) -> float | None:
    # "NaN", "Infinity" and "-Infinity" are texts in protobuf's JSON.
    if isinstance(content, bool) or not isinstance(content, str | int | float):
        return None
    try:
        return float(content)
    except (ValueError, OverflowError):
        return None


def _read_bytes(content: Any, _depth: int) -> bytes | None:
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError, TypeError):
        return None


def _read_array(content: Any, depth: int) -> list[Any]:
    return [_read_value(item, depth + 1) for item in _list(_object(content).get("values"))]


def _read_pairs(content: Any, depth: int) -> dict[str, Any]:
    return {
        pair["key"]: _read_value(pair.get("value"), depth + 1)
        for pair in _list(_object(content).get("values"))
        if isinstance(pair, dict) and isinstance(pair.get("key"), str)
    }


_READERS: Final[Mapping[str, Callable[[Any, int], Any]]] = {
    "stringValue": _read_text,
    "boolValue": _read_bool,
    "intValue": _read_int,
    "doubleValue": _read_double,
    "bytesValue": _read_bytes,
    "arrayValue": _read_array,
    "kvlistValue": _read_pairs,
}


def _find_int(content: Any) -> int | None:
    if isinstance(content, str) and content.isascii() and len(content) <= _MAX_DIGITS:
        try:
            content = int(content)
        except ValueError:
            return None
    return content if type(content) is int and content in _INT64 else None


def _read_time(content: Any) -> int | None:
    nanoseconds = _find_int(content)
    return None if nanoseconds is None else find_time_ns(nanoseconds)


def _read_id(content: Any, length: int) -> str | None:
    if not isinstance(content, str) or not content:
        return None
    return find_id(content.lower(), length)


def _text(content: Any) -> str:
    return content if isinstance(content, str) else ""


def _list(content: Any) -> list[Any]:
    return content if isinstance(content, list) else []


def _object(content: Any) -> Mapping[str, Any]:
    return content if isinstance(content, dict) else {}
