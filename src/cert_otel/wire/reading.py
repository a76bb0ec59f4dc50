"""Batches of OTLP to records, whoever wrote them: `read_batch`."""

from __future__ import annotations

import msgspec

from cert_otel.records import EvaluationRecord, Record  # noqa: TC001 - msgspec resolves the annotations at run time
from cert_otel.wire._record import record_from_plain
from cert_otel.wire.details import is_detail
from cert_otel.wire.dialects import translate
from cert_otel.wire.results import read_results
from cert_otel.wire.span import Batch, LogEvent, Span  # noqa: TC001 - as above


class Reading(msgspec.Struct, frozen=True):
    """What was understood of one batch, and what was not."""

    records: list[Record]
    dialects: list[str]
    """Of each record."""
    details: list[LogEvent]
    """Log records that complete a span's record, which may be in another batch: see `Details`."""
    passed: int
    """Spans and log records that make no record of a call."""
    results: list[EvaluationRecord]
    """What the scorer sent about spans, which may be in another batch."""
    problems: list[str]
    """What could not be read, one entry a span or log record."""


def read_batch(batch: Batch) -> Reading:
    """Read all spans and log records of a batch; one that cannot be read spoils no other."""
    records: list[Record] = []
    dialects: list[str] = []
    problems = list(batch.problems)
    passed = 0
    for span in batch.spans:
        dialect = translate(span)
        record = None if dialect is None else record_from_plain(span)
        if dialect is None:
            passed += 1
        elif record is None:
            problems.append(explain_missing(span))
        else:
            records.append(record)
            dialects.append(dialect)
    details = [log for log in batch.logs if is_detail(log)]
    passed += len(batch.logs) - len(details)
    return Reading(records, dialects, details, passed, read_results(batch), problems)


def explain_missing(span: Span) -> str:
    """Say why a span that tells of a model has no record."""
    name = span.name[:80] or "a span without a name"
    if span.start_ns is None:
        return f"{name}: it has no time at which it started"
    return f"{name}: it names neither operation nor provider nor model"
