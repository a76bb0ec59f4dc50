"""Usage, cost and logprobs as span attributes: pure functions from struct to names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cert_otel import config, semconv

if TYPE_CHECKING:
    from cert_otel.capture._logprobs import LogprobStats
    from cert_otel.records import Cost, Usage


def add_usage(attributes: dict[str, Any], usage: Usage) -> None:
    """Add the tokens that were reported."""
    for name, count in (
        (semconv.USAGE_INPUT_TOKENS, usage.input_tokens),
        (semconv.USAGE_OUTPUT_TOKENS, usage.output_tokens),
        (semconv.USAGE_CACHE_READ_TOKENS, usage.cache_read_tokens),
        (semconv.USAGE_REASONING_TOKENS, usage.reasoning_tokens),
        (semconv.USAGE_AUDIO_INPUT_TOKENS, usage.input_audio_tokens),
        (semconv.USAGE_AUDIO_OUTPUT_TOKENS, usage.output_audio_tokens),
        (semconv.USAGE_IMAGE_INPUT_TOKENS, usage.input_image_tokens),
        (semconv.USAGE_IMAGE_OUTPUT_TOKENS, usage.output_image_tokens),
    ):
        if count is not None:
            attributes[name] = count  # noqa: PERF403 - into a dictionary that is there
    if usage.cache_write_tokens is not None:
        for name in semconv.PROFILES[config.get_config().semconv].cache_write_tokens:
            attributes[name] = usage.cache_write_tokens


def cost_attributes(cost: Cost) -> dict[str, Any]:
    """Return a cost as attributes, under our names and the aliases that were asked for."""
    attributes: dict[str, Any] = {
        semconv.COST_AMOUNT: cost.amount,
        semconv.COST_CURRENCY: cost.currency,
        semconv.COST_SOURCE: cost.source,
        semconv.COST_PARTIAL: cost.partial,
    }
    for name, part in (
        (semconv.COST_INPUT, cost.input),
        (semconv.COST_OUTPUT, cost.output),
        (semconv.COST_CACHE_READ, cost.cache_read),
        (semconv.COST_CACHE_WRITE, cost.cache_write),
        (semconv.COST_PRICING_VERSION, cost.pricing_version),
    ):
        if part is not None:
            attributes[name] = part  # noqa: PERF403 - into a dictionary that is there
    for alias in config.get_config().cost_aliases:
        attributes[alias] = cost.amount
    return attributes


def logprob_attributes(stats: LogprobStats) -> dict[str, Any]:
    """Return perplexity and what it was computed from."""
    return {
        semconv.PERPLEXITY: stats.perplexity,
        semconv.LOGPROB_MEAN: stats.mean,
        semconv.LOGPROB_MIN: stats.minimum,
        semconv.LOGPROB_SUM: stats.total,
        semconv.LOGPROB_TOKEN_COUNT: stats.token_count,
        semconv.LOGPROB_SOURCE: "provider",
    }
