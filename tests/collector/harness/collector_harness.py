"""The built collector as a process, and OTLP servers that stand for what is around it.

A test of the real service puts it in place of the scorer's `Sink`: `Chain` asks for nothing but
an `Endpoint`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Self

    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

ROOT: Final = Path(__file__).parents[3]
BUILD: Final = ROOT / "collector" / "build"
COLLECTOR: Final = BUILD / "cert-otelcol"
STOCK: Final = BUILD / "otelcol-stock"
CONFIGURATION: Final = ROOT / "otel-collector.yaml"
EXAMPLES: Final = ROOT / "collector" / "examples"

_SERVICES: Final = "opentelemetry.proto.collector"
TRACES: Final = f"/{_SERVICES}.trace.v1.TraceService/Export"
LOGS: Final = f"/{_SERVICES}.logs.v1.LogsService/Export"
METRICS: Final = f"/{_SERVICES}.metrics.v1.MetricsService/Export"
_PATIENCE_S: Final = 60.0
_MAX_BYTES: Final = 64 * 1024 * 1024
_LIMITS: Final = [
    ("grpc.max_receive_message_length", _MAX_BYTES),
    ("grpc.max_send_message_length", _MAX_BYTES),
]


class Endpoint(Protocol):
    """Who takes OTLP/gRPC, in plain text."""

    endpoint: str
    """HOST:PORT."""


_given: set[int] = set()
"""Ports that were found: whoever got one may not listen on it yet."""


def find_port() -> int:
    """Return a port of loopback that is free now, each time another one."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def wait_until(
    is_true: Callable[[], bool],
    *,
    what: str,
    patience_s: float = _PATIENCE_S,
    look_s: float = 0.05,
) -> None:
    """Wait for something that another process does; fail when it does not."""
    end = time.monotonic() + patience_s
    while not is_true():
        if time.monotonic() > end:
            message = f"{patience_s:.0f} s passed without: {what}"
            raise AssertionError(message)
        time.sleep(look_s)


class Sink:
    """An OTLP/gRPC server that keeps the bytes of what it acknowledged.

    It can go away and come back at the same port, with what it has kept.
    """

    def __init__(self, handlers: Sequence[grpc.GenericRpcHandler[bytes, bytes]] = ()) -> None:
        self.port = find_port()
        self.endpoint = f"127.0.0.1:{self.port}"
        self._handlers = handlers
        self._received: dict[str, list[bytes]] = {TRACES: [], LOGS: [], METRICS: []}
        self._spans: list[tuple[bytes, bytes]] = []
        self._read = 0
        self._lock = threading.Lock()
        self._server: grpc.Server | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen."""
        server = grpc.server(ThreadPoolExecutor(8), options=_LIMITS)
        server.add_generic_rpc_handlers((_Exports(self._keep), *self._handlers))
        server.add_insecure_port(self.endpoint)
        server.start()
        self._server = server

    def stop(self) -> None:
        """Go away at once: calls under way fail."""
        if self._server is not None:
            self._server.stop(grace=None).wait()
            self._server = None

    def _keep(self, method: str, request: bytes) -> bytes:
        with self._lock:
            self._received[method].append(request)
        return b""

    def list_requests(self, method: str) -> list[bytes]:
        """Return what came, in order."""
        with self._lock:
            return list(self._received[method])

    def list_spans(self) -> list[tuple[bytes, bytes]]:
        """Return of each span its id (trace and span together) and all there is of it."""
        requests = self.list_requests(TRACES)
        for request in requests[self._read :]:
            self._spans += list_spans(ExportTraceServiceRequest.FromString(request))
        self._read = len(requests)
        return list(self._spans)

    def list_ids(self) -> list[bytes]:
        """Return the id of each span that came."""
        return [key for key, _ in self.list_spans()]


class _Exports(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in its stubs alone
    """The three services of OTLP, without a look at the messages."""

    def __init__(self, keep: Callable[[str, bytes], bytes]) -> None:
        self._keep = keep

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = str(handler_call_details.method)
        if method not in {TRACES, LOGS, METRICS}:
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, _: self._keep(method, request))


def list_spans(request: Any) -> list[tuple[bytes, bytes]]:
    """Return of each span its id, and the span with its resource and scope as bytes."""
    return [
        (
            span.trace_id + span.span_id,
            b"".join(
                part.SerializeToString(deterministic=True)
                for part in (resource.resource, scope.scope, span)
            ),
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


class Collector:
    """The built collector as a process; the ports stay the same from start to start."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], *, overlays: Sequence[str] = ()
    ) -> None:
        self._folder = folder
        self._files = [CONFIGURATION, *(EXAMPLES / name for name in overlays)]
        self.endpoint = f"127.0.0.1:{find_port()}"
        self.results = f"127.0.0.1:{find_port()}"
        self._health = f"127.0.0.1:{find_port()}"
        self._metrics_port = str(find_port())
        self._environment = {
            **os.environ,
            "CERT_OTLP_GRPC": self.endpoint,
            "CERT_OTLP_HTTP": f"127.0.0.1:{find_port()}",
            "CERT_RESULTS": self.results,
            "CERT_HEALTH": self._health,
            "CERT_COLLECTOR_METRICS_PORT": self._metrics_port,
            "CERT_QUEUE": str(folder / "queue"),
            "CERT_JSONL": str(folder / "spans.jsonl"),
            "CERT_SCORER_INSECURE": "true",
            "BACKEND_INSECURE": "true",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it is ready."""
        command = [COLLECTOR, *(part for path in self._files for part in ("--config", path))]
        with (self._folder / "collector.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        wait_until(self._is_ready, what=f"a collector that is ready; {self.read_log()[-2000:]}")

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.read_log()
        with (
            suppress(OSError),
            urllib.request.urlopen(f"http://{self._health}", timeout=1) as answer,
        ):
            return bool(answer.status == 200)
        return False

    def read_log(self) -> str:
        """Return what it has said since it was first started."""
        return (self._folder / "collector.log").read_text(encoding="utf-8", errors="replace")

    def read_queue_bytes(self) -> int:
        """Return what waits in the queue to the scorer, by the collector's own metrics."""
        url = f"http://127.0.0.1:{self._metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        (value,) = (
            line.rpartition(" ")[2]
            for line in lines
            if line.startswith("otelcol_exporter_queue_size{") and '"otlp_grpc/cert"' in line
        )
        return int(float(value))

    def kill(self) -> None:
        """Kill it as a machine does that loses its power."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=_PATIENCE_S)
            self._process = None


class Chain:
    """Application's end, collector, scorer and backend."""

    def __init__(
        self,
        folder: Path,
        scorer: Endpoint,
        backend: Sink,
        *,
        overlays: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.scorer = scorer
        self.backend = backend
        self.folder = folder
        self.collector = Collector(
            folder,
            {
                "CERT_SCORER": scorer.endpoint,
                "BACKEND_TRACES": backend.endpoint,
                "BACKEND_LOGS": backend.endpoint,
                "BACKEND_METRICS": backend.endpoint,
                **(environment or {}),
            },
            overlays=overlays,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.collector.stop()
        shutil.rmtree(self.folder / "queue", ignore_errors=True)

    def send(self, *requests: ExportTraceServiceRequest) -> None:
        """Send spans as an application does that stops at the first refusal."""
        with open_call(self.collector.endpoint, TRACES) as export:
            for request in requests:
                export(request.SerializeToString())

    def send_results(self, message: ExportLogsServiceRequest | ExportMetricsServiceRequest) -> None:
        """Send what the service sends back."""
        method = LOGS if isinstance(message, ExportLogsServiceRequest) else METRICS
        with open_call(self.collector.results, method) as export:
            export(message.SerializeToString())


@contextmanager
def open_call(endpoint: str, method: str) -> Iterator[Callable[[bytes], bytes]]:
    """Give a function that sends one message; it raises `grpc.RpcError` on a refusal."""
    with grpc.insecure_channel(endpoint, options=_LIMITS) as channel:
        call = channel.unary_unary(method, bytes, bytes)
        yield lambda message: call(message, timeout=_PATIENCE_S, wait_for_ready=True)
