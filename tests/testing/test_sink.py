"""The OTLP backend: what comes is kept, and told apart by signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cert_otel.testing import OtlpSink

if TYPE_CHECKING:
    from google.protobuf.message import Message


def send(endpoint: str, service: str, request: Message) -> None:
    """Send a request to a service of OTLP."""
    with grpc.insecure_channel(endpoint) as channel:
        export = channel.unary_unary(
            f"/opentelemetry.proto.collector.{service}/Export", bytes, bytes
        )
        export(request.SerializeToString(), timeout=10)


def send_traces(endpoint: str, *names: str) -> None:
    """Send a request with spans of these names."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for name in names:
        spans.add(name=name)
    send(endpoint, "trace.v1.TraceService", request)


class TestOtlpSink:
    def test_keeps_spans_in_order(self) -> None:
        """Of all requests, copies too; after its end as well."""
        with OtlpSink() as sink:
            send_traces(sink.endpoint, "one", "two")
            send_traces(sink.endpoint, "two")

        assert [span.name for span in sink.list_spans()] == ["one", "two", "two"]
        assert (sink.list_events(), sink.list_metrics()) == ([], [])

    def test_keeps_events(self) -> None:
        """Log records with what they say."""
        request = ExportLogsServiceRequest()
        records = request.resource_logs.add().scope_logs.add().log_records
        records.add(event_name="gen_ai.evaluation.result", span_id=b"s" * 8)
        with OtlpSink() as sink:
            send(sink.endpoint, "logs.v1.LogsService", request)

        (event,) = sink.list_events()
        assert (event.event_name, event.span_id) == ("gen_ai.evaluation.result", b"s" * 8)

    def test_keeps_metrics(self) -> None:
        """Each as often as it was sent."""
        request = ExportMetricsServiceRequest()
        request.resource_metrics.add().scope_metrics.add().metrics.add(name="cert.scorer.records")
        with OtlpSink() as sink:
            for _ in range(2):
                send(sink.endpoint, "metrics.v1.MetricsService", request)

        assert [metric.name for metric in sink.list_metrics()] == ["cert.scorer.records"] * 2

    def test_takes_what_is_larger_than_grpc_allows(self) -> None:
        """Five megabytes, which a server refuses that says nothing of its limit."""
        with OtlpSink() as sink:
            send_traces(sink.endpoint, "x" * 5_000_000)

        assert len(sink.list_spans()) == 1

    def test_comes_back_at_its_port(self) -> None:
        """With what it had kept."""
        sink = OtlpSink()
        with sink:
            endpoint = sink.endpoint
            send_traces(endpoint, "before")
        with sink:
            send_traces(endpoint, "after")

        assert [span.name for span in sink.list_spans()] == ["before", "after"]

    def test_has_no_address_before_it_runs(self) -> None:
        """The message says what is missing."""
        with pytest.raises(RuntimeError, match="use it in a with block"):
            _ = OtlpSink().url
