"""Legacy text completions over the wire, whole and streamed."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

from cert_otel.testing._tokens import count_input, count_tokens, split_tokens
from cert_otel.testing._wire import (
    answer_json,
    answer_stream,
    encode_chunks,
    list_texts,
    make_envelope,
    make_logprobs,
    make_usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cert_otel.testing._wire import Answer, Exchange


def render_completion(exchange: Exchange) -> Answer:
    """Answer `POST /completions`."""
    reply = exchange.reply
    if exchange.fields.get("stream"):
        return answer_stream(reply, encode_chunks(reply, _make_chunks(exchange)))
    body = make_envelope(exchange, kind="text_completion", prefix="cmpl-")
    body["choices"] = [
        {
            "text": text,
            "index": index,
            "logprobs": _make_logprobs(exchange, text),
            "finish_reason": reply.finish_reason or "stop",
        }
        for index, text in enumerate(_list_texts(exchange))
    ]
    if reply.send_usage:
        body["usage"] = _make_usage(exchange)
    return answer_json(body | dict(reply.patch))


def _list_texts(exchange: Exchange) -> list[str]:
    prompt = exchange.fields.get("prompt")
    many = isinstance(prompt, list) and bool(prompt) and not isinstance(prompt[0], int)
    prompts = len(prompt) if many and isinstance(prompt, list) else 1
    return list_texts(exchange.reply, prompts * (exchange.fields.get("n") or 1))


def _make_usage(exchange: Exchange) -> Any:
    completion = sum(count_tokens(text) for text in _list_texts(exchange))
    prompt = count_input(exchange.fields.get("prompt"))
    return make_usage(exchange, prompt=prompt, completion=completion)


def _make_logprobs(exchange: Exchange, text: str) -> dict[str, Any] | None:
    top = exchange.fields.get("logprobs")
    if top is None:
        return None
    entries = make_logprobs(exchange.reply, text, top=top)
    lengths = [len(entry["token"]) for entry in entries]
    return {
        "tokens": [entry["token"] for entry in entries],
        "token_logprobs": [entry["logprob"] for entry in entries],
        "top_logprobs": [
            {other["token"]: other["logprob"] for other in entry["top_logprobs"]}
            for entry in entries
        ],
        "text_offset": list(accumulate(lengths, initial=0))[: len(entries)],
    }


def _make_chunks(exchange: Exchange) -> Iterator[dict[str, Any]]:
    opening = make_envelope(exchange, kind="text_completion", prefix="cmpl-")
    finish = exchange.reply.finish_reason or "stop"
    for index, text in enumerate(_list_texts(exchange)):
        logprobs = _make_logprobs(exchange, text)
        for number, token in enumerate(split_tokens(text)):
            part = logprobs and {name: [values[number]] for name, values in logprobs.items()}
            yield {**opening, "choices": [_make_part(index, token, logprobs=part)]}
        yield {**opening, "choices": [{**_make_part(index, ""), "finish_reason": finish}]}
    options = exchange.fields.get("stream_options") or {}
    if options.get("include_usage") and exchange.reply.send_usage:
        yield {**opening, "choices": [], "usage": _make_usage(exchange)}


def _make_part(index: int, text: str, *, logprobs: Any = None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": None}
