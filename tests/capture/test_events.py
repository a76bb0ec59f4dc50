"""Content as an event: `gen_ai.client.inference.operation.details`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from cert_otel import config
from cert_otel.capture import text_part, tool_call_part
from cert_otel.records import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.capture.conftest import Bench

    from cert_otel.capture import Call

CONTENT = {
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
}
SWITCH = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


class Listener:
    """A bench with somebody who hears its events."""

    def __init__(self, bench: Bench, exporter: InMemoryLogRecordExporter) -> None:
        self.bench = bench
        self._exporter = exporter

    @property
    def events(self) -> list[Any]:
        """The log records so far."""
        return [data.log_record for data in self._exporter.get_finished_logs()]

    @property
    def event(self) -> Any:
        """The one log record."""
        [event] = self.events
        return event


@pytest.fixture
def listener(make_bench: Callable[..., AbstractContextManager[Bench]]) -> Iterator[Listener]:
    """Return a bench whose logger provider is its own."""
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    with make_bench(logger_provider=provider) as bench:
        yield Listener(bench, exporter)


def ask(call: Call) -> None:
    """Ask with instructions and a tool."""
    call.attributes["gen_ai.request.temperature"] = 0.5
    if call.captures_content:
        call.system_instructions = [text_part("Be brief.")]
        call.input_messages = [{"role": "user", "parts": [text_part("Hi")]}]
        call.tools = [{"type": "function", "name": "find", "depth": 2**70}]


def answer(call: Call) -> None:
    """Answer with a text and a tool call."""
    call.response_id = "r-1"
    call.usage = Usage(input_tokens=12, output_tokens=5)
    if call.captures_content:
        call.output_messages = [
            {
                "role": "assistant",
                "parts": [
                    text_part("Yes"),
                    tool_call_part(call_id="c", name="find", arguments='{"q": [1]}'),
                ],
            }
        ]


def switch(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Turn OpenTelemetry's own switch."""
    monkeypatch.setenv(SWITCH, value)
    config.reset()


class TestEventOnly:
    @pytest.fixture(autouse=True)
    def _on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        switch(monkeypatch, "EVENT_ONLY")

    def test_the_event(self, listener: Listener) -> None:
        """Content as data, beside the attributes of the span."""
        listener.bench.begin(ask).succeed(answer)

        event = listener.event
        assert event.event_name == "gen_ai.client.inference.operation.details"
        attributes = dict(event.attributes)
        assert {name: _plain(attributes[name]) for name in CONTENT} == {
            "gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}],
            "gen_ai.input.messages": [
                {"role": "user", "parts": [{"type": "text", "content": "Hi"}]}
            ],
            "gen_ai.output.messages": [
                {
                    "role": "assistant",
                    "parts": [
                        {"type": "text", "content": "Yes"},
                        {
                            "type": "tool_call",
                            "id": "c",
                            "name": "find",
                            "arguments": {"q": [1]},
                        },
                    ],
                }
            ],
            "gen_ai.tool.definitions": [{"type": "function", "name": "find", "depth": None}],
        }
        assert {
            name: value
            for name, value in attributes.items()
            if name.startswith(("gen_ai.r", "gen_ai.u"))
        } == {
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.request.temperature": 0.5,
            "gen_ai.response.id": "r-1",
            "gen_ai.usage.input_tokens": 12,
            "gen_ai.usage.output_tokens": 5,
        }
        assert attributes["gen_ai.operation.name"] == "chat"
        assert attributes["gen_ai.provider.name"] == "openai"

    def test_it_belongs_to_the_span(self, listener: Listener) -> None:
        """Trace and span ids are those of the call."""
        listener.bench.begin(ask).succeed(answer)

        [span] = listener.bench.spans.finished
        assert span.context is not None
        assert (listener.event.trace_id, listener.event.span_id) == (
            span.context.trace_id,
            span.context.span_id,
        )

    def test_nothing_is_on_the_span(self, listener: Listener) -> None:
        """The span has the figures and none of the texts."""
        listener.bench.begin(ask).succeed(answer)

        assert CONTENT.isdisjoint(listener.bench.attributes)
        assert listener.bench.attributes["gen_ai.usage.input_tokens"] == 12
        assert "Hi" not in repr(listener.bench.span)

    def test_errors_say_nothing_on_the_span(self, listener: Listener) -> None:
        """An error's text is content."""
        listener.bench.begin(ask).fail(LookupError("you said Hi"))

        assert "you said" not in repr(listener.bench.span)
        assert listener.event.attributes["error.type"] == "LookupError"

    def test_it_is_redacted(self, listener: Listener) -> None:
        """As on spans, before anything is attached."""
        config.configure(redact="Hi|Yes")
        listener.bench.begin(ask).succeed(answer)

        shown = repr(dict(listener.event.attributes))
        assert "Hi" not in shown
        assert "Yes" not in shown
        assert shown.count("[REDACTED]") == 2


class TestBoth:
    def test_span_and_event(self, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
        """The texts are in both places: as JSON on the span, as data on the event."""
        switch(monkeypatch, "SPAN_AND_EVENT")
        listener.bench.begin(ask).succeed(answer)

        on_span = listener.bench.attributes
        assert on_span.keys() >= CONTENT
        assert on_span["gen_ai.input.messages"] == (
            '[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]'
        )
        assert _plain(listener.event.attributes["gen_ai.input.messages"]) == [
            {"role": "user", "parts": [{"type": "text", "content": "Hi"}]}
        ]


class TestOff:
    @pytest.mark.parametrize("value", ["", "NO_CONTENT", "SPAN_ONLY", "true"])
    def test_no_event(
        self, listener: Listener, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        """Nobody asked for events."""
        switch(monkeypatch, value)
        listener.bench.begin(ask).succeed(answer)

        assert listener.events == []

    def test_span_only(self, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
        """The texts are on the span alone."""
        switch(monkeypatch, "SPAN_ONLY")
        listener.bench.begin(ask).succeed(answer)

        assert listener.bench.attributes.keys() >= CONTENT

    def test_nobody_listens(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a logger provider an event goes nowhere, and nothing is counted as an error."""
        switch(monkeypatch, "EVENT_ONLY")
        bench.begin(ask).succeed(answer)

        assert bench.attributes["gen_ai.usage.input_tokens"] == 12


def _plain(value: Any) -> Any:
    """Return the SDK's frozen attributes as JSON has them."""
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if hasattr(value, "items"):
        return {key: _plain(item) for key, item in value.items()}
    return value
