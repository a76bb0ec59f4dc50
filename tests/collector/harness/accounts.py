"""What became of spans that were sent: in the trail, at the user's backend, as events."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from collector_harness import LOGS
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from cert_otel import semconv

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from collector_harness import Sink
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

_DELIVERED: Final = frozenset({"scored", "error"})


class _Line(msgspec.Struct):
    trace_id: str
    span_id: str
    score_status: str
    score_reason: str | None = None


_LINE: Final = msgspec.json.Decoder(_Line)


class Trail(NamedTuple):
    """What a trail holds."""

    found: Counter[bytes]
    """Records of each span, by trace and span id."""
    outcomes: Counter[tuple[str, str | None]]
    """By status and reason."""
    delivered: set[bytes]
    """Spans of which an event must tell."""
    unparsable: int


class Event(NamedTuple):
    """What tells of a judgement."""

    key: bytes
    """Trace and span id."""
    uid: str


class Account(NamedTuple):
    """How what was acknowledged ended. All but the first four and the copies are to be 0."""

    sent: int
    """Spans that tell of a model."""
    scored: int
    skipped: int
    error: int
    missing: int
    """No record."""
    duplicated: int
    """More than one record."""
    unparsable: int
    """Lines of the trail that are no record."""
    backend_missing: int
    backend_changed: int
    backend_copies: int
    """What the backend has twice: a collector that is killed sends again what was under way."""
    events_missing: int
    """Scored and failed spans of which no event tells."""
    events_astray: int
    """Events about no such span, and a second one about the same that is no copy."""
    event_copies: int
    """Events that came again, with the id that tells so: somebody was killed before it was noted."""

    @property
    def faults(self) -> dict[str, int]:
        """What must not be, however often anything is killed."""
        copies = {"sent", "scored", "skipped", "error", "backend_copies", "event_copies"}
        counts = {name: n for name, n in self._asdict().items() if name not in copies and n}
        uneven = self.sent - self.scored - self.skipped - self.error
        return counts | ({"sent - scored - skipped - error": uneven} if uneven else {})


def read_trail(directory: Path) -> Trail:
    """Read the segments of a trail; a line that is being written is none."""
    trail = Trail(Counter(), Counter(), set(), 0)
    unparsable = 0
    for path in sorted(directory.glob("seg-*.jsonl")):
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                record = _LINE.decode(line)
                key = bytes.fromhex(record.trace_id + record.span_id)
            except (msgspec.DecodeError, ValueError):
                unparsable += line.endswith(b"\n")
                continue
            trail.found[key] += 1
            trail.outcomes[record.score_status, record.score_reason] += 1
            if record.score_status in _DELIVERED:
                trail.delivered.add(key)
    return trail._replace(unparsable=unparsable)


def read_events(backend: Sink) -> list[Event]:
    """Return the events of evaluations that a backend has, in order."""
    return [
        Event(event.trace_id + event.span_id, _get_uid(event))
        for request in backend.list_requests(LOGS)
        for resource in ExportLogsServiceRequest.FromString(request).resource_logs
        for scope in resource.scope_logs
        for event in scope.log_records
        if event.event_name == semconv.EVENT_EVALUATION_RESULT
    ]


def _get_uid(event: LogRecord) -> str:
    (uid,) = (one.value for one in event.attributes if one.key == semconv.LOG_RECORD_UID)
    return str(uid.string_value)


def take_account(
    sent: Mapping[bytes, bytes], *, models: AbstractSet[bytes], directory: Path, backend: Sink
) -> Account:
    """Count how everything ended.

    Args:
        sent: Of each span that the backend must have its id, and all there is of it.
        models: Ids of all that must have a record.
        directory: The trail.
        backend: Where spans and events went.
    """
    trail = read_trail(directory)
    statuses: Counter[str] = Counter()
    for (status, _), count in trail.outcomes.items():
        statuses[status] += count
    spans = backend.list_spans()
    events = Counter(read_events(backend))
    keys = Counter(event.key for event in events)
    return Account(
        sent=len(models),
        scored=statuses["scored"],
        skipped=statuses["skipped"],
        error=statuses["error"],
        missing=len(models - trail.found.keys()),
        duplicated=sum(count > 1 for count in trail.found.values()),
        unparsable=trail.unparsable,
        backend_missing=len(sent.keys() - {key for key, _ in spans}),
        backend_changed=sum(sent.get(key, content) != content for key, content in spans),
        backend_copies=len(spans) - len({key for key, _ in spans}),
        events_missing=len(trail.delivered - keys.keys()),
        events_astray=len(keys.keys() - trail.delivered) + sum(n > 1 for n in keys.values()),
        event_copies=events.total() - len(events),
    )
