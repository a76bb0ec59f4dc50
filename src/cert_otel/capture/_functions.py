"""Spans of the application's own functions and of calls that it reports itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from cert_otel import __version__, semconv
from cert_otel.capture._ambient import NOTHING, ambient_attributes, get_ambient
from cert_otel.capture._attributes import make_exportable
from cert_otel.capture._content import BLOBS, describe, get_cleaner, to_json
from cert_otel.capture._telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span

telemetry: Final = Telemetry("cert_otel", __version__)


def show(value: Any) -> str:
    """Return a value as cleaned text: a text as it is, the rest as JSON.

    It is cleaned before it becomes JSON, whose escapes would hide a text from the redactor.
    """
    cleaner = get_cleaner()
    if isinstance(value, str):
        return cleaner.clean(value)
    return cleaner.cap(to_json(cleaner.clean_tree(value)))


def add_surroundings(attributes: dict[str, Any], metadata: Mapping[str, Any] | None) -> None:
    """Add what holds for the calls inside, and the metadata of this one."""
    ambient = get_ambient()
    if ambient is not NOTHING:
        attributes.update(ambient_attributes(ambient, with_content=True))
    if metadata:
        merged = {**(ambient.metadata or {}), **metadata}
        attributes[semconv.METADATA] = to_json(merged)


def set_attributes(span: Span, attributes: Mapping[str, Any]) -> None:
    """Set what is not `None`."""
    known = {name: value for name, value in attributes.items() if value is not None}
    make_exportable(known)
    span.set_attributes(known)


def to_builtins(value: Any) -> Any:
    """Return JSON-like data of an argument, a description where it has none."""
    try:
        return msgspec.to_builtins(value, enc_hook=describe, str_keys=True, builtin_types=BLOBS)
    except (TypeError, ValueError, RecursionError):
        return describe(value)
