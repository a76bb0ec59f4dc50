"""OpenLIT: the GenAI conventions, a cost, and an input that leaves out what Anthropic cached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cert_otel import semconv
from cert_otel.semconv import OpenLIT
from cert_otel.wire.dialects._attributes import fill, fill_cost, include_cached, move
from cert_otel.wire.dialects._providers import to_provider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cert_otel.wire.span import Span

_COUNTED_APART: Final = frozenset({"anthropic"})
"""Providers whose count of input OpenLIT passes on as it is, without the cached tokens."""
_KINDS: Final[Mapping[str, str]] = {
    "vectordb": "retrieval",
    "execute_task": "function",
    "agent": "agent",
    "image": "function",
    "audio": "function",
}
_NOTHING: Final = ("", -1)
"""What OpenLIT writes for parameters that were not given."""


def read(span: Span) -> None:
    """Translate a span of OpenLIT."""
    attributes = span.attributes
    fill_cost(attributes, attributes.pop(OpenLIT.COST, None))
    first_token_s = attributes.pop(OpenLIT.TIME_TO_FIRST_TOKEN, None)
    if attributes.get(semconv.REQUEST_STREAM) is True:
        fill(attributes, semconv.RESPONSE_TIME_TO_FIRST_CHUNK, first_token_s)
    move(attributes, ((semconv.SYSTEM, semconv.PROVIDER_NAME),))
    if semconv.PROVIDER_NAME in attributes:
        attributes[semconv.PROVIDER_NAME] = to_provider(attributes[semconv.PROVIDER_NAME])
    if str(attributes.get(semconv.PROVIDER_NAME)) in _COUNTED_APART:
        include_cached(attributes)
    operation = attributes.get(semconv.OPERATION_NAME)
    fill(attributes, semconv.RECORD_KIND, _KINDS.get(str(operation)))
    for name in [name for name, value in attributes.items() if value in _NOTHING]:
        del attributes[name]
