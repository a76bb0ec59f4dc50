"""What all endpoints share: the exchange, the answer, ids, errors and event streams."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cert_otel.testing._tokens import count_tokens, derive_logprob, split_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cert_otel.testing._replies import RecordedRequest, Reply

EPOCH_S: Final = 1_760_000_000
"""`created` of everything that the fake provider makes: runs compare equal."""
_ID_DIGITS: Final = 24
_ERRORS: Final[Mapping[int, tuple[str, str | None, str]]] = {
    400: ("invalid_request_error", None, "The request is not valid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: demo."),
    403: ("invalid_request_error", "unsupported_country", "Country not supported."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests per min."),
    500: ("server_error", None, "The server had an error while processing your request."),
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and the reply that was chosen for it."""

    request: RecordedRequest
    reply: Reply
    model: str
    """The model that answers."""
    azure: bool = False

    @property
    def fields(self) -> Mapping[str, Any]:
        """What was asked."""
        return self.request.fields

    def make_id(self, prefix: str, index: int = 0) -> str:
        """Make an id that depends on the request's number alone."""
        suffix = f"{index}" if index else ""
        return f"{prefix}{self.request.number:0{_ID_DIGITS}d}{suffix}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over the wire."""

    body: bytes = b""
    content_type: str = "application/json"
    status: int = 200
    events: Sequence[bytes] | None = None
    """A server-sent event stream, in place of `body`."""
    stored: Mapping[str, Any] | None = None
    """An object that can be fetched by its id later."""


def answer_json(body: Mapping[str, Any], *, status: int = 200, stored: bool = False) -> Answer:
    """Answer with one JSON object."""
    return Answer(json.dumps(body).encode(), status=status, stored=body if stored else None)


def answer_error(reply: Reply) -> Answer:
    """Answer with the provider's error body for `reply.status`."""
    kind, code, message = _ERRORS.get(reply.status, _ERRORS[400 if reply.status < 500 else 500])  # noqa: PLR2004 - classes of HTTP
    error = {"message": reply.text or message, "type": kind, "param": None, "code": code}
    return answer_json({"error": error | dict(reply.patch)}, status=reply.status)


def answer_stream(
    reply: Reply, events: Iterable[bytes], *, stored: Mapping[str, Any] | None = None
) -> Answer:
    """Answer with an event stream; a fault of the reply cuts it short."""
    sent = list(events)
    if reply.fault == "cut":
        sent = sent[: reply.fault_after]
    return Answer(content_type="text/event-stream; charset=utf-8", events=sent, stored=stored)


def encode_event(data: Mapping[str, Any] | str, *, name: str | None = None) -> bytes:
    """Encode one server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data)
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode()


def encode_chunks(reply: Reply, chunks: Iterable[Mapping[str, Any]]) -> Iterable[bytes]:
    """Encode chunks as chat and completions stream them: `[DONE]` ends, an error may come first."""
    for number, chunk in enumerate(chunks):
        if reply.fault == "error_event" and number == reply.fault_after:
            kind, code, message = _ERRORS[500]
            error = {"message": message, "type": kind, "param": None, "code": code}
            yield encode_event({"error": error})
            return
        yield encode_event({**chunk, **reply.patch})
    yield encode_event("[DONE]")


def make_envelope(exchange: Exchange, *, kind: str, prefix: str) -> dict[str, Any]:
    """Return the fields that every completion, chat completion and chunk starts with."""
    reply = exchange.reply
    return {
        "id": exchange.make_id(prefix),
        "object": kind,
        "created": EPOCH_S + exchange.request.number,
        "model": exchange.model,
        "system_fingerprint": reply.system_fingerprint
        or f"fp_{zlib.crc32(exchange.model.encode()):010x}",
    }


def choose_tier(exchange: Exchange) -> str:
    """Return the service tier that served: `auto` ends up as `default`."""
    asked = exchange.fields.get("service_tier")
    return exchange.reply.service_tier or (asked if asked not in (None, "auto") else "default")


def list_texts(reply: Reply, choices: int) -> list[str]:
    """Return the text of each choice."""
    texts = [reply.text or "", *reply.alternatives][:choices]
    return texts + [texts[0]] * (choices - len(texts))


def make_usage(exchange: Exchange, *, prompt: int, completion: int, audio: int = 0) -> Any:
    """Return usage in the shape of chat and completions, as scripted or counted."""
    reply = exchange.reply
    if reply.usage is not None:
        return dict(reply.usage)
    reasoning = count_tokens(reply.reasoning or "")
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion + reasoning,
        "total_tokens": prompt + completion + reasoning,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens, "audio_tokens": audio},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def make_logprobs(reply: Reply, text: str, *, top: int) -> list[dict[str, Any]]:
    """Return one entry for each token of `text`, as chat and Responses shape them."""
    tokens = split_tokens(text)
    scripted = reply.logprobs if reply.logprobs is not None and text == reply.text else None
    values = scripted or [derive_logprob(token) for token in tokens]
    return [
        {**_make_logprob(token, value), "top_logprobs": _make_top(token, value, top)}
        for token, value in zip(tokens, values, strict=True)
    ]


def _make_logprob(token: str, value: float) -> dict[str, Any]:
    return {"token": token, "logprob": value, "bytes": list(token.encode())}


def _make_top(token: str, value: float, top: int) -> list[dict[str, Any]]:
    others = [_make_logprob(f" other{rank}", value - rank) for rank in range(1, top)]
    return [_make_logprob(token, value), *others][:top]
