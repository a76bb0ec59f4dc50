"""The OpenTelemetry SDK as a sender; `tests/peers/service` has others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as ByGrpc
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as ByHttp
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from cert_otel.errors import InboxError, InboxFullError
from cert_otel.wire.otlp_proto import read_traces

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from tests.service.conftest import Running

SPANS = 700


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
