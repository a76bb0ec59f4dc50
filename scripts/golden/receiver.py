"""A loopback OTLP/HTTP receiver that keeps what arrives, apart for each call."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import parse_qs, urlsplit

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from types import TracebackType

MARK: Final = "/mark"
"""An application posts `/mark?scenario=NAME` when everything of a call is exported."""


class Received:
    """What was exported for one call."""

    def __init__(self, scenario: str = "") -> None:
        self.scenario = scenario
        self.traces = ExportTraceServiceRequest()
        self.logs = ExportLogsServiceRequest()


class Receiver:
    """Takes `POST /v1/traces` and `/v1/logs`, as protobuf, and marks between scenarios."""

    def __init__(self) -> None:
        self.scenarios: list[Received] = []
        self._current = Received()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(self))

    @property
    def url(self) -> str:
        """What `OTEL_EXPORTER_OTLP_ENDPOINT` takes."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, path: str, body: bytes) -> None:
        """Keep one request."""
        address = urlsplit(path)
        with self._lock:
            if address.path == MARK:
                self._current.scenario = parse_qs(address.query)["scenario"][0]
                self.scenarios.append(self._current)
                self._current = Received()
            elif address.path == "/v1/traces":
                self._current.traces.MergeFromString(body)
            elif address.path == "/v1/logs":
                self._current.logs.MergeFromString(body)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _make_handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = _read_body(self)
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.take(self.path, body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named so where it is overridden
            """Say nothing: a request is no news."""

    return Handler


def _read_body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("transfer-encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("content-length", 0)))
    chunks = []
    while size := int(request.rfile.readline(), 16):
        chunks.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(chunks)
