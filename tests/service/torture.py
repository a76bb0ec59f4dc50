"""Processes of the service killed at random under load: what was acknowledged is there, once.

Run by `make torture`, and as a small test in `test_torture.py`:

    python tests/service/torture.py KILLS SPANS [SEED]

Senders repeat what was not acknowledged, as a collector does; receiver and worker are killed by
SIGKILL, alone and together, and started again at once. Then the trail is read.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc
import msgspec

ROOT: Final = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.service.spans import make_call  # noqa: E402 - after the path is set

from cert_otel.service._child import Role, list_command  # noqa: E402
from cert_otel.service.inbox import Inbox  # noqa: E402 - likewise
from cert_otel.service.settings import (  # noqa: E402
    Api,
    Grpc,
    Http,
    Logs,
    Metrics,
    Receiver,
    Scorer,
    Settings,
    Trail,
)
from cert_otel.service.settings import Inbox as InboxSettings  # noqa: E402 - likewise
from cert_otel.wire.otlp_write import encode_traces  # noqa: E402 - likewise

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SPANS_A_REQUEST: Final = 64
SENDERS: Final = 3
_PAUSE_S: Final = (0.2, 2.0)
"""Between two kills: some hit a process that is just starting."""
_DRAIN_S: Final = 600.0
_TRACE_ID_BYTES: Final = 16
_MARK: Final = 0x60
"""Above what stands before a trace id in protobuf, its tag and length."""


class Outcome(NamedTuple):
    """What was found when all was over."""

    acknowledged: int
    sent_again: int
    """Requests that were sent more than once."""
    missing: int
    duplicated: int
    unparsable: int
    kills: int
    rate: float
    """Spans acknowledged a second, while processes were killed."""


class Process:
    """A process of the service that is started again whenever it is killed."""

    def __init__(self, name: str, entry: str, settings: Settings) -> None:
        self._role = Role(name, entry, 0, 1, settings)
        self.start()

    def start(self) -> None:
        """Start it."""
        self.process = subprocess.Popen(
            list_command(self._role.name),
            stdin=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OTEL_SDK_DISABLED": "true"},
        )
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(self._role) + b"\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self._forget()

    def stop(self) -> int:
        """Tell it to stop, and return how it ended."""
        self.process.terminate()
        code = self.process.wait(60)
        self._forget()
        return code

    def _forget(self) -> None:
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


class Requests:
    """Requests of spans that are in no other, made by patching ids into one."""

    def __init__(self) -> None:
        calls = [
            make_call(number, trace_id=f"{number + _MARK:02x}" * _TRACE_ID_BYTES)
            for number in range(SPANS_A_REQUEST)
        ]
        self._body = encode_traces(calls)
        self._places = [
            self._body.index(bytes([number + _MARK]) * _TRACE_ID_BYTES)
            for number in range(SPANS_A_REQUEST)
        ]
        self._lock = threading.Lock()
        self._next = 1

    def make(self) -> tuple[list[int], bytes]:
        """Return the trace ids of the next request, as numbers, and its bytes."""
        with self._lock:
            first = self._next
            self._next += SPANS_A_REQUEST
        ids = list(range(first, first + SPANS_A_REQUEST))
        body = bytearray(self._body)
        for number, place in zip(ids, self._places, strict=True):
            body[place : place + _TRACE_ID_BYTES] = number.to_bytes(_TRACE_ID_BYTES, "big")
        return ids, bytes(body)


class Sender(threading.Thread):
    """Sends requests until told to stop, each until it is acknowledged."""

    def __init__(self, port: int, requests: Requests, *, pause_s: float) -> None:
        super().__init__(daemon=True)
        self._pause_s = pause_s
        self.acknowledged: list[int] = []
        self.sent_again = 0
        self.stopping = threading.Event()
        self._requests = requests
        self._channel = grpc.insecure_channel(
            f"127.0.0.1:{port}",
            options=[
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.max_reconnect_backoff_ms", 200),
            ],
        )
        self._export = self._channel.unary_unary(EXPORT, bytes, bytes)

    def run(self) -> None:
        """Send."""
        while not self.stopping.is_set():
            ids, body = self._requests.make()
            while not self._try(body):
                self.sent_again += 1
                time.sleep(0.05)
                if self.stopping.is_set():
                    return
            self.acknowledged += ids
            time.sleep(self._pause_s)

    def _try(self, body: bytes) -> bool:
        try:
            self._export(body, timeout=10)
        except grpc.RpcError:
            return False
        return True


def torture(directory: Path, *, kills: int, spans: int, seed: int = 0) -> Outcome:
    """Kill at random until so many kills and acknowledged spans are reached; then count."""
    chance = random.Random(seed)  # noqa: S311 - a schedule, no secret
    settings = make_settings(directory)
    receiver = Process("receiver", "cert_otel.service._child:run_receiver", settings)
    worker = Process("scorer-0", "cert_otel.service.worker:run", settings)
    requests = Requests()
    port = int(settings.receiver.grpc.endpoint.rpartition(":")[2])
    pause_s = SENDERS * SPANS_A_REQUEST * kills * sum(_PAUSE_S) / 2 / spans
    senders = [Sender(port, requests, pause_s=pause_s) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    started_s = time.monotonic()
    killed = 0
    while killed < kills or sum(len(sender.acknowledged) for sender in senders) < spans:
        time.sleep(chance.uniform(*_PAUSE_S))
        if killed < kills:
            victims = chance.choice([[receiver], [worker], [receiver, worker]])
            for victim in victims:
                victim.kill()
            for victim in victims:
                victim.start()
            killed += 1
    for sender in senders:
        sender.stopping.set()
    for sender in senders:
        sender.join()
    took_s = time.monotonic() - started_s
    drain(settings)
    assert worker.stop() == 0
    assert receiver.stop() == 0
    acknowledged = [number for sender in senders for number in sender.acknowledged]
    found, unparsable = count_records(directory / "trail")
    return Outcome(
        acknowledged=len(acknowledged),
        sent_again=sum(sender.sent_again for sender in senders),
        missing=sum(number not in found for number in acknowledged),
        duplicated=sum(count > 1 for count in found.values()),
        unparsable=unparsable,
        kills=killed,
        rate=len(acknowledged) / took_s,
    )


def make_settings(directory: Path) -> Settings:
    """Return settings of a service without a judge, on free ports."""
    ports = _find_ports(2)
    return Settings(
        receiver=Receiver(
            grpc=Grpc(endpoint=f"127.0.0.1:{ports[0]}"), http=Http(endpoint=f"127.0.0.1:{ports[1]}")
        ),
        api=Api(enabled=False),
        metrics=Metrics(enabled=False),
        inbox=InboxSettings(path=str(directory / "inbox")),
        scorer=Scorer(enabled=False, read_ahead_mib=2),
        trail=Trail(path=str(directory / "trail"), max_mb=64),
        logs=Logs(level="error"),
    )


def count_records(trail: Path) -> tuple[Counter[int], int]:
    """Count the records of each trace in a trail, and the lines that are none."""
    found: Counter[int] = Counter()
    unparsable = 0
    for line in read_lines(trail):
        try:
            record = _LINE.decode(line)
            found[int(record.trace_id, 16)] += 1
        except (msgspec.DecodeError, ValueError):
            unparsable += 1
    return found, unparsable


class _Line(msgspec.Struct):
    trace_id: str
    score_status: str
    origin: list[Any]


_LINE: Final = msgspec.json.Decoder(_Line)


def read_lines(trail: Path) -> Iterator[bytes]:
    """Yield the lines of a trail."""
    for path in sorted(trail.glob("seg-*.jsonl")):
        with path.open("rb") as file:
            yield from file


def drain(settings: Settings) -> None:
    """Wait until the worker has finished everything."""
    deadline_s = time.monotonic() + _DRAIN_S
    with Inbox.attach(settings.inbox.path) as inbox:
        while inbox.stats().rows:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{inbox.stats()} after {_DRAIN_S:g} s")
            time.sleep(0.1)


def _find_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def main() -> int:
    """Print what was found; 0 when nothing is missing, doubled or torn."""
    kills, spans, *rest = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory() as directory:
        outcome = torture(Path(directory), kills=kills, spans=spans, seed=rest[0] if rest else 0)
    for name, value in outcome._asdict().items():
        sys.stdout.write(f"{name:14} {value:,.0f}\n")
    return int(bool(outcome.missing or outcome.duplicated or outcome.unparsable))


if __name__ == "__main__":
    sys.exit(main())
