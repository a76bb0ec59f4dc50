"""An application with the OpenTelemetry SDK: a request with a model call in it, as spans."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as ByGrpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as ByHttp
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cert_otel import semconv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

SERVICE = "support"
ANSWER = "The Eiffel Tower is in Paris. It was finished in 1889."
CALL: Mapping[str, str | int] = {
    semconv.OPERATION_NAME: semconv.OPERATION_CHAT,
    semconv.PROVIDER_NAME: "openai",
    semconv.REQUEST_MODEL: "gpt-4o",
    semconv.RESPONSE_MODEL: "gpt-4o-2024-08-06",
    semconv.USAGE_INPUT_TOKENS: 12,
    semconv.USAGE_OUTPUT_TOKENS: 14,
    semconv.INPUT_MESSAGES: json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": "Where is the Eiffel Tower?"}]}]
    ),
    semconv.OUTPUT_MESSAGES: json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": ANSWER}]}]
    ),
    semconv.CONTEXT: json.dumps([{"text": "The Eiffel Tower in Paris was finished in 1889."}]),
}


class Sent(NamedTuple):
    """Ids of a request, hexadecimal."""

    trace_id: str
    root: str
    call: str
    """The span of the model call, below the root."""


def make_request() -> tuple[Sent, list[ReadableSpan]]:
    """Handle a request with a model call in it: its ids, and its spans, not sent yet."""
    kept = InMemorySpanExporter()
    resource = Resource({semconv.SERVICE_NAME: SERVICE})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("application")
    with (
        tracer.start_as_current_span("handle request") as root,
        tracer.start_as_current_span("chat gpt-4o", attributes=CALL) as call,
    ):
        """A model would be called here."""
    spans = list(kept.get_finished_spans())
    provider.shutdown()
    outer, inner = root.get_span_context(), call.get_span_context()
    return Sent(f"{outer.trace_id:032x}", f"{outer.span_id:016x}", f"{inner.span_id:016x}"), spans


def export(spans: Sequence[ReadableSpan], exporter: SpanExporter) -> None:
    """Send spans, and insist that they are taken."""
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    exporter.shutdown()


def send_by_grpc(endpoint: str) -> Sent:
    """Send a request's spans to HOST:PORT."""
    sent, spans = make_request()
    export(spans, ByGrpc(endpoint=endpoint, insecure=True))
    return sent


def send_by_http(url: str) -> Sent:
    """Send a request's spans to http://HOST:PORT/v1/traces."""
    sent, spans = make_request()
    export(spans, ByHttp(endpoint=url))
    return sent
