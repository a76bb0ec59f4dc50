"""Usage as providers report it, where an instrumentor kept their reply as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cert_otel import semconv
from cert_otel.wire._values import as_mapping, find_count
from cert_otel.wire.dialects._attributes import fill

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cert_otel.wire.span import Attributes

_CACHED_APART: Final = (
    ("cache_read_input_tokens", semconv.USAGE_CACHE_READ_TOKENS),
    ("cache_creation_input_tokens", semconv.USAGE_CACHE_CREATION_TOKENS),
)
"""Anthropic's counts, which its `input_tokens` leave out."""
_DETAILS: Final = (
    ("prompt_tokens_details", "cached_tokens", semconv.USAGE_CACHE_READ_TOKENS),
    ("input_tokens_details", "cached_tokens", semconv.USAGE_CACHE_READ_TOKENS),
    ("prompt_tokens_details", "cache_write_tokens", semconv.USAGE_CACHE_CREATION_TOKENS),
    ("completion_tokens_details", "reasoning_tokens", semconv.USAGE_REASONING_TOKENS),
    ("output_tokens_details", "reasoning_tokens", semconv.USAGE_REASONING_TOKENS),
    ("output_tokens_details", "thinking_tokens", semconv.USAGE_REASONING_TOKENS),
)


def fill_usage(attributes: Attributes, usage: Mapping[str, Any]) -> None:
    """Set the counts that the instrumentor did not set itself; cached input is input."""
    cached = {name: find_count(usage.get(field)) for field, name in _CACHED_APART}
    asked = find_count(usage.get("prompt_tokens"))
    if asked is None and (asked := find_count(usage.get("input_tokens"))) is not None:
        asked += sum(count or 0 for count in cached.values())
    answered = find_count(usage.get("completion_tokens"))
    if answered is None:
        answered = find_count(usage.get("output_tokens"))
    fill(attributes, semconv.USAGE_INPUT_TOKENS, asked)
    fill(attributes, semconv.USAGE_OUTPUT_TOKENS, answered)
    for name, count in cached.items():
        fill(attributes, name, count)
    for group, field, name in _DETAILS:
        fill(attributes, name, find_count(as_mapping(usage.get(group)).get(field)))
