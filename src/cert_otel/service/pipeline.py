"""Out of the inbox, judged, into the trail: each span exactly once.

    inbox rows ──> decode ──> select ──> claim ──> sample, shed, … ──> judge ──> trail ──> inbox
                     │           │          │              │                               finish
                 quarantine   counted   duplicates     skipped(reason)

A window of rows is done before the next is read. Whatever kills the process in between, the next
start reads the same rows again: `Seen` tells copies from spans that were only begun, and the end
of the trail which records are there already.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from cert_otel.journal import join_evaluations
from cert_otel.service import failpoints
from cert_otel.service.batches import make_batches
from cert_otel.service.judging import Case
from cert_otel.service.policy import Policy, Triage
from cert_otel.service.recent import RecentDetails, RecentSources
from cert_otel.service.resources import Resources
from cert_otel.service.seen import Place
from cert_otel.service.selection import (
    Selected,
    Selection,
    forget_scores,
    read_payload,
    select,
)
from cert_otel.service.sink import encode
from cert_otel.service.trail import Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cert_otel.records import EvaluationRecord, Record, ScoreStatus
    from cert_otel.service.inbox import Payload, Row, Stats
    from cert_otel.service.judging import Judge
    from cert_otel.service.metrics import Metrics
    from cert_otel.service.seen import Seen
    from cert_otel.service.sink import Sink

DEATHS: Final = 3
"""So many times a record may kill the worker before it becomes an error record."""
KILLER: Final = "killed_the_scorer"
"""Reason of such a record."""
FIRST_WINDOW_BYTES: Final = 2 * 2**20
LEAST_WINDOW_BYTES: Final = 128 * 1024
"""Of payloads that are read at once: at most `Policy.window_bytes`, and what takes this long."""
SHORT_S: Final = 2.0
LONG_S: Final = 20.0
_READING: Final = -1
"""In place of a span: what was in hand when the payload itself was read."""
_NS_PER_S: Final = 1_000_000_000

_logger = logging.getLogger(__name__)


class Source(Protocol):
    """What the worker needs of an inbox."""

    def read(self, after: int, limit_bytes: int) -> list[Row]:
        """Return the next payloads that are not finished."""

    def begin(self, ids: Iterable[int]) -> None:
        """Count an attempt."""

    def finish(self, through: int) -> None:
        """Move on."""

    def quarantine(self, id_: int, reason: str) -> None:
        """Put a payload aside."""

    def stats(self) -> Stats:
        """Count what is not finished."""


class _StoppedError(Exception):
    """The worker was asked to stop in the middle of a window."""


class Item(NamedTuple):
    """A span on its way to the trail."""

    place: Place
    span: Selected
    reason: str | None
    """Why it is not judged; `None` if it is."""


class Worker:
    """Takes windows of rows to the trail, one after the other.

    Args:
        source: The inbox.
        sink: The trail.
        seen: What was taken.
        judge: Judges.
        metrics: Counts.
        policy: What is judged.
        may_go_on: Asked before each batch; what is not judged by then waits for the next start.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        source: Source,
        sink: Sink,
        seen: Seen,
        judge: Judge,
        *,
        metrics: Metrics,
        policy: Policy | None = None,
        may_go_on: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Find out where the last start ended."""
        self._source = source
        self._sink = sink
        self._seen = seen
        self._judge = judge
        self._metrics = metrics
        self._policy = policy or Policy()
        self._may_go_on = may_go_on
        self._clock = clock
        self._sources = RecentSources(self._policy.join_window_s)
        self._details = RecentDetails(self._policy.join_window_s)
        self._resources = Resources(seen)
        self._triage = Triage(self._policy)
        self._is_recovered = False
        self._written: set[Place] = set()
        self._in_hand = seen.find_in_hand()
        self._window_bytes = min(FIRST_WINDOW_BYTES, self._policy.window_bytes)
        self._begun: dict[int, int] = {}
        self._counted = 0

    def work(self) -> bool:
        """Take the next window to the trail.

        Returns:
            Whether there was one.

        Raises:
            OSError: The trail cannot be written, or its disk is full up to the reserve; nothing is
                lost, the next call tries again.
            sqlite3.OperationalError: Likewise of what is noted beside the inbox.
        """
        started_s = self._clock()
        rows = _choose(self._read_window())
        if not rows:
            return False
        self._sink.keep_reserve()
        if not self._is_recovered:
            self._recover(rows[0].id)
        if not any(row.attempts for row in rows):
            self._seen.note_window(rows[0].id)
        self._begin(rows)
        try:
            self._take_through(rows)
        except _StoppedError:
            self._seen.lay_down()  # who was asked to stop was killed by nobody
            return True
        except (OSError, sqlite3.OperationalError):
            # Nor is a record guilty of a full disk, should the process end while it waits for room.
            with contextlib.suppress(sqlite3.OperationalError):
                self._seen.lay_down()
            raise
        self._finish(rows[-1].id)
        self._adapt(self._clock() - started_s)
        return True

    def _take_through(self, rows: Sequence[Row]) -> None:
        spans = [(row, span) for row in rows for span in self._read(row)]
        items = self._sort_out(spans)
        self._counted = rows[-1].id
        if rows[0].attempts + 1 >= DEATHS:
            self._try_each(items)
        else:
            self._write_all(items)

    def _read_window(self) -> list[Row]:
        """Read the next rows; that this process tried them before is no attempt that failed."""
        rows = self._source.read(0, self._window_bytes)
        return [
            msgspec.structs.replace(row, attempts=self._begun.get(row.id, row.attempts))
            for row in rows
        ]

    def _adapt(self, took_s: float) -> None:
        """Read less at once where it takes long: what is shed or expired is decided once a window."""
        if took_s > LONG_S:
            self._window_bytes = max(LEAST_WINDOW_BYTES, self._window_bytes // 2)
        elif took_s < SHORT_S:
            self._window_bytes = min(self._policy.window_bytes, self._window_bytes * 2)

    def _begin(self, rows: Sequence[Row]) -> None:
        new = [row for row in rows if row.id not in self._begun]
        if new:
            self._source.begin([row.id for row in new])
            self._begun.update((row.id, row.attempts) for row in new)
        failpoints.reach("after_inbox_begin")

    def _finish(self, through: int) -> None:
        self._source.finish(through)
        failpoints.reach("after_inbox_finish")
        self._written = {place for place in self._written if place.row > through}
        self._begun.clear()
        # All of them: a window may take more spans than are forgotten at once.
        before_s = int(self._clock() - self._policy.dedupe_window_s)
        while self._seen.forget(before_s) and self._may_go_on():
            pass

    def _recover(self, first_row: int) -> None:
        """Find out what of the rows that are not finished is in the trail.

        It is looked for from the window on in which they were first begun: a window's records are
        in order of length, and what was tried again row by row follows them. A power cut may have
        taken commits of `Seen` that the trail's records had waited for: they are repeated.
        """
        first = min(first_row, self._seen.find_window() or first_row)
        self._seen.note_window(first)
        known = min(first - 1, self._seen.get_last_row())
        found = list(self._sink.find_written(known))
        self._seen.claim([(key, place) for place, key in found], now_s=int(self._clock()))
        self._written = {place for place, _ in found if place.row >= first_row}
        self._is_recovered = True

    def _read(self, row: Row) -> Sequence[Selected]:
        """Read a payload; what cannot be read is put aside."""
        if self._in_hand == Place(row.id, _READING):
            self._put_aside(row, "it killed the worker when it was read")
            return ()
        is_known = self._in_hand is not None and self._in_hand.row == row.id
        is_suspect = row.attempts + 1 >= DEATHS and not is_known
        if is_suspect:
            self._seen.take_in_hand(Place(row.id, _READING))
        try:
            found = _select_from(row.payload)
        except Exception as problem:  # a host boundary: no payload may stop the others
            _logger.debug("row %d", row.id, exc_info=True)
            known = isinstance(problem, ValueError)
            self._put_aside(row, str(problem) if known else type(problem).__name__)
            return ()
        if is_suspect:
            self._seen.lay_down()  # it was read: a death from here on is not its fault
        self._details.add(found.details, self._clock())
        if row.id > self._counted:
            self._metrics.count_selection(found)
        return found.spans

    def _put_aside(self, row: Row, reason: str) -> None:
        self._source.quarantine(row.id, reason)
        self._metrics.quarantined.inc()
        _logger.warning("row %d is put into quarantine: %s", row.id, reason)

    def _sort_out(self, spans: Sequence[tuple[Row, Selected]]) -> list[Item]:
        """Leave out copies and what is in the trail; find why others are not judged."""
        now_s = self._clock()
        placed = [(Place(row.id, span.number), row, span) for row, span in spans]
        own = self._seen.claim([(s.key, place) for place, _, s in placed], now_s=int(now_s))
        failpoints.reach("after_claim")
        copies = [p for (p, _, _), first in zip(placed, own, strict=True) if not first]
        self._metrics.duplicates.inc(sum(place.row > self._counted for place in copies))
        if self._policy.shed_above_bytes is not None:
            self._triage.note_backlog(self._source.stats().bytes)
        items = []
        for (place, row, span), is_first in zip(placed, own, strict=True):
            if is_first and place not in self._written:
                record = self._details.complete(span.record)
                age_s = now_s - row.payload.received_ns / _NS_PER_S
                reason = span.problem or self._triage.find_reason(record, age_s)
                items.append(Item(place, span._replace(record=record), reason))
        self._sources.add((item.span.record for item in items), now_s)
        return items

    def _write_all(self, items: Sequence[Item]) -> None:
        """Write what is not judged with the first batch of what is."""
        done = [(item, _conclude(item, ())) for item in items if item.reason is not None]
        for batch in self._make_batches([item for item in items if item.reason is None]):
            found = self._ask(self._make_cases(batch))
            done += [(item, _conclude(item, own)) for item, own in zip(batch, found, strict=True)]
            failpoints.reach("after_judge")
            self._write(done)
            done = []
        self._write(done)

    def _make_batches(self, items: Sequence[Item]) -> Iterable[list[Item]]:
        cases = [Case(item.span.record) for item in items]
        for batch in make_batches(cases, self._policy.limits):
            if not self._may_go_on():
                raise _StoppedError
            yield [items[index] for index in batch]

    def _try_each(self, items: Sequence[Item]) -> None:
        """Judge record by record, each noted before: the next start knows which one it was."""
        for item in items:
            if item.place == self._in_hand:
                _logger.error("the record at %s killed the worker %d times", item.place, DEATHS)
                self._write([(item, _conclude(item._replace(reason=KILLER), ()))])
                continue
            self._seen.take_in_hand(item.place)
            self._write_all([item])
        self._seen.lay_down()
        self._in_hand = None

    def _make_cases(self, items: Sequence[Item]) -> list[Case]:
        records = [item.span.record for item in items]
        sources = self._sources.find(records)
        return [
            Case(
                forget_scores(one),
                sources.get((one.trace_id or "", one.span_id or ""), ()),
            )
            for one in records
        ]

    def _ask(self, cases: Sequence[Case]) -> list[list[EvaluationRecord]]:
        started = time.perf_counter()
        found = self._judge.judge(cases)
        self._metrics.observe_batch(cases, time.perf_counter() - started)
        return found

    def _write(self, done: Sequence[tuple[Item, Record]]) -> None:
        """Write records; when this returns they are on disk, and counted."""
        lines = [
            encode(
                record,
                Origin(
                    *item.place,
                    item.span.key.hex(),
                    self._resources.keep(item.span.resource, now_s=int(self._clock())),
                ),
            )
            for item, record in done
        ]
        started = time.perf_counter()
        self._sink.append(lines)
        self._metrics.trail_write_s.observe(time.perf_counter() - started)
        self._written.update(item.place for item, _ in done)
        for _, record in done:
            self._metrics.count_record(record)


def _choose(rows: Sequence[Row]) -> Sequence[Row]:
    """Choose what is done at once: a row that was begun before is alone."""
    for index, row in enumerate(rows):
        if row.attempts:
            return rows[: index or 1]
    return rows


def _select_from(payload: Payload) -> Selection:
    batch = read_payload(payload.kind, payload.encoding, payload.body)
    return select(batch, datetime.fromtimestamp(payload.received_ns / _NS_PER_S, UTC))


def _conclude(item: Item, found: Sequence[EvaluationRecord]) -> Record:
    """Put the outcome into the record: every one has a status."""
    record, reason = item.span.record, item.reason
    if found:
        (record,) = join_evaluations([forget_scores(record)], found)
        return record
    failed = reason is not None and reason in {KILLER, item.span.problem}
    if record.score_status == "scored" and not failed:
        return record  # by somebody before us: what is known is kept
    status: ScoreStatus = "error" if failed else "skipped"
    return msgspec.structs.replace(record, score_status=status, score_reason=reason or "no_scorer")
