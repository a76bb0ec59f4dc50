"""Lines that others wrote: OTLP JSON in any dialect, CERT's own former logs.

Loaded when the first of them is met: what only writes, in the application's process, never pays
for it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, Literal

import msgspec

from cert_otel.pricing import price_record
from cert_otel.records import EvaluationRecord, Record  # noqa: TC001 - msgspec resolves the annotations at run time
from cert_otel.wire._values import UNREADABLE, decode_json
from cert_otel.wire.cert_logs import record_from_cert_log
from cert_otel.wire.details import Details
from cert_otel.wire.otlp_json import is_otlp, read_document
from cert_otel.wire.reading import read_batch
from cert_otel.wire.span import LogEvent  # noqa: TC001 - as above

__all__ = ["Details", "Foreign", "finish", "finish_rest", "read_foreign"]

Format = Literal["otlp", "cert-log"]
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


class Foreign(msgspec.Struct, frozen=True):
    """What one line of another format held."""

    format: Format
    records: list[Record]
    dialects: dict[str, int]
    """Records in each."""
    details: list[LogEvent] = []
    """Log events that complete a span's record, wherever that is."""
    passed: int = 0
    """Spans and log records that make no record of a call."""
    results: list[EvaluationRecord] = []
    """What the scorer sent about spans, wherever those are."""
    problems: list[str] = []
    """What could not be read of it, one entry a span or log record."""


def read_foreign(line: bytes) -> Foreign | None:
    """Read a line of any format but our own; `None` for one that is of none."""
    try:
        document = decode_json(line.decode(), _OBJECT)
    except UNREADABLE:
        return None
    if is_otlp(document):
        reading = read_batch(read_document(document))
        return Foreign(
            "otlp",
            reading.records,
            dict(Counter(reading.dialects)),
            reading.details,
            reading.passed,
            reading.results,
            reading.problems,
        )
    record = record_from_cert_log(document)
    return None if record is None else Foreign("cert-log", [record], {"cert-log": 1})


def finish(record: Record, details: Details) -> Record:
    """Join its details to a foreign record, and price it."""
    return price_record(details.complete(record))


def finish_rest(details: Details) -> list[Record]:
    """Return, priced, the calls that only details tell of; to be asked after all records."""
    return [price_record(record) for record in details.get_rest()]
