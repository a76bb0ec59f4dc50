"""What was asked and answered: messages, tools, passages, from JSON texts or structures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from cert_otel import semconv
from cert_otel.records import ContextItem
from cert_otel.wire._values import UNREADABLE, clean, decode_json, dump

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cert_otel.wire.span import Attributes

T = TypeVar("T")

_MESSAGES: Final = msgspec.json.Decoder(list[dict[str, Any]])
_CONTEXT: Final = msgspec.json.Decoder(list[ContextItem])
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


class Content:
    """The attributes of one span that hold content; each is read once."""

    def __init__(self, attributes: Attributes, unreadable: list[str]) -> None:
        """Read from `attributes`, and name in `unreadable` what is no valid JSON."""
        self._attributes = attributes
        self._unreadable = unreadable

    def set_messages(self, fields: dict[str, Any]) -> None:
        """Set the messages and what is taken from them; set texts stay."""
        system = self._take(semconv.SYSTEM_INSTRUCTIONS, _MESSAGES)
        asked = self._take(semconv.INPUT_MESSAGES, _MESSAGES)
        answered = self._take(semconv.OUTPUT_MESSAGES, _MESSAGES)
        fields["tools"] = self._take(semconv.TOOL_DEFINITIONS, _MESSAGES)
        fields["context"] = self._take(semconv.CONTEXT, _CONTEXT)
        if asked:
            fields.setdefault("input_data", find_text(reversed(asked), role="user"))
        if answered:
            fields.setdefault("output_data", find_text(answered))
        if system:
            asked = [{"role": "system", "parts": system}, *(asked or ())]
        fields["input_messages"] = asked
        fields["output_messages"] = answered

    def set_tool_call(self, fields: dict[str, Any]) -> None:
        """Set what a tool was given and gave."""
        _set_text(fields, "input_data", self._attributes.get(semconv.TOOL_CALL_ARGUMENTS))
        _set_text(fields, "output_data", self._attributes.get(semconv.TOOL_CALL_RESULT))

    def set_retrieval(self, fields: dict[str, Any]) -> None:
        """Set what was searched for and found."""
        _set_text(fields, "input_data", self._attributes.get(semconv.RETRIEVAL_QUERY_TEXT))
        found = self._take(semconv.RETRIEVAL_DOCUMENTS, _MESSAGES)
        fields["context"] = fields["context"] or _context_from_documents(found or [])

    def take_metadata(self) -> dict[str, Any]:
        """Return what the application gave."""
        return self._take(semconv.METADATA, _OBJECT) or {}

    def _take(self, name: str, decoder: msgspec.json.Decoder[T]) -> T | None:
        value = self._attributes.get(name)
        if value is None:
            return None
        try:
            return decode_json(value, decoder) or None
        except UNREADABLE:
            self._unreadable.append(name)
            return None


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
    return "\n".join(
        part["content"]
        for part in parts
        if isinstance(part, dict)
        and part.get("type") == "text"
        and isinstance(part.get("content"), str)
    )


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
