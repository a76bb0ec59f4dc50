"""What may happen to the chain, each as a function: short in `make test`, long in `make torture`."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc
from accounts import read_trail
from collector_harness import TRACES, open_call, wait_until
from fake_scorer import ODD, POISON
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.service.spans import make_call

from cert_otel.service.inbox import Inbox
from cert_otel.wire.otlp_write import encode_traces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from accounts import Account
    from full_disk import Disk
    from service_harness import System

SMALL: Final[Mapping[str, Mapping[str, Any]]] = {
    "receiver": {"max_message_mib": 8},
    "inbox": {"cap_bytes": 32 * 2**20, "shed": "oldest"},
    "scorer": {"read_ahead_mib": 1},
}
"""Sections of cert.yaml with which an inbox is soon full, and sheds."""
MALFORMED: Final = b"\x0a\xff\xff\xff\xff\x0fno OTLP"
SPANS_A_REQUEST: Final = 64
LARGE_BYTES: Final = 5_000_000
PIECES: Final = 10
"""Spans that a large batch has."""
_CALLS_FROM: Final = 2**40
"""Calls that are made here have trace ids from this on, which `make_mixed` never comes to."""
_PAUSE_S: Final = (0.1, 1.5)
"""Between two kills: some hit a process that is just starting."""
_LONG_S: Final = 3600.0
_LOOK_S: Final = 0.3
_DEATHS_S: Final = 150.0
"""For a supervisor whose pauses have grown."""
_IS_FULL: Final = "code = ResourceExhausted desc = the inbox holds"
_WAITS: Final = "scoring waits"
_FILL_BYTES: Final = 2**20
_FILL_REQUESTS: Final = 200


def make_calls(answers: Sequence[str], *, first: int, text: str = "") -> ExportTraceServiceRequest:
    """Return a request of calls with these answers, none of which the judge finds odd."""
    numbers = range(_CALLS_FROM + first, _CALLS_FROM + first + len(answers))
    calls = [
        make_call(
            number - _CALLS_FROM,
            trace_id=f"{number:032x}",
            span_id=f"{number * ODD + 1:016x}",
            input_data=text or "Why?",
            output_data=answer,
        )
        for number, answer in zip(numbers, answers, strict=True)
    ]
    request = ExportTraceServiceRequest.FromString(encode_traces(calls))
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                span.status.SetInParent()  # as the collector writes it: bytes are compared
    return request


def flow(system: System, *, spans: int, plain: int) -> Account:
    """Send spans of all dialects, and some that tell of no model."""
    system.send(system.make(spans))
    system.send([system.make_plain(plain)], tells_of_model=False)
    return system.take_account()


def wait_for_backend(system: System) -> None:
    """Wait until the user's own backend has all that went through the collector."""
    expected = system.sent.keys() - system.past
    wait_until(lambda: expected <= set(system.backend.list_ids()), what="all at the backend")


def stop_in_an_outage(system: System, *, spans: int) -> int | None:
    """Stop the service while the backend is away: events wait in it.

    Returns:
        How it ended.
    """
    system.backend.stop()
    system.send(system.make(spans))
    records = system.sent.keys() - system.others
    wait_until(
        lambda: records <= read_trail(system.service.trail).found.keys(), what="all in the trail"
    )
    code = system.service.stop()
    system.backend.start()
    return code


def outlast(system: System, *, spans: int) -> int:
    """Send while the service is away, and stop the collector meanwhile; then start both.

    Returns:
        What the collector's queue held of it, in bytes.
    """
    system.send(system.make(spans))
    held_bytes = system.collector.read_queue_bytes()
    system.collector.stop()
    system.start_service()
    system.collector.start()
    return held_bytes


def send_large(system: System, *, first: int, batches: int = 1) -> None:
    """Send one span of 5 MB, and batches of as much in several spans."""
    system.send([make_calls(["Because."], first=first, text="x" * LARGE_BYTES)])
    for number in range(batches):
        at = first + 1 + number * PIECES
        text = "y" * (LARGE_BYTES // PIECES)
        system.send([make_calls(["Because."] * PIECES, first=at, text=text)])


def fill_queue(system: System) -> grpc.StatusCode | None:
    """Send while the service is away, until the collector's queue is full; then start the service.

    Returns:
        How the collector refused.
    """
    system.service.kill_all()
    code = None
    for _ in range(_FILL_REQUESTS):
        requests = system.make(SPANS_A_REQUEST)
        try:
            system.send(requests)
        except grpc.RpcError as refused:
            code = refused.code()
            break
    system.start_service()
    return code


def fill_inbox_disk(system: System, disk: Disk, *, spans: int) -> grpc.StatusCode | None:
    """Send while the inbox cannot grow, then make room.

    Returns:
        How the service refused, asked itself.
    """
    disk.fill()
    system.send(system.make(spans))
    wait_for_backend(system)
    code = _find_refusal(system)
    disk.make_room()
    return code


def _find_refusal(system: System) -> grpc.StatusCode | None:
    """Send what tells of no model, until it is refused."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    spans.add(name="x" * _FILL_BYTES)
    body = request.SerializeToString()
    for _ in range(_FILL_REQUESTS):
        try:
            system.service.export(body)
        except grpc.RpcError as refusal:
            code: grpc.StatusCode = refusal.code()
            return code
    return None


def fill_trail_disk(system: System, disk: Disk, *, spans: int) -> int:
    """Send while the trail cannot be written, until scoring waits; then make room.

    Returns:
        How many spans were sent meanwhile and have no record.
    """
    waits = system.service.read_log().count(_WAITS)

    def send_until_it_waits() -> bool:
        system.send(system.make(spans))
        time.sleep(_LOOK_S)
        return system.service.read_log().count(_WAITS) > waits

    disk.fill()
    wait_until(send_until_it_waits, what="scoring that waits", patience_s=20)
    records = read_trail(system.service.trail).found.keys()
    waiting = system.sent.keys() - system.others - records
    disk.make_room()
    return len(waiting)


class Refusal(NamedTuple):
    """What a sender was told by a service that had fallen behind."""

    acknowledged: int
    """Requests before that."""
    scored: int
    """Records that were written meanwhile."""
    code: grpc.StatusCode
    has_retry_info: bool
    slowest_ack_s: float


def fall_behind(system: System, *, first: int, spans: int = 0) -> Refusal:
    """Send more than the scorer does, until the inbox refuses; then let the scorer go on.

    Args:
        system: A small one, to be full soon.
        first: Number of the first call.
        spans: So many are sent through the collector once the service refuses.
    """
    system.service.set_delay(_LONG_S)
    before = len(read_trail(system.service.trail).found)
    acks_s: list[float] = []
    while True:
        text = "z" * (LARGE_BYTES // 10 // PIECES)
        at = first + len(acks_s) * PIECES
        request = make_calls(["Because."] * PIECES, first=at, text=text)
        started_s = time.monotonic()
        try:
            system.send_past(request)
        except grpc.RpcError as refused:
            refusal: Any = refused  # a call as well
            break
        acks_s.append(time.monotonic() - started_s)
    scored = len(read_trail(system.service.trail).found) - before
    if spans:
        system.send(system.make(spans))
        wait_until(lambda: _IS_FULL in system.collector.read_log(), what="a collector that waits")
    system.service.set_delay(0)
    details = dict(refusal.trailing_metadata()).get("grpc-status-details-bin", b"")
    return Refusal(len(acks_s), scored, refusal.code(), b"RetryInfo" in details, max(acks_s))


def poison(system: System, *, first: int) -> None:
    """Send an answer that kills the scorer among good ones, and bytes that are no OTLP."""
    system.service.export(MALFORMED)
    system.send([make_calls(["Good.", f"Bad: {POISON}.", "Better."], first=first)])


def wait_for_outcome(system: System, reason: str, *, count: int = 1) -> int:
    """Return how many records have a reason, as soon as there are so many."""

    def count_records() -> int:
        outcomes = read_trail(system.service.trail).outcomes
        return sum(n for (_, found), n in outcomes.items() if found == reason)

    wait_until(lambda: count_records() >= count, what=reason, patience_s=_DEATHS_S)
    return count_records()


def list_quarantined(system: System) -> list[str]:
    """Return why payloads were put aside."""
    with Inbox.attach(system.service.inbox) as inbox:
        return [reason for _, reason in inbox.list_quarantined()]


class Sender(threading.Thread):
    """An application: it sends each request until that is acknowledged."""

    def __init__(self, system: System, lock: threading.Lock, *, pause_s: float) -> None:
        super().__init__(daemon=True)
        self.stopping = threading.Event()
        self.sent_again = 0
        self._system = system
        self._lock = lock
        self._pause_s = pause_s

    def run(self) -> None:
        """Send until told to stop; nothing is given up on."""
        with open_call(self._system.collector.endpoint, TRACES) as export:
            while not self.stopping.wait(self._pause_s):
                with self._lock:
                    (request,) = self._system.make(SPANS_A_REQUEST)
                body = request.SerializeToString()
                while not _is_taken(export, body):
                    self.sent_again += 1
                    time.sleep(0.05)
                with self._lock:
                    self._system.note(request)


def kill_at_random(
    system: System, *, kills: int, seed: int, senders: int = 2, pause_s: float = 0.1
) -> dict[str, int]:
    """Kill processes while spans flow.

    Args:
        system: All of them.
        kills: Of scorer, receiver, collector and all three, as often each, in any order.
        seed: Of that order and of the times.
        senders: Applications that send at once.
        pause_s: Between two requests of one.

    Returns:
        How often each was killed, and how often a request was sent again.
    """
    chance = random.Random(seed)  # noqa: S311 - a schedule, no secret
    lock = threading.Lock()
    threads = [Sender(system, lock, pause_s=pause_s) for _ in range(senders)]
    for sender in threads:
        sender.start()
    victims = [list(_KILLS)[number % len(_KILLS)] for number in range(kills)]
    chance.shuffle(victims)
    for victim in victims:
        time.sleep(chance.uniform(*_PAUSE_S))
        _KILLS[victim](system)
    for sender in threads:
        sender.stopping.set()
    for sender in threads:
        sender.join()
    again = sum(sender.sent_again for sender in threads)
    return {**Counter(victims), "sent again": again}


def _kill_collector(system: System) -> None:
    system.collector.kill()
    system.collector.start()


def _kill_all(system: System) -> None:
    system.collector.kill()
    system.service.kill_all()
    system.start_service()
    system.collector.start()


_KILLS: Final[Mapping[str, Callable[[System], None]]] = {
    "scorer": lambda system: system.service.kill("scorer-0"),
    "receiver": lambda system: system.service.kill("receiver"),
    "collector": _kill_collector,
    "all": _kill_all,
}


def _is_taken(export: Callable[[bytes], bytes], body: bytes) -> bool:
    try:
        export(body)
    except grpc.RpcError:
        return False
    return True
