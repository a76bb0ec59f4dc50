"""Log events that belong to a span: messages and results that its instrumentor put there.

`gen_ai.client.inference.operation.details` repeats what the span says and adds the messages; older
instrumentors wrote an event for each message. They are joined to the span's record by trace and
span id, wherever the two were read; those that were written outside of any span, as OpenLIT's of
streams, by the id of the reply.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cert_otel import semconv
from cert_otel.wire._record import has_content, record_from_plain
from cert_otel.wire._values import as_mapping
from cert_otel.wire.dialects import translate
from cert_otel.wire.dialects._genai import is_message_event, messages_from_events
from cert_otel.wire.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cert_otel.records import Record
    from cert_otel.wire.span import LogEvent

Key = tuple[str, str]

_COMPLETED: Final = (
    "response_id",
    "operation",
    "agent",
    "conversation",
    "platform",
    "model",
    "request_model",
    "input_data",
    "output_data",
    "input_messages",
    "output_messages",
    "tools",
    "context",
    "tokens",
    "cost",
    "currency",
    "cost_detail",
    "time_to_first_token_ms",
    "error_type",
    "finish_reasons",
)
"""Fields of a record that its details may fill; what the span said stays."""


def is_detail(log: LogEvent) -> bool:
    """Whether a log record tells of a model call."""
    if log.name == semconv.EVENT_OPERATION_DETAILS:
        return True
    return log.trace_id is not None and log.span_id is not None and is_message_event(log.name)


class Details:
    """All details that were read, to be joined to records in any order."""

    def __init__(self) -> None:
        self._events: dict[Key, list[LogEvent]] = defaultdict(list)
        self._seen: set[tuple[Key, str]] = set()
        self._joined: set[Key] = set()

    def add(self, events: Iterable[LogEvent]) -> None:
        """Add the details of one batch; a batch that was sent twice counts once."""
        groups: dict[Key, list[LogEvent]] = defaultdict(list)
        for event in events:
            groups[_get_key(event)].append(event)
        for key, group in groups.items():
            mark = (key, repr(group))
            if mark not in self._seen:
                self._seen.add(mark)
                self._events[key] += group

    def complete(self, record: Record) -> Record:
        """Return the record with what its details add."""
        if not self._events:
            return record
        by_span = (record.trace_id or "", record.span_id or "")
        by_reply = ("", record.response_id or "")
        for key in (by_span, by_reply):
            events = self._events.get(key) if key[1] else None
            if events:
                self._joined.add(key)
                for detail in _read(events):
                    record = _fill(record, detail)
        return record

    def get_rest(self) -> list[Record]:
        """Return the calls whose span was never seen: their event is the record."""
        rest = []
        for key, events in self._events.items():
            details = _read(events) if key not in self._joined else []
            if details and details[0].kind == "inference":
                first, *others = details
                for other in others:
                    first = _fill(first, other)
                rest.append(first)
        return rest


def _get_key(event: LogEvent) -> Key:
    """Return trace and span id; without them, nothing and the id of the reply."""
    if event.trace_id is not None and event.span_id is not None:
        return event.trace_id, event.span_id
    reply = event.attributes.get(semconv.RESPONSE_ID)
    return "", reply if isinstance(reply, str) else f"{event.time_ns}"


def _read(events: list[LogEvent]) -> list[Record]:
    """Read the events of one span: those that are a call by themselves first."""
    ordered = sorted(events, key=lambda event: event.time_ns or 0)
    whole = [event for event in ordered if event.name == semconv.EVENT_OPERATION_DETAILS]
    parts = [event for event in ordered if event.name != semconv.EVENT_OPERATION_DETAILS]
    records = [record for event in whole if (record := _read_details(event)) is not None]
    asked, answered = messages_from_events(
        (event.name, as_mapping(event.body) or event.attributes) for event in parts
    )
    if parts and (asked or answered):
        messages: dict[str, Any] = {semconv.RECORD_KIND: "function"}
        messages |= {semconv.INPUT_MESSAGES: asked, semconv.OUTPUT_MESSAGES: answered}
        reasons = [one["finish_reason"] for one in answered if one.get("finish_reason")]
        messages[semconv.RESPONSE_FINISH_REASONS] = reasons
        record = record_from_plain(_to_span(parts[0], messages))
        records += [] if record is None else [record]
    return records


def _read_details(event: LogEvent) -> Record | None:
    span = _to_span(event, dict(event.attributes))
    translate(span)
    return record_from_plain(span)


def _to_span(event: LogEvent, attributes: dict[str, Any]) -> Span:
    return Span(
        event.name,
        event.trace_id,
        event.span_id,
        None,
        event.time_ns or 1,
        None,
        False,
        attributes,
        (),
        event.resource,
        event.scope,
    )


def _fill(record: Record, detail: Record) -> Record:
    changes = {
        field: value
        for field in _COMPLETED
        if getattr(record, field) is None and (value := getattr(detail, field)) is not None
    }
    if not changes:
        return record
    filled = msgspec.structs.replace(record, **changes)
    if filled.score_status == "skipped" and has_content(changes):
        filled = msgspec.structs.replace(filled, score_status=None, score_reason=None)
    return filled
