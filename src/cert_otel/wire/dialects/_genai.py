"""The GenAI conventions as they were: flattened messages, former names, messages as span events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cert_otel import semconv
from cert_otel.semconv import FormerGenAI
from cert_otel.wire._values import find_json
from cert_otel.wire.dialects._attributes import fill, move, take_list
from cert_otel.wire.dialects._messages import Message, to_message, to_messages

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cert_otel.wire.span import Attributes, Event, Span

_NAMES: Final = (
    (FormerGenAI.CACHE_READ_TOKENS, semconv.USAGE_CACHE_READ_TOKENS),
    (FormerGenAI.CACHE_CREATION_TOKENS, semconv.USAGE_CACHE_CREATION_TOKENS),
    (FormerGenAI.REASONING_TOKENS, semconv.USAGE_REASONING_TOKENS),
    (f"{FormerGenAI.DETAILS}cache_read_tokens", semconv.USAGE_CACHE_READ_TOKENS),
    (f"{FormerGenAI.DETAILS}cached_tokens", semconv.USAGE_CACHE_READ_TOKENS),
    (f"{FormerGenAI.DETAILS}cache_write_tokens", semconv.USAGE_CACHE_CREATION_TOKENS),
    (f"{FormerGenAI.DETAILS}reasoning_tokens", semconv.USAGE_REASONING_TOKENS),
)
_REASONS: Final = (FormerGenAI.FINISH_REASON, FormerGenAI.STOP_REASON)
FORMER_NAMES: Final = frozenset({*(name for name, _ in _NAMES), *_REASONS})
FLATTENED: Final = (
    f"{FormerGenAI.PROMPT}.",
    f"{FormerGenAI.COMPLETION}.",
    f"{FormerGenAI.FUNCTIONS}.",
)
_EVENT_ROLES: Final = frozenset({"system", "user", "assistant", "tool", "developer"})
_MESSAGES: Final = (
    (semconv.INPUT_MESSAGES, "user"),
    (semconv.OUTPUT_MESSAGES, "assistant"),
)


def read_former_names(span: Span) -> None:
    """Give what is still under a former name its present one."""
    attributes = span.attributes
    move(attributes, _NAMES)
    for name in _REASONS:
        if reason := attributes.pop(name, None):
            fill(attributes, semconv.RESPONSE_FINISH_REASONS, as_list(reason))


def read_messages(span: Span) -> None:
    """Bring messages that have a `content`, as those of a provider, into parts."""
    attributes = span.attributes
    for name, role in _MESSAGES:
        value = attributes.get(name)
        if value is not None and not _has_parts(value):
            messages = to_messages(value, role=role)
            if messages:
                attributes[name] = messages


def read_flattened(span: Span) -> None:
    """Put together `gen_ai.prompt.0.role` and the like."""
    attributes = span.attributes
    asked = [_read_flat(item, "user") for item in take_list(attributes, FormerGenAI.PROMPT)]
    answers = take_list(attributes, FormerGenAI.COMPLETION)
    fill(attributes, semconv.INPUT_MESSAGES, asked)
    fill(attributes, semconv.OUTPUT_MESSAGES, [_read_flat(item, "assistant") for item in answers])
    reasons = [item["finish_reason"] for item in answers if item.get("finish_reason")]
    fill(attributes, semconv.RESPONSE_FINISH_REASONS, reasons)
    tools = take_list(attributes, FormerGenAI.FUNCTIONS)
    fill(attributes, semconv.TOOL_DEFINITIONS, [_read_function(tool) for tool in tools])


def read_events(span: Span) -> None:
    """Take messages and the exception from a span's events."""
    if not span.events:
        return
    attributes = span.attributes
    asked, answered = messages_from_events((one.name, one.attributes) for one in span.events)
    fill(attributes, semconv.INPUT_MESSAGES, asked)
    fill(attributes, semconv.OUTPUT_MESSAGES, answered)
    reasons = [one["finish_reason"] for one in answered if one.get("finish_reason")]
    fill(attributes, semconv.RESPONSE_FINISH_REASONS, reasons)
    for event in span.events:
        if event.name == semconv.EVENT_OPERATION_DETAILS:
            for name, value in event.attributes.items():
                fill(attributes, name, value)
    if span.failed:
        fill(attributes, semconv.ERROR_TYPE, _find_exception(span.events))


def is_message_event(name: str) -> bool:
    """Whether an event of this name holds a message."""
    return name in (
        FormerGenAI.EVENT_CHOICE,
        FormerGenAI.EVENT_PROMPT,
        FormerGenAI.EVENT_COMPLETION,
    ) or (
        name.startswith(FormerGenAI.EVENT_MESSAGE_PREFIX)
        and name.endswith(FormerGenAI.EVENT_MESSAGE_SUFFIX)
    )


def messages_from_events(
    events: Iterable[tuple[str, Mapping[str, Any]]],
) -> tuple[list[Message], list[Message]]:
    """Return what was asked and what was answered.

    Args:
        events: Name and body (or attributes) of each, in order.
    """
    asked: list[Message] = []
    answered: list[Message] = []
    for name, body in events:
        if name == FormerGenAI.EVENT_PROMPT:
            asked += to_messages(body.get(FormerGenAI.PROMPT))
        elif name == FormerGenAI.EVENT_COMPLETION:
            answered += to_messages(body.get(FormerGenAI.COMPLETION), role="assistant")
        elif name == FormerGenAI.EVENT_CHOICE:
            answered += _read_choice(body)
        elif is_message_event(name):
            asked += _read_message_event(name, body)
    return asked, answered


def as_list(value: Any) -> list[Any]:
    """Return a list as it is, one that is a JSON text decoded, and anything else in a list."""
    found = find_json(value) if isinstance(value, str) and value.startswith("[") else value
    return list(found) if isinstance(found, list | tuple) else [value]


def _has_parts(value: Any) -> bool:
    if isinstance(value, str):
        return '"parts"' in value
    return isinstance(value, list) and all(isinstance(m, dict) and "parts" in m for m in value)


def _read_flat(item: Attributes, role: str) -> Message:
    calls = take_list(item, "tool_calls")
    message = dict(item)
    content = message.get("content")
    if isinstance(content, str) and content.startswith("["):
        parsed = find_json(content)
        message["content"] = content if parsed is None else parsed
    if calls:
        message["tool_calls"] = calls
    return to_message(message, role=role) or {"role": role, "parts": []}


def _read_function(item: Attributes) -> dict[str, Any]:
    parameters = find_json(item.get("parameters"))
    tool = {"type": "function", **item}
    return tool | {"parameters": parameters} if parameters is not None else tool


def _read_choice(body: Mapping[str, Any]) -> list[Message]:
    found = find_json(body.get("message"))
    message = to_message(found if isinstance(found, dict) else dict(body), role="assistant")
    if message is None:
        return []
    reason = body.get("finish_reason")
    return [message | {"finish_reason": reason} if isinstance(reason, str) else message]


def _read_message_event(name: str, body: Mapping[str, Any]) -> list[Message]:
    role = name.removeprefix(FormerGenAI.EVENT_MESSAGE_PREFIX).removesuffix(
        FormerGenAI.EVENT_MESSAGE_SUFFIX
    )
    if role not in _EVENT_ROLES:
        return []
    given = {"role": role, **body}
    if role == "tool" and "id" in body:
        given["tool_call_id"] = given.pop("id")
    if isinstance(calls := body.get("tool_calls"), str):
        given["tool_calls"] = find_json(calls)
    message = to_message(given)
    return [] if message is None else [message]


def _find_exception(events: Iterable[Event]) -> str | None:
    for event in events:
        if event.name == FormerGenAI.EVENT_EXCEPTION:
            kind = event.attributes.get(FormerGenAI.EXCEPTION_TYPE)
            if isinstance(kind, str):
                return kind
    return None
