"""What everyone has of the run: gathered while the chain is up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from chain import query
from processes import DemoError, fetch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from chain import Chain
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.trace.v1.trace_pb2 import Span
    from processes import Background

Rows = list[dict[str, Any]]
"""Lines of a journal or a trail."""

RECORDS: Final = "sum by (status) (cert_records_total)"
SENT: Final = "sum by (exporter) (otelcol_exporter_sent_spans)"


class Outcome(NamedTuple):
    """What was sent, and what everyone has of it."""

    sent: Rows
    """The application's own journal: one line for each span that it sent."""
    trail: Rows
    events: Sequence[LogRecord]
    """What came back to the backend."""
    received: Sequence[Span] | None
    """What the backend has of the application; `None` without a collector to send it there."""
    measured: Mapping[str, Mapping[str, float]] | None
    """Answers of Prometheus by query; `None` without one."""
    exposed: Sequence[str]
    """The service's own /metrics, in lines."""


def gather(chain: Chain, journal: Path, trail: Path) -> Outcome:
    """Wait until every span has arrived everywhere, and return what there is.

    Raises:
        DemoError: The application recorded nothing, or a part did not do its own.
    """
    if not journal.exists():
        raise DemoError(f"no records: {journal} was not written")
    sent = [json.loads(line) for line in journal.read_bytes().splitlines()]
    service = chain.service
    service.wait_until(
        lambda: len(read_trail(trail)) >= len(sent), what=f"{len(sent)} records in {trail}"
    )
    found = read_trail(trail)
    scored = {row["span_id"] for row in found if row["score_status"] == "scored"}
    service.wait_until(
        lambda: scored <= set(list_ids(chain.backend.list_events())), what="an event a scored span"
    )
    if chain.collector is not None:
        chain.collector.wait_until(
            lambda: len(chain.backend.list_spans()) >= len(sent), what="all spans at the backend"
        )
    return Outcome(
        sent=sent,
        trail=found,
        events=chain.backend.list_events(),
        received=None if chain.collector is None else chain.backend.list_spans(),
        measured=measure(chain, chain.prometheus, len(found)) if chain.prometheus else None,
        exposed=(fetch(chain.metrics_url) or "").splitlines(),
    )


def measure(chain: Chain, prometheus: Background, records: int) -> dict[str, dict[str, float]]:
    """Ask Prometheus, once it has scraped the last figures."""

    def ask(promql: str, count: int) -> dict[str, float]:
        prometheus.wait_until(
            lambda: sum(query(chain, promql).values()) >= count, what=f"{count} for {promql}"
        )
        return query(chain, promql)

    found = {RECORDS: ask(RECORDS, records)}
    if chain.collector is not None:
        found[SENT] = ask(SENT, 2 * records)  # to the backend, and to the service
    return found


def read_trail(folder: Path) -> Rows:
    """Read the segments of a trail; a line that is being written is left out."""
    contents = [path.read_bytes() for path in sorted(folder.glob("seg-*[0-9].jsonl"))]
    return [json.loads(line) for content in contents for line in content.split(b"\n")[:-1]]


def list_ids(messages: Iterable[LogRecord | Span]) -> list[str]:
    """Return the span id of each, as records have it."""
    return [message.span_id.hex() for message in messages]
