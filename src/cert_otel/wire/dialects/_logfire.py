"""Logfire and pydantic-ai: structures as JSON texts, streams as two spans, `operation.cost`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cert_otel import semconv
from cert_otel.semconv import Logfire
from cert_otel.wire._values import as_mapping, find_json, find_number, find_object
from cert_otel.wire.dialects._attributes import fill, fill_cost, fill_parameters, move
from cert_otel.wire.dialects._genai import as_list, messages_from_events
from cert_otel.wire.dialects._messages import to_messages
from cert_otel.wire.dialects._usage import fill_usage

if TYPE_CHECKING:
    from cert_otel.wire.span import Attributes, Span

_NANOSECONDS: Final = 1_000_000_000
_TOOL_NAMES: Final = (
    (Logfire.TOOL_ARGUMENTS, semconv.TOOL_CALL_ARGUMENTS),
    (Logfire.TOOL_RESPONSE, semconv.TOOL_CALL_RESULT),
)
_RESULTS: Final = (
    semconv.OUTPUT_MESSAGES,
    semconv.RESPONSE_ID,
    semconv.USAGE_INPUT_TOKENS,
    semconv.USAGE_OUTPUT_TOKENS,
    Logfire.RESPONSE,
    Logfire.RAW_USAGE,
)
AGENT_NAMES: Final = frozenset(
    {Logfire.ALL_MESSAGES, Logfire.FORMER_ALL_MESSAGES, Logfire.AGENT_NAME, Logfire.FINAL_RESULT}
)


def read(span: Span) -> None:
    """Translate a span of Logfire or pydantic-ai."""
    attributes = span.attributes
    fill_cost(attributes, attributes.pop(Logfire.COST, None))
    reasons = attributes.get(semconv.RESPONSE_FINISH_REASONS)
    if isinstance(reasons, str):
        attributes[semconv.RESPONSE_FINISH_REASONS] = as_list(reasons)
    if not AGENT_NAMES.isdisjoint(attributes):
        _read_agent(attributes)
    elif semconv.TOOL_NAME in attributes and semconv.OPERATION_NAME not in attributes:
        fill(attributes, semconv.RECORD_KIND, "tool")
    elif semconv.REQUEST_MODEL in attributes:
        _read_call(span)
    move(attributes, _TOOL_NAMES)


def _read_agent(attributes: Attributes) -> None:
    """Read a run of an agent; its usage is the sum of its calls', which have their own spans."""
    if semconv.OPERATION_NAME not in attributes:
        attributes[semconv.RECORD_KIND] = "agent"
    fill(attributes, semconv.AGENT_NAME, attributes.pop(Logfire.AGENT_NAME, None))
    fill(attributes, semconv.REQUEST_MODEL, attributes.pop(Logfire.MODEL_NAME, None))
    messages = find_json(attributes.pop(Logfire.ALL_MESSAGES, None))
    asked = [one for one in to_messages(messages) if one["role"] == "user"]
    fill(attributes, semconv.INPUT_MESSAGES, asked)
    _read_events(attributes, attributes.pop(Logfire.FORMER_ALL_MESSAGES, None))
    result = attributes.pop(Logfire.FINAL_RESULT, None)
    fill(attributes, semconv.OUTPUT_DATA, result)


def _read_call(span: Span) -> None:
    attributes = span.attributes
    if attributes.get(Logfire.SPAN_TYPE) == "log":
        _shift(span, find_number(attributes.pop(Logfire.DURATION, None)))
    elif not span.failed and attributes.keys().isdisjoint(_RESULTS):
        # The reply came as a stream: a second span, of type "log", has what is known of it.
        fill(attributes, semconv.RECORD_KIND, "function")
    fill_usage(attributes, find_object(attributes.pop(Logfire.RAW_USAGE, None)))
    request = find_object(attributes.pop(Logfire.REQUEST, None))
    fill_parameters(attributes, request)
    fill(attributes, semconv.INPUT_MESSAGES, to_messages(request.get("messages")))
    fill(attributes, semconv.INPUT_DATA, request.get("prompt"))
    _read_response(attributes, find_object(attributes.pop(Logfire.RESPONSE, None)))
    _read_events(attributes, attributes.pop(Logfire.EVENTS, None))


def _shift(span: Span, duration_s: float | None) -> None:
    """Give the span of a stream, which begins when all is over, the time that it speaks of."""
    if span.start_ns is None or duration_s is None or duration_s < 0:
        return
    span.end_ns = span.start_ns
    span.start_ns = max(1, span.end_ns - round(duration_s * _NANOSECONDS))


def _read_response(attributes: Attributes, response: dict[str, Any]) -> None:
    fill_usage(attributes, as_mapping(response.get("usage")))
    answer = response.get("message") or response.get("combined_chunk_content")
    if answer is None:
        answer = response.get("text")
    fill(attributes, semconv.OUTPUT_MESSAGES, to_messages(answer, role="assistant"))
    reason = response.get("finish_reason")
    if isinstance(reason, str):
        fill(attributes, semconv.RESPONSE_FINISH_REASONS, [reason])


def _read_events(attributes: Attributes, events: Any) -> None:
    found = find_json(events)
    listed = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    asked, answered = messages_from_events((str(one.get("event.name")), one) for one in listed)
    fill(attributes, semconv.INPUT_MESSAGES, asked)
    fill(attributes, semconv.OUTPUT_MESSAGES, answered)
