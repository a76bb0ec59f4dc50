"""OTLP/gRPC: what is answered OK is in the inbox, byte for byte."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from tests.service.conftest import LOGS, TRACES, make_traces

from cert_otel.errors import InboxError, InboxFullError
from cert_otel.service.receiver.otlp_grpc import METRICS_METHOD

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service.conftest import Running

UNKNOWN_FIELD = b"\xfa\x01\x03new"
"""Field 31 of a later version of the protocol."""


def refuse(running: Running, body: bytes = b"x", **options: object) -> grpc.RpcError:
    """Send, and return what it was refused with."""
    with pytest.raises(grpc.RpcError) as refused:
        running.export(body, **options)  # type: ignore[arg-type]  # as export has them
    return refused.value


def get_code(error: grpc.RpcError) -> grpc.StatusCode:
    code: grpc.StatusCode = error.code()
    return code


class TestExport:
    @pytest.mark.parametrize("count", [1, 512, 8_192])
    @pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip])
    def test_bytes_are_kept(
        self, receiver: Running, count: int, compression: grpc.Compression | None
    ) -> None:
        """A request of any size, packed or not, is stored as it was before packing."""
        body = make_traces(count)
        response = receiver.export(body, compression=compression)

        (row,) = receiver.read()
        assert row.payload.body == body
        assert (row.payload.kind, row.payload.encoding) == ("traces", "protobuf")
        assert ExportTraceServiceResponse.FromString(response) == ExportTraceServiceResponse()

    def test_five_megabytes(self, receiver: Running) -> None:
        """What collectors send beyond gRPC's usual 4 MB is taken."""
        body = make_traces(500, size=10_000)
        receiver.export(body)

        assert len(body) > 5_000_000
        assert receiver.read_bodies() == [body]

    def test_unknown_fields(self, receiver: Running) -> None:
        """What a later version of OTLP adds is kept."""
        body = make_traces(1) + UNKNOWN_FIELD
        receiver.export(body)

        assert receiver.read_bodies() == [body]
        assert ExportTraceServiceRequest.FromString(body).resource_spans

    def test_nothing(self, receiver: Running) -> None:
        """A request without spans is answered OK and stored nowhere."""
        assert receiver.export(make_traces(0)) == b""
        receiver.export(b"")

        assert len(receiver.read()) <= 1

    def test_logs(self, receiver: Running) -> None:
        """Log records are stored as such."""
        receiver.export(b"logs", method=LOGS, metadata=(("cert-tenant", "acme"),))

        (row,) = receiver.read()
        assert (row.payload.kind, row.payload.tenant) == ("logs", "acme")

    def test_garbage(self, receiver: Running) -> None:
        """Bytes that are no OTLP are answered OK: a collector would only drop them."""
        receiver.export(b"\xff\xff\xff")

        assert receiver.read_bodies() == [b"\xff\xff\xff"]

    def test_metrics(self, receiver: Running) -> None:
        """Metrics are refused, with the advice to send them elsewhere."""
        error = refuse(receiver, method=METRICS_METHOD)

        assert get_code(error) == grpc.StatusCode.UNIMPLEMENTED
        assert "another backend" in str(error)
        assert 'outcome="unsupported",protocol="grpc"} 1.0' in receiver.scrape()


class TestRefusal:
    def test_too_large(self, start: Callable[..., Running]) -> None:
        """One byte beyond the limit is refused for good, and counted; the limit itself is taken."""
        running = start(receiver={"max_message_mib": 1}, inbox={"cap_bytes": 8 * 2**20})
        error = refuse(running, b"x" * (2**20 + 1))
        running.export(b"x" * 2**20)

        assert get_code(error) == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert find_retry(error) is None
        assert 'outcome="too_large",protocol="grpc"} 1.0' in running.scrape()

    def test_full(self, receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        """A full inbox says when to come again, without which a collector would drop."""

        def be_full(_: object) -> None:
            raise InboxFullError("inbox", "holds enough", retry_after_s=7)

        monkeypatch.setattr(receiver.receiver.inbox, "append", be_full)
        error = refuse(receiver)

        assert get_code(error) == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert find_retry(error) == 7

    def test_filled(self, start: Callable[..., Running]) -> None:
        """What fills the inbox is refused until somebody finishes, and then taken again."""
        running = start(receiver={"max_message_mib": 1}, inbox={"cap_bytes": 8 * 2**20})
        for _ in range(6):
            running.export(b"x" * 2**20)
        error = refuse(running, b"y" * 2**20)
        running.receiver.inbox.finish(6)
        while running.receiver.inbox._committer._stored_bytes:
            time.sleep(0.01)
        running.export(b"y" * 2**20)

        assert get_code(error) == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert find_retry(error) == 60
        assert [body[:1] for body in running.read_bodies()] == [b"y"]

    def test_disk(self, receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        """A disk that cannot be written is UNAVAILABLE: send again, or elsewhere."""

        def fail(_: object) -> None:
            raise InboxError("inbox", "cannot be written: disk full")

        monkeypatch.setattr(receiver.receiver.inbox, "append", fail)
        error = refuse(receiver)

        assert get_code(error) == grpc.StatusCode.UNAVAILABLE
        assert "disk full" in str(error)

    def test_whatever_goes_wrong(self, receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        """An error of ours is UNAVAILABLE as well: after UNKNOWN a collector would drop."""
        monkeypatch.setattr(receiver.receiver.inbox, "append", None)

        assert get_code(refuse(receiver)) == grpc.StatusCode.UNAVAILABLE

    def test_what_cannot_be_counted(
        self, receiver: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Metrics are in files too: a disk that is full of everything else is still UNAVAILABLE."""

        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, "no space left")

        monkeypatch.setattr(receiver.receiver.counters._requests, "labels", fail)
        receiver.export(b"counted or not")
        monkeypatch.setattr(receiver.receiver.inbox, "append", None)

        assert get_code(refuse(receiver)) == grpc.StatusCode.UNAVAILABLE
        assert receiver.read_bodies() == [b"counted or not"]

    def test_stopping(self, receiver: Running) -> None:
        """While it stops, everything is UNAVAILABLE, and health says so."""
        receiver.receiver.intake.is_stopping = True

        assert get_code(refuse(receiver)) == grpc.StatusCode.UNAVAILABLE

    def test_unknown_method(self, receiver: Running) -> None:
        """There is OTLP and nothing else."""
        error = refuse(receiver, method="/cert.Other/Call")

        assert get_code(error) == grpc.StatusCode.UNIMPLEMENTED


class TestHealth:
    @pytest.mark.parametrize("name", ["", TRACES[1:].rpartition("/")[0]])
    def test_serving(self, start: Callable[..., Running], name: str) -> None:
        """Health is answered for the server and its services, without a token."""
        running = start(security={"tokens": ["secret"]})
        with grpc.insecure_channel(f"127.0.0.1:{running.receiver.grpc_port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            response = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)

        assert response.status == health_pb2.HealthCheckResponse.SERVING


def find_retry(error: grpc.RpcError) -> int | None:
    """Return after how many seconds a collector sends again, or that it does not."""
    metadata: dict[str, Any] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]  # pairs
    encoded = metadata.get("grpc-status-details-bin")
    if encoded is None:
        return None
    retry = RetryInfo()
    for detail in Status.FromString(encoded).details:
        if detail.Unpack(retry):
            return int(retry.retry_delay.seconds)
    return None
