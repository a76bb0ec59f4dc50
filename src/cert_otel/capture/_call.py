"""The life of one model call, from request to record.

An instrumentor never touches a span. It begins a `Call` with the endpoint's readers, attaches
it while the SDK works, and ends it once: `succeed`, `fail` or `abandon`. Each step runs in the
guard, so that what goes wrong here is counted and the application sees nothing.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from opentelemetry import context as otel_context
from opentelemetry.trace import (
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)

from cert_otel import config, semconv
from cert_otel.capture import _duplicates, _finalisers, _guard
from cert_otel.capture._ambient import NOTHING, Ambient, ambient_attributes, get_ambient
from cert_otel.capture._attributes import (
    add_cost,
    add_logprobs,
    add_usage,
    make_exportable,
    put_attributes,
)
from cert_otel.capture._content import (
    exportable_tree,
    get_cleaner,
    make_encodable,
    to_json,
)
from cert_otel.capture._fingerprint import fingerprint_prompt, pseudonymise
from cert_otel.capture._guard import attempt, release
from cert_otel.capture._logprobs import LogprobStats, summarise_logprobs
from cert_otel.capture._providers import AZURE_PRICE_ID
from cert_otel.pricing import price_call
from cert_otel.records import Cost

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from cert_otel.capture._content import Message, Part
    from cert_otel.capture._instruments import Instruments
    from cert_otel.capture._providers import Target
    from cert_otel.capture._telemetry import Telemetry
    from cert_otel.records import Kind, StreamOutcome, Usage

_NS_PER_S: Final = 1e9


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


class Call:
    """One call of a model. The fields are for the endpoint's readers to fill."""

    __slots__ = (
        "__weakref__",
        "_ambient",
        "_chunk_count",
        "_end_ns",
        "_error_text",
        "_first_chunk_ns",
        "_foreign",
        "_has_reply",
        "_inference_data",
        "_last_chunk_ns",
        "_process_id",
        "_start_perf_ns",
        "_telemetry",
        "attributes",
        "captures_content",
        "context",
        "endpoint",
        "error_type",
        "finish_reasons",
        "finished",
        "input_messages",
        "is_recording",
        "kind",
        "logprobs",
        "output_messages",
        "prompt_parts",
        "provider_cost",
        "reader",
        "request_model",
        "response_id",
        "response_model",
        "service_tier",
        "span",
        "start_ns",
        "stream",
        "system_instructions",
        "target",
        "tools",
        "usage",
        "user",
    )

    def __init__(
        self,
        telemetry: Telemetry,
        endpoint: Endpoint,
        target: Target,
        *,
        model: str | None,
        stream: bool,
    ) -> None:
        self._telemetry = telemetry
        self.endpoint = endpoint
        self.target = target
        self.request_model = None if model is None else make_encodable(model)
        self.stream = stream
        self.kind: Kind | None = endpoint.kind
        """May be changed by the readers until the call ends."""
        self.attributes: dict[str, Any] = {}
        """Further attributes of the span, by their names in `semconv`."""
        self.input_messages: list[Message] | None = None
        """In the conventions' form, cleaned; only where `captures_content`."""
        self.output_messages: list[Message] | None = None
        self.system_instructions: list[Part] | None = None
        self.tools: list[Any] | None = None
        self.prompt_parts: Iterable[str] | None = None
        """Roles and texts of the prompt, uncleaned: hashed at once and not kept."""
        self.user: str | None = None
        """Recorded as a pseudonym."""
        self.response_id: str | None = None
        self.response_model: str | None = None
        self.finish_reasons: list[str] | None = None
        self.usage: Usage | None = None
        self.logprobs: Sequence[Any] | None = None
        self.service_tier: str | None = None
        """The tier that the provider says it used."""
        self.provider_cost: float | None = None
        """What the provider says the call cost, USD."""
        self.error_type: str | None = None
        """Set by a reader when the reply itself reports a failure."""
        self.reader: ChunkReader | None = None
        self.finished = False
        self._process_id = os.getpid()
        self._chunk_count = 0
        self._first_chunk_ns: int | None = None
        self._last_chunk_ns: int | None = None
        self._start_perf_ns = 0
        self._foreign = False
        self._has_reply = False
        self._inference_data: Any | None = None
        self._error_text: str | None = None
        self._end_ns = 0

    # -- begin ---------------------------------------------------------------------------

    def _start(self, parent: Context) -> None:
        self._ambient: Ambient = get_ambient()
        self.start_ns = time.time_ns()
        self._start_perf_ns = time.perf_counter_ns()
        foreign = None
        if parent:  # an empty context has nobody in it
            # The innermost span is the one that counts when a journal is read.
            foreign = _duplicates.find_foreign_span(parent)
            if foreign is None:
                self._inference_data = _duplicates.find_inference_data(parent)
        self._foreign = foreign is not None
        self.context = parent
        if foreign is not None:
            self.span: Span = foreign
        elif self._inference_data is not None:
            self.span = get_current_span(parent)
        else:
            self.span = self._start_span(parent)
            self.context = set_span_in_context(self.span, parent)
            self.context = _duplicates.publish_inference(self.context)
        self.is_recording = self.span.is_recording()
        settings = config.get_config()
        self.captures_content = self.is_recording and (
            settings.capture_content or settings.capture_content_events
        )

    def _start_span(self, parent: Context) -> Span:
        operation = self.endpoint.operation
        name = f"{operation} {self.request_model}" if self.request_model else operation
        return self._telemetry.tracer.start_span(
            name,
            context=parent,
            kind=SpanKind.CLIENT,
            attributes=self._start_attributes(),
            start_time=self.start_ns,
        )

    def _start_attributes(self) -> dict[str, Any]:
        target = self.target
        attributes: dict[str, Any] = {
            semconv.OPERATION_NAME: self.endpoint.operation,
            semconv.PROVIDER_NAME: target.provider,
        }
        if self.request_model is not None:
            attributes[semconv.REQUEST_MODEL] = self.request_model
        if target.host is not None:
            attributes[semconv.SERVER_ADDRESS] = target.host
        if target.port is not None:
            attributes[semconv.SERVER_PORT] = target.port
        return attributes

    def _read_request(self, request: Any) -> None:
        if not self.is_recording:
            return
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
        return otel_context.attach(self.context)

    @staticmethod
    def detach(token: Token[Context]) -> None:
        """Undo `attach`, in the same thread or task."""
        otel_context.detach(token)

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
        self._last_chunk_ns = time.perf_counter_ns()
        if self._first_chunk_ns is None:
            self._first_chunk_ns = self._last_chunk_ns
        self._chunk_count += 1
        if self.reader is None:
            return
        try:
            self.reader.read(chunk)
        except Exception as error:  # noqa: BLE001 - the guard
            _guard.report("read_chunk", error)

    # -- end ---------------------------------------------------------------------------------

    def succeed(self, reply: Any = None) -> None:
        """End the call with a reply, or, for a stream, after its last chunk."""
        if self.finished:
            return
        if reply is not None and not self._has_reply:
            self.read_reply(reply)
        outcome: StreamOutcome | None = None
        if self.stream:
            outcome = "completed" if self.error_type is None else "error"
        self._finish(outcome)

    def read_reply(self, reply: Any) -> None:
        """Take a complete reply into account, of a call that may fail all the same."""
        if not self.finished:
            self._has_reply = True
            attempt("read_reply", self.endpoint.read_reply, self, reply)

    def fail(self, error: BaseException) -> None:
        """End the call with the exception that the application is about to see."""
        if self.finished:
            return
        cancelled = not isinstance(error, Exception)
        try:
            self._read_error(error)
        except Exception as own_error:  # noqa: BLE001 - the guard
            _guard.report("read_error", own_error)
        outcome: StreamOutcome | None = None
        if self.stream:
            outcome = "cancelled" if cancelled else "error"
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
        if config.get_config().capture_content:
            # Providers quote the prompt in their messages: an error text is content.
            self._error_text = get_cleaner().clean(str(error))

    def _finish(self, outcome: StreamOutcome | None, *, end_ns: int | None = None) -> None:
        self.finished = True
        if os.getpid() != self._process_id:
            return  # the copy in a fork: the call is the parent's to record
        self._end_ns = end_ns or time.time_ns()
        if self.reader is not None:
            attempt("close_reader", self.reader.close)
            self.reader = None
        attempt("finish", self._record, outcome)
        if not self._foreign and self._inference_data is None:
            attempt("end", self.span.end, self._end_ns)

    def _record(self, outcome: StreamOutcome | None) -> None:
        instruments = self._telemetry.instruments
        if not self.is_recording and instruments is None:
            return
        if self.response_model is not None:
            self.response_model = make_encodable(self.response_model)
        cost = attempt("price", self._price, outcome)
        stats = (
            None
            if self.logprobs is None
            else attempt("logprobs", summarise_logprobs, self.logprobs)
        )
        if self.is_recording:
            attempt("write_span", self._write_span, outcome, cost, stats)
        if instruments is not None:
            attempt("write_metrics", self._write_metrics, instruments, cost, stats)

    def _price(self, outcome: StreamOutcome | None) -> Cost | None:
        ambient = self._ambient
        usage = self.usage
        partial = outcome not in (None, "completed")
        if not ambient.cost_tracking:
            return None
        if self.provider_cost is not None and self.target.reports_cost:
            return Cost(amount=self.provider_cost, source="provider", partial=partial)
        if usage is None or self.target.price_id is None:
            return None
        for model in self._models_to_price():
            if model is None:
                continue
            cost = price_call(
                self.target.price_id,
                model,
                usage,
                at_unix_s=self.start_ns / _NS_PER_S,
                service_tier=self.service_tier,
            )
            if cost is not None:
                return msgspec.structs.replace(cost, partial=True) if partial else cost
        return None

    def _models_to_price(self) -> tuple[str | None, ...]:
        """Return the model that answered, then the one that was asked for.

        On Azure the latter is a deployment, whose name may be that of another model.
        """
        if self.target.price_id == AZURE_PRICE_ID:
            return (self.response_model,)
        return self.response_model, self.request_model

    def _write_span(
        self,
        outcome: StreamOutcome | None,
        cost: Cost | None,
        stats: LogprobStats | None,
    ) -> None:
        if self._inference_data is not None:
            ours = self._fingerprint_alone()
            self._add_ambient(ours)
            make_exportable(ours)
            self._add_ours(ours, outcome, cost, stats)
            _duplicates.enrich_inference(self._inference_data, ours)
            return
        attributes = self.attributes
        self._add_response(attributes)
        self._add_ambient(attributes)
        make_exportable(attributes)
        # From here on nothing comes from outside unchecked: counts, sums and JSON of ours.
        if self.usage is not None:
            add_usage(attributes, self.usage)
        self._add_ours(attributes, outcome, cost, stats)
        settings = config.get_config()
        if settings.capture_content:
            attempt("content", self._add_content, attributes)
        if self._foreign:
            self._enrich_foreign(attributes)
        else:
            put_attributes(self.span, attributes)
            if self.error_type is not None:
                self._set_status(self.span)
        if settings.capture_content_events:
            attempt("event", self._emit_details, attributes)

    def _fingerprint_alone(self) -> dict[str, Any]:
        fingerprint = self.attributes.get(semconv.PROMPT_FINGERPRINT)
        return {} if fingerprint is None else {semconv.PROMPT_FINGERPRINT: fingerprint}

    def _add_ours(
        self,
        attributes: dict[str, Any],
        outcome: StreamOutcome | None,
        cost: Cost | None,
        stats: LogprobStats | None,
    ) -> None:
        """Add what no other instrumentor records."""
        if cost is not None:
            add_cost(attributes, cost)
        if stats is not None:
            add_logprobs(attributes, stats)
        if outcome is not None:
            self._add_stream(attributes, outcome)

    def _add_ambient(self, attributes: dict[str, Any]) -> None:
        if self._ambient is NOTHING:
            return
        with_content = config.get_config().capture_content
        ambient = attempt("ambient", ambient_attributes, self._ambient, with_content=with_content)
        attributes.update(ambient or {})

    def _enrich_foreign(self, attributes: dict[str, Any]) -> None:
        if self.span.is_recording():
            self.span.set_attributes({**self._start_attributes(), **attributes})
            return
        # Its owner ended it before the stream's last chunk: what came later needs a span.
        self.span = self._start_span(self.context)
        self.span.set_attributes(attributes)
        self._set_status(self.span)
        self.span.end(self._end_ns)

    def _set_status(self, span: Span) -> None:
        if self.error_type is not None:
            span.set_status(Status(StatusCode.ERROR, self._error_text))

    def _add_response(self, attributes: dict[str, Any]) -> None:
        if self.kind is not None:
            attributes[semconv.RECORD_KIND] = self.kind
        if self.stream:
            attributes[semconv.REQUEST_STREAM] = True
        if self.response_id is not None:
            attributes[semconv.RESPONSE_ID] = self.response_id
        if self.response_model is not None:
            attributes[semconv.RESPONSE_MODEL] = self.response_model
        if self.finish_reasons:
            attributes[semconv.RESPONSE_FINISH_REASONS] = self.finish_reasons
        if self.error_type is not None:
            attributes[semconv.ERROR_TYPE] = self.error_type
        if self.user is not None:
            attributes[semconv.ENDUSER_PSEUDO_ID] = pseudonymise(self.user)

    def _add_stream(self, attributes: dict[str, Any], outcome: StreamOutcome) -> None:
        attributes[semconv.STREAM_OUTCOME] = outcome
        attributes[semconv.STREAM_CHUNK_COUNT] = self._chunk_count
        if (first_s := self._first_chunk_s()) is not None:
            attributes[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = first_s
        if (mean_s := self._mean_chunk_s()) is not None:
            attributes[semconv.STREAM_TIME_PER_CHUNK] = mean_s

    def _first_chunk_s(self) -> float | None:
        if self._first_chunk_ns is None:
            return None
        return (self._first_chunk_ns - self._start_perf_ns) / _NS_PER_S

    def _mean_chunk_s(self) -> float | None:
        if self._first_chunk_ns is None or self._last_chunk_ns is None or self._chunk_count < 2:  # noqa: PLR2004 - an interval has two ends
            return None
        return (self._last_chunk_ns - self._first_chunk_ns) / (self._chunk_count - 1) / _NS_PER_S

    def _add_content(self, attributes: dict[str, Any]) -> None:
        for name, value in self._content():
            attributes[name] = to_json(value)

    def _content(self) -> Iterable[tuple[str, Any]]:
        pairs = (
            (semconv.SYSTEM_INSTRUCTIONS, self.system_instructions),
            (semconv.INPUT_MESSAGES, self.input_messages),
            (semconv.OUTPUT_MESSAGES, self.output_messages),
            (semconv.TOOL_DEFINITIONS, self.tools),
        )
        return ((name, value) for name, value in pairs if value)

    def _write_metrics(
        self, instruments: Instruments, cost: Cost | None, stats: LogprobStats | None
    ) -> None:
        attributes: dict[str, Any] = self._start_attributes()
        if self.response_model is not None:
            attributes[semconv.RESPONSE_MODEL] = self.response_model
        if self._inference_data is None and not self._foreign:
            # Whoever owns the span records these two for it.
            if self.usage is not None:
                instruments.record_usage(self.usage, attributes)
            self._write_durations(instruments, attributes)
        if self._ambient.cost_tracking and (self.usage is not None or cost is not None):
            instruments.record_cost(None if cost is None else cost.amount, attributes)
        if stats is not None and stats.perplexity is not None:
            instruments.record_perplexity(stats.perplexity, attributes)

    def _write_durations(self, instruments: Instruments, attributes: dict[str, Any]) -> None:
        if self.error_type is not None:
            attributes = {**attributes, semconv.ERROR_TYPE: self.error_type}
        seconds = (self._end_ns - self.start_ns) / _NS_PER_S
        instruments.record_duration(seconds, attributes)
        if self._chunk_count:
            instruments.record_chunks(self._first_chunk_s(), self._mean_chunk_s(), attributes)

    def _emit_details(self, attributes: dict[str, Any]) -> None:
        from opentelemetry._logs import LogRecord  # noqa: PLC0415 - only who asks for events pays

        content = {name: exportable_tree(value) for name, value in self._content()}
        self._telemetry.logger.emit(
            LogRecord(
                event_name=semconv.EVENT_OPERATION_DETAILS,
                attributes={**self._start_attributes(), **attributes, **content},
                context=self.context,
            )
        )


def begin_call(
    telemetry: Telemetry,
    endpoint: Endpoint,
    target: Target,
    *,
    model: str | None,
    request: Any,
    stream: bool = False,
) -> Call | None:
    """Begin a call, unless it is suppressed or telemetry itself fails.

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
        _finalisers.drain()
        context = otel_context.get_current()
        if context and _duplicates.is_suppressed(context):
            return None
        call = Call(telemetry, endpoint, target, model=model, stream=stream)
        call._start(context)  # noqa: SLF001 - one module
        call._read_request(request)  # noqa: SLF001 - one module
    except Exception as error:  # noqa: BLE001 - the guard
        _guard.report("begin", error)
        return None
    return call
