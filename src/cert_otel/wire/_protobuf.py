"""The wire format of protobuf, as far as OTLP's attributes need it.

Attributes are the bulk of a span and mostly repeat from span to span, so their bytes are decoded
here, where they can be looked up first.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_MEMO_ENTRIES: Final = 8192
_MEMO_BYTES: Final = 200
"""Longer attributes hold content, which does not repeat."""
_MAX_DEPTH: Final = 32
"""Of values within values; what is deeper is left out."""

_DOUBLE: Final = struct.Struct("<d")
_KEY, _VALUE, _INNER = 0x0A, 0x12, 0x0A
_TEXT, _BOOL, _INT, _REAL, _ARRAY, _PAIRS, _BYTES = 0x0A, 0x10, 0x18, 0x21, 0x2A, 0x32, 0x3A
"""Tags: field number and wire type, of a pair and of a value."""
_QUICK: Final = frozenset({_TEXT, _INT})
"""Decoded without a walk where nothing follows."""
_MORE: Final = 0x80
_SIGN: Final = 1 << 63
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES: Final = {_FIXED64: 8, _FIXED32: 4}
_VARINT_BITS: Final = 70
_MALFORMED: Final = "not OTLP protobuf: an attribute is cut off or malformed"

_DOUBLE_BYTES: Final = 9
"""With the tag."""

_memo: dict[bytes, tuple[str, Any]] = {}
_keys: dict[bytes, str] = {}


def read_attributes(pairs: Iterable[bytes]) -> dict[str, Any]:
    """Decode encoded `KeyValue` messages.

    Raises:
        ValueError: One of them is malformed.
    """
    known = _memo.get
    attributes = {}
    for pair in pairs:
        name, value = known(pair) or _read_pair(pair)
        attributes[name] = value
    return attributes


def _read_pair(pair: bytes) -> tuple[str, Any]:
    try:
        decoded = _decode_pair(pair, 0)
    except (IndexError, struct.error):
        raise ValueError(_MALFORMED) from None
    if len(pair) <= _MEMO_BYTES and decoded[1].__class__ is not float:  # which never repeat
        if len(_memo) >= _MEMO_ENTRIES:
            _memo.clear()
        _memo[pair] = decoded
    return decoded


def _decode_pair(pair: bytes, depth: int) -> tuple[str, Any]:
    # As every encoder writes it: the key of less than 128 bytes, then the value, nothing else.
    if pair and pair[0] == _KEY and pair[1] < _MORE and pair[pair[1] + 2] == _VALUE:
        end = 2 + pair[1]
        size, at = pair[end + 1], end + 2
        if size >= _MORE:
            size, at = _read_varint(pair, end + 1)
        if at + size == len(pair):
            key = pair[2:end]
            return _keys.get(key) or _read_key(key), _decode_last(pair, at, size, depth)
    key, value = b"", b""
    for tag, content in _walk(pair):
        if tag == _KEY:
            key = content
        elif tag == _VALUE:
            value = content
    return _read_key(key), _decode_value(value, depth)


def _decode_last(pair: bytes, at: int, size: int, depth: int) -> Any:
    """Decode the value of `size` bytes that ends `pair`; texts and doubles without a walk."""
    if not size:
        return None
    tag = pair[at]
    if tag == _TEXT:
        length, start = pair[at + 1], at + 2
        if length >= _MORE:
            length, start = _read_varint(pair, at + 1)
        if start + length == len(pair):
            return pair[start:].decode("utf-8", "replace")
    elif tag == _REAL and size == _DOUBLE_BYTES:
        return _DOUBLE.unpack_from(pair, at + 1)[0]
    return _decode_value(pair[at:], depth)


def _read_key(key: bytes) -> str:
    decoded = key.decode("utf-8", "replace")
    if len(_keys) >= _MEMO_ENTRIES:
        _keys.clear()
    _keys[key] = decoded
    return decoded


def decode_value(value: bytes) -> Any:
    """Decode an encoded `AnyValue`.

    Raises:
        ValueError: It is malformed.
    """
    try:
        return _decode_value(value, 0)
    except (IndexError, struct.error):
        raise ValueError(_MALFORMED) from None


def _decode_value(value: bytes, depth: int) -> Any:
    if value and value[0] in _QUICK:
        size, at = _read_varint(value, 1)
        if value[0] == _TEXT and at + size == len(value):
            return value[at:].decode("utf-8", "replace")
        if value[0] == _INT and at == len(value) and size < _SIGN:
            return size
    decoded: Any = None
    for tag, content in _walk(value):
        read = _READERS.get(tag)
        if read is not None:
            decoded = read(content, depth)  # of several alternatives the last counts
    return decoded


def _decode_values(content: bytes, depth: int) -> list[Any]:
    return [_decode_value(one, depth + 1) for one in _find_inner(content, depth)]


def _decode_pairs(content: bytes, depth: int) -> dict[str, Any]:
    return dict(_decode_pair(one, depth + 1) for one in _find_inner(content, depth))


def _find_inner(content: bytes, depth: int) -> Iterator[bytes]:
    inner = _walk(content) if depth < _MAX_DEPTH else ()
    return (one for tag, one in inner if tag == _INNER)


_READERS: Final[Mapping[int, Callable[[Any, int], Any]]] = {
    _TEXT: lambda content, _: content.decode("utf-8", "replace"),
    _BOOL: lambda content, _: content != 0,
    _INT: lambda content, _: content - (1 << 64) if content & _SIGN else content,
    _REAL: lambda content, _: _DOUBLE.unpack(content)[0],
    _ARRAY: _decode_values,
    _PAIRS: _decode_pairs,
    _BYTES: lambda content, _: content,
}


def _walk(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield each field: its tag, and its number or bytes."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _read_varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            number, at = _read_varint(message, at)
            yield tag, number & (1 << 64) - 1
            continue
        if kind == _LENGTH:
            size, at = _read_varint(message, at)
        elif kind in _FIXED_SIZES:
            size = _FIXED_SIZES[kind]
        else:
            raise ValueError(_MALFORMED)
        if at + size > end or not tag >> 3:
            raise ValueError(_MALFORMED)
        yield tag, message[at : at + size]
        at += size


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the number at `at` and where it ends."""
    byte = message[at]
    if byte < _MORE:
        return byte, at + 1
    number, shift = byte & 0x7F, 7
    while byte >= _MORE:
        at += 1
        byte = message[at]
        number |= (byte & 0x7F) << shift
        shift += 7
        if shift > _VARINT_BITS:
            raise ValueError(_MALFORMED)
    return number, at + 1
