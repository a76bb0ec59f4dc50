"""rotel, an agent in Rust: between an application and us, and behind our outbox."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from collector_harness import LOGS, METRICS, ROOT, TRACES, Sink, find_port
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from peer_application import send_by_grpc, send_by_http
from peer_harness import CertServe, Program, list_scores, wait_for
from peer_programs import get_program, make_rotel_environ

from cert_otel import semconv
from cert_otel.errors import InboxFullError
from cert_otel.wire.otlp_proto import read_traces

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest
    from peer_application import Sent
    from peer_harness import CertServe
    from tests.service.conftest import Running

PAGE: Final = (ROOT / "docs" / "collector.md").read_text(encoding="utf-8")


@contextmanager
def run_rotel(folder: Path, *, to: str) -> Iterator[tuple[str, str]]:
    """Run an agent that sends what it gets to HOST:PORT; yield its own gRPC and HTTP addresses."""
    by_grpc, by_http = (f"127.0.0.1:{find_port()}" for _ in range(2))
    (documented,) = re.findall(r"^rotel-agent (.*)$", PAGE, re.MULTILINE)
    places = {"127.0.0.1:14317": by_grpc, "http://127.0.0.1:4317": f"http://{to}"}
    command = [
        str(get_program("rotel")),
        *(places.get(part, part) for part in documented.split()),
        *("--batch-timeout", "50ms", "--otlp-http-endpoint", by_http),
    ]
    log = folder / "rotel.log"
    with Program(command, log=log, environ=make_rotel_environ(), ready=by_http):
        yield by_grpc, by_http


def list_spans(sink: Sink) -> list[Any]:
    """Return the spans that a backend has."""
    return [
        span
        for body in sink.list_requests(TRACES)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def list_events(sink: Sink) -> list[Any]:
    """Return the log records that a backend has."""
    return [
        event
        for body in sink.list_requests(LOGS)
        for resource in ExportLogsServiceRequest.FromString(body).resource_logs
        for scope in resource.scope_logs
        for event in scope.log_records
    ]


def list_metrics(sink: Sink) -> list[Any]:
    """Return the metrics that a backend has."""
    return [
        metric
        for body in sink.list_requests(METRICS)
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]


def read_attributes(message: Any) -> dict[str, Any]:
    """Return attributes as plain values."""
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in message.attributes
    }


class TestSender:
    def test_agent_in_front(self, tmp_path: Path, service: CertServe) -> None:
        """What an application sends through rotel, by either protocol, becomes its records."""
        service.start(scorer={"enabled": False})
        with run_rotel(tmp_path, to=service.endpoint) as (by_grpc, by_http):
            sent = [send_by_grpc(by_grpc), send_by_http(f"http://{by_http}/v1/traces")]
            records = service.wait_for_records(len(sent))

        assert {(one.trace_id, one.span_id) for one in records} == {
            (one.trace_id, one.call) for one in sent
        }

    def test_refused_for_now(
        self, tmp_path: Path, receiver: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the service refuses for now rotel sends again, and it comes in once."""
        refuse_some(receiver, monkeypatch, times=2)
        to = f"127.0.0.1:{receiver.receiver.grpc_port}"
        with run_rotel(tmp_path, to=to) as (by_grpc, _):
            sent = [send_by_grpc(by_grpc) for _ in range(10)]
            wait_for(lambda: len(list_ids(receiver)) >= 2 * len(sent), what="spans in the inbox")

        ids = [span_id for one in sent for span_id in (one.root, one.call)]
        assert Counter(list_ids(receiver)) == Counter(ids)


def refuse_some(running: Running, monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
    """Have the inbox be full for the first requests."""
    inbox = running.receiver.inbox
    take, left = inbox.append, [InboxFullError("inbox", "holds enough", retry_after_s=1)] * times

    def append(payload: Any) -> Any:
        if left:
            raise left.pop()
        return take(payload)

    monkeypatch.setattr(inbox, "append", append)


def list_ids(running: Running) -> list[str | None]:
    """Return the id of each span that was taken."""
    return [span.span_id for body in running.read_bodies() for span in read_traces(body).spans]


class TestSink:
    def test_outbox_goes_on_through_the_agent(self, tmp_path: Path, service: CertServe) -> None:
        """Child spans, events and metrics that rotel took are at its backend with the right ids."""
        with Sink() as backend, run_rotel(tmp_path, to=backend.endpoint) as (by_grpc, _):
            service.start(
                deliver={
                    "to": ["span", "event"],
                    "endpoint": f"http://{by_grpc}",
                    "metrics": True,
                }
            )
            sent = send_by_grpc(service.endpoint)
            (record,) = service.wait_for_records(1)
            scores = list_scores(record)
            wait_for(lambda: len(list_spans(backend)) >= len(scores), what="child spans")
            wait_for(lambda: len(list_events(backend)) >= len(scores), what="events")
            wait_for(lambda: list_metrics(backend), what="metrics")

        assert_are_scores(list_spans(backend), sent, scores)
        events = list_events(backend)
        assert {(one.trace_id.hex(), one.span_id.hex()) for one in events} == {
            (sent.trace_id, sent.call)
        }
        assert read_scores(events) == scores
        (records,) = [
            one for one in list_metrics(backend) if one.name == semconv.METRIC_SCORED_RECORDS
        ]
        assert [point.as_int for point in records.sum.data_points] == [1]


def assert_are_scores(spans: list[Any], sent: Sent, scores: dict[str, float | None]) -> None:
    """Insist on one span a score, below the model call."""
    assert {(one.trace_id.hex(), one.parent_span_id.hex()) for one in spans} == {
        (sent.trace_id, sent.call)
    }
    assert {one.name for one in spans} == {f"evaluate {name}" for name in scores}
    assert read_scores(spans) == scores


def read_scores(messages: list[Any]) -> dict[str, float | None]:
    """Return name and score of each result."""
    found = [read_attributes(one) for one in messages]
    return {one[semconv.EVALUATION_NAME]: one.get(semconv.EVALUATION_SCORE_VALUE) for one in found}
