"""A destination at work: what follows its cursor is sent, and the cursor moves when it was taken."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

import stamina

from cert_otel.journal import decode_line
from cert_otel.records import Record
from cert_otel.service import failpoints, trail
from cert_otel.service.outbox import totals
from cert_otel.service.outbox.cursor import Cursor, Progress
from cert_otel.service.outbox.messages import make_events, make_spans
from cert_otel.service.outbox.phoenix import PhoenixDestination, PhoenixSender
from cert_otel.service.outbox.results import list_all
from cert_otel.service.outbox.senders import (
    EVENTS,
    METRICS,
    SPANS,
    OtlpSender,
    RejectedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from cert_otel.service.metrics import Metrics
    from cert_otel.service.outbox.results import Result
    from cert_otel.service.settings import Deliver
    from cert_otel.service.trail import Position

CHUNK_BYTES: Final = 512 * 1024
"""Of the trail that is sent at once: a collector takes 4 MiB."""
POLL_S: Final = 0.5
PAUSE_S: Final = 30.0
"""Between two rounds of attempts while a backend is down."""
_ATTEMPTS: Final = 5
_UNKNOWN_SPAN: Final = "unknown_span"
_START: Final = "start"
"""Key of the time of the first record, among the totals."""

_logger = logging.getLogger(__name__)

Sourced = tuple[Record, str | None]
"""A record, and the id of its resource."""


class Destination(Protocol):
    """Where results go, and in what form."""

    name: str

    def send(self, records: Sequence[Sourced], progress: Progress) -> dict[str, list[float]]:
        """Send what is to be said about these records.

        Returns:
            The totals that go into the cursor with them.

        Raises:
            UnavailableError: The backend did not take it.
            RejectedError: It never will.
        """

    def settle(self) -> tuple[Position | None, int]:
        """Offer again what was sent and could not be taken yet.

        Returns:
            Where in the trail the oldest of that came from, `None` if nothing waits; and how many
            results were given up, whose span the backend never got.

        Raises:
            UnavailableError: The backend did not take it.
        """


class ResultDestination:
    """Sends a message about the results of records; nothing where there are none."""

    def __init__(
        self,
        name: str,
        deliver: Callable[[list[Result]], None],
        find_resource: Callable[[str], dict[str, Any] | None],
    ) -> None:
        """Name it, and say how results leave."""
        self.name = name
        self._deliver = deliver
        self._find_resource = find_resource

    def send(self, records: Sequence[Sourced], progress: Progress) -> dict[str, list[float]]:
        """Send the results of these records."""
        results = list_all(records, self._find_resource)
        if results:
            self._deliver(results)
        return progress.totals

    def settle(self) -> tuple[Position | None, int]:
        """Return that nothing waits."""
        return None, 0


class TotalsDestination:
    """Sends sums over the trail."""

    name = "metrics"

    def __init__(self, deliver: Callable[[Any], None]) -> None:
        """Say how they leave."""
        self._deliver = deliver

    def send(self, records: Sequence[Sourced], progress: Progress) -> dict[str, list[float]]:
        """Send the sums with these records in them."""
        now_ns = time.time_ns()
        sums = totals.add_records(progress.totals, (record for record, _ in records))
        # In microseconds: nanoseconds since 1970 are no double.
        (start_us,) = sums.setdefault(_START, [now_ns // 1000])
        counted = {key: numbers for key, numbers in sums.items() if key != _START}
        message = totals.make_metrics(counted, start_ns=int(start_us) * 1000, now_ns=now_ns)
        self._deliver(message)
        return sums

    def settle(self) -> tuple[Position | None, int]:
        """Return that nothing waits."""
        return None, 0


class Delivery:
    """One destination, its cursor and its thread."""

    def __init__(
        self,
        directory: Path,
        destination: Destination,
        cursor: Cursor,
        *,
        metrics: Metrics,
        pause_s: float = PAUSE_S,
    ) -> None:
        """Set up.

        Args:
            directory: The trail.
            destination: Where results go.
            cursor: How far it is.
            metrics: Counts.
            pause_s: Between two rounds of attempts.
        """
        self._directory = directory
        self._destination = destination
        self._cursor = cursor
        self._sent = cursor.progress
        """How far it sent; the cursor stays behind while something of that waits."""
        self._metrics = metrics
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=destination.name, daemon=True)

    def start(self) -> None:
        """Send from now on, in a thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop after what is being sent."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def deliver_next(self) -> bool:
        """Send what follows the cursor, once.

        Returns:
            Whether there was anything.

        Raises:
            UnavailableError: The backend did not take it; the cursor stands still.
            OSError: The cursor cannot be moved.
        """
        chunk = trail.read_chunk(self._directory, self._sent.position, max_bytes=CHUNK_BYTES)
        if chunk.lines:
            records = list(_read(chunk.lines))
            self._sent = Progress(chunk.end, self._send(records, self._sent))
            failpoints.reach("after_delivery")
            self._metrics.delivered.labels(self._destination.name).inc(len(records))
        self._move()
        return bool(chunk.lines)

    def _move(self) -> None:
        """Move the cursor to what was sent, or to the oldest of it that waits."""
        held, given_up = self._destination.settle()
        if given_up:
            _logger.warning("%s: given up on %d results", self._destination.name, given_up)
            failures = self._metrics.delivery_failures
            failures.labels(self._destination.name, _UNKNOWN_SPAN).inc(given_up)
        progress = Progress(self._sent.position if held is None else held, self._sent.totals)
        if progress != self._cursor.progress:
            self._cursor.move(progress)

    def _send(self, records: Sequence[Sourced], progress: Progress) -> dict[str, list[float]]:
        """Send records; of those that are refused for what they say, one by one the guilty are left out."""
        try:
            return self._destination.send(records, progress)
        except (RejectedError, ValueError, TypeError, LookupError) as problem:
            # But for the first: a record of which no message can be made.
            self._count_failure(getattr(problem, "problem", type(problem).__name__))
            if len(records) <= 1:
                _logger.exception("%s: given up on one record", self._destination.name)
                return progress.totals
        half = len(records) // 2
        sums = self._send(records[:half], progress)
        return self._send(records[half:], Progress(progress.position, sums))

    def _run(self) -> None:
        while not self._stopping.is_set():
            pause_s = 0.0
            try:
                pause_s = 0.0 if self._try_some_times() else POLL_S
            except UnavailableError as problem:
                self._count_failure(problem.problem)
                _logger.warning("%s waits: %s", self._destination.name, problem)
                pause_s = self._pause_s
            except (OSError, sqlite3.OperationalError) as problem:
                _logger.error("the cursor of %s stands: %s", self._destination.name, problem)  # noqa: TRY400 - the message says it all
                pause_s = self._pause_s
            except Exception:  # a host boundary: no destination stops for good without a word
                _logger.exception("%s waits", self._destination.name)
                pause_s = self._pause_s
            waiting = trail.count_bytes_after(self._directory, self._cursor.progress.position)
            self._metrics.outbox_bytes.labels(self._destination.name).set(waiting)
            self._stopping.wait(pause_s)

    def _try_some_times(self) -> bool:
        for attempt in stamina.retry_context(on=UnavailableError, attempts=_ATTEMPTS, timeout=None):
            with attempt:
                return self.deliver_next()
        raise AssertionError("the last attempt returns or raises")

    def _count_failure(self, problem: str) -> None:
        self._metrics.delivery_failures.labels(self._destination.name, problem).inc()


def make_destinations(
    settings: Deliver, find_resource: Callable[[str], dict[str, Any] | None]
) -> Iterator[Destination]:
    """Make the destinations that are set."""
    headers: Mapping[str, str] = settings.headers
    endpoint = settings.endpoint or ""
    if "event" in settings.to:
        events = OtlpSender(endpoint, EVENTS, headers=headers)
        yield ResultDestination(
            "event",
            lambda results: events.send(make_events(results, now_ns=time.time_ns())),
            find_resource,
        )
    if "span" in settings.to:
        spans = OtlpSender(settings.traces_endpoint or endpoint, SPANS, headers=headers)
        yield ResultDestination(
            "span", lambda results: spans.send(make_spans(results)), find_resource
        )
    if "phoenix" in settings.to:
        phoenix = PhoenixSender(settings.phoenix_endpoint or "", headers=headers)
        yield PhoenixDestination(phoenix, find_resource)
    if settings.metrics:
        yield TotalsDestination(OtlpSender(endpoint, METRICS, headers=headers).send)


def _read(lines: Sequence[bytes]) -> Iterator[Sourced]:
    for line in lines:
        try:
            record = decode_line(line)
        except ValueError:
            continue
        if isinstance(record, Record):
            origin = trail.HEAD.decode(line).origin
            yield record, None if origin is None else origin.resource
