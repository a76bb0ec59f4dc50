"""Senders that others wrote: the OpenTelemetry SDK, and rotel, an agent in Rust."""

from __future__ import annotations

import http.client
import importlib.util
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as ByGrpc
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as ByHttp
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from tests.service.conftest import Running, find_ports, make_traces

from cert_otel.errors import InboxError, InboxFullError
from cert_otel.wire.otlp_proto import read_traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace.export import SpanExporter

SPANS = 700


def find_rotel() -> list[Path]:
    """Return its program, where it is installed and this machine can run it."""
    found = importlib.util.find_spec("rotel")
    if found is None or found.origin is None:
        return []
    program = Path(found.origin).with_name("rotel-agent")
    done = subprocess.run([program, "--version"], capture_output=True, check=False)
    return [program] if done.returncode == 0 else []


def send_spans(exporter: SpanExporter, count: int = SPANS) -> None:
    """Let the SDK make spans and send them in batches of its own."""
    provider = TracerProvider(resource=Resource({}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=50))
    tracer = provider.get_tracer("test")
    for number in range(count):
        tracer.start_span("chat", attributes={"number": number}).end()
    provider.shutdown()


def read_numbers(running: Running) -> list[int]:
    """Return the number of each span that was taken, as the worker will read it."""
    return [
        span.attributes["number"]
        for body in running.read_bodies()
        for span in read_traces(body).spans
    ]


def be_unwell(
    running: Running, monkeypatch: pytest.MonkeyPatch, error: Exception, times: int
) -> None:
    """Refuse the first requests."""
    inbox = running.receiver.inbox
    take, left = inbox.append, [error] * times

    def append(payload: Any) -> Any:
        if left:
            raise left.pop()
        return take(payload)

    monkeypatch.setattr(inbox, "append", append)


class TestSdk:
    @pytest.mark.parametrize("packing", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
    def test_grpc(self, receiver: Running, packing: grpc.Compression) -> None:
        """Each span that the SDK exports by gRPC comes in once."""
        address = f"127.0.0.1:{receiver.receiver.grpc_port}"
        send_spans(ByGrpc(endpoint=address, insecure=True, compression=packing))

        assert sorted(read_numbers(receiver)) == list(range(SPANS))

    @pytest.mark.parametrize("packing", [Compression.NoCompression, Compression.Gzip])
    def test_http(self, receiver: Running, packing: Compression) -> None:
        """Each span that the SDK exports by HTTP comes in once."""
        address = f"http://127.0.0.1:{receiver.receiver.http_port}/v1/traces"
        send_spans(ByHttp(endpoint=address, compression=packing))

        assert sorted(read_numbers(receiver)) == list(range(SPANS))

    @pytest.mark.parametrize(
        "error",
        [
            InboxError("inbox", "cannot be written"),
            InboxFullError("inbox", "holds enough", retry_after_s=1),
        ],
    )
    def test_sends_again(
        self, receiver: Running, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        """What was refused for now is sent again, by either protocol, and comes in once."""
        be_unwell(receiver, monkeypatch, error, 1)
        send_spans(
            ByGrpc(endpoint=f"127.0.0.1:{receiver.receiver.grpc_port}", insecure=True), count=5
        )
        be_unwell(receiver, monkeypatch, error, 1)
        send_spans(
            ByHttp(endpoint=f"http://127.0.0.1:{receiver.receiver.http_port}/v1/traces"), count=5
        )

        assert sorted(read_numbers(receiver)) == sorted(2 * list(range(5)))


@contextmanager
def run_rotel(program: Path, running: Running, log: Path) -> Iterator[int]:
    """Run an agent in front of the receiver; yield the port of its own OTLP/HTTP."""
    grpc_port, http_port = find_ports(2)
    command = [str(program), "start", "--exporter", "otlp", "--batch-timeout", "50ms"]
    command += ["--otlp-grpc-endpoint", f"127.0.0.1:{grpc_port}"]
    command += ["--otlp-http-endpoint", f"127.0.0.1:{http_port}"]
    command += ["--otlp-exporter-endpoint", f"http://127.0.0.1:{running.receiver.grpc_port}"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", http_port)) == 0:
                    break
            time.sleep(0.05)
        yield http_port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


class TestRotel:
    @pytest.mark.parametrize("program", find_rotel(), ids=lambda path: path.name)
    @pytest.mark.parametrize("refusals", [0, 2])
    def test_agent(
        self,
        receiver: Running,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        program: Path,
        refusals: int,
    ) -> None:
        """What an agent forwards comes in once, also when it was refused for now."""
        full = InboxFullError("inbox", "holds enough", retry_after_s=1)
        be_unwell(receiver, monkeypatch, full, refusals)
        with run_rotel(program, receiver, tmp_path / "rotel.log") as port:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            for first in range(1, 101, 10):
                body = make_traces(10, first=first)
                connection.request(
                    "POST", "/v1/traces", body, {"content-type": "application/x-protobuf"}
                )
                assert connection.getresponse().read() is not None
            connection.close()
            wait_until(lambda: count_spans(receiver) >= 100)

        assert count_spans(receiver) == 100


def count_spans(running: Running) -> int:
    """Count what was taken."""
    return sum(len(read_traces(body).spans) for body in running.read_bodies())


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when it holds, or after a while."""
    for _ in range(300):
        if condition():
            return
        time.sleep(0.05)
