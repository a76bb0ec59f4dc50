"""Jaeger, a backend that takes traces alone: the scores hang under the model call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from collector_harness import find_port
from peer_application import SERVICE
from peer_harness import CertServe, Program, fetch_json, list_scores
from peer_programs import get_program
from trace_only import send_trace

from cert_otel import semconv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STORE: Final = "memory"


class Jaeger:
    """The whole of it in one process, which forgets all when it ends."""

    def __init__(self, folder: Path) -> None:
        self.endpoint = f"127.0.0.1:{find_port()}"
        """OTLP/gRPC."""
        self.page = f"127.0.0.1:{find_port()}"
        settings = {
            "service": {
                "extensions": ["jaeger_storage", "jaeger_query"],
                "pipelines": {
                    "traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}
                },
                "telemetry": {"metrics": {"level": "none"}},
            },
            "extensions": {
                "jaeger_storage": {"backends": {STORE: {"memory": {"max_traces": 1000}}}},
                "jaeger_query": {
                    "storage": {"traces": STORE},
                    "http": {"endpoint": self.page},
                    "grpc": {"endpoint": f"127.0.0.1:{find_port()}"},
                },
            },
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": self.endpoint}}}},
            "exporters": {"jaeger_storage_exporter": {"trace_storage": STORE}},
        }
        config = folder / "jaeger.yaml"
        config.write_bytes(msgspec.json.encode(settings))  # JSON is YAML
        self.program = Program(
            [get_program("jaeger"), "--config", config],
            log=folder / "jaeger.log",
            ready=self.page,
        )

    def list_spans(self, trace_id: str) -> list[dict[str, Any]]:
        """Return the spans of a trace, as its own page shows them."""
        (trace,) = fetch_json(f"http://{self.page}/api/traces/{trace_id}")["data"]
        processes: dict[str, dict[str, Any]] = trace["processes"]
        return [
            span | {"service": processes[span["processID"]]["serviceName"]}
            for span in trace["spans"]
        ]


@pytest.fixture
def jaeger(tmp_path: Path) -> Iterator[Jaeger]:
    jaeger = Jaeger(tmp_path)
    with jaeger.program:
        yield jaeger


def read_tags(span: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a span."""
    return {tag["key"]: tag["value"] for tag in span["tags"]}


class TestThroughTheCollector:
    def test_scores_hang_under_the_call(
        self, tmp_path: Path, jaeger: Jaeger, service: CertServe
    ) -> None:
        """trace-only-backend.yaml: Jaeger has the trace, and a child of the call for each score."""
        sent, record, spans = send_trace(tmp_path, service, jaeger.endpoint, jaeger.list_spans)
        scores = list_scores(record)

        names = {span["spanID"]: span["operationName"] for span in spans}
        assert names[sent.root] == "handle request"
        assert names[sent.call] == "chat gpt-4o"
        children = [span for span in spans if span["spanID"] not in {sent.root, sent.call}]
        assert {tuple(parent["spanID"] for parent in one["references"]) for one in children} == {
            (sent.call,)
        }
        assert {one["operationName"] for one in children} == {f"evaluate {name}" for name in scores}
        tags = [read_tags(one) for one in children]
        assert {
            one[semconv.EVALUATION_NAME]: one[semconv.EVALUATION_SCORE_VALUE] for one in tags
        } == scores
        assert {one[semconv.SCORER_MODEL] for one in tags} == {record.scorer}
        assert {one[semconv.SCOPE_NAME] for one in tags} == {semconv.Scope.SCORER}
        assert {span["service"] for span in spans} == {SERVICE}
        assert [one["warnings"] for one in children if one.get("warnings")] == []
