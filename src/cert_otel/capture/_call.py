"""The life of one model call, from request to its one end.

An instrumentor never touches a span. It begins a `Call` with the endpoint's readers, attaches
it while the SDK works, and ends it once: `succeed`, `fail` or `abandon`. Each step runs in the
guard, so that what goes wrong here is counted and the application sees nothing. What a finished
call becomes, `_recording` says.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    INVALID_SPAN_CONTEXT,
    get_current_span,
    set_span_in_context,
)

from cert_otel import config, semconv
from cert_otel.capture import _duplicates, _finalisers, _guard
from cert_otel.capture._activation import activate, get_active, release
from cert_otel.capture._ambient import get_ambient
from cert_otel.capture._content import get_cleaner, make_encodable
from cert_otel.capture._fingerprint import fingerprint_prompt
from cert_otel.capture._guard import attempt
from cert_otel.capture._recording import complete_late, record_call, record_late, start_span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextvars import Token

    from opentelemetry.trace import Span, SpanContext

    from cert_otel.capture._ambient import Ambient
    from cert_otel.capture._content import Message, Part
    from cert_otel.capture._instruments import Instruments
    from cert_otel.capture._logprobs import LogprobStats
    from cert_otel.capture._providers import Target
    from cert_otel.capture._telemetry import Telemetry
    from cert_otel.records import Cost, Kind, StreamOutcome, Usage


_NOWHERE: Final = Context()
_SPAN_KEY: Final = next(iter(set_span_in_context(INVALID_SPAN, _NOWHERE)))
"""OpenTelemetry's own way copies a context twice to put one thing in."""


class ChunkReader(Protocol):
    """Gathers one stream; `read` is called once a chunk and must be cheap."""

    def read(self, chunk: Any) -> None:
        """Take what is needed from a chunk and let go of it."""
        ...

    def close(self) -> None:
        """Hand what was gathered to the call; also for a stream that ended early."""
        ...


class Endpoint(Protocol):
    """What is particular to one operation of one SDK. All methods run in the guard."""

    operation: str
    """`gen_ai.operation.name`."""
    kind: Kind | None
    """`None` where the operation's name says it."""

    def read_request(self, call: Call, request: Any) -> None:
        """Fill the call from the request, which is only ever read."""
        ...

    def read_reply(self, call: Call, reply: Any) -> None:
        """Fill the call from a complete reply: the SDK's object or decoded JSON."""
        ...

    def open_stream(self, call: Call) -> ChunkReader:
        """Return a reader for the chunks of one stream."""
        ...


class Call(msgspec.Struct, eq=False, weakref=True):
    """One call of a model. A struct, because that sets three dozen fields in one go."""

    telemetry: Telemetry
    endpoint: Endpoint
    target: Target
    request_model: str | None
    stream: bool
    kind: Kind | None
    """May be changed by the readers until the call ends."""
    settings: config.Config
    """In force for the whole call."""
    ambient: Ambient
    context: Context
    """With the call's span, while the SDK works."""
    fork_generation: int
    start_ns: int
    """Unix time."""
    start_perf_ns: int

    # For the endpoint's readers to fill.
    attributes: dict[str, Any] = {}
    """Further attributes of the span, by their names in `semconv`.

    They are read after the call: a list or an object that the application holds is none of them.
    """
    input_messages: list[Message] | None = None
    """In the conventions' form, cleaned; only where `captures_content`."""
    output_messages: list[Message] | None = None
    system_instructions: list[Part] | None = None
    tools: list[Any] | None = None
    prompt_parts: Sequence[str] | None = None
    """Roles and texts of the prompt, uncleaned: hashed at once and not kept."""
    user: str | None = None
    """Recorded as a pseudonym."""
    response_id: str | None = None
    response_model: str | None = None
    finish_reasons: list[str] | None = None
    usage: Usage | None = None
    logprobs: Sequence[Any] | None = None
    service_tier: str | None = None
    """The tier that the provider says it used."""
    provider_cost: float | None = None
    """What the provider says the call cost, USD."""
    error_type: str | None = None
    """Set by a reader when the reply itself reports a failure."""

    # For `capture` alone.
    span: Span = None  # type: ignore[assignment]  # set before anybody sees the call
    is_recording: bool = False
    captures_content: bool = False
    foreign: bool = False
    """The span is that of another instrumentor, which ends it."""
    inference_data: Any = None
    """Where an official instrumentor that records this call takes attributes from others."""
    reader: ChunkReader | None = None
    chunk_count: int = 0
    first_chunk_ns: int | None = None
    last_chunk_ns: int | None = None
    has_reply: bool = False
    error_text: str | None = None
    finished: bool = False
    end_ns: int = 0

    # For a call that waits until its span is read.
    outcome: StreamOutcome | None = None
    instruments: Instruments | None = None
    span_context: SpanContext = INVALID_SPAN_CONTEXT
    assessed: tuple[Cost | None, LogprobStats | None] | None = None

    __repr__ = object.__repr__  # a struct's own would show the content to whoever logs locals

    # -- begin ---------------------------------------------------------------------------

    def _start(self) -> None:
        parent = self.context
        if parent:  # an empty context has nobody in it
            self._find_others(parent)
        if self.foreign or self.inference_data is not None:
            self.is_recording = self.span.is_recording()
        else:
            self.span = span = start_span(self, parent)
            context = Context({**parent, _SPAN_KEY: span})
            self.context = _duplicates.publish_inference(context)
            self.is_recording = span.is_recording()
        settings = self.settings
        self.captures_content = self.is_recording and (
            settings.capture_content or settings.capture_content_events
        )

    def _find_others(self, parent: Context) -> None:
        # The innermost span is the one that counts when a journal is read.
        foreign = _duplicates.find_foreign_span(parent)
        if foreign is not None:
            self.span, self.foreign = foreign, True
            return
        self.inference_data = _duplicates.find_inference_data(parent)
        if self.inference_data is not None:
            self.span = get_current_span(parent)

    def _read_request(self, request: Any) -> None:
        try:
            self.endpoint.read_request(self, request)
            if self.prompt_parts is not None:
                self.attributes[semconv.PROMPT_FINGERPRINT] = fingerprint_prompt(self.prompt_parts)
        except Exception as error:  # noqa: BLE001 - the guard
            _guard.report("read_request", error)
        self.prompt_parts = None

    # -- while the SDK works -----------------------------------------------------------------

    def attach(self) -> Token[Context]:
        """Make the call's span the current one; undo with `detach`."""
        return activate(self.context)

    @staticmethod
    def detach(token: Token[Context]) -> None:
        """Undo `attach`, in the same thread or task."""
        release(token)

    def drop(self, token: Token[Context]) -> None:
        """Undo `attach` and leave the call: the coroutine that worked for it was thrown away."""
        release(token)
        _finalisers.leave(self)

    def open_stream(self) -> None:
        """Prepare for chunks."""
        _finalisers.drain_at_exit()
        self.stream = True
        try:
            self.reader = self.endpoint.open_stream(self)
        except Exception as error:  # noqa: BLE001 - the guard
            _guard.report("open_stream", error)

    def read_chunk(self, chunk: Any) -> None:
        """Take a chunk into account; never raises."""
        self.last_chunk_ns = now_ns = time.perf_counter_ns()
        if self.chunk_count == 0:
            self.first_chunk_ns = now_ns
        self.chunk_count += 1
        reader = self.reader
        if reader is None:
            return
        try:
            reader.read(chunk)
        except Exception as error:  # noqa: BLE001 - the guard
            _guard.report("read_chunk", error)

    # -- end ---------------------------------------------------------------------------------

    def succeed(self, reply: Any = None) -> None:
        """End the call with a reply, or, for a stream, after its last chunk."""
        if self.finished:
            return
        if reply is not None and not self.has_reply:
            self.read_reply(reply)
        outcome: StreamOutcome | None = None
        if self.stream:
            outcome = "completed" if self.error_type is None else "error"
        self._finish(outcome)

    def read_reply(self, reply: Any) -> None:
        """Take a complete reply into account, of a call that may fail all the same."""
        if self.finished:
            return
        self.has_reply = True
        try:
            self.endpoint.read_reply(self, reply)
        except Exception as error:  # noqa: BLE001 - the guard
            _guard.report("read_reply", error)

    def fail(self, error: BaseException) -> None:
        """End the call with the exception that the application is about to see."""
        if self.finished:
            return
        attempt("read_error", self._read_error, error)
        outcome: StreamOutcome | None = None
        if self.stream:
            outcome = "error" if isinstance(error, Exception) else "cancelled"
        self._finish(outcome)

    def close(self) -> None:
        """End a stream that the application closed before its last chunk."""
        if not self.finished:
            self._finish("closed")

    def abandon(self, *, end_ns: int | None = None) -> None:
        """End a stream that the application let go of without closing it."""
        if not self.finished:
            self._finish("abandoned", end_ns=end_ns)

    def _read_error(self, error: BaseException) -> None:
        kind = type(error)
        module = kind.__module__
        name = kind.__qualname__
        self.error_type = name if module == "builtins" else f"{module}.{name}"
        status_code = getattr(error, "status_code", None)
        if isinstance(status_code, int):
            self.attributes[semconv.HTTP_STATUS_CODE] = status_code
        if self.settings.capture_content:
            # Providers quote the prompt in their messages: an error text is content.
            self.error_text = get_cleaner().clean(str(error))

    def _finish(self, outcome: StreamOutcome | None, *, end_ns: int | None = None) -> None:
        self.finished = True
        if self.fork_generation != _finalisers.fork_generation:
            return  # the copy in a fork: the call is the parent's to record
        self.end_ns = end_ns or time.time_ns()
        if self.reader is not None:
            attempt("close_reader", self.reader.close)
            self.reader = None
        try:
            record_call(self, outcome)
        except Exception as error:  # noqa: BLE001 - the guard
            _guard.report("finish", error)
        if not self.foreign and self.inference_data is None:
            try:
                self.span.end(self.end_ns)
            except Exception as error:  # noqa: BLE001 - the guard
                _guard.report("end", error)
            # What waits for its metrics, or a stream that is kept, is to hold no span.
            self.span, self.context = INVALID_SPAN, _NOWHERE

    # -- when its span is read, or metrics are collected ---------------------------------

    def complete(self, attributes: dict[str, Any]) -> None:
        """Add to its span's attributes those that were left to whoever looks first."""
        complete_late(self, attributes)

    def record(self) -> None:
        """Record its metrics."""
        record_late(self)


def begin_call(
    telemetry: Telemetry,
    endpoint: Endpoint,
    target: Target,
    *,
    model: str | None,
    request: Any,
    stream: bool = False,
) -> Call | None:
    """Begin a call, unless it is suppressed, cert-otel is disabled or telemetry itself fails.

    Args:
        telemetry: Where the call goes.
        endpoint: Its readers.
        target: Who serves it.
        model: As the application asked for it.
        request: Passed to `Endpoint.read_request` at once and not kept.
        stream: Whether the reply is a stream; may be found out later.

    Returns:
        `None` when nothing is to be recorded: the SDK is then called as if we were not here.
    """
    try:
        settings = config.get_config()
        if settings.disabled:
            return None
        _finalisers.drain()
        context = get_active()
        if context and _duplicates.is_suppressed(context):
            return None
        call = Call(
            telemetry,
            endpoint,
            target,
            None if model is None else make_encodable(model),
            stream,
            endpoint.kind,
            settings,
            get_ambient(),
            context,
            _finalisers.fork_generation,
            time.time_ns(),
            time.perf_counter_ns(),
        )
        call._start()  # noqa: SLF001 - one module
        if call.is_recording:
            call._read_request(request)  # noqa: SLF001 - one module
    except Exception as error:  # noqa: BLE001 - the guard
        _guard.report("begin", error)
        return None
    return call
