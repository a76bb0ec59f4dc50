"""The same scenario with and without us in one process, and what the application saw of it.

A scenario is written once, for both flavours of the SDK: `Sdk` awaits what is awaitable.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import re
import sys
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import openai
import pytest
from opentelemetry import context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from cert_otel import config
from cert_otel.capture._finalisers import drain
from cert_otel.capture._guard import error_counts
from cert_otel.testing import (
    FakeProvider,
    MetricCapture,
    RecordedRequest,
    SpanCapture,
    route_to,
    route_to_async,
)
from cert_otel_instrumentations.openai import OpenAIInstrumentor

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Iterable,
        Iterator,
        Sequence,
    )
    from types import TracebackType

    from opentelemetry.sdk.trace import ReadableSpan

    from cert_otel.testing import Answers

    Scenario = Callable[["Sdk"], Awaitable[None]]

_RANDOM_HEADERS: Final = frozenset({"idempotency-key", "x-stainless-retry-uuid"})
"""Their values are drawn anew for each request; that they are there is compared all the same."""
_BOUNDARY: Final = re.compile(rb"(?<=boundary=)[0-9a-f]+|(?<=--)[0-9a-f]{32}")
_DRAWN: Final = re.compile(r"(?<=127\.0\.0\.1:)\d+|(?<=cancel scope )[0-9a-f]+")
"""Ports and addresses in the texts of errors: drawn anew for each run."""
_CHANGING: Final = re.compile(r"0x[0-9a-f]+|\d+")
"""Addresses, ports and descriptors in warnings."""


class Entered:
    """A context manager of either flavour as an asynchronous one."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    async def __aenter__(self) -> Any:
        if hasattr(self._manager, "__aenter__"):
            return await self._manager.__aenter__()
        return self._manager.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        if hasattr(self._manager, "__aexit__"):
            return bool(await self._manager.__aexit__(kind, error, traceback))
        return bool(self._manager.__exit__(kind, error, traceback))


class Canned(NamedTuple):
    """One reply, byte for byte, for what no provider would send."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200


class CannedProvider:
    """Answers inside the process; it takes the place of a `FakeProvider`."""

    def __init__(self, replies: Iterable[Canned]) -> None:
        self.requests: list[RecordedRequest] = []
        self._replies = iter(replies)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind."""

    def make_transport(self, *, is_async: bool) -> Any:
        """Return a transport of the HTTP library that the SDK at hand uses."""
        library: Any = sys.modules[openai.DefaultHttpxClient.__mro__[1].__module__.split(".")[0]]

        def answer(request: Any) -> Any:
            self._record(request)
            reply = next(self._replies)
            parts = _split_async(reply.body) if is_async else _split(reply.body)
            headers = {"content-type": reply.content_type, "retry-after-ms": "1"}
            return library.Response(reply.status, headers=headers, content=parts)

        return library.MockTransport(answer)

    def _record(self, request: Any) -> None:
        self.requests.append(
            RecordedRequest(
                number=len(self.requests) + 1,
                method=request.method,
                host=request.url.host,
                path=request.url.path,
                query=dict(request.url.params),
                headers=dict(request.headers),
                body=request.content,
            )
        )


def _split(body: bytes) -> Iterator[bytes]:
    """Yield a body in pieces, as a network would, cut where nobody expects it."""
    for start in range(0, len(body), 100):
        yield body[start : start + 100]


async def _split_async(body: bytes) -> AsyncIterator[bytes]:
    for piece in _split(body):
        yield piece


class Sdk:
    """A client of one flavour, and a note of everything that the application sees of it."""

    def __init__(self, provider: FakeProvider | CannedProvider, *, is_async: bool) -> None:
        self.is_async = is_async
        self.seen: list[Any] = []
        self._provider = provider
        self._clients: list[Any] = []

    def open(self, kind: str = "OpenAI", **options: Any) -> Any:
        """Return a client that believes to talk to its provider's real host."""
        name = f"Async{kind}" if self.is_async else kind
        transport: Any = (
            openai.DefaultAsyncHttpxClient if self.is_async else openai.DefaultHttpxClient
        )
        http_client = transport(verify=False, trust_env=False, **self._route())
        settings = {"api_key": "test", "max_retries": 0, "http_client": http_client} | options
        client = getattr(openai, name)(**settings)
        self._clients.append(client)
        return client

    def _route(self) -> dict[str, Any]:
        if isinstance(self._provider, CannedProvider):
            return {"transport": self._provider.make_transport(is_async=self.is_async)}
        hooks = route_to_async(self._provider) if self.is_async else route_to(self._provider)
        return {"event_hooks": hooks}

    @property
    def client(self) -> Any:
        """An OpenAI client without retries."""
        return self.open()

    async def take(self, value: Any) -> Any:
        """Await what the asynchronous flavour returns."""
        return await value if inspect.isawaitable(value) else value

    async def see(self, value: Any) -> Any:
        """Take a result and note all that is public in it."""
        result = await self.take(value)
        self.see_now(result)
        return result

    def see_now(self, value: Any) -> None:
        """Note a result, and the context that the application is in when it has it."""
        self.seen.append((look(value), dict(context.get_current())))

    async def read(self, stream: Any, limit: int | None = None) -> None:
        """Note the chunks of a stream; with a limit, break out of the loop as applications do."""
        count = 0
        if hasattr(stream, "__aiter__"):
            async for chunk in stream:
                self.see_now(chunk)
                count += 1
                if count == limit:
                    break
            return
        for chunk in stream:
            self.see_now(chunk)
            count += 1
            if count == limit:
                break

    async def step(self, iterator: Any) -> None:
        """Note the next item of an iterator."""
        self.see_now(await anext(iterator) if self.is_async else next(iterator))

    def enter(self, manager: Any) -> Entered:
        """Enter a context manager of either flavour."""
        return Entered(manager)

    async def collect(self) -> None:
        """Let the garbage collector, and the event loop after it, finish what was let go."""
        for _ in range(3):
            gc.collect()
            if self.is_async:
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Close every client."""
        for client in self._clients:
            await self.take(client.close())


def look(value: Any) -> Any:
    """Return what can be compared of a result: its exact type, and everything public in it."""
    if isinstance(value, list):
        return [look(item) for item in value]
    if hasattr(value, "model_dump"):
        # As text, because NaN is not equal to itself.
        return (type(value), repr(value.model_dump()), getattr(value, "_request_id", None))
    if hasattr(value, "close") or hasattr(value, "http_response"):
        return (type(value), *_look_at_protocols(value), _look_at_members(value))
    return (type(value), value)


def _look_at_protocols(value: Any) -> Iterator[bool]:
    yield isinstance(value, (openai.Stream, openai.AsyncStream))
    for name in ("__iter__", "__aiter__", "__next__", "__anext__", "__enter__", "__aenter__"):
        yield hasattr(value, name)


def _look_at_members(value: Any) -> dict[str, Any]:
    return {name: _look_at_member(value, name) for name in dir(value) if not name.startswith("_")}


def _look_at_member(value: Any, name: str) -> Any:
    try:
        return type(getattr(value, name))
    except Exception as error:  # noqa: BLE001 - a property that raises must go on raising
        return type(error)


def describe_error(error: BaseException | None) -> Any:
    """Return all of an exception that an application can look at, causes and contexts too."""
    if error is None:
        return None
    details = {
        name: repr(getattr(error, name, None)) for name in ("status_code", "code", "body", "param")
    }
    return (
        type(error),
        [
            _DRAWN.sub("N", argument) if isinstance(argument, str) else type(argument)
            for argument in error.args
        ],
        _DRAWN.sub("N", str(error)),
        details,
        describe_error(error.__cause__),
        describe_error(error.__context__),
        error.__suppress_context__,
    )


@dataclass(frozen=True)
class Seen:
    """Everything that the outside of a scenario can tell."""

    values: list[Any]
    error: Any
    requests: list[Any]
    noise: Counter[str] = field(compare=False)
    """Warnings, log records from WARNING on, and exceptions that nobody could raise."""


@dataclass(frozen=True)
class Watched:
    """What a scenario left behind when it was watched."""

    seen: Seen
    spans: list[dict[str, Any]]
    finished: tuple[ReadableSpan, ...]
    points: list[dict[str, Any]]
    events: int
    errors: Counter[str]


def describe_request(request: RecordedRequest) -> Any:
    """Return what a server can tell two requests apart by."""
    headers = {
        name: "random" if name in _RANDOM_HEADERS else _BOUNDARY.sub(b"B", value.encode())
        for name, value in request.headers.items()
    }
    body = _BOUNDARY.sub(b"B", request.body)
    return (request.method, request.host, request.path, dict(request.query), headers, body)


class _Noise(logging.Handler):
    """Collects what an operator would see in the logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.heard[f"{record.name}: {_CHANGING.sub('N', record.getMessage())}"] += 1

    def on_unraisable(self, unraisable: Any) -> None:
        """Stand in for `sys.unraisablehook`."""
        self.heard[f"unraisable {unraisable.exc_type.__name__}: {unraisable.exc_value}"] += 1


@contextmanager
def listening() -> Iterator[Counter[str]]:
    """Count warnings, logged warnings and unraisable exceptions."""
    noise, root = _Noise(), logging.getLogger()
    before = sys.unraisablehook
    root.addHandler(noise)
    sys.unraisablehook = noise.on_unraisable
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield noise.heard
            gc.collect()
        finally:
            sys.unraisablehook = before
            root.removeHandler(noise)
            for one in caught:
                text = f"{one.category.__name__}: {_CHANGING.sub('N', str(one.message))}"
                noise.heard[text] += 1


def make_provider(answers: Answers | Sequence[Canned] | None) -> FakeProvider | CannedProvider:
    """Return a provider on loopback, or inside the process where the bytes are given."""
    if isinstance(answers, list) and answers and isinstance(answers[0], Canned):
        return CannedProvider(answers)
    return FakeProvider(answers)  # type: ignore[arg-type]  # no canned reply is left


def observe(
    scenario: Scenario, answers: Answers | Sequence[Canned] | None, *, is_async: bool
) -> Seen:
    """Run a scenario against a provider of its own."""
    with make_provider(answers) as provider, listening() as noise:
        sdk = Sdk(provider, is_async=is_async)
        error = asyncio.run(_act(scenario, sdk)) if is_async else _drive(_act(scenario, sdk))
        described = describe_error(error)
        del error
    return Seen(sdk.seen, described, [describe_request(one) for one in provider.requests], noise)


async def _act(scenario: Scenario, sdk: Sdk) -> BaseException | None:
    try:
        await scenario(sdk)
    except BaseException as error:  # noqa: BLE001 - it is what is compared
        return error
    finally:
        sdk.seen.append(dict(context.get_current()))
        await sdk.collect()
        await sdk.close()
    return None


def _drive(coroutine: Any) -> BaseException | None:
    """Run a scenario of the synchronous SDK: it never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: BaseException | None = stop.value
        return result
    raise AssertionError("a synchronous scenario waited")


class Instrumented:
    """The instrumentor at work, with providers of its own, for one with block."""

    def __init__(self) -> None:
        self.spans = SpanCapture()
        self.metrics = MetricCapture()
        self.events = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        logger_provider = LoggerProvider(shutdown_on_exit=False)
        logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self.events))
        error_counts.clear()
        OpenAIInstrumentor().instrument(
            skip_dep_check=True,
            tracer_provider=self.spans.tracer_provider,
            meter_provider=self.metrics.meter_provider,
            logger_provider=logger_provider,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        drain()
        OpenAIInstrumentor().uninstrument()


def watch(scenario: Scenario, answers: Any, *, is_async: bool, content: bool) -> Watched:
    """Run a scenario while it is watched."""
    config.configure(capture_content=content, capture_content_events=content)
    with Instrumented() as telemetry:
        seen = observe(scenario, answers, is_async=is_async)
    return Watched(
        seen,
        telemetry.spans.spans(),
        telemetry.spans.finished,
        telemetry.metrics.points(),
        len(telemetry.events.get_finished_logs()),
        Counter(error_counts),
    )


@pytest.fixture(scope="session", autouse=True)
def _thaw() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.fixture
def canned() -> type[Canned]:
    """Return what makes a reply byte for byte."""
    return Canned


@pytest.fixture
def compare() -> Callable[..., Watched]:
    """Run a scenario without us and with us, and fail on whatever the outside could tell."""

    def run(
        scenario: Scenario,
        answers: Any,
        *,
        is_async: bool,
        content: bool,
        permitted_noise: str | None = None,
    ) -> Watched:
        gc.freeze()  # what was imported stays out of the many collections: 50 times faster
        plain = observe(scenario, answers, is_async=is_async)
        watched = watch(scenario, answers, is_async=is_async, content=content)

        assert watched.seen == plain
        noise = watched.seen.noise - plain.noise
        assert [one for one in noise if not permitted_noise or permitted_noise not in one] == []
        return watched

    return run
