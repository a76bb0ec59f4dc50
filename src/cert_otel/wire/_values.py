"""Attribute values made safe: valid Unicode, finite numbers, JSON that can be read."""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_DOUBLE_END: Final = 1 << 1023
"""No int beyond it is a double."""
MAX_METADATA_CHARS: Final = 1024
"""Longer attribute values are taken for content and left out of the metadata."""

# Before 0.21, msgspec's own errors are no ValueError.
UNREADABLE: Final = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)

_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)
_ANY: Final = msgspec.json.Decoder()


def clean(text: str) -> str:
    """Replace halves of surrogate pairs, which UTF-8 cannot hold."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def dump(value: Any) -> str:
    """Encode any value as JSON; what JSON cannot hold becomes text."""
    try:
        return _ENCODER.encode(value).decode()
    except UnicodeEncodeError:
        return clean(json.dumps(value, ensure_ascii=False, default=str))


def decode_json(value: Any, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a JSON text, or what is structured already, to what `decoder` is for.

    What `json.dumps` writes and JSON forbids, NaN and halves of surrogate pairs, is read too.

    Raises:
        ValueError: One of `UNREADABLE`, as all of them.
    """
    try:
        return decoder.decode(value if isinstance(value, str) else dump(value))
    except UNREADABLE:
        return decoder.decode(dump(json.loads(value, parse_constant=lambda _: None)))


def find_json(value: Any) -> Any:
    """Return what a JSON text holds; a value that is no text as it is; `None` for other texts."""
    if not isinstance(value, str):
        return value
    try:
        return decode_json(value, _ANY)
    except UNREADABLE:
        return None


def find_object(value: Any) -> dict[str, Any]:
    """Return the JSON object that `value` is or holds, empty where it is none."""
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        return {}
    found = find_json(value)
    return found if isinstance(found, dict) else {}


def find_text(value: Any) -> str | None:
    """Return a text that says something."""
    return clean(value) if isinstance(value, str) and value else None


def find_number(value: Any) -> float | None:
    """Return a finite number."""
    if value is None:
        return None
    kind = value.__class__
    if kind is float:
        return value if isfinite(value) else None
    return float(value) if kind is int and abs(value) < _DOUBLE_END else None


def find_count(value: Any) -> int | None:
    """Return a number of tokens; JavaScript's whole doubles are such, True is not."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def find_plain(value: Any) -> Any:
    """Return what JSON can hold, or `None` for bytes, mappings, long texts and NaN."""
    if isinstance(value, str):
        return clean(value) if len(value) <= MAX_METADATA_CHARS else None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, list | tuple):
        items = [find_plain(item) for item in value]
        return None if None in items else items
    return None


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping as it is, anything else as an empty one."""
    return value if isinstance(value, dict) else {}
