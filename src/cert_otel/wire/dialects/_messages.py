"""Messages as providers and frameworks write them, to the parts of the GenAI conventions.

OpenAI, Anthropic, the AI SDK and LangChain differ in the names of few things; one reader takes
all of them. Binary content is never carried over: what is left says that there was some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cert_otel.wire._values import find_json

if TYPE_CHECKING:
    from collections.abc import Mapping

Message = dict[str, Any]
Part = dict[str, Any]

_ROLES: Final[Mapping[str, str]] = {
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "function": "tool",
}
_TEXT_TYPES: Final = frozenset({"text", "input_text", "output_text", "refusal"})
_REASONING_TYPES: Final = frozenset({"reasoning", "thinking"})
_CALL_TYPES: Final = frozenset({"tool_call", "tool_use", "tool-call", "function_call", "function"})
_RESULT_TYPES: Final = frozenset(
    {"tool_call_response", "tool_result", "tool-result", "function_call_output"}
)
_MEDIA: Final[Mapping[str, str]] = {
    "image_url": "image",
    "input_image": "image",
    "image": "image",
    "input_audio": "audio",
    "audio": "audio",
    "video": "video",
    "file": "file",
    "input_file": "file",
    "document": "file",
}
_BINARY: Final = frozenset({"data", "b64_json"})


def to_messages(value: Any, *, role: str = "user") -> list[Message]:
    """Read a text, a message or a list of messages, structured or as JSON.

    Args:
        value: Anything; what is no message is left out.
        role: Of a text, and of messages that do not say theirs.
    """
    found = find_json(value) if isinstance(value, str) and value.lstrip()[:1] in "[{" else value
    if found is None:
        found = value
    if isinstance(found, str):
        return [{"role": role, "parts": [to_text(found)]}] if found else []
    if isinstance(found, dict):
        found = found.get("messages", [found])
    return [
        message
        for one in (found if isinstance(found, list) else ())
        if (message := to_message(one, role=role)) is not None
    ]


def to_message(value: Any, *, role: str = "user") -> Message | None:
    """Read one message; `None` for what is none."""
    if isinstance(value, str):
        return {"role": role, "parts": [to_text(value)]} if value else None
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("parts"), list) and "content" not in value:
        parts = [part for one in value["parts"] if (part := to_part(one)) is not None]
    else:
        parts = _find_parts(value)
    message = {"role": _find_role(value, role), "parts": parts}
    for name in ("name", "finish_reason"):
        if isinstance(value.get(name), str):
            message[name] = value[name]
    return message


def to_text(text: str) -> Part:
    """Return a part of text."""
    return {"type": "text", "content": text}


def to_part(value: Any) -> Part | None:
    """Read one part of a message; `None` for what is none or says nothing."""
    if isinstance(value, str):
        return to_text(value) if value else None
    if not isinstance(value, dict):
        return None
    kind = value.get("type")
    if kind is None:
        return _read_unnamed(value)
    if not isinstance(kind, str):
        return None
    return _read_typed(kind, value)


def _read_typed(kind: str, value: Part) -> Part | None:
    if kind in _TEXT_TYPES:
        return _read_text(value, "text")
    if kind in _REASONING_TYPES:
        return _read_text(value, "reasoning")
    if kind in _CALL_TYPES:
        return to_tool_call(value)
    if kind in _RESULT_TYPES:
        return _read_result(value)
    if kind in _MEDIA:
        return _read_media(kind, value)
    binary = _BINARY | {"content"} if kind == "blob" else _BINARY
    return {name: field for name, field in value.items() if name not in binary}


def _read_unnamed(value: Part) -> Part | None:
    """Read what Gemini and Bedrock write: the name of the only key says what it is."""
    if isinstance(value.get("text"), str):
        return to_text(value["text"])
    if isinstance(value.get("content"), str):
        return to_text(value["content"])
    for name in ("functionCall", "function_call", "toolUse"):
        if isinstance(value.get(name), dict):
            return to_tool_call(value[name])
    for name in ("functionResponse", "function_response", "toolResult"):
        if isinstance(value.get(name), dict):
            return _read_result(value[name])
    return None


def to_tool_call(value: Any) -> Part | None:
    """Read a call of a tool; its arguments are structured where they are JSON."""
    if not isinstance(value, dict):
        return None
    function = value["function"] if isinstance(value.get("function"), dict) else value
    given = _first(function, "arguments", "input", "args")
    call = {
        "type": "tool_call",
        "id": _first(value, "id", "call_id", "toolCallId", "toolUseId", "tool_call_id"),
        "name": _first(function, "name", "toolName"),
    }
    if given is not None:
        parsed = find_json(given)
        call["arguments"] = given if parsed is None else parsed
    return call


def _read_result(value: Part) -> Part:
    result = _first(value, "response", "content", "output", "result")
    if isinstance(result, list):
        texts = [part["text"] for part in result if _is_text(part)]
        result = "\n".join(texts) if len(texts) == len(result) else result
    elif isinstance(result, dict) and "value" in result and "type" in result:
        result = result["value"]  # the AI SDK's {type: "json", value: …}
    return {
        "type": "tool_call_response",
        "id": _first(value, "id", "tool_use_id", "call_id", "toolCallId", "toolUseId"),
        "response": result,
    }


def _read_text(value: Part, kind: str) -> Part | None:
    text = _first(value, "content", "text", "thinking", "refusal", "reasoning")
    return {"type": kind, "content": text} if isinstance(text, str) and text else None


def _read_media(kind: str, value: Part) -> Part:
    source = _first(value, "image_url", "image", "url", "uri", "source", "data", "file")
    if isinstance(source, dict):
        source = source.get("url")
    part: Part = {"type": "blob", "modality": _MEDIA[kind]}
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        part = {"type": "uri", "modality": _MEDIA[kind], "uri": source}
    mime_type = _first(value, "mime_type", "mediaType", "media_type")
    return part if mime_type is None else part | {"mime_type": mime_type}


def _find_parts(message: Mapping[str, Any]) -> list[Part]:
    content = message.get("content")
    if message.get("tool_call_id") and message.get("role") in ("tool", "function"):
        return [_read_result({"id": message["tool_call_id"], "content": content})]
    listed = content if isinstance(content, list) else [content]
    parts = [part for one in listed if (part := to_part(one)) is not None]
    calls = message.get("tool_calls")
    called = [*(calls if isinstance(calls, list) else ()), message.get("function_call")]
    return parts + [part for call in called if (part := to_tool_call(call)) is not None]


def _find_role(message: Mapping[str, Any], default: str) -> str:
    role = _first(message, "role", "type")
    if not isinstance(role, str) or role == "message":
        return default
    return _ROLES.get(role, role)


def _first(value: Mapping[str, Any], *names: str) -> Any:
    return next((value[name] for name in names if value.get(name) is not None), None)


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)
