"""What was asked and answered: messages, tools, passages, from JSON texts or structures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from cert_otel import semconv
from cert_otel.records import ContextItem
from cert_otel.wire._values import UNREADABLE, clean, decode_json, dump

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cert_otel.wire.span import Attributes

_MESSAGES: Final = msgspec.json.Decoder(list[dict[str, Any]])
_DECODERS: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    semconv.SYSTEM_INSTRUCTIONS: _MESSAGES,
    semconv.INPUT_MESSAGES: _MESSAGES,
    semconv.OUTPUT_MESSAGES: _MESSAGES,
    semconv.TOOL_DEFINITIONS: _MESSAGES,
    semconv.RETRIEVAL_DOCUMENTS: _MESSAGES,
    semconv.CONTEXT: msgspec.json.Decoder(list[ContextItem]),
    semconv.METADATA: msgspec.json.Decoder(dict[str, Any]),
}
"""What each attribute that is a JSON text, or structured already, must hold."""


def set_content(
    fields: dict[str, Any], attributes: Attributes, unreadable: list[str]
) -> dict[str, Any]:
    """Set messages, tools, context, and the texts that are taken from them; set texts stay.

    Args:
        fields: Of the record; `kind` is there.
        attributes: Those that hold content.
        unreadable: Gets the names of those that are no valid JSON.

    Returns:
        The metadata that the application gave.
    """
    found: dict[str, Any] = {}
    for name, value in attributes.items():
        decoder = _DECODERS.get(name)
        if decoder is not None and value is not None:
            try:
                found[name] = decode_json(value, decoder) or None
            except UNREADABLE:
                unreadable.append(name)
    if found:
        _set_messages(fields, found)
    kind = fields["kind"]
    if kind == "tool":
        _set_text(fields, "input_data", attributes.get(semconv.TOOL_CALL_ARGUMENTS))
        _set_text(fields, "output_data", attributes.get(semconv.TOOL_CALL_RESULT))
    elif kind == "retrieval":
        _set_text(fields, "input_data", attributes.get(semconv.RETRIEVAL_QUERY_TEXT))
        documents = found.get(semconv.RETRIEVAL_DOCUMENTS)
        fields["context"] = fields.get("context") or _context_from_documents(documents or [])
    return found.get(semconv.METADATA) or {}


def _set_messages(fields: dict[str, Any], found: Mapping[str, Any]) -> None:
    asked = found.get(semconv.INPUT_MESSAGES)
    answered = found.get(semconv.OUTPUT_MESSAGES)
    system = found.get(semconv.SYSTEM_INSTRUCTIONS)
    if asked and "input_data" not in fields:
        fields["input_data"] = find_text(reversed(asked), role="user")
    if answered and "output_data" not in fields:
        fields["output_data"] = find_text(answered)
    if system:
        asked = [{"role": "system", "parts": system}, *(asked or ())]
    fields["input_messages"] = asked
    fields["output_messages"] = answered
    fields["tools"] = found.get(semconv.TOOL_DEFINITIONS)
    fields["context"] = found.get(semconv.CONTEXT)


def find_text(messages: Any, *, role: str | None = None) -> str | None:
    """Return the text of the first message that has one, of `role` where that is given."""
    for message in messages:
        if role is None or message.get("role") == role:
            text = _text_of(message)
            if text:
                return text
    return None


def _text_of(message: Mapping[str, Any]) -> str:
    parts = message.get("parts")
    if not isinstance(parts, list):
        content = message.get("content")
        return content if isinstance(content, str) else ""
    texts = [
        part["content"]
        for part in parts
        if isinstance(part, dict)
        and part.get("type") == "text"
        and isinstance(part.get("content"), str)
    ]
    return texts[0] if len(texts) == 1 else "\n".join(texts)


def _set_text(fields: dict[str, Any], field: str, value: Any) -> None:
    if value is None or value == "" or fields.get(field) is not None:
        return
    fields[field] = clean(value if isinstance(value, str) else dump(value))


def _context_from_documents(documents: list[dict[str, Any]]) -> list[ContextItem] | None:
    """Read the passages; the conventions' own documents have an id and a score but no text."""
    items = []
    for document in documents:
        text = document.get("content") or document.get("text")
        if isinstance(text, str) and text:
            name = document.get("id")
            items.append(
                ContextItem(text=text, id=None if name is None else str(name), source="retrieval")
            )
    return items or None
