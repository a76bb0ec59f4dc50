"""The scorer process: `run` works through the inbox until it is told to stop.

`pipeline.py` has what happens to a span on the way. No port is open here: the JSON API asks over a
Unix socket, between two batches.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sqlite3
import threading
from typing import TYPE_CHECKING, Final

from cert_otel.service import places
from cert_otel.service.batches import CHARACTERS_A_TOKEN
from cert_otel.service.direct import DirectServer
from cert_otel.service.inbox import Inbox
from cert_otel.service.judging import open_judges_of
from cert_otel.service.metrics import Metrics
from cert_otel.service.outbox.cursor import Cursor
from cert_otel.service.outbox.delivery import Delivery, make_destinations
from cert_otel.service.pipeline import Worker
from cert_otel.service.policy import Policy
from cert_otel.service.seen import Seen
from cert_otel.service.settings import MEBIBYTE
from cert_otel.service.sink import SEGMENT_BYTES, Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cert_otel.service.judging import Judges
    from cert_otel.service.limits import Limits
    from cert_otel.service.settings import Settings

IDLE_S: Final = 0.05
"""Between two looks into an empty inbox."""
DISK_PAUSE_S: Final = 2.0
"""Between two attempts to write to a full disk."""
SHED_SHARE: Final = 0.6
"""Of the inbox: above it the oldest are recorded unjudged, below half of it no more. The receiver
refuses from 0.8 on."""
_MEGABYTE: Final = 1_000_000

_logger = logging.getLogger(__name__)


def run(
    settings: Settings,
    *,
    part: int = 0,
    parts: int = 1,
    open_judges: Callable[[Settings], Judges] = open_judges_of,
) -> None:
    """Work until SIGTERM or SIGINT: a process of the service.

    Args:
        settings: All of them.
        part: Which of the workers this is.
        parts: How many share the inbox.
        open_judges: Loads what judges.

    Raises:
        CertOtelError: A model cannot be had, or a file of the service cannot be opened. Whoever
            started this tries again; what is received waits.
    """
    stopping = _note_signals()
    metrics = Metrics()
    with contextlib.ExitStack() as stack:
        inbox = stack.enter_context(Inbox.attach(settings.inbox.path, part=part, parts=parts))
        seen = stack.enter_context(
            contextlib.closing(Seen(places.get_seen(settings), part=part, parts=parts))
        )
        sink = stack.enter_context(_open_sink(settings, part, parts))
        socket = places.get_socket(settings, part)
        server = stack.enter_context(contextlib.closing(DirectServer(socket)))
        for delivery in _start_deliveries(settings, sink.directory, seen, metrics):
            stack.callback(delivery.stop)
        judges = open_judges(settings)
        server.start(judges)
        _logger.info("judging by %s", judges.combine().name or "nobody")

        worker = Worker(
            inbox,
            sink,
            seen,
            judges.combine(),
            metrics=metrics,
            policy=make_policy(settings, judges.limits),
            may_go_on=lambda: _answer_between(server, stopping),
        )
        while not stopping.is_set():
            _work_once(worker, stopping, server)


def _note_signals() -> threading.Event:
    """Return what is set when the process is told to stop."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def _open_sink(settings: Settings, part: int, parts: int) -> Sink:
    max_mb = settings.trail.max_mb
    size = SEGMENT_BYTES if max_mb is None else int(max_mb * _MEGABYTE)
    return Sink(places.get_trail(settings, part, parts), segment_bytes=size)


def make_policy(settings: Settings, limits: Limits) -> Policy:
    """Return what the settings say about what is judged, in batches of at most these limits."""
    scorer = settings.scorer
    sheds = settings.inbox.shed == "oldest"
    if scorer.batch_tokens is not None:
        limits = limits._replace(tokens=scorer.batch_tokens)
    return Policy(
        sample=scorer.sampling_rate,
        max_tokens=scorer.max_text_chars // CHARACTERS_A_TOKEN,
        max_age_s=None if scorer.max_age_h is None else scorer.max_age_h * 3600,
        shed_above_bytes=int(SHED_SHARE * settings.inbox.cap_bytes) if sheds else None,
        window_bytes=scorer.read_ahead_mib * MEBIBYTE,
        dedupe_window_s=scorer.dedupe_window_h * 3600,
        limits=limits,
    )


def _answer_between(server: DirectServer, stopping: threading.Event) -> bool:
    """Answer who asks, between two batches; whether to go on."""
    server.answer_all()
    return not stopping.is_set()


def _work_once(worker: Worker, stopping: threading.Event, server: DirectServer) -> None:
    """Take a window to the trail; while there is nothing to do, answer who asks."""
    try:
        if not worker.work():
            server.answer_all(wait_s=IDLE_S)
    except (OSError, sqlite3.OperationalError) as problem:
        _logger.critical("the disk cannot be written, scoring waits: %s", problem)
        stopping.wait(DISK_PAUSE_S)


def _start_deliveries(
    settings: Settings, directory: Path, seen: Seen, metrics: Metrics
) -> Iterator[Delivery]:
    for destination in make_destinations(settings.deliver, seen.find_resource):
        cursor = Cursor(directory / "outbox" / f"{destination.name}.json")
        delivery = Delivery(directory, destination, cursor, metrics=metrics)
        delivery.start()
        yield delivery
