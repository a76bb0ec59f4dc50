"""Chat completions over the wire, whole and streamed."""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Final

from cert_otel.testing._tokens import (
    count_audio,
    count_messages,
    count_tokens,
    count_tools,
    split_tokens,
)
from cert_otel.testing._wire import (
    answer_json,
    answer_stream,
    choose_tier,
    encode_chunks,
    list_texts,
    make_envelope,
    make_logprobs,
    make_usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cert_otel.testing._wire import Answer, Exchange

_FILTER: Final = {
    name: {"filtered": False, "severity": "safe"}
    for name in ("hate", "self_harm", "sexual", "violence")
}
"""What Azure's content filter adds to each choice."""


def render_chat(exchange: Exchange) -> Answer:
    """Answer `POST /chat/completions`."""
    reply = exchange.reply
    if exchange.fields.get("stream"):
        return answer_stream(reply, encode_chunks(reply, _make_chunks(exchange)))
    body = _open(exchange, "chat.completion")
    body["choices"] = [_make_choice(exchange, *choice) for choice in _list_choices(exchange)]
    if reply.send_usage:
        body["usage"] = _make_usage(exchange)
    if exchange.azure:
        body["prompt_filter_results"] = [_make_prompt_filter()]
    return answer_json(body | dict(reply.patch))


def _open(exchange: Exchange, kind: str) -> dict[str, Any]:
    body = make_envelope(exchange, kind=kind, prefix="chatcmpl-")
    if not exchange.azure:
        body["service_tier"] = choose_tier(exchange)
    return body


def _list_choices(exchange: Exchange) -> Iterable[tuple[int, str]]:
    return enumerate(list_texts(exchange.reply, exchange.fields.get("n") or 1))


def _make_usage(exchange: Exchange) -> Any:
    fields, reply = exchange.fields, exchange.reply
    calls = sum(count_tokens(call.name + call.arguments_json) for call in reply.tool_calls)
    texts = sum(count_tokens(text) for _, text in _list_choices(exchange))
    messages = fields.get("messages")
    return make_usage(
        exchange,
        prompt=count_messages(messages) + count_tools(fields.get("tools")),
        completion=texts + calls + count_tokens(reply.refusal or ""),
        audio=count_audio(messages),
    )


def _make_choice(exchange: Exchange, index: int, text: str) -> dict[str, Any]:
    reply = exchange.reply
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if reply.refusal or (reply.tool_calls and not text) else text,
        "refusal": reply.refusal,
        "annotations": [],
    }
    if reply.tool_calls:
        message["tool_calls"] = [
            {
                "id": exchange.make_id("call_", number),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments_json},
            }
            for number, call in enumerate(reply.tool_calls)
        ]
    return {
        "index": index,
        "message": message,
        "logprobs": _make_choice_logprobs(exchange, text),
        "finish_reason": _choose_finish(exchange),
        **({"content_filter_results": _FILTER} if exchange.azure else {}),
    }


def _choose_finish(exchange: Exchange) -> str:
    reply = exchange.reply
    return reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")


def _make_choice_logprobs(exchange: Exchange, text: str) -> dict[str, Any] | None:
    fields, reply = exchange.fields, exchange.reply
    if not fields.get("logprobs"):
        return None
    top = fields.get("top_logprobs") or 0
    if reply.refusal:
        return {"content": None, "refusal": make_logprobs(reply, reply.refusal, top=top)}
    return {"content": make_logprobs(reply, text, top=top), "refusal": None}


def _make_chunks(exchange: Exchange) -> Iterator[dict[str, Any]]:
    reply = exchange.reply
    options = exchange.fields.get("stream_options") or {}
    counted = bool(options.get("include_usage")) and reply.send_usage
    opening = _open(exchange, "chat.completion.chunk")
    rest = {"usage": None} if counted else {}
    if exchange.azure:
        yield _make_filter_chunk()
    for number, choice in enumerate(_interleave(exchange)):
        faulty = reply.fault == "null_index" and number == reply.fault_after
        yield {**opening, "choices": [{**choice, "index": None} if faulty else choice], **rest}
    if counted:
        yield {**opening, "choices": [], "usage": _make_usage(exchange)}


def _interleave(exchange: Exchange) -> Iterator[Mapping[str, Any]]:
    """Stream the choices side by side, as the provider does, in the order of their chunks."""
    streams = [_stream_choice(exchange, *choice) for choice in _list_choices(exchange)]
    return (part for part in chain.from_iterable(zip_longest(*streams)) if part is not None)


def _stream_choice(exchange: Exchange, index: int, text: str) -> Iterator[dict[str, Any]]:
    reply = exchange.reply
    opening = "" if text and not reply.refusal else None
    yield _make_part(index, {"role": "assistant", "content": opening, "refusal": None})
    if reply.refusal:
        yield from _stream_text(exchange, index, reply.refusal, name="refusal")
    elif text:
        yield from _stream_text(exchange, index, text, name="content")
    for delta in _stream_calls(exchange):
        yield _make_part(index, {"tool_calls": [delta]})
    yield _make_part(index, {}, finish=_choose_finish(exchange))


def _stream_text(
    exchange: Exchange, index: int, text: str, *, name: str
) -> Iterator[dict[str, Any]]:
    logprobs = _make_choice_logprobs(exchange, text)
    for number, token in enumerate(split_tokens(text)):
        part = _make_part(index, {name: token})
        if logprobs is not None:
            part["logprobs"] = {
                field: entries and [entries[number]] for field, entries in logprobs.items()
            }
        yield part


def _stream_calls(exchange: Exchange) -> Iterator[dict[str, Any]]:
    for number, call in enumerate(exchange.reply.tool_calls):
        yield {
            "index": number,
            "id": exchange.make_id("call_", number),
            "type": "function",
            "function": {"name": call.name, "arguments": ""},
        }
        for token in split_tokens(call.arguments_json):
            yield {"index": number, "function": {"arguments": token}}


def _make_part(
    index: int, delta: Mapping[str, Any], *, finish: str | None = None
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _make_prompt_filter() -> dict[str, Any]:
    return {"prompt_index": 0, "content_filter_results": _FILTER}


def _make_filter_chunk() -> dict[str, Any]:
    """Return Azure's first chunk: no choice, no model, only the filter's verdict on the prompt."""
    empty = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
    return {**empty, "prompt_filter_results": [_make_prompt_filter()]}
