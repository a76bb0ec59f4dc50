"""A receiver on a loop of its own, a whole service in processes, and certificates."""

from __future__ import annotations

import asyncio
import datetime as dt
import http.client
import ipaddress
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cert_otel.service.receiver import Receiver
from cert_otel.service.receiver.otlp_grpc import METHODS
from cert_otel.service.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cert_otel.service.inbox import Inbox, Row

ROOT = Path(__file__).parents[2]
TRACES, LOGS = METHODS
PROTOBUF = {"content-type": "application/x-protobuf"}
_RUN = (
    "import sys; from pathlib import Path; from cert_otel.service import logs;"
    "from cert_otel.service.settings import load;"
    "from cert_otel.service.supervisor import Supervisor;"
    "settings = load(Path(sys.argv[1])); logs.configure(settings.logs, 'supervisor');"
    "sys.exit(Supervisor(settings, scorer_entry=sys.argv[2]).run())"
)


class Running:
    """A receiver that takes requests, on a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.receiver = self.call(self._start())

    async def _start(self) -> Receiver:
        return await Receiver(self.settings).start()

    def call(self, coroutine: Any) -> Any:
        """Run it on the receiver's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=60)

    def stop(self) -> None:
        """Stop it and its loop; twice is once."""
        if self._loop.is_closed():
            return
        self.call(self.receiver.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def read(self) -> list[Row]:
        """Return all that was taken."""
        inbox: Inbox = self.receiver.inbox
        return inbox.read(0, 2**30)

    def read_bodies(self) -> list[bytes]:
        """Return the bytes that were taken."""
        return [row.payload.body for row in self.read()]

    def export(
        self,
        body: bytes,
        *,
        method: str = TRACES,
        metadata: tuple[tuple[str, str], ...] = (),
        credentials: grpc.ChannelCredentials | None = None,
        compression: grpc.Compression | None = None,
    ) -> bytes:
        """Send by gRPC.

        Raises:
            grpc.RpcError: When it is refused.
        """
        options = [("grpc.max_send_message_length", -1)]
        address = f"localhost:{self.receiver.grpc_port}"
        channel = (
            grpc.insecure_channel(address, options=options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options=options)
        )
        with channel:
            call = channel.unary_unary(method, None, None)
            response: bytes = call(body, timeout=60, metadata=metadata, compression=compression)
            return response

    def post(
        self,
        body: bytes,
        *,
        path: str = "/v1/traces",
        method: str = "POST",
        headers: Mapping[str, str] = PROTOBUF,
        port: int | None = None,
    ) -> Reply:
        """Send by HTTP."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", port or self.receiver.http_port, timeout=30
        )
        with closing(connection):
            connection.request(method, path, body, headers=dict(headers))
            response = connection.getresponse()
            return Reply(response.status, dict(response.headers.items()), response.read())

    def scrape(self) -> str:
        """Return what `/metrics` says."""
        return self.post(
            b"", path="/metrics", method="GET", port=self.receiver.metrics_port
        ).body.decode()


class Reply(NamedTuple):
    """What HTTP answered."""

    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Build settings whose ports are free ones, and whose files lie in the test's folder."""

    def build(**sections: Any) -> Settings:
        data: dict[str, Any] = {
            "receiver": {
                "grpc": {"endpoint": "127.0.0.1:0"},
                "http": {"endpoint": "127.0.0.1:0"},
                **sections.pop("receiver", {}),
            },
            "metrics": {"endpoint": "127.0.0.1:0"},
            "inbox": {"path": str(tmp_path / "inbox"), **sections.pop("inbox", {})},
            "trail": {"path": str(tmp_path / "trail.jsonl")},
            **sections,
        }
        return msgspec.convert(data, Settings)

    return build


@pytest.fixture
def start(make_settings: Callable[..., Settings]) -> Iterator[Callable[..., Running]]:
    """Start receivers with the sections that are given."""
    running: list[Running] = []

    def run(**sections: Any) -> Running:
        running.append(Running(make_settings(**sections)))
        return running[-1]

    yield run
    for each in running:
        each.stop()


@pytest.fixture
def receiver(start: Callable[..., Running]) -> Running:
    """Start a receiver with the defaults."""
    return start()


class Service:
    """`cert serve` in processes, with a scorer that finishes what comes."""

    def __init__(
        self,
        directory: Path,
        *,
        scorer: str,
        text: str = "",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._environ = environ or {}
        self.grpc_port, self.http_port, self.metrics_port, api_port = find_ports(4)
        self.inbox = directory / "inbox"
        self.config = directory / "cert.yaml"
        self.config.write_text(
            f"receiver:\n  grpc: {{endpoint: '127.0.0.1:{self.grpc_port}'}}\n"
            f"  http: {{endpoint: '127.0.0.1:{self.http_port}'}}\n"
            f"metrics: {{endpoint: '127.0.0.1:{self.metrics_port}'}}\n"
            f"api: {{endpoint: '127.0.0.1:{api_port}'}}\n"
            f"inbox: {{path: {self.inbox}}}\n{text}",
            encoding="utf-8",
        )
        self._scorer = scorer
        self._log = (directory / "log").open("ab+")
        self.process = subprocess.Popen(
            self._get_command(), env=self._get_environ(), stdout=self._log, stderr=self._log
        )

    def _get_command(self) -> list[str]:
        return [sys.executable, "-c", _RUN, str(self.config), self._scorer]

    def _get_environ(self) -> dict[str, str]:
        places = (ROOT / "benchmarks", ROOT / "tests" / "service")
        path = os.pathsep.join(map(str, places))
        return {**os.environ, "PYTHONPATH": path, **self._environ}

    def run_again(self) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self._get_command(),
            env=self._get_environ(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def post(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Send by HTTP, and return the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        with closing(connection):
            connection.request("POST", "/v1/traces", body, headers=dict(headers))
            return connection.getresponse().status

    def scrape(self) -> str:
        """Return what `/metrics` says."""
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=10)
        with closing(connection):
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()

    def wait_until_ready(self) -> None:
        """Return when requests are taken."""
        deadline_s = time.monotonic() + 30
        while time.monotonic() < deadline_s:
            if self.process.poll() is not None:
                pytest.fail(self.read_log())
            try:
                with socket.create_connection(("127.0.0.1", self.http_port), timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        pytest.fail(f"not ready in time: {self.read_log()}")

    def get_child(self, name: str) -> int:
        """Return the process id of `receiver` or `scorer-0`; 0 while there is none."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for child in children.read_text(encoding="ascii").split():
            command = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if name.encode() in command:
                return int(child)
        return 0

    def read_log(self) -> str:
        """Return what all its processes said."""
        return Path(self._log.name).read_text(encoding="utf-8")

    def stop(self) -> int:
        """End it as an orchestrator does, and return its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=30)

    def close(self) -> None:
        """Leave nothing, however it ended."""
        if self.process.poll() is None:
            self.stop()
        self._log.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start services, ready to take requests."""
    services: list[Service] = []

    def run(*, scorer: str = "_null_scorer:run", **environ: str) -> Service:
        services.append(Service(tmp_path, scorer=scorer, environ=environ))
        services[-1].wait_until_ready()
        return services[-1]

    yield run
    for each in services:
        each.close()


def find_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def make_traces(count: int, *, size: int = 100, first: int = 1) -> bytes:
    """Return a request with so many spans of about so many bytes."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number in range(first, first + count):
        span = spans.add(
            trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name="chat"
        )
        attribute = span.attributes.add(key="gen_ai.input.messages")
        attribute.value.string_value = "x" * size
    encoded: bytes = request.SerializeToString()
    return encoded


class Certificate(NamedTuple):
    """A key and what vouches for it, in files."""

    cert_file: Path
    key_file: Path


class Authority:
    """Issues certificates for localhost."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(self._name, self._key, days=10, authority=True)
        self.cert_file = directory / f"{name}.pem"
        self.cert_file.write_bytes(certificate)

    def issue(self, name: str, *, days: int = 10) -> Certificate:
        """Write a certificate that is valid for so many days; below 0 it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issued = Certificate(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        issued.key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        issued.cert_file.write_bytes(self._sign(subject, key, days=days))
        return issued

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        days: int,
        authority: bool = False,
    ) -> bytes:
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=20))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName(
                    [
                        x509.DNSName("localhost"),
                        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                    ]
                ),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)
