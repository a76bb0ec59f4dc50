"""What lies within what: the records of one trace, by parent links and by time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cert_otel.records import Record

END_SLACK_US: Final = 1_000
"""How much later than its outer span an inner one may end: streams are finished by callbacks."""


class Chain(NamedTuple):
    """The way from a record up to its root."""

    spans: tuple[str, ...]
    """Span ids of the ancestors that have a record, nearest first."""
    missing: str | None
    """Where the way breaks off: an ancestor without a record. `None` at a root."""


class _Timed(NamedTuple):
    record: Record
    chain: Chain
    start_us: float
    end_us: float


class Trace:
    """The records of one trace, each span once."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._by_span = {record.span_id: record for record in records if record.span_id}

    def get_chain(self, record: Record) -> Chain:
        """Walk the parent links of `record`; a loop in them ends the walk."""
        spans: dict[str, None] = {}
        parent = record.parent_span_id
        while parent and parent not in spans and parent != record.span_id:
            above = self._by_span.get(parent)
            if above is None:
                return Chain(tuple(spans), parent)
            spans[parent] = None
            parent = above.parent_span_id
        return Chain(tuple(spans), None)

    def find_around(self, record: Record) -> Iterator[Record]:
        """Yield the ancestors of `record` that have a record, nearest first."""
        return (self._by_span[span] for span in self.get_chain(record).spans)

    def find_contained(
        self, outer: Iterable[Record], inner: Iterable[Record]
    ) -> Iterator[tuple[Record, Record]]:
        """Yield the pairs (outer, inner) that only time can tell to be nested.

        That is where the way up from the inner record breaks off. It must not break off at the
        span where the way up from the outer one does: of what hangs below one missing span,
        nothing is above another part of it.
        """
        waiting = sorted(self._time(outer), key=lambda timed: -timed.start_us)
        running: list[_Timed] = []
        for timed in sorted(self._time(inner), key=lambda timed: timed.start_us):
            if timed.chain.missing is None:
                continue
            while waiting and waiting[-1].start_us <= timed.start_us:
                running.append(waiting.pop())
            running = [around for around in running if around.end_us >= timed.start_us]
            yield from ((a.record, timed.record) for a in running if _may_hold(a, timed))

    def _time(self, records: Iterable[Record]) -> list[_Timed]:
        return [
            _Timed(record, self.get_chain(record), *interval)
            for record in records
            if (interval := get_interval_us(record)) is not None
        ]


def find_nested(records: Iterable[Record]) -> Iterator[tuple[Record, Record]]:
    """Yield the pairs (outer, inner) of which one lies within the other in time."""
    timed = sorted(
        (
            (interval[0], -interval[1], record.span_id or "", record)
            for record in records
            if (interval := get_interval_us(record)) is not None
        ),
        key=lambda item: item[:3],
    )
    running: list[tuple[float, Record]] = []
    for start_us, minus_end_us, _, inner in timed:
        end_us = -minus_end_us
        running = [around for around in running if around[0] >= start_us]
        yield from (
            (outer, inner) for last_us, outer in running if end_us <= last_us + END_SLACK_US
        )
        running.append((end_us, inner))


def get_interval_us(record: Record) -> tuple[float, float] | None:
    """Return start and end in microseconds since 1970; `None` when the end is not known."""
    if record.latency_ms is None:
        return None
    # A double of seconds is off by a quarter of a microsecond at most.
    start = record.timestamp.timestamp() * 1e6
    return start, start + record.latency_ms * 1000


def _may_hold(outer: _Timed, inner: _Timed) -> bool:
    return (
        inner.end_us <= outer.end_us + END_SLACK_US and outer.chain.missing != inner.chain.missing
    )
