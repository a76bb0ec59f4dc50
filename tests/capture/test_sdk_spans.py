"""Spans begun by a shorter way: who looks at the attributes of a starting span finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
)

from cert_otel.capture._sdk_spans import SpanStarter

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Span
    from opentelemetry.trace import Span as AnySpan

ATTRIBUTES = {"gen_ai.operation.name": "chat", "server.port": 443}


class Noting(SpanProcessor):
    """Notes the attributes that a span starts with."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 - the interface
        """Note them."""
        self.seen.append(dict(span.attributes or {}))


class OnlyChat(Sampler):
    """Keeps what says at its start that it is a chat."""

    def should_sample(  # noqa: PLR0917 - the interface
        self,
        parent_context: Context | None,  # noqa: ARG002 - the interface
        trace_id: int,  # noqa: ARG002 - the interface
        name: str,  # noqa: ARG002 - the interface
        kind: Any = None,  # noqa: ARG002 - the interface
        attributes: Any = None,
        links: Any = None,  # noqa: ARG002 - the interface
        trace_state: Any = None,  # noqa: ARG002 - the interface
    ) -> SamplingResult:
        """Decide by the operation."""
        is_chat = (attributes or {}).get("gen_ai.operation.name") == "chat"
        return SamplingResult(Decision.RECORD_AND_SAMPLE if is_chat else Decision.DROP, attributes)

    def get_description(self) -> str:
        """Say what this is."""
        return "OnlyChat"


def start(provider: TracerProvider) -> AnySpan:
    """Start a span of a provider."""
    starter = SpanStarter(provider.get_tracer("test"))
    return starter.start("chat", dict(ATTRIBUTES), parent=Context(), at_ns=1_000)


def make(sampler: Sampler | None = None) -> TracerProvider:
    """Make a provider with an exporter of the SDK's own."""
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    return provider


class TestStart:
    @pytest.mark.parametrize("sampler", [None, ALWAYS_ON, OnlyChat(), ParentBased(OnlyChat())])
    def test_the_span_has_them_whoever_samples(self, sampler: Sampler | None) -> None:
        """A sampler that decides by attributes decides by these."""
        span: Any = start(make(sampler))

        assert span.is_recording()
        assert dict(span.attributes) == ATTRIBUTES
        assert (span.name, span.start_time, span.kind.name) == ("chat", 1_000, "CLIENT")

    def test_a_span_that_is_sampled_out_takes_none(self) -> None:
        """Nothing is kept of it, and nothing is raised."""
        assert not start(make(ALWAYS_OFF)).is_recording()

    def test_a_processor_finds_them_at_the_start(self) -> None:
        """Also one that came when calls had been made before."""
        provider, noting = make(), Noting()
        starter = SpanStarter(provider.get_tracer("test"))
        starter.start("chat", dict(ATTRIBUTES), parent=Context(), at_ns=1_000)
        provider.add_span_processor(noting)
        starter.start("chat", dict(ATTRIBUTES), parent=Context(), at_ns=1_000)

        assert noting.seen == [ATTRIBUTES]
