"""Usage, cost and logprobs as span attributes: from struct to names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cert_otel import semconv
from cert_otel.capture._content import exportable, exportable_tree

if TYPE_CHECKING:
    from cert_otel.capture._logprobs import LogprobStats
    from cert_otel.records import Cost, Usage


_INT32: Final = 2**31
"""Every exporter can send an integer below; of a larger one it is asked."""
_NUMBERS: Final = (int, float)


def add_usage(attributes: dict[str, Any], usage: Usage, profile: semconv.ProfileName) -> None:
    """Add the tokens that were reported."""
    if usage.input_tokens is not None:
        attributes[semconv.USAGE_INPUT_TOKENS] = usage.input_tokens
    if usage.output_tokens is not None:
        attributes[semconv.USAGE_OUTPUT_TOKENS] = usage.output_tokens
    if usage.cache_read_tokens is not None:
        attributes[semconv.USAGE_CACHE_READ_TOKENS] = usage.cache_read_tokens
    if usage.cache_write_tokens is not None:
        for name in semconv.PROFILES[profile].cache_write_tokens:
            attributes[name] = usage.cache_write_tokens
    if usage.reasoning_tokens is not None:
        attributes[semconv.USAGE_REASONING_TOKENS] = usage.reasoning_tokens
    _add_modalities(attributes, usage)


def _add_modalities(attributes: dict[str, Any], usage: Usage) -> None:
    if usage.input_audio_tokens is not None:
        attributes[semconv.USAGE_AUDIO_INPUT_TOKENS] = usage.input_audio_tokens
    if usage.output_audio_tokens is not None:
        attributes[semconv.USAGE_AUDIO_OUTPUT_TOKENS] = usage.output_audio_tokens
    if usage.input_image_tokens is not None:
        attributes[semconv.USAGE_IMAGE_INPUT_TOKENS] = usage.input_image_tokens
    if usage.output_image_tokens is not None:
        attributes[semconv.USAGE_IMAGE_OUTPUT_TOKENS] = usage.output_image_tokens
    if usage.cache_read_audio_tokens is not None:
        attributes[semconv.USAGE_AUDIO_CACHE_READ_TOKENS] = usage.cache_read_audio_tokens
    if usage.cache_read_image_tokens is not None:
        attributes[semconv.USAGE_IMAGE_CACHE_READ_TOKENS] = usage.cache_read_image_tokens


def add_cost(attributes: dict[str, Any], cost: Cost, aliases: tuple[str, ...]) -> None:
    """Add a cost, under our names and the aliases that were asked for."""
    attributes[semconv.COST_AMOUNT] = cost.amount
    attributes[semconv.COST_CURRENCY] = cost.currency
    attributes[semconv.COST_SOURCE] = cost.source
    attributes[semconv.COST_PARTIAL] = cost.partial
    if cost.pricing_version is not None:
        attributes[semconv.COST_PRICING_VERSION] = cost.pricing_version
    if cost.input is not None:
        attributes[semconv.COST_INPUT] = cost.input
    if cost.output is not None:
        attributes[semconv.COST_OUTPUT] = cost.output
    if cost.cache_read is not None:
        attributes[semconv.COST_CACHE_READ] = cost.cache_read
    if cost.cache_write is not None:
        attributes[semconv.COST_CACHE_WRITE] = cost.cache_write
    if cost.tools is not None:
        attributes[semconv.COST_TOOLS] = cost.tools
    for alias in aliases:
        attributes[alias] = cost.amount


def add_logprobs(attributes: dict[str, Any], stats: LogprobStats) -> None:
    """Add perplexity and what it was computed from."""
    if (perplexity := stats.perplexity) is not None:
        attributes[semconv.PERPLEXITY] = perplexity
    attributes[semconv.LOGPROB_MEAN] = stats.mean
    attributes[semconv.LOGPROB_MIN] = stats.minimum
    attributes[semconv.LOGPROB_SUM] = stats.total
    attributes[semconv.LOGPROB_TOKEN_COUNT] = stats.token_count
    attributes[semconv.LOGPROB_SOURCE] = "provider"


def make_exportable(attributes: dict[str, Any]) -> None:
    """Replace, or take out, what some exporter cannot send."""
    doubtful = []
    for name, value in attributes.items():
        kind = type(value)
        # No exporter minds a number between the bounds, and a NaN is not between them.
        if kind is str:
            if not value.isascii():
                doubtful.append(name)
        elif kind is not bool and not (kind in _NUMBERS and -_INT32 < value < _INT32):
            doubtful.append(name)
    for name in doubtful:
        value = attributes.pop(name)
        is_list = isinstance(value, (list, tuple))
        safe = tuple(exportable_tree(value)) if is_list else exportable(value)
        if safe is not None:
            attributes[name] = safe
