"""Arize Phoenix: scores as annotations of the span that it has, or as child spans."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import pytest
from collector_harness import Chain, Sink, find_port
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from peer_application import export, make_request, send_by_grpc
from peer_harness import CertServe, Program, fetch_json, list_scores, read_counts, wait_for
from peer_programs import get_program
from trace_only import send_trace

from cert_otel import semconv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cert_otel.records import Record

PROJECT = "default"
"""Where Phoenix puts spans whose resource names none."""


class Phoenix:
    """Phoenix with SQLite in a folder."""

    def __init__(self, folder: Path) -> None:
        port, grpc_port = find_port(), find_port()
        self.endpoint = f"127.0.0.1:{grpc_port}"
        """OTLP/gRPC."""
        self.page = f"http://127.0.0.1:{port}"
        environ = {
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(grpc_port),
            "PHOENIX_WORKING_DIR": str(folder / "phoenix"),
            "PHOENIX_TELEMETRY_ENABLED": "false",
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        }
        self.program = Program(
            [get_program("phoenix"), "serve"],
            log=folder / "phoenix.log",
            environ=os.environ | environ,
            ready=f"127.0.0.1:{port}",
        )

    def list_annotations(self, span_id: str) -> list[dict[str, Any]]:
        """Return the annotations of a span; none while Phoenix does not have it."""
        address = f"{self.page}/v1/projects/{PROJECT}/span_annotations?limit=100&span_ids={span_id}"
        return self._list(address)

    def list_spans(self, trace_id: str) -> list[dict[str, Any]]:
        """Return the spans of a trace; none while Phoenix does not have it."""
        return self._list(f"{self.page}/v1/projects/{PROJECT}/spans?limit=100&trace_id={trace_id}")

    def _list(self, address: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = fetch_json(address)["data"]
        except HTTPError as problem:
            if problem.code != 404:
                raise
            return []
        return found


@pytest.fixture
def phoenix(tmp_path: Path) -> Iterator[Phoenix]:
    phoenix = Phoenix(tmp_path)
    with phoenix.program:
        yield phoenix


def assert_are_scores(annotations: list[dict[str, Any]], record: Record) -> None:
    """Insist on one annotation for each score of the record, with its value, label and scorer."""
    assert {one["name"]: one["result"]["score"] for one in annotations} == list_scores(record)
    assert len({one["identifier"] for one in annotations}) == len(annotations)
    (confidence,) = [one for one in annotations if one["name"] == "confidence"]
    assert confidence["result"]["label"] == ("pass" if record.passed else "fail")
    assert {one["metadata"][semconv.SCORER_MODEL] for one in annotations} == {record.scorer}
    assert {one["annotator_kind"] for one in annotations} == {"CODE"}


class TestAnnotations:
    def test_through_the_collector(
        self, tmp_path: Path, phoenix: Phoenix, service: CertServe
    ) -> None:
        """The span that the collector sent to Phoenix has the scores that the service found."""
        (tmp_path / "collector").mkdir()
        with (
            Sink() as backend,
            Chain(
                tmp_path / "collector",
                service,
                backend,
                environment={"BACKEND_TRACES": phoenix.endpoint},
            ) as chain,
        ):
            chain.collector.start()
            service.start(deliver={"to": ["phoenix"], "phoenix_endpoint": phoenix.page})
            sent = send_by_grpc(chain.collector.endpoint)
            (record,) = service.wait_for_records(1)
            annotations = wait_for(
                lambda: phoenix.list_annotations(sent.call), what="annotations in Phoenix"
            )

        assert_are_scores(annotations, record)

    def test_a_span_that_comes_later(self, phoenix: Phoenix, service: CertServe) -> None:
        """Scores wait for their span while others go on, and are stored once when it comes."""
        service.start(deliver={"to": ["phoenix"], "phoenix_endpoint": phoenix.page})
        late, spans = make_request()
        export(spans, OTLPSpanExporter(endpoint=service.endpoint, insecure=True))
        service.wait_for_records(1)
        early, others = make_request()
        export(others, OTLPSpanExporter(endpoint=phoenix.endpoint, insecure=True))
        wait_for(lambda: phoenix.list_spans(early.trace_id), what="a span in Phoenix")
        export(others, OTLPSpanExporter(endpoint=service.endpoint, insecure=True))
        records = {one.span_id: one for one in service.wait_for_records(2)}
        wait_for(lambda: phoenix.list_annotations(early.call), what="annotations in Phoenix")

        assert phoenix.list_annotations(late.call) == []
        (waiting,) = read_counts(service, "cert_outbox_waiting_bytes", "destination").values()
        assert waiting > 0

        export(spans, OTLPSpanExporter(endpoint=phoenix.endpoint, insecure=True))
        annotations = wait_for(
            lambda: phoenix.list_annotations(late.call), what="annotations of the late span"
        )

        assert_are_scores(annotations, records[late.call])
        assert_are_scores(phoenix.list_annotations(early.call), records[early.call])
        wait_for(
            lambda: (
                read_counts(service, "cert_outbox_waiting_bytes", "destination") == {"phoenix": 0}
            ),
            what="a cursor at the end",
        )


class TestSpans:
    def test_scores_hang_under_the_call(
        self, tmp_path: Path, phoenix: Phoenix, service: CertServe
    ) -> None:
        """trace-only-backend.yaml: Phoenix has the trace, and a child of the call for each score."""
        sent, record, spans = send_trace(tmp_path, service, phoenix.endpoint, phoenix.list_spans)
        scores = list_scores(record)

        children = [one for one in spans if one["parent_id"] == sent.call]
        assert {
            one["attributes"][semconv.EVALUATION_NAME]: one["attributes"][
                semconv.EVALUATION_SCORE_VALUE
            ]
            for one in children
        } == scores
        assert {one["name"] for one in children} == {f"evaluate {name}" for name in scores}
