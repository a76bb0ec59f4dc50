"""Damaged OTLP sent to a whole service: every request is answered, nothing dies, nothing is lost.

Run by `make torture`, and as a small test in `test_fuzz.py`:

    python tests/service/fuzz.py REQUESTS [SEED]

Payloads of every dialect, as peers recorded them, are damaged and sent by gRPC and HTTP, as protobuf
and JSON, packed and not. A request depends on the seed and its number alone.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import grpc

ROOT: Final = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "wire")]

from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: E402 - after the path is set
from tests.service.spans import make_call  # noqa: E402 - likewise
from tests.service.torture import Process, drain, make_settings, read_lines  # noqa: E402 - likewise
from wire_mutations import damage_bytes, damage_shape, load_lines, load_messages  # noqa: E402

from cert_otel.service.inbox import Inbox  # noqa: E402 - likewise
from cert_otel.service.receiver.otlp_grpc import METHODS, TENANT  # noqa: E402 - likewise
from cert_otel.service.settings import parse_endpoint  # noqa: E402 - likewise
from cert_otel.wire.otlp_write import encode_traces  # noqa: E402 - likewise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cert_otel.service.inbox import Kind
    from cert_otel.service.settings import Settings

SENDERS: Final = 8
ANSWERS: Final = frozenset({"OK", "200"})
"""All that a sender of damaged bytes may be told; what cannot be read is put aside."""
WAITING: Final = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE", "429", "503"})
"""And that it is to come again: the inbox was full, a disk slow."""
_TENANTS: Final = ("../../etc/passwd", "a/../../b", "x" * 1_000, "%2e%2e%2f", "tenant")
_SIGNALS: Final[tuple[Kind, ...]] = ("traces", "traces", "logs")
_TIMEOUT_S: Final = 60


class Request(NamedTuple):
    """What is sent."""

    protocol: str
    """`grpc`, `protobuf` or `json`."""
    signal: Kind
    body: bytes
    packed: bool
    tenant: str | None


class Outcome(NamedTuple):
    """What was found when all was over."""

    requests: int
    answers: Counter[str]
    """By protocol and status."""
    accepted: int
    """Payloads that the inbox had."""
    quarantined: int
    records: int
    unanswered: list[str]
    """What went wrong with requests that got no answer, or one that no sender may get."""
    alive: bool
    """Whether no process ended, both ports are ready, and a whole request became a record."""
    peak_mib: dict[str, float]
    """Memory of each process."""
    took_s: float


class Requests:
    """Requests by their number."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._lines = load_lines()
        self._messages = load_messages()

    def make(self, number: int) -> Request:
        """Make one; always the same."""
        chance = random.Random(f"{self._seed} {number}")  # noqa: S311 - damage, not secrets
        protocol = chance.choice(("grpc", "protobuf", "json"))
        body = self._damage(chance, protocol)
        packed = chance.random() < 0.5
        if packed and protocol != "grpc":  # gRPC packs by itself
            body = gzip.compress(body, 1)
            body = damage_bytes(chance, body) if chance.random() < 0.2 else body
        signal = chance.choice(_SIGNALS)
        tenant = chance.choice(_TENANTS) if chance.random() < 0.1 else None
        return Request(protocol, signal, body, packed, tenant)

    def _damage(self, chance: random.Random, protocol: str) -> bytes:
        whole = chance.choice(self._lines if protocol == "json" else self._messages)
        if chance.random() < 0.1:
            return whole
        if protocol == "json" and chance.random() < 0.5:
            return damage_shape(chance, whole)
        return damage_bytes(chance, whole)


class Sender(threading.Thread):
    """Sends every n-th request, one after the other."""

    def __init__(self, settings: Settings, requests: Requests, numbers: Sequence[int]) -> None:
        super().__init__(daemon=True)
        self.answers: Counter[str] = Counter()
        self.accepted = 0
        self.unanswered: list[str] = []
        self.done = 0
        self._requests = requests
        self._numbers = numbers
        self._http = http.client.HTTPConnection(
            *parse_endpoint(settings.receiver.http.endpoint), timeout=_TIMEOUT_S
        )
        self._channel = grpc.insecure_channel(settings.receiver.grpc.endpoint)
        self._calls = {
            signal: self._channel.unary_unary(method, bytes, bytes)
            for method, signal in METHODS.items()
        }

    def run(self) -> None:
        """Send."""
        for number in self._numbers:
            request = self._requests.make(number)
            send = self._call if request.protocol == "grpc" else self._post
            try:
                status = send(request)
            except (OSError, http.client.HTTPException) as problem:
                status = type(problem).__name__
                self._http.close()
            self._note(number, request, status)
        self._channel.close()
        self._http.close()

    def _note(self, number: int, request: Request, status: str) -> None:
        packing = "gzip" if request.packed else "plain"
        self.answers[f"{request.protocol} {packing} {status}"] += 1
        self.done += 1
        self.accepted += status in ANSWERS and bool(request.body)
        if status not in ANSWERS | WAITING:
            self.unanswered.append(f"request {number}: {status}")

    def _call(self, request: Request) -> str:
        metadata = ((TENANT, request.tenant),) if request.tenant else ()
        packing = grpc.Compression.Gzip if request.packed else grpc.Compression.NoCompression
        try:
            self._calls[request.signal](
                request.body, timeout=_TIMEOUT_S, metadata=metadata, compression=packing
            )
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code.name
        return "OK"

    def _post(self, request: Request) -> str:
        kind = "json" if request.protocol == "json" else "x-protobuf"
        headers = {"content-type": f"application/{kind}"}
        if request.packed:
            headers["content-encoding"] = "gzip"
        if request.tenant:
            headers[TENANT] = request.tenant
        self._http.request("POST", f"/v1/{request.signal}", request.body, headers)
        response = self._http.getresponse()
        response.read()
        return str(response.status)


def fuzz(
    directory: Path,
    *,
    requests: int,
    seed: int = 0,
    tell: Callable[[int, float], None] | None = None,
) -> Outcome:
    """Send so many damaged requests to a service in a directory, and look what became of it.

    Args:
        directory: Of the service's files.
        requests: How many.
        seed: Other requests for another seed.
        tell: Called every few seconds with what was answered so far, and since when.
    """
    settings = make_settings(directory)
    processes = {
        "receiver": Process("receiver", "cert_otel.service._child:run_receiver", settings),
        "scorer-0": Process("scorer-0", "cert_otel.service.worker:run", settings),
    }
    made = Requests(seed)
    _wait_until_ready(settings)
    started_s = time.monotonic()
    senders = [Sender(settings, made, range(n, requests, SENDERS)) for n in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        while sender.is_alive():
            sender.join(5)
            if tell is not None:
                tell(sum(one.done for one in senders), time.monotonic() - started_s)
    took_s = time.monotonic() - started_s
    whole = _send_whole(settings)
    drain(settings)
    peaks = {name: _read_peak_mib(one.process.pid) for name, one in processes.items()}
    ready = _is_ready(settings)
    running = all(one.process.poll() is None for one in processes.values())
    with Inbox.attach(settings.inbox.path) as inbox:
        quarantined = inbox.stats().quarantined
    stopped = [processes[name].stop() for name in ("scorer-0", "receiver")]
    lines = list(read_lines(directory / "trail"))
    return Outcome(
        requests=requests,
        answers=sum((sender.answers for sender in senders), Counter[str]()),
        accepted=sum(sender.accepted for sender in senders),
        quarantined=quarantined,
        records=len(lines),
        unanswered=[problem for sender in senders for problem in sender.unanswered],
        alive=running and ready and stopped == [0, 0] and any(whole in line for line in lines),
        peak_mib=peaks,
        took_s=took_s,
    )


def _wait_until_ready(settings: Settings) -> None:
    deadline_s = time.monotonic() + 60
    while not _is_ready(settings):
        if time.monotonic() > deadline_s:
            raise TimeoutError("the receiver does not start")
        time.sleep(0.1)


def _is_ready(settings: Settings) -> bool:
    """Ask both ports."""
    connection = http.client.HTTPConnection(
        *parse_endpoint(settings.receiver.http.endpoint), timeout=10
    )
    with contextlib.closing(connection), contextlib.suppress(OSError, grpc.RpcError):
        connection.request("GET", "/readyz")
        with grpc.insecure_channel(settings.receiver.grpc.endpoint) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=10)
        serving = health_pb2.HealthCheckResponse.SERVING
        return connection.getresponse().status == 200 and answer.status == serving
    return False


def _send_whole(settings: Settings) -> bytes:
    """Send a span that is not damaged; return its trace id."""
    call = make_call(0, trace_id="f" * 31 + "e")
    with grpc.insecure_channel(settings.receiver.grpc.endpoint) as channel:
        channel.unary_unary(next(iter(METHODS)), bytes, bytes)(encode_traces([call]), timeout=60)
    return (call.trace_id or "").encode()


def _read_peak_mib(pid: int) -> float:
    """Return the most memory that a process ever had."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> int:
    """Print what was found; 0 when every request was answered as it may be, and nothing died."""
    requests, *rest = map(int, sys.argv[1:])

    def tell(done: int, seconds: float) -> None:
        sys.stdout.write(f"{done:,} of {requests:,} requests, {done / seconds:,.0f} a second\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory() as directory:
        outcome = fuzz(Path(directory), requests=requests, seed=rest[0] if rest else 0, tell=tell)
    sys.stdout.write(f"requests     {outcome.requests:,} in {outcome.took_s:,.0f} s\n")
    for answer, count in sorted(outcome.answers.items()):
        sys.stdout.write(f"             {answer:20} {count:,}\n")
    sys.stdout.write(f"accepted     {outcome.accepted:,}\nquarantined  {outcome.quarantined:,}\n")
    sys.stdout.write(f"records      {outcome.records:,}\nalive        {outcome.alive}\n")
    for name, peak in outcome.peak_mib.items():
        sys.stdout.write(f"{name:12} {peak:,.0f} MiB at most\n")
    for problem in outcome.unanswered[:20]:
        sys.stdout.write(f"{problem}\n")
    return int(bool(outcome.unanswered) or not outcome.alive)


if __name__ == "__main__":
    sys.exit(main())
