"""The receiver under load: spans a second durably acknowledged, and what that costs.

A whole service runs (`cert serve` with a scorer that only finishes what comes), senders in a
process of their own keep a few requests under way over OTLP/gRPC, and afterwards the inbox is
drained to the last payload. Senders share the machine with the service. Each size of span is sent
as fast as it is taken, and then at the rate that must be taken. `--soak` sends at a steady
5,000 spans a second and fits a line through the receiver's memory.

Example:
    python benchmarks/service.py --seconds 20
    python benchmarks/service.py --soak 30
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import linear_regression, quantiles
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc
import grpc.aio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cert_otel import semconv
from cert_otel.service.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Iterator

METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SPANS_A_REQUEST: Final = 512
UNDER_WAY: Final = 8
SOAK_SPANS_PER_S: Final = 5_000
TARGETS: Final = {2_000: 30_000, 6_000: 8_000}
"""Spans a second that must be taken, by their bytes."""
_RUN: Final = (
    "import sys; from pathlib import Path; from cert_otel.service import logs;"
    "from cert_otel.service.settings import load;"
    "from cert_otel.service.supervisor import Supervisor;"
    "settings = load(Path(sys.argv[1])); logs.configure(settings.logs, 'supervisor');"
    "sys.exit(Supervisor(settings, scorer_entry='_null_scorer:run').run())"
)
_MIB: Final = 2**20


class Figures(NamedTuple):
    """What one round measured."""

    span_bytes: int
    offered_spans_per_s: int | None
    """`None`: as many as are taken."""
    seconds: float
    spans_per_s: float
    requests: int
    ack_p50_ms: float
    ack_p99_ms: float
    receiver_rss_mib: float
    wal_max_mib: float
    drained_s: float


class Service:
    """`cert serve` in processes of its own."""

    def __init__(self, directory: Path, port: int) -> None:
        self.inbox = directory / "inbox"
        self.port = port
        config = directory / "cert.yaml"
        config.write_text(
            f"receiver:\n  grpc: {{endpoint: '127.0.0.1:{port}'}}\n"
            f"  http: {{endpoint: '127.0.0.1:{port + 1}'}}\n"
            f"metrics: {{endpoint: '127.0.0.1:{port + 2}'}}\n"
            f"inbox: {{path: {self.inbox}}}\nlogs: {{level: warning}}\n",
            encoding="utf-8",
        )
        here = str(Path(__file__).parent)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _RUN, str(config)], env={**os.environ, "PYTHONPATH": here}
        )

    def wait(self) -> None:
        """Return when requests are taken."""
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=30)

    def read_rss_mib(self) -> float:
        """Return how much memory the receiver has."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for child in children.read_text(encoding="ascii").split():
            if b"receiver" in Path(f"/proc/{child}/cmdline").read_bytes():
                status = Path(f"/proc/{child}/status").read_text(encoding="ascii")
                return int(status.partition("VmRSS:")[2].split()[0]) / 1024
        return float("nan")

    def read_wal_mib(self) -> float:
        """Return how long the write-ahead log is."""
        return (self.inbox / "inbox.db-wal").stat().st_size / _MIB

    def drain(self) -> float:
        """Wait until nothing is left, and return how long that took."""
        started_s = time.monotonic()
        with Inbox.attach(self.inbox) as inbox:
            while inbox.stats().rows:
                time.sleep(0.05)
        return time.monotonic() - started_s

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(timeout=40)


def make_requests(span_bytes: int, count: int = 8) -> list[bytes]:
    """Return requests of spans with 25 attributes and so many bytes."""
    draw = random.Random(span_bytes)  # noqa: S311 - the same bytes every time
    return [_make_request(draw, span_bytes) for _ in range(count)]


def _make_request(draw: random.Random, span_bytes: int) -> bytes:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for _ in range(SPANS_A_REQUEST):
        span = spans.add(
            trace_id=draw.randbytes(16), span_id=draw.randbytes(8), name="chat gpt-4o", kind=3
        )
        for number in range(24):
            attribute = span.attributes.add(key=f"app.attribute.{number:02}")
            attribute.value.string_value = f"{draw.getrandbits(64):016x}"
        content = span.attributes.add(key=semconv.INPUT_MESSAGES)
        missing = max(8, span_bytes - span.ByteSize() - 8)
        content.value.string_value = draw.randbytes(missing // 2).hex()
    encoded: bytes = request.SerializeToString()
    return encoded


async def send(port: int, span_bytes: int, seconds: float, per_s: float | None) -> list[float]:
    """Send for so long, and return how long each acknowledgement took."""
    requests = make_requests(span_bytes)
    latencies: list[float] = []
    end_s = time.monotonic() + seconds
    tickets = _issue(per_s)

    async def work(number: int) -> None:
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            export = channel.unary_unary(METHOD, None, None)
            while time.monotonic() < end_s:
                await asyncio.sleep(max(0.0, next(tickets) - time.monotonic()))
                started_s = time.perf_counter()
                await export(requests[number % len(requests)])
                latencies.append(time.perf_counter() - started_s)

    await asyncio.gather(*(work(number) for number in range(UNDER_WAY)))
    return latencies


def _issue(per_s: float | None) -> Iterator[float]:
    """Yield when each request may go."""
    start_s = time.monotonic()
    number = 0
    while True:
        yield 0.0 if per_s is None else start_s + number / per_s
        number += 1


def measure(
    span_bytes: int, offered: int | None, seconds: float, directory: Path, port: int
) -> Figures:
    """Run one service under load."""
    service = Service(directory, port)
    try:
        service.wait()
        latencies, wal_mib, rss_mib, took_s = _load(
            service, span_bytes, seconds, offered and offered / SPANS_A_REQUEST
        )
        drained_s = service.drain()
    finally:
        service.stop()
    cuts = quantiles(latencies, n=100)
    return Figures(
        span_bytes,
        offered,
        round(took_s, 1),
        round(len(latencies) * SPANS_A_REQUEST / took_s),
        len(latencies),
        round(cuts[49] * 1e3, 1),
        round(cuts[98] * 1e3, 1),
        round(max(rss_mib), 1),
        round(max(wal_mib), 1),
        round(drained_s, 2),
    )


def _load(
    service: Service,
    span_bytes: int,
    seconds: float,
    per_s: float | None,
    *,
    look_s: float = 0.2,
) -> tuple[list[float], list[float], list[float], float]:
    """Start the senders, and look at the service while they send."""
    arguments = [__file__, "--send", str(span_bytes), "--port", str(service.port)]
    arguments += ["--seconds", str(seconds), "--rate", str(per_s or 0)]
    wal_mib: list[float] = []
    rss_mib: list[float] = []
    senders = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE)
    while senders.poll() is None:
        wal_mib.append(service.read_wal_mib())
        rss_mib.append(service.read_rss_mib())
        time.sleep(look_s)
    output, _ = senders.communicate()
    sent = json.loads(output)
    return sent["latencies"], wal_mib, rss_mib, sent["seconds"]


def soak(minutes: float, directory: Path, port: int) -> dict[str, Any]:
    """Send steadily, and fit a line through the receiver's memory, its first tenth left out."""
    service = Service(directory, port)
    try:
        service.wait()
        per_s = SOAK_SPANS_PER_S / SPANS_A_REQUEST
        latencies, wal_mib, rss_mib, took_s = _load(service, 2_000, minutes * 60, per_s, look_s=5.0)
        drained_s = service.drain()
    finally:
        service.stop()
    steady = rss_mib[len(rss_mib) // 10 :]
    step_min = took_s / 60 / len(rss_mib)
    slope = linear_regression([index * step_min for index in range(len(steady))], steady).slope
    return {
        "minutes": round(took_s / 60, 1),
        "spans_per_s": round(len(latencies) * SPANS_A_REQUEST / took_s),
        "ack_p99_ms": round(quantiles(latencies, n=100)[98] * 1e3, 1),
        "rss_mib": [round(steady[0], 1), round(steady[-1], 1)],
        "rss_slope_kib_per_min": round(slope * 1024),
        "wal_max_mib": round(max(wal_mib), 1),
        "drained_s": round(drained_s, 2),
    }


def main() -> None:
    """Print figures as JSON lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000, 6_000], help="of a span")
    parser.add_argument("--soak", type=float, help="minutes at 5,000 spans a second, instead")
    parser.add_argument("--port", type=int, default=24_317)
    parser.add_argument("--directory", type=Path, help="where inboxes lie; temporary if left out")
    parser.add_argument("--send", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, default=0.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        started_s = time.monotonic()
        latencies = asyncio.run(
            send(options.port, options.send, options.seconds, options.rate or None)
        )
        took_s = time.monotonic() - started_s
        print(json.dumps({"latencies": latencies, "seconds": took_s}))
        return
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        if options.soak:
            print(json.dumps(soak(options.soak, Path(name), options.port)))
            return
        for span_bytes in options.sizes:
            for offered in (None, TARGETS.get(span_bytes, SOAK_SPANS_PER_S)):
                directory = Path(name) / f"{span_bytes}-{offered}"
                directory.mkdir()
                figures = measure(span_bytes, offered, options.seconds, directory, options.port)
                print(json.dumps(figures._asdict()), flush=True)


if __name__ == "__main__":
    main()
