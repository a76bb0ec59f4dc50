"""Payloads to records: which spans of an OTLP request the service takes, and how it reads them.

Pure. Every span that tells of a model becomes a record; those that cannot be read in full become
one that says so. What the service itself sent is never taken in again.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from cert_otel import semconv
from cert_otel.pricing import price_record
from cert_otel.wire import otlp_json
from cert_otel.wire._record import record_from_plain
from cert_otel.wire.details import is_detail
from cert_otel.wire.dialects import translate
from cert_otel.wire.otlp_proto import read_logs, read_traces

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cert_otel.records import Record
    from cert_otel.service.inbox import Encoding, Kind
    from cert_otel.wire.span import Batch, LogEvent, Span

NO_START: Final = "no_start_time"
NO_MARKER: Final = "no_operation"
"""Reasons of the error records of spans that tell of a model and cannot be read in full."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_KEY_BYTES: Final = 12
"""Of 2^96 values: two of a billion spans agree by chance once in 10^11 tries."""
_UNSCORED: Final[dict[str, Any]] = {
    "confidence": None,
    "threshold": None,
    "passed": None,
    "trajectory": None,
    "evaluations": [],
    "score_status": None,
    "score_reason": None,
    "scorer": None,
    "scorer_revision": None,
}
_HASHED: Final = msgspec.json.Encoder(order="deterministic")


class Selected(NamedTuple):
    """One span that tells of a model."""

    number: int
    """Its place among all spans of its payload."""
    record: Record
    """Priced."""
    key: bytes
    """Hash of ids and content: equal for copies that retries make, whatever carried them."""
    resource: Mapping[str, Any]
    problem: str | None = None
    """Why it could not be read in full."""


class Selection(NamedTuple):
    """What was found in one payload."""

    spans: Sequence[Selected]
    details: Sequence[LogEvent]
    """Log events that complete a span's record."""
    passed: int
    """Spans and log events that tell nothing of a model."""
    own: int
    """Spans that the service itself had sent."""
    unreadable: int
    """Spans and log events that are none."""


def read_payload(kind: Kind, encoding: Encoding, body: bytes) -> Batch:
    """Read the bytes of a request.

    Raises:
        ValueError: They are no OTLP.
    """
    if encoding == "json":
        return otlp_json.read_line(body)
    return read_traces(body) if kind == "traces" else read_logs(body)


def select(batch: Batch, received: datetime) -> Selection:
    """Select the spans that become records.

    Args:
        batch: Its spans are rewritten in place.
        received: When the service had it: the time of spans that have none.
    """
    spans: list[Selected] = []
    passed = own = 0
    for index, span in enumerate(batch.spans):
        if span.scope == semconv.Scope.SCORER:
            own += 1
        elif translate(span) is None:
            passed += 1
        else:
            spans.append(_select(index, span, received))
    details = [log for log in batch.logs if is_detail(log)]
    passed += len(batch.logs) - len(details)
    return Selection(spans, details, passed, own, len(batch.problems))


def _select(index: int, span: Span, received: datetime) -> Selected:
    record, problem = record_from_plain(span), None
    if record is None:
        record, problem = _record_what_is_there(span, received)
    timed = record if problem != NO_START else msgspec.structs.replace(record, timestamp=_EPOCH)
    return Selected(index, price_record(record), make_key(timed), span.resource.attributes, problem)


def make_key(record: Record) -> bytes:
    """Hash what identifies a span: its ids and content, without what a scorer added on the way."""
    return hashlib.blake2b(_HASHED.encode(forget_scores(record)), digest_size=_KEY_BYTES).digest()


def forget_scores(record: Record) -> Record:
    """Return a record as it was before anybody scored it."""
    metadata = {
        name: value
        for name, value in record.metadata.items()
        if not name.startswith(semconv.Prefix.SCORES)
    }
    return msgspec.structs.replace(record, metadata=metadata, **_UNSCORED)


def _record_what_is_there(span: Span, received: datetime) -> tuple[Record, str]:
    """Read a span without a start, or without any of the names that a record needs."""
    reason = NO_MARKER
    if span.start_ns is None:
        reason = NO_START
        span.start_ns, span.end_ns = (received - _EPOCH) // _MICROSECOND * 1000, None
    span.attributes.setdefault(semconv.RECORD_KIND, "function")
    record = record_from_plain(span)
    if record is None:
        raise AssertionError("it has a start and a kind")
    return record, reason
