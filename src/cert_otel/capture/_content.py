"""What of a call's texts may be attached, and in what form.

Content is off unless OpenTelemetry's own switch turns it on. Whatever is attached went
through `Cleaner` first: the regular expression, then the callback, then the size cap. Blobs
never go in: their hash and size do.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import os
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cert_otel import config
from cert_otel.capture import _guard

if TYPE_CHECKING:
    from collections.abc import Callable

Part = dict[str, Any]
Message = dict[str, Any]

REDACTED: Final = "[REDACTED]"
WITHHELD: Final = "[withheld: the redactor failed]"
_MAX_DEPTH: Final = 32
BLOBS: Final = (bytes, bytearray, memoryview)
_MAX_BITS: Final = 64
_INT64: Final = range(-(2**63), 2**63)


class Cleaner:
    """Redacts and caps texts, in that order, before anything is attached."""

    __slots__ = ("_callback", "_max_chars", "_pattern")

    def __init__(
        self,
        *,
        pattern: str | None = None,
        callback: Callable[[str], str] | None = None,
        max_chars: int,
    ) -> None:
        self._pattern = re.compile(pattern) if pattern else None
        self._callback = callback
        self._max_chars = max_chars

    def clean(self, text: str) -> str:
        """Return what may be kept of a text; nothing of it if redaction fails."""
        try:
            if self._pattern is not None:
                text = self._pattern.sub(REDACTED, text)
            if self._callback is not None:
                text = str(self._callback(text))
        except Exception as error:  # noqa: BLE001 - the redactor is the application's code
            _guard.report("redactor", error)
            return WITHHELD
        return self.cap(make_encodable(text))

    def cap(self, text: str) -> str:
        """Cut a text that has been redacted."""
        if len(text) <= self._max_chars:
            return text
        return f"{text[: self._max_chars]}… [{len(text) - self._max_chars} more characters]"

    def _clean_number(self, number: float) -> Any:
        """Return a number, or what is left of it: a card's number may be one in JSON, too."""
        if self._pattern is None and self._callback is None:
            return number
        if isinstance(number, int) and number.bit_length() > _MAX_BITS:
            return None  # no exporter can send it
        text = str(number)
        cleaned = self.clean(text)
        return number if cleaned == text else cleaned

    def clean_tree(self, value: Any, depth: int = 0) -> Any:
        """Clean every text inside JSON-like data, keys included: models invent those too."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            return self._clean_number(value)
        if isinstance(value, BLOBS):
            return _identify(bytes(value))
        if hasattr(value, "model_dump"):
            value = _fields_of(value)
        if isinstance(value, dict) and depth < _MAX_DEPTH:
            return {
                self.clean(str(key)): self.clean_tree(item, depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, (list, tuple)) and depth < _MAX_DEPTH:
            return [self.clean_tree(item, depth + 1) for item in value]
        return self.clean(value if isinstance(value, str) else str(describe(value)))


def _fields_of(model: Any) -> dict[str, Any]:
    """Return what was set of a pydantic object; its own `model_dump` warns of wrong types."""
    own = vars(model)
    given = getattr(model, "model_fields_set", own)
    extra = getattr(model, "__pydantic_extra__", None) or {}
    return {name: item for name, item in own.items() if name in given} | extra


def make_encodable(text: str) -> str:
    """Replace lone surrogates, which no exporter can send."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def describe(value: Any) -> Any:
    """Stand in for what JSON has no form for.

    Not its `repr`: that is the application's code, and may well ask a database.
    """
    if hasattr(value, "model_dump"):
        return _fields_of(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return f"<{type(value).__qualname__}>"


_encode: Final = msgspec.json.Encoder(enc_hook=describe).encode
_cleaner: Cleaner | None = None


def get_cleaner() -> Cleaner:
    """Return the cleaner that the settings ask for."""
    global _cleaner  # noqa: PLW0603 - made once for the settings in force
    if _cleaner is None:
        settings = config.get_config()
        _cleaner = Cleaner(
            pattern=settings.redact,
            callback=settings.redactor,
            max_chars=settings.content_max_chars,
        )
    return _cleaner


def _forget_cleaner(_: config.Config) -> None:
    global _cleaner  # noqa: PLW0603 - made once for the settings in force
    _cleaner = None


config.on_change(_forget_cleaner)


def to_json(value: Any) -> str:
    """Encode for an attribute; what JSON has no form for is shown by `describe`."""
    try:
        return _encode(value).decode()
    except (UnicodeEncodeError, OverflowError):
        return _encode(exportable_tree(value)).decode()


def exportable_tree(value: Any) -> Any:
    """Return JSON-like data as every exporter can send it: `exportable`, all the way down."""
    if isinstance(value, dict):
        return {
            make_encodable(str(key)): exportable_tree(item)
            for key, item in value.items()
            if key != ""
        }
    if isinstance(value, (list, tuple)):
        return [exportable_tree(item) for item in value]
    return exportable(value)


def exportable(value: Any) -> str | float | None:
    """Return a single value as every exporter can send it, `None` where none can.

    One lone surrogate or integer beyond 64 bits would cost a protobuf exporter its whole batch.
    """
    if isinstance(value, str):
        return make_encodable(value)
    if isinstance(value, int):
        return value if value in _INT64 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None


def text_part(text: str) -> Part:
    """Return a text, cleaned, as a message part of the conventions."""
    return {"type": "text", "content": get_cleaner().clean(text)}


def reasoning_part(text: str) -> Part:
    """Return a reasoning text, cleaned, as a message part."""
    return {"type": "reasoning", "content": get_cleaner().clean(text)}


def tool_call_part(*, call_id: str | None, name: str | None, arguments: Any) -> Part:
    """Return a tool call that the model asked for; arguments are parsed where they are JSON."""
    return {
        "type": "tool_call",
        "id": call_id,
        "name": None if name is None else get_cleaner().clean(name),
        "arguments": get_cleaner().clean_tree(_parse_json(arguments)),
    }


def tool_response_part(*, call_id: str | None, response: Any) -> Part:
    """Return the result of a tool, cleaned, as a message part."""
    return {
        "type": "tool_call_response",
        "id": call_id,
        "response": get_cleaner().clean_tree(response),
    }


def blob_part(data: str | bytes, *, modality: str, mime_type: str | None) -> Part:
    """Return a blob by hash and size; its bytes are never kept.

    Args:
        data: Raw bytes, or base64 text.
        modality: `image`, `audio`, `video` or `document`.
        mime_type: If known.
    """
    raw = data if isinstance(data, bytes) else _decode_base64(data)
    return {
        "type": "blob",
        "modality": modality,
        "mime_type": mime_type,
        **_identify(raw),
    }


def _identify(raw: bytes) -> dict[str, Any]:
    """Return what stands for bytes that are not kept."""
    return {"sha256": hashlib.sha256(raw).hexdigest(), "size_bytes": len(raw)}


def uri_part(uri: str, *, modality: str) -> Part:
    """Return a reference; a `data:` URI becomes a blob."""
    if uri[: len("data:")].lower() == "data:":
        header, _, payload = uri[len("data:") :].partition(",")
        return blob_part(payload, modality=modality, mime_type=header.split(";")[0] or None)
    return {"type": "uri", "modality": modality, "uri": get_cleaner().clean(uri)}


def file_part(file_id: str, *, modality: str) -> Part:
    """Return a file that the provider holds."""
    return {"type": "file", "modality": modality, "file_id": file_id}


def _parse_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return value


def _decode_base64(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return data.encode("utf-8", "surrogatepass")


def clean_tree(value: Any) -> Any:
    """Clean every text inside JSON-like data."""
    return get_cleaner().clean_tree(value)
