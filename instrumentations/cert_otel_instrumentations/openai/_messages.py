"""Chat messages, requests' and replies', in the form of the GenAI conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cert_otel.capture import (
    blob_part,
    clean_tree,
    file_part,
    reasoning_part,
    text_part,
    tool_call_part,
    tool_response_part,
    uri_part,
)
from cert_otel_instrumentations.openai._fields import (
    as_list,
    fields_of,
    get,
    get_list,
    get_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cert_otel.capture import Message, Part


def prompt_texts(messages: Sequence[Any]) -> list[str]:
    """Return roles and texts in their order: what a prompt's fingerprint is made of."""
    texts: list[str] = []
    for message in messages:
        fields = message if isinstance(message, dict) else fields_of(message)
        role, content = fields.get("role"), fields.get("content")
        texts.append(role if isinstance(role, str) else "")
        if isinstance(content, str):
            texts.append(content)
        else:
            texts += [_part_text(part) for part in as_list(content)]
    return texts


def _part_text(part: Any) -> str:
    return get_text(part, "text") or get_text(part, "type") or ""


def input_message(message: Any) -> Message:
    """Convert one message of a request."""
    role = get_text(message, "role") or "user"
    if role in ("tool", "function"):
        call_id = get_text(message, "tool_call_id") or get_text(message, "name")
        response = get(message, "content")
        return {"role": "tool", "parts": [tool_response_part(call_id=call_id, response=response)]}
    converted: Message = {"role": role, "parts": message_parts(message)}
    if (name := get_text(message, "name")) is not None:
        converted["name"] = clean_tree(name)
    return converted


def output_message(choice: Any) -> Message:
    """Convert one choice of a reply."""
    message = get(choice, "message")
    return {
        "role": get_text(message, "role") or "assistant",
        "parts": message_parts(message),
        "finish_reason": get_text(choice, "finish_reason"),
    }


def message_parts(message: Any) -> list[Part]:
    """Convert all that a message holds: reasoning, content, refusal, tool calls, audio."""
    parts: list[Part] = []
    reasoning = get_text(message, "reasoning_content") or get_text(message, "reasoning")
    if reasoning is not None:
        parts.append(reasoning_part(reasoning))
    content = get(message, "content")
    if isinstance(content, str):
        if content:
            parts.append(text_part(content))
    else:
        parts.extend(content_part(part) for part in get_list(message, "content"))
    if (refusal := get_text(message, "refusal")) is not None:
        parts.append({**text_part(refusal), "type": "refusal"})
    if (audio := get(message, "audio")) is not None:
        parts.extend(_audio_parts(audio))
    parts.extend(_tool_call(call) for call in get_list(message, "tool_calls"))
    if (function := get(message, "function_call")) is not None:
        parts.append(_named_call(None, function))
    return parts


def _tool_call(call: Any) -> Part:
    call_id = get_text(call, "id")
    if (custom := get(call, "custom")) is not None:
        name = get_text(custom, "name")
        return tool_call_part(call_id=call_id, name=name, arguments=get(custom, "input"))
    return _named_call(call_id, get(call, "function"))


def _named_call(call_id: str | None, function: Any) -> Part:
    name = get_text(function, "name")
    return tool_call_part(call_id=call_id, name=name, arguments=get(function, "arguments"))


def _audio_parts(audio: Any) -> Iterator[Part]:
    if (data := get_text(audio, "data")) is not None:
        yield blob_part(data, modality="audio", mime_type=None)
    if (transcript := get_text(audio, "transcript")) is not None:
        yield text_part(transcript)


def content_part(part: Any) -> Part:
    """Convert one part of a message's content, chat's or Responses'."""
    if isinstance(part, str):
        return text_part(part)
    kind = get_text(part, "type") or ""
    convert = _CONTENT.get(kind)
    if convert is not None:
        return convert(part)
    return {"type": kind or "unknown", "content": clean_tree(part)}


def _image(part: Any) -> Part:
    image = get(part, "image_url")
    url = image if isinstance(image, str) else get_text(image, "url")
    if url is not None:
        return uri_part(url, modality="image")
    return file_part(get_text(part, "file_id") or "", modality="image")


def _audio(part: Any) -> Part:
    audio = get(part, "input_audio")
    fmt = get_text(audio, "format")
    mime_type = None if fmt is None else f"audio/{fmt}"
    return blob_part(get_text(audio, "data") or "", modality="audio", mime_type=mime_type)


def _file(part: Any) -> Part:
    holder = get(part, "file") or part
    if (data := get_text(holder, "file_data")) is not None:
        if data.startswith("data:"):
            return uri_part(data, modality="document")
        return blob_part(data, modality="document", mime_type=None)
    if (url := get_text(holder, "file_url")) is not None:
        return uri_part(url, modality="document")
    return file_part(get_text(holder, "file_id") or "", modality="document")


def _text(part: Any) -> Part:
    return text_part(get_text(part, "text") or "")


def _refusal(part: Any) -> Part:
    return {**text_part(get_text(part, "refusal") or ""), "type": "refusal"}


_CONTENT: dict[str, Callable[[Any], Part]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "input_image": _image,
    "input_audio": _audio,
    "file": _file,
    "input_file": _file,
}
