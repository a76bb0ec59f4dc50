"""certscore in the built collector: scores on the spans that the backend receives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from collector_harness import TRACES, Chain, Sink, list_spans, wait_until
from mixed_spans import make_mixed
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cert_otel import semconv
from cert_otel.service.proto import scorer_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def score_all(
    request: scorer_pb2.SubmitRequest, context: grpc.ServicerContext
) -> scorer_pb2.SubmitResponse:
    """Give every span a perplexity of 2."""
    assert context.is_active()
    sent = ExportTraceServiceRequest.FromString(request.otlp_traces)
    response = scorer_pb2.SubmitResponse(inbox_token="1")
    for key, _ in list_spans(sent):
        response.scores.add(
            trace_id=key[:16],
            span_id=key[16:],
            status=scorer_pb2.STATUS_SCORED,
            perplexity=2.0,
            scorer="test",
        )
    return response


SCORER = grpc.method_handlers_generic_handler(
    "cert.scorer.v1.Scorer",
    {
        "Submit": grpc.unary_unary_rpc_method_handler(
            score_all,
            request_deserializer=scorer_pb2.SubmitRequest.FromString,
            response_serializer=scorer_pb2.SubmitResponse.SerializeToString,
        )
    },
)


@pytest.fixture
def inline(tmp_path: Path) -> Iterator[Chain]:
    """The in-line variant, with a scorer that answers at once."""
    with (
        Sink([SCORER]) as scorer,
        Sink() as backend,
        Chain(tmp_path, scorer, backend, overlays=["inline.yaml"]) as chain,
    ):
        chain.collector.start()
        yield chain


def list_attributes(sink: Sink, name: str) -> list[Any]:
    """Return the value that each span at a sink has for an attribute."""
    return [
        next((pair.value for pair in span.attributes if pair.key == name), None)
        for request in sink.list_requests(TRACES)
        for resource in ExportTraceServiceRequest.FromString(request).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


class TestInline:
    def test_scores_are_on_the_spans(self, inline: Chain) -> None:
        """Each span of a model call leaves with its score."""
        inline.send(*make_mixed(200))
        wait_until(lambda: len(inline.backend.list_ids()) == 200, what="200 spans at the backend")

        perplexities = list_attributes(inline.backend, semconv.TRAJECTORY_PERPLEXITY)
        assert [value.double_value for value in perplexities] == [2.0] * 200

    def test_without_a_scorer_spans_are_deferred(self, inline: Chain) -> None:
        """A scorer that is away costs no span, and the branch beside scores it later."""
        assert isinstance(inline.scorer, Sink)
        inline.scorer.stop()

        inline.send(*make_mixed(100))
        wait_until(lambda: len(inline.backend.list_ids()) == 100, what="100 spans at the backend")

        statuses = list_attributes(inline.backend, semconv.SCORE_STATUS)
        assert [value.string_value for value in statuses] == ["deferred"] * 100
        inline.scorer.start()
        wait_until(
            lambda: len(set(inline.scorer.list_ids())) == 100,  # type: ignore[attr-defined]  # see above
            what="100 spans at the scorer",
        )
