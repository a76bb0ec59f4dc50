"""The Responses API over the wire: the object, and the events in the provider's order."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cert_otel.testing._tokens import (
    count_messages,
    count_tokens,
    count_tools,
    split_tokens,
)
from cert_otel.testing._wire import (
    EPOCH_S,
    answer_json,
    answer_stream,
    choose_tier,
    encode_event,
    make_logprobs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cert_otel.testing._wire import Answer, Exchange

_INCOMPLETE: Final[Mapping[str, str]] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}
_DEFAULTS: Final[Mapping[str, Any]] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Request fields that the response repeats, with what they are when not given."""


_EMPTY: Final[Mapping[str, Mapping[str, Any]]] = {
    "message": {"content": [], "status": "in_progress"},
    "function_call": {"arguments": "", "status": "in_progress"},
    "reasoning": {"summary": []},
}
"""What an output item is when it is added, before it is filled."""


class _Event(NamedTuple):
    """An event without its sequence number."""

    type: str
    fields: Mapping[str, Any]


def render_response(exchange: Exchange) -> Answer:
    """Answer `POST /responses`."""
    response = _make_response(exchange)
    if exchange.fields.get("stream"):
        events = _encode_events(exchange, _make_events(exchange, response))
        return answer_stream(exchange.reply, events, stored=response)
    return answer_json(response, stored=True)


def _make_response(exchange: Exchange) -> dict[str, Any]:
    reply = exchange.reply
    reason = _INCOMPLETE.get(reply.finish_reason or "")
    created = EPOCH_S + exchange.request.number
    return {
        **_open(exchange, created),
        "status": "incomplete" if reason else "completed",
        "completed_at": None if reason else created,
        "incomplete_details": {"reason": reason} if reason else None,
        "output": list(_list_items(exchange)),
        "service_tier": choose_tier(exchange),
        "usage": _make_usage(exchange) if reply.send_usage else None,
        **reply.patch,
    }


def _open(exchange: Exchange, created: int) -> dict[str, Any]:
    fields = exchange.fields
    return {
        "id": exchange.make_id("resp_"),
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": exchange.model,
        "output": [],
        "service_tier": fields.get("service_tier", "auto"),
        "usage": None,
        **{name: fields.get(name, default) for name, default in _DEFAULTS.items()},
    }


def _list_items(exchange: Exchange) -> Iterator[dict[str, Any]]:
    reply = exchange.reply
    if reply.reasoning is not None:
        yield _make_reasoning(exchange, reply.reasoning)
    if reply.text or reply.refusal or not reply.tool_calls:
        yield _make_message(exchange)
    for number, call in enumerate(reply.tool_calls):
        yield {
            "id": exchange.make_id("fc_", number),
            "type": "function_call",
            "status": "completed",
            "call_id": exchange.make_id("call_", number),
            "name": call.name,
            "arguments": call.arguments_json,
        }


def _make_reasoning(exchange: Exchange, text: str) -> dict[str, Any]:
    asked = (exchange.fields.get("reasoning") or {}).get("summary")
    summary = [{"type": "summary_text", "text": text}] if asked else []
    return {"id": exchange.make_id("rs_"), "type": "reasoning", "summary": summary}


def _make_message(exchange: Exchange) -> dict[str, Any]:
    reply = exchange.reply
    content: dict[str, Any] = {"type": "refusal", "refusal": reply.refusal}
    if not reply.refusal:
        text = reply.text or ""
        logprobs = _make_logprobs(exchange, text)
        content = {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}
    return {
        "id": exchange.make_id("msg_"),
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [content],
    }


def _make_logprobs(exchange: Exchange, text: str) -> list[dict[str, Any]]:
    fields = exchange.fields
    if "message.output_text.logprobs" not in (fields.get("include") or ()):
        return []
    return make_logprobs(exchange.reply, text, top=fields.get("top_logprobs") or 0)


def _make_usage(exchange: Exchange) -> Any:
    fields, reply = exchange.fields, exchange.reply
    if reply.usage is not None:
        return dict(reply.usage)
    asked = fields.get("input")
    messages = [{"content": asked}] if isinstance(asked, str) else asked
    instructions = count_tokens(fields.get("instructions") or "")
    prompt = count_messages(messages) + instructions + count_tools(fields.get("tools"))
    reasoning = count_tokens(reply.reasoning or "")
    calls = sum(count_tokens(call.name + call.arguments_json) for call in reply.tool_calls)
    written = reply.refusal or reply.text or ""
    completion = count_tokens(written) + calls + reasoning
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": reply.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": prompt + completion,
    }


def _encode_events(exchange: Exchange, events: Iterable[_Event]) -> Iterator[bytes]:
    reply, numbers = exchange.reply, count()
    for number, event in zip(numbers, events, strict=False):
        if reply.fault == "error_event" and number == reply.fault_after:
            event = _Event("error", {"code": "server_error", "message": "Failed.", "param": None})  # noqa: PLW2901 - takes its place
        data = {"type": event.type, "sequence_number": number, **event.fields}
        yield encode_event(data, name=event.type)
        if event.type == "error":
            return


def _make_events(exchange: Exchange, response: Mapping[str, Any]) -> Iterator[_Event]:
    opened = _open(exchange, response["created_at"])
    yield _Event("response.created", {"response": opened})
    yield _Event("response.in_progress", {"response": opened})
    for index, item in enumerate(response["output"] or ()):
        yield from _stream_item(item, index)
    yield _Event(f"response.{response['status']}", {"response": response})


def _stream_item(item: Mapping[str, Any], index: int) -> Iterator[_Event]:
    place = {"item_id": item["id"], "output_index": index}
    empty = _EMPTY[item["type"]]
    yield _Event("response.output_item.added", {"output_index": index, "item": {**item, **empty}})
    match item["type"]:
        case "message":
            yield from _stream_content(item["content"], place)
        case "function_call":
            yield from _stream_arguments(item["arguments"], place)
        case _:
            yield from _stream_summary(item["summary"], place)
    yield _Event("response.output_item.done", {"output_index": index, "item": item})


def _stream_content(
    content: Sequence[Mapping[str, Any]], place: Mapping[str, Any]
) -> Iterator[_Event]:
    for index, part in enumerate(content):
        at = {**place, "content_index": index}
        stream = _stream_refusal if part["type"] == "refusal" else _stream_text
        empty = {"refusal": ""} if part["type"] == "refusal" else {"text": "", "logprobs": []}
        yield _Event("response.content_part.added", {**at, "part": {**part, **empty}})
        yield from stream(part, at)
        yield _Event("response.content_part.done", {**at, "part": part})


def _stream_text(part: Mapping[str, Any], at: Mapping[str, Any]) -> Iterator[_Event]:
    logprobs = part["logprobs"]
    for number, token in enumerate(split_tokens(part["text"])):
        fields = {**at, "delta": token, "logprobs": logprobs[number : number + 1]}
        yield _Event("response.output_text.delta", fields)
    fields = {**at, "text": part["text"], "logprobs": logprobs}
    yield _Event("response.output_text.done", fields)


def _stream_refusal(part: Mapping[str, Any], at: Mapping[str, Any]) -> Iterator[_Event]:
    for token in split_tokens(part["refusal"]):
        yield _Event("response.refusal.delta", {**at, "delta": token})
    yield _Event("response.refusal.done", {**at, "refusal": part["refusal"]})


def _stream_arguments(arguments: str, place: Mapping[str, Any]) -> Iterator[_Event]:
    for token in split_tokens(arguments):
        yield _Event("response.function_call_arguments.delta", {**place, "delta": token})
    yield _Event("response.function_call_arguments.done", {**place, "arguments": arguments})


def _stream_summary(
    summary: Sequence[Mapping[str, Any]], place: Mapping[str, Any]
) -> Iterator[_Event]:
    for index, part in enumerate(summary):
        at, name = {**place, "summary_index": index}, "response.reasoning_summary"
        yield _Event(f"{name}_part.added", {**at, "part": {**part, "text": ""}})
        for token in split_tokens(part["text"]):
            yield _Event(f"{name}_text.delta", {**at, "delta": token})
        yield _Event(f"{name}_text.done", {**at, "text": part["text"]})
        yield _Event(f"{name}_part.done", {**at, "part": part})
