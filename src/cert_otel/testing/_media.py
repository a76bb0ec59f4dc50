"""Embeddings, images, speech and transcriptions over the wire."""

from __future__ import annotations

import base64
import math
import re
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

from cert_otel.testing._tokens import count_input, count_tokens, split_tokens
from cert_otel.testing._wire import (
    EPOCH_S,
    Answer,
    answer_json,
    answer_stream,
    encode_event,
    make_logprobs,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cert_otel.testing._wire import Exchange

_DIMENSIONS: Final[Mapping[str, int]] = {"text-embedding-3-large": 3072}
_DEFAULT_DIMENSIONS: Final = 1536
_PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
"""A PNG of one pixel."""
_IMAGE_TOKENS: Final[Mapping[str, int]] = {"low": 272, "medium": 1056, "high": 4160}
"""What a square image of each quality costs with gpt-image-1."""
_BYTES_PER_SECOND: Final = 32_000
"""16-bit mono at 16 kHz: how long an uploaded file is taken to last."""
_AUDIO_TOKENS_PER_SECOND: Final = 10
_SILENCE: Final = b"\xff\xfb\x90\x00" + bytes(413)
"""One MP3 frame."""


def embed(text: str, dimensions: int) -> list[float]:
    """Return a unit vector; texts with words in common are closer than texts without.

    Each word adds to one dimension, chosen by its checksum. An empty text gets the first axis.
    """
    vector = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()) or [""]:
        vector[zlib.crc32(word.encode()) % dimensions if word else 0] += 1.0
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector]


def render_embeddings(exchange: Exchange) -> Answer:
    """Answer `POST /embeddings`, in floats or in base64 as the SDK asks for."""
    fields, reply = exchange.fields, exchange.reply
    size = fields.get("dimensions") or _DIMENSIONS.get(exchange.model, _DEFAULT_DIMENSIONS)
    packed = fields.get("encoding_format") == "base64"
    vectors = [embed(str(item), size) for item in _list_inputs(fields.get("input"))]
    tokens = count_input(fields.get("input"))
    usage = (
        reply.usage
        if reply.usage is not None
        else {"prompt_tokens": tokens, "total_tokens": tokens}
    )
    body = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": _pack(vector) if packed else vector,
            }
            for index, vector in enumerate(vectors)
        ],
        "model": exchange.model,
        **({"usage": dict(usage)} if reply.send_usage else {}),
    }
    return answer_json(body | dict(reply.patch))


def _list_inputs(value: Any) -> list[Any]:
    many = isinstance(value, list) and bool(value) and not isinstance(value[0], int)
    return value if many else [value]


def _pack(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def render_image(exchange: Exchange) -> Answer:
    """Answer `POST /images/generations`: GPT image models bill tokens, DALL-E does not."""
    fields, reply = exchange.fields, exchange.reply
    if fields.get("stream"):
        return answer_stream(reply, _stream_image(exchange))
    images = fields.get("n") or 1
    if not exchange.model.startswith("gpt-image"):
        image = {"url": f"https://images.invalid/{exchange.request.number}.png"}
        data = [{**image, "revised_prompt": reply.text}] * images
        return answer_json({"created": EPOCH_S, "data": data} | dict(reply.patch))
    body = {"created": EPOCH_S, "data": [{"b64_json": _PIXEL}] * images, **_list_options(fields)}
    if reply.send_usage:
        body["usage"] = _make_image_usage(exchange, images)
    return answer_json(body | dict(reply.patch))


def _list_options(fields: Mapping[str, Any]) -> dict[str, Any]:
    asked = {"background": "opaque", "output_format": "png", "quality": "high", "size": "1024x1024"}
    return {
        name: default if fields.get(name) in (None, "auto") else fields[name]
        for name, default in asked.items()
    }


def _make_image_usage(exchange: Exchange, images: int) -> dict[str, Any]:
    if exchange.reply.usage is not None:
        return dict(exchange.reply.usage)
    prompt = count_input(exchange.fields.get("prompt"))
    output = images * _IMAGE_TOKENS.get(_list_options(exchange.fields)["quality"], 4160)
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"text_tokens": prompt, "image_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": output},
        "total_tokens": prompt + output,
    }


def _stream_image(exchange: Exchange) -> Iterator[bytes]:
    shared = {"b64_json": _PIXEL, "created_at": EPOCH_S, **_list_options(exchange.fields)}
    for number in range(exchange.fields.get("partial_images") or 0):
        name = "image_generation.partial_image"
        yield encode_event({"type": name, **shared, "partial_image_index": number}, name=name)
    name = "image_generation.completed"
    usage = _make_image_usage(exchange, 1)
    yield encode_event({"type": name, **shared, "usage": usage, **exchange.reply.patch}, name=name)


def render_speech(exchange: Exchange) -> Answer:
    """Answer `POST /audio/speech`: one silent frame for each token, and no usage."""
    frames = count_input(exchange.fields.get("input")) or 1
    kind = exchange.fields.get("response_format") or "mp3"
    return Answer(
        _SILENCE * frames, content_type="audio/mpeg" if kind == "mp3" else f"audio/{kind}"
    )


def render_transcription(exchange: Exchange) -> Answer:
    """Answer `POST /audio/transcriptions` in the format that was asked for."""
    fields, reply = exchange.fields, exchange.reply
    text = reply.text or ""
    if fields.get("stream") == "true":
        return answer_stream(reply, _stream_transcript(exchange, text))
    match fields.get("response_format"):
        case "text" | "srt" | "vtt":
            return Answer(f"{text}\n".encode(), content_type="text/plain; charset=utf-8")
        case "verbose_json":
            timing = {"task": "transcribe", "language": "english", "duration": _measure(fields)}
        case _:
            timing = {}
    return answer_json(
        {"text": text, **timing, **_close_transcript(exchange, text)} | dict(reply.patch)
    )


def _measure(fields: Mapping[str, Any]) -> float:
    return max(1.0, float(len(fields.get("file") or b"") // _BYTES_PER_SECOND))


def _close_transcript(exchange: Exchange, text: str) -> dict[str, Any]:
    fields, reply = exchange.fields, exchange.reply
    closing: dict[str, Any] = {}
    if "logprobs" in (fields.get("include") or ()):
        closing["logprobs"] = _list_logprobs(exchange, text)
    if not reply.send_usage:
        return closing
    return closing | {"usage": _make_transcript_usage(exchange, text)}


def _make_transcript_usage(exchange: Exchange, text: str) -> dict[str, Any]:
    if exchange.reply.usage is not None:
        return dict(exchange.reply.usage)
    seconds = _measure(exchange.fields)
    if exchange.model.startswith("whisper"):
        return {"type": "duration", "seconds": seconds}
    audio = int(seconds) * _AUDIO_TOKENS_PER_SECOND
    prompt = count_tokens(exchange.fields.get("prompt") or "")
    output = count_tokens(text)
    return {
        "type": "tokens",
        "input_tokens": audio + prompt,
        "input_token_details": {"audio_tokens": audio, "text_tokens": prompt},
        "output_tokens": output,
        "total_tokens": audio + prompt + output,
    }


def _list_logprobs(exchange: Exchange, text: str) -> list[dict[str, Any]]:
    names = ("token", "logprob", "bytes")
    entries = make_logprobs(exchange.reply, text, top=0)
    return [{name: entry[name] for name in names} for entry in entries]


def _stream_transcript(exchange: Exchange, text: str) -> Iterator[bytes]:
    for token in split_tokens(text):
        yield encode_event({"type": "transcript.text.delta", "delta": token})
    done = {"type": "transcript.text.done", "text": text, **_close_transcript(exchange, text)}
    yield encode_event(done)
    yield encode_event("[DONE]")
