"""Spans of every dialect and of none, each with an id of its own."""

from __future__ import annotations

import json
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[3]
GOLDEN: Final = ROOT / "tests" / "wire" / "golden"
MARKS: Final = ROOT / "collector" / "testdata" / "marks.json"


@cache
def read_peers() -> tuple[ExportTraceServiceRequest, ...]:
    """Return what each peer's instrumentation sent: golden payloads."""
    return tuple(
        ExportTraceServiceRequest.FromString(path.read_bytes())
        for path in sorted(GOLDEN.glob("*/spans.pb"))
    )


def make_marked() -> tuple[ExportTraceServiceRequest, set[bytes]]:
    """Return a span for each vector of the marks, and the ids of those that tell of a model."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    vectors: list[dict[str, Any]] = json.loads(MARKS.read_text(encoding="utf-8"))["spans"]
    models = set()
    for number, vector in enumerate(vectors, start=1):
        span = spans.add(
            trace_id=b"marks".ljust(16), span_id=number.to_bytes(8, "big"), name="span"
        )
        for name in vector["attributes"]:
            span.attributes.add(key=name).value.string_value = "x"
        if vector["model"]:
            models.add(span.trace_id + span.span_id)
    return request, models


def make_mixed(count: int, *, batch: int = 64, start: int = 0) -> list[ExportTraceServiceRequest]:
    """Return `count` spans of all peers by turns, with ids that count from `start`."""
    sources = islice(cycle(_list_sources()), count)
    requests: list[ExportTraceServiceRequest] = []
    for number, (resource, scope, span) in enumerate(sources, start=start):
        if (number - start) % batch == 0:
            requests.append(ExportTraceServiceRequest())
        into = requests[-1].resource_spans.add(resource=resource)
        copy = into.scope_spans.add(scope=scope).spans.add()
        copy.CopyFrom(span)
        copy.trace_id = (number // 8 + 1).to_bytes(16, "big")
        copy.span_id = (number + 1).to_bytes(8, "big")
    return requests


def make_plain(count: int, *, start: int = 0) -> ExportTraceServiceRequest:
    """Return spans that tell of no model, whose ids are in none of `make_mixed`."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number in range(start, start + count):
        span = spans.add(
            trace_id=b"plain".ljust(16), span_id=(number + 1).to_bytes(8, "big"), name="GET /"
        )
        span.status.SetInParent()  # as the collector writes it: bytes are compared
        span.attributes.add(key="http.request.method").value.string_value = "GET"
    return request


def _list_sources() -> Iterator[tuple[Any, Any, Any]]:
    return (
        (resource.resource, scope.scope, span)
        for request in read_peers()
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )
