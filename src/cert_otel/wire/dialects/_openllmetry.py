"""OpenLLMetry (traceloop): its decorators' spans, and the names that it had before GenAI's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cert_otel import semconv
from cert_otel.semconv import OpenLLMetry
from cert_otel.wire.dialects._attributes import fill, move
from cert_otel.wire.dialects._genai import as_list
from cert_otel.wire.dialects._providers import to_provider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cert_otel.wire.span import Attributes, Span

_KINDS: Final[Mapping[str, str]] = {
    "workflow": "chain",
    "task": "function",
    "agent": "agent",
    "tool": "tool",
}
_OPERATIONS: Final[Mapping[str, str]] = {
    "chat": semconv.OPERATION_CHAT,
    "completion": semconv.OPERATION_TEXT_COMPLETION,
    "embedding": semconv.OPERATION_EMBEDDINGS,
}
_CUSTOM_OPERATIONS: Final[Mapping[str, str]] = {
    "vector_db_retrieve": "retrieval",
    "execute_task": "function",
}
_USAGE: Final = (
    (OpenLLMetry.USAGE_PROMPT, semconv.USAGE_INPUT_TOKENS),
    (OpenLLMetry.USAGE_COMPLETION, semconv.USAGE_OUTPUT_TOKENS),
    (OpenLLMetry.USAGE_REASONING, semconv.USAGE_REASONING_TOKENS),
    (OpenLLMetry.IS_STREAMING, semconv.REQUEST_STREAM),
)
_HOST: Final = re.compile(r"https?://([^/:@\s]+)")
NAMES: Final = frozenset(
    {OpenLLMetry.REQUEST_TYPE, OpenLLMetry.FINISH_REASON, OpenLLMetry.STOP_REASON}
    | {OpenLLMetry.API_BASE}
    | {name for name, _ in _USAGE}
)


def read(span: Span) -> None:
    """Translate a span of OpenLLMetry."""
    attributes = span.attributes
    move(attributes, _USAGE)
    kind = attributes.pop(OpenLLMetry.SPAN_KIND, None)
    if isinstance(kind, str):
        _read_decorated(span, _KINDS.get(kind, "function"))
    requested = attributes.pop(OpenLLMetry.REQUEST_TYPE, None)
    if isinstance(requested, str):
        fill(attributes, semconv.OPERATION_NAME, _OPERATIONS.get(requested))
    custom = _CUSTOM_OPERATIONS.get(str(attributes.get(semconv.OPERATION_NAME)))
    fill(attributes, semconv.RECORD_KIND, custom)
    for name in (OpenLLMetry.FINISH_REASON, OpenLLMetry.STOP_REASON):
        if reason := attributes.pop(name, None):
            fill(attributes, semconv.RESPONSE_FINISH_REASONS, as_list(reason))
    _read_host(attributes)
    for name in (semconv.PROVIDER_NAME, semconv.SYSTEM):
        if name in attributes:
            attributes[name] = to_provider(attributes[name])


def _read_host(attributes: Attributes) -> None:
    """Read the host, which says whose prices apply, from the base of the API's addresses."""
    base = attributes.get(OpenLLMetry.API_BASE)
    if isinstance(base, str):
        host = _HOST.match(base)
        fill(attributes, semconv.SERVER_ADDRESS, host and host[1])


def _read_decorated(span: Span, kind: str) -> None:
    attributes = span.attributes
    if semconv.OPERATION_NAME not in attributes:
        attributes[semconv.RECORD_KIND] = kind
    named = attributes.pop(OpenLLMetry.ENTITY_NAME, None)
    fill(attributes, semconv.AGENT_NAME if kind == "agent" else semconv.FUNCTION_NAME, named)
    fill(attributes, semconv.INPUT_DATA, attributes.pop(OpenLLMetry.ENTITY_INPUT, None))
    fill(attributes, semconv.OUTPUT_DATA, attributes.pop(OpenLLMetry.ENTITY_OUTPUT, None))
