"""The SDK over a transport inside the process, instrumented, and what was recorded of it."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import httpx2
import openai
import pytest

from cert_otel import config
from cert_otel.capture._finalisers import drain
from cert_otel.capture._guard import error_counts
from cert_otel.testing import MetricCapture, SpanCapture
from cert_otel_instrumentations.openai import OpenAIInstrumentor

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator


class Desk:
    """An instrumented process with a provider that answers what it is given."""

    def __init__(self, stack: ExitStack) -> None:
        self.spans = stack.enter_context(SpanCapture())
        self.metrics = stack.enter_context(MetricCapture())
        self.bodies: list[Any] = []
        """What was sent, decoded."""
        self._stack = stack
        OpenAIInstrumentor().instrument(
            skip_dep_check=True,
            tracer_provider=self.spans.tracer_provider,
            meter_provider=self.metrics.meter_provider,
        )

    def open(self, *replies: Any, kind: str = "OpenAI", **options: Any) -> Any:
        """Return a client; a mapping is answered as JSON, a list as an event stream."""
        answers = iter(replies)

        def answer(request: httpx2.Request) -> httpx2.Response:
            content = request.read()
            is_json = request.headers.get("content-type") == "application/json"
            self.bodies.append(json.loads(content) if content and is_json else content)
            return _render(next(answers))

        http_client = httpx2.Client(transport=httpx2.MockTransport(answer))
        settings = {"api_key": "test", "max_retries": 0, "http_client": http_client} | options
        return self._stack.enter_context(getattr(openai, kind)(**settings))

    def chat(self, *replies: Any, messages: Any = None, **options: Any) -> Any:
        """Ask for one chat completion and read it to its end."""
        asked = [{"role": "user", "content": "Hello"}] if messages is None else messages
        create = self.open(*replies).chat.completions.create
        result = create(**{"model": "gpt-4o", "messages": asked} | options)
        return list(result) if options.get("stream") else result

    @property
    def span(self) -> dict[str, Any]:
        """The one span that ended."""
        [span] = self.spans.spans()
        return span

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the one span that ended."""
        attributes: dict[str, Any] = self.span["attributes"]
        return attributes

    def content(self, name: str) -> Any:
        """Return a content attribute of the one span, decoded."""
        return json.loads(self.attributes[name])


def _render(reply: Any) -> httpx2.Response:
    if isinstance(reply, list):
        events = "".join(f"data: {json.dumps(event)}\n\n" for event in reply)
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, content=f"{events}data: [DONE]\n\n")
    return reply if isinstance(reply, httpx2.Response) else httpx2.Response(200, json=reply)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Return an instrumented process."""
    with ExitStack() as stack:
        yield Desk(stack)
        drain()
        OpenAIInstrumentor().uninstrument()


@pytest.fixture
def content_on() -> None:
    """Capture content on spans."""
    config.configure(capture_content=True)


@pytest.fixture(autouse=True)
def swallowed() -> Iterator[Counter[str]]:
    """Fail where telemetry swallowed an error, unless the test empties this counter."""
    error_counts.clear()
    yield error_counts
    unexpected = dict(error_counts)
    error_counts.clear()
    assert unexpected == {}
