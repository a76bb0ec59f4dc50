"""A call from the inside: an endpoint that does what the test says, and telemetry to look at."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry import trace

from cert_otel import semconv
from cert_otel.capture import Call, Target, Telemetry, _fingerprint, begin_call
from cert_otel.capture._finalisers import drain
from cert_otel.capture._guard import error_counts
from cert_otel.testing import MetricCapture, SpanCapture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from opentelemetry._logs import LoggerProvider

    from cert_otel.records import Kind

    Fill = Callable[[Call], None]

OPENAI: Final = Target("openai", "openai", "api.openai.com", None)


def fill_nothing(_: Call) -> None:
    """Leave the call as it is."""


class ScriptedReader:
    """A stream's reader whose chunks are functions that fill the call."""

    def __init__(self, call: Call, at_close: Fill) -> None:
        self._call = call
        self._at_close = at_close

    def read(self, chunk: Fill) -> None:
        """Let the chunk do its work."""
        chunk(self._call)

    def close(self) -> None:
        """Fill in what the stream gathered."""
        self._at_close(self._call)


class ScriptedEndpoint:
    """An endpoint whose requests and replies are functions that fill the call."""

    def __init__(self, operation: str, kind: Kind | None, at_close: Fill) -> None:
        self.operation = operation
        self.kind = kind
        self._at_close = at_close

    def read_request(self, call: Call, request: Fill) -> None:
        """Let the request do its work."""
        request(call)

    def read_reply(self, call: Call, reply: Fill) -> None:
        """Let the reply do its work."""
        reply(call)

    def open_stream(self, call: Call) -> ScriptedReader:
        """Return a reader of the same kind."""
        return ScriptedReader(call, self._at_close)


class Bench:
    """Telemetry of its own, and calls to try it with."""

    def __init__(self, *, logger_provider: LoggerProvider | None = None) -> None:
        self.spans = SpanCapture()
        self.metrics = MetricCapture()
        self.telemetry = Telemetry(
            "bench",
            "1",
            tracer_provider=self.spans.tracer_provider,
            meter_provider=self.metrics.meter_provider,
            logger_provider=logger_provider,
        )

    def try_begin(
        self,
        request: Fill = fill_nothing,
        *,
        operation: str = semconv.OPERATION_CHAT,
        kind: Kind | None = None,
        model: str | None = "gpt-4o",
        target: Target = OPENAI,
        stream: bool = False,
        at_close: Fill = fill_nothing,
    ) -> Call | None:
        """Begin a call, which may be suppressed."""
        endpoint = ScriptedEndpoint(operation, kind, at_close)
        return begin_call(
            self.telemetry, endpoint, target, model=model, request=request, stream=stream
        )

    def begin(self, request: Fill = fill_nothing, **options: Any) -> Call:
        """Begin a call."""
        call = self.try_begin(request, **options)
        assert call is not None
        return call

    def run(self, reply: Fill = fill_nothing, **options: Any) -> dict[str, Any]:
        """Make a whole call and return its span."""
        self.begin(**options).succeed(reply)
        return self.span

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

    def point(self, name: str) -> dict[str, Any]:
        """Return the one data point of a metric."""
        [point] = [point for point in self.metrics.points() if point["name"] == name]
        return point


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Return a bench whose providers are nobody's global."""
    made = Bench()
    with made.spans, made.metrics:
        yield made
        drain()


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[SpanCapture]:
    """Be an application that set its own tracer provider, which `@trace` and `log_call` join."""
    with SpanCapture() as capture:
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", capture.tracer_provider)
        yield capture
        drain()


@pytest.fixture(autouse=True)
def swallowed() -> Iterator[Counter[str]]:
    """Fail where telemetry swallowed an error, unless the test empties this counter."""
    error_counts.clear()
    yield error_counts
    unexpected = Counter(error_counts)
    error_counts.clear()
    assert unexpected == Counter()


@pytest.fixture(autouse=True)
def _silent(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail where an operator would read a warning, of the SDK's for instance."""
    yield
    assert [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.levelno >= logging.WARNING
    ] == []


@pytest.fixture(autouse=True)
def _no_key_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget where a test before kept its key."""
    monkeypatch.setattr(_fingerprint, "_key_path", None)


@pytest.fixture
def make_bench() -> Callable[..., AbstractContextManager[Bench]]:
    """Return what makes a bench in the middle of a test, for one example of many."""
    from contextlib import contextmanager  # noqa: PLC0415 - beside its only use

    @contextmanager
    def make(**options: Any) -> Iterator[Bench]:
        made = Bench(**options)
        with made.spans, made.metrics:
            yield made

    return make
