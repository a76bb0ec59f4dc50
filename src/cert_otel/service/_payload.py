"""What an inbox holds."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["traces", "logs"]
Encoding = Literal["protobuf", "json"]


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """One OTLP request, as it came."""

    kind: Kind
    encoding: Encoding
    body: bytes
    tenant: str | None = None
    """As the sender wrote it: text to store, never part of a path."""
    received_ns: int
    """Since the epoch."""


class Row(msgspec.Struct, frozen=True):
    """A payload in the inbox."""

    id: int
    """Grows in the order of arrival; never given twice."""
    payload: Payload
    attempts: int
    """How often it was begun before, and not finished."""
