"""What a finished call becomes: its cost, the attributes of its span, metrics, an event.

Each of these is attempted by itself: what goes wrong with one leaves the others whole.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Status, StatusCode, set_span_in_context

from cert_otel import semconv
from cert_otel.capture import _duplicates
from cert_otel.capture._ambient import NOTHING, ambient_attributes
from cert_otel.capture._attributes import (
    add_cost,
    add_logprobs,
    add_usage,
    make_exportable,
)
from cert_otel.capture._content import exportable_tree, make_encodable, to_json
from cert_otel.capture._fingerprint import pseudonymise
from cert_otel.capture._guard import attempt, report
from cert_otel.capture._late import put_late
from cert_otel.capture._logprobs import summarise_logprobs
from cert_otel.capture._providers import AZURE_PRICE_ID
from cert_otel.capture._sdk_spans import put_attributes
from cert_otel.pricing import price_call
from cert_otel.records import Cost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.trace import Span

    from cert_otel.capture._call import Call
    from cert_otel.capture._instruments import Instruments
    from cert_otel.capture._logprobs import LogprobStats
    from cert_otel.capture._providers import Target
    from cert_otel.records import StreamOutcome

_NS_PER_S: Final = 1e9
_METRIC_CURRENCY: Final = "USD"
"""The unit of the metric: amounts in another currency cannot be added to it."""


@lru_cache(maxsize=1024, typed=True)
def _describe_start(
    operation: str, model: str | None, target: Target
) -> tuple[str, dict[str, Any]]:
    """Return the name of a span, and what is known before the request goes out."""
    attributes: dict[str, Any] = {
        semconv.OPERATION_NAME: operation,
        semconv.PROVIDER_NAME: target.provider,
    }
    if model is not None:
        attributes[semconv.REQUEST_MODEL] = model
    if target.host is not None:
        attributes[semconv.SERVER_ADDRESS] = target.host
    if target.port is not None:
        attributes[semconv.SERVER_PORT] = target.port
    return f"{operation} {model}" if model else operation, attributes


def _describe(call: Call) -> tuple[str, dict[str, Any]]:
    known = (call.endpoint.operation, call.request_model, call.target)
    try:
        return _describe_start(*known)
    except TypeError:  # a text of the application's own kind that cannot be looked up
        return _describe_start.__wrapped__(*known)


def _start_attributes(call: Call) -> dict[str, Any]:
    """Return what is known before the request goes out, for samplers to decide by."""
    return _describe(call)[1].copy()


def start_span(call: Call, parent: Context) -> Span:
    """Start the span of a call."""
    name, attributes = _describe(call)
    return call.telemetry.spans.start(name, attributes.copy(), parent=parent, at_ns=call.start_ns)


def record_call(call: Call, outcome: StreamOutcome | None) -> None:
    """Price a call that has ended, and write its span and metrics: at once, or when they are read."""
    instruments = call.telemetry.instruments
    if not call.is_recording and instruments is None:
        return
    attributes = None
    # Not by `attempt`: its arguments' way through a tuple and a dictionary takes 1 µs in all.
    try:
        if call.is_recording:
            if _let_wait(call, outcome, instruments):
                return
            attributes = _gather(call)
    except Exception as error:  # noqa: BLE001 - the guard
        report("write_span", error)
    cost, stats = _assess(call, outcome)
    if attributes is not None:
        try:
            _complete(call, attributes, outcome, cost, stats)
            _write_span(call, attributes)
        except Exception as error:  # noqa: BLE001 - the guard
            report("write_span", error)
    if instruments is not None:
        attempt("write_metrics", _write_metrics, call, instruments, call.context, cost, stats)


def _gather(call: Call) -> dict[str, Any]:
    """Return the attributes that come from the application, as values that it cannot change."""
    attributes = call.attributes if call.inference_data is None else _fingerprint_alone(call)
    if call.ambient is not NOTHING:
        _add_ambient(call, attributes)
    make_exportable(attributes)
    # From here on nothing comes from outside unchecked: texts by `make_encodable`, counts, sums
    # and JSON of ours.
    if call.user is not None and call.inference_data is None:
        attributes.setdefault(semconv.ENDUSER_PSEUDO_ID, pseudonymise(call.user))
    if call.settings.capture_content and call.inference_data is None:
        attempt("content", _add_content, call, attributes)
    return attributes


def _let_wait(call: Call, outcome: StreamOutcome | None, instruments: Instruments | None) -> bool:
    """Have a call worked out when somebody looks; `False`, with nothing done, where it cannot."""
    if (
        call.foreign
        or call.inference_data is not None
        or call.error_type is not None
        or call.settings.capture_content_events
    ):
        return False  # somebody else's span, a status or an event: they are due now
    call.outcome, call.instruments = outcome, instruments
    call.span_context = call.span.get_span_context()
    is_all_ours = call.ambient is NOTHING and call.user is None and not call.captures_content
    known = {} if is_all_ours else _gather(call)
    if not put_late(call.span, known, call):
        return False
    if not is_all_ours:
        # They are in the span; what waits is to hold no second copy, nor who asked.
        call.attributes, call.user = {}, None
        call.system_instructions = call.input_messages = call.output_messages = call.tools = None
    if instruments is not None:
        instruments.backlog.add(call)
    return True


def complete_late(call: Call, attributes: dict[str, Any]) -> None:
    """Add to the attributes of a call that has waited those that are missing."""
    cost, stats = _assess_once(call)
    attempt("write_span", _complete_late, call, attributes, cost, stats)
    if call.instruments is not None:
        call.instruments.backlog.record_some()


def _complete_late(
    call: Call, attributes: dict[str, Any], cost: Cost | None, stats: LogprobStats | None
) -> None:
    own = dict(call.attributes)
    make_exportable(own)
    attributes.update(own)
    _complete(call, attributes, call.outcome, cost, stats)


def record_late(call: Call) -> None:
    """Record the metrics of a call that has waited."""
    if call.instruments is None:
        return
    cost, stats = _assess_once(call)
    context = set_span_in_context(NonRecordingSpan(call.span_context), Context())
    attempt("write_metrics", _write_metrics, call, call.instruments, context, cost, stats)


def _assess_once(call: Call) -> tuple[Cost | None, LogprobStats | None]:
    if call.assessed is None:
        call.assessed = _assess(call, call.outcome)
    return call.assessed


def _assess(call: Call, outcome: StreamOutcome | None) -> tuple[Cost | None, LogprobStats | None]:
    cost = stats = None
    try:
        if call.response_model is not None:
            call.response_model = make_encodable(call.response_model)
        cost = _price(call, outcome)
    except Exception as error:  # noqa: BLE001 - the guard
        report("price", error)
    try:
        stats = summarise_logprobs(call.logprobs) if call.logprobs else None
    except Exception as error:  # noqa: BLE001 - the guard
        report("logprobs", error)
    return cost, stats


def _price(call: Call, outcome: StreamOutcome | None) -> Cost | None:
    price_id, reports_cost = call.target.price_id, call.target.reports_cost
    partial = outcome is not None and outcome != "completed"
    if not call.ambient.cost_tracking:
        return None
    if call.provider_cost is not None and reports_cost:
        return Cost(amount=call.provider_cost, source="provider", partial=partial)
    if call.usage is None or price_id is None:
        return None
    cost = _price_model(call, price_id, call.response_model)
    if cost is None and price_id != AZURE_PRICE_ID:
        # Not on Azure: there the model that was asked for is a deployment, whose name may be that
        # of another model.
        cost = _price_model(call, price_id, call.request_model)
    return msgspec.structs.replace(cost, partial=True) if partial and cost is not None else cost


def _price_model(call: Call, price_id: str, model: str | None) -> Cost | None:
    usage = call.usage
    if model is None or usage is None:
        return None
    at_unix_s = call.start_ns / _NS_PER_S
    return price_call(price_id, model, usage, at_unix_s=at_unix_s, service_tier=call.service_tier)


def _complete(
    call: Call,
    attributes: dict[str, Any],
    outcome: StreamOutcome | None,
    cost: Cost | None,
    stats: LogprobStats | None,
) -> None:
    """Add what the reply says and what is worked out."""
    if call.inference_data is None:
        _add_response(call, attributes)
        if call.usage is not None:
            add_usage(attributes, call.usage, call.settings.semconv)
    _add_ours(call, attributes, outcome, cost, stats)


def _write_span(call: Call, attributes: dict[str, Any]) -> None:
    if call.inference_data is not None:
        _duplicates.enrich_inference(call.inference_data, attributes)
        return
    if call.foreign:
        _enrich_foreign(call, attributes)
    else:
        put_attributes(call.span, attributes)
        if call.error_type is not None:
            _set_error(call, call.span)
    if call.settings.capture_content_events:
        attempt("event", _emit_details, call, attributes)


def _fingerprint_alone(call: Call) -> dict[str, Any]:
    fingerprint = call.attributes.get(semconv.PROMPT_FINGERPRINT)
    return {} if fingerprint is None else {semconv.PROMPT_FINGERPRINT: fingerprint}


def _add_ambient(call: Call, attributes: dict[str, Any]) -> None:
    with_content = call.settings.capture_content
    known = attempt("ambient", ambient_attributes, call.ambient, with_content=with_content)
    attributes.update(known or {})


def _add_response(call: Call, attributes: dict[str, Any]) -> None:
    if call.kind is not None:
        attributes[semconv.RECORD_KIND] = call.kind
    if call.stream:
        attributes[semconv.REQUEST_STREAM] = True
    if call.response_id is not None:
        attributes[semconv.RESPONSE_ID] = make_encodable(call.response_id)
    if call.response_model is not None:
        attributes[semconv.RESPONSE_MODEL] = call.response_model
    if call.finish_reasons:
        attributes[semconv.RESPONSE_FINISH_REASONS] = tuple(
            map(make_encodable, call.finish_reasons)
        )
    if call.error_type is not None:
        attributes[semconv.ERROR_TYPE] = make_encodable(call.error_type)


def _add_ours(
    call: Call,
    attributes: dict[str, Any],
    outcome: StreamOutcome | None,
    cost: Cost | None,
    stats: LogprobStats | None,
) -> None:
    """Add what no other instrumentor records."""
    if cost is not None:
        add_cost(attributes, cost, call.settings.cost_aliases)
    if stats is not None:
        add_logprobs(attributes, stats)
    if outcome is not None:
        _add_stream(call, attributes, outcome)


def _add_stream(call: Call, attributes: dict[str, Any], outcome: StreamOutcome) -> None:
    attributes[semconv.STREAM_OUTCOME] = outcome
    attributes[semconv.STREAM_CHUNK_COUNT] = call.chunk_count
    if (first_s := _first_chunk_s(call)) is not None:
        attributes[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = first_s
    if (mean_s := _mean_chunk_s(call)) is not None:
        attributes[semconv.STREAM_TIME_PER_CHUNK] = mean_s


def _first_chunk_s(call: Call) -> float | None:
    if call.first_chunk_ns is None:
        return None
    return (call.first_chunk_ns - call.start_perf_ns) / _NS_PER_S


def _mean_chunk_s(call: Call) -> float | None:
    if call.first_chunk_ns is None or call.last_chunk_ns is None or call.chunk_count < 2:  # noqa: PLR2004 - an interval has two ends
        return None
    return (call.last_chunk_ns - call.first_chunk_ns) / (call.chunk_count - 1) / _NS_PER_S


def _add_content(call: Call, attributes: dict[str, Any]) -> None:
    for name, value in _content(call):
        attributes[name] = to_json(value)


def _content(call: Call) -> Iterator[tuple[str, Any]]:
    pairs = (
        (semconv.SYSTEM_INSTRUCTIONS, call.system_instructions),
        (semconv.INPUT_MESSAGES, call.input_messages),
        (semconv.OUTPUT_MESSAGES, call.output_messages),
        (semconv.TOOL_DEFINITIONS, call.tools),
    )
    return ((name, value) for name, value in pairs if value)


def _enrich_foreign(call: Call, attributes: dict[str, Any]) -> None:
    if call.span.is_recording():
        call.span.set_attributes({**_start_attributes(call), **attributes})
        return
    # Its owner ended it before the stream's last chunk: what came later needs a span.
    call.span = start_span(call, call.context)
    call.span.set_attributes(attributes)
    if call.error_type is not None:
        _set_error(call, call.span)
    call.span.end(call.end_ns)


def _set_error(call: Call, span: Span) -> None:
    span.set_status(Status(StatusCode.ERROR, call.error_text))


def _emit_details(call: Call, attributes: dict[str, Any]) -> None:
    from opentelemetry._logs import LogRecord  # noqa: PLC0415 - only who asks for events pays

    content = {name: exportable_tree(value) for name, value in _content(call)}
    call.telemetry.logger.emit(
        LogRecord(
            event_name=semconv.EVENT_OPERATION_DETAILS,
            attributes={**_start_attributes(call), **attributes, **content},
            context=call.context,
        )
    )


def _write_metrics(
    call: Call,
    instruments: Instruments,
    context: Context,
    cost: Cost | None,
    stats: LogprobStats | None,
) -> None:
    attributes = _start_attributes(call)
    if call.response_model is not None:
        attributes[semconv.RESPONSE_MODEL] = call.response_model
    if call.inference_data is None and not call.foreign:
        # Whoever owns the span records these two for it.
        if call.usage is not None:
            instruments.record_usage(call.usage, attributes)
        _write_durations(call, instruments, context, attributes)
    if cost is not None:
        if cost.currency == _METRIC_CURRENCY:  # prices of the user's own may be in another
            instruments.record_cost(cost.amount, attributes)
    elif call.ambient.cost_tracking and call.usage is not None:
        instruments.record_unpriced(attributes)
    if stats is not None and (perplexity := stats.perplexity) is not None:
        instruments.record_perplexity(perplexity, attributes, context)


def _write_durations(
    call: Call, instruments: Instruments, context: Context, attributes: dict[str, Any]
) -> None:
    if call.error_type is not None:
        attributes = {**attributes, semconv.ERROR_TYPE: call.error_type}
    duration_s = (call.end_ns - call.start_ns) / _NS_PER_S
    instruments.record_duration(duration_s, attributes, context)
    if call.chunk_count:
        first_s, mean_s = _first_chunk_s(call), _mean_chunk_s(call)
        instruments.record_chunks(first_s, mean_s, attributes, context)
