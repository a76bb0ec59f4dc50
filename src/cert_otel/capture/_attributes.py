"""Usage, cost and logprobs as span attributes: from struct to names."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from cert_otel import config, semconv
from cert_otel.capture._content import exportable, exportable_tree

if TYPE_CHECKING:
    from cert_otel.capture._logprobs import LogprobStats
    from cert_otel.records import Cost, Usage


_INT32: Final = 2**31
"""Every exporter can send an integer below; of a larger one it is asked."""
_NUMBERS: Final = (int, float)
_SDK: Final = "opentelemetry.sdk.trace"
_read_counts: Final = attrgetter(
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "input_image_tokens",
    "output_image_tokens",
)
_COUNT_NAMES: Final = (
    semconv.USAGE_INPUT_TOKENS,
    semconv.USAGE_OUTPUT_TOKENS,
    semconv.USAGE_CACHE_READ_TOKENS,
    semconv.USAGE_REASONING_TOKENS,
    semconv.USAGE_AUDIO_INPUT_TOKENS,
    semconv.USAGE_AUDIO_OUTPUT_TOKENS,
    semconv.USAGE_IMAGE_INPUT_TOKENS,
    semconv.USAGE_IMAGE_OUTPUT_TOKENS,
)
_read_parts: Final = attrgetter("input", "output", "cache_read", "cache_write", "pricing_version")
_PART_NAMES: Final = (
    semconv.COST_INPUT,
    semconv.COST_OUTPUT,
    semconv.COST_CACHE_READ,
    semconv.COST_CACHE_WRITE,
    semconv.COST_PRICING_VERSION,
)


def add_usage(attributes: dict[str, Any], usage: Usage) -> None:
    """Add the tokens that were reported."""
    _add_known(attributes, _COUNT_NAMES, _read_counts(usage))
    if usage.cache_write_tokens is not None:
        for name in semconv.PROFILES[config.get_config().semconv].cache_write_tokens:
            attributes[name] = usage.cache_write_tokens


def add_cost(attributes: dict[str, Any], cost: Cost) -> None:
    """Add a cost, under our names and the aliases that were asked for."""
    attributes[semconv.COST_AMOUNT] = cost.amount
    attributes[semconv.COST_CURRENCY] = cost.currency
    attributes[semconv.COST_SOURCE] = cost.source
    attributes[semconv.COST_PARTIAL] = cost.partial
    _add_known(attributes, _PART_NAMES, _read_parts(cost))
    for alias in config.get_config().cost_aliases:
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
    doubtful = [
        name
        for name, value in attributes.items()
        # In one expression: a call for each of two dozen values takes 2 µs more. No exporter
        # minds a number between the bounds, and a NaN is not between them.
        if not (
            value.isascii()
            if (kind := type(value)) is str
            else kind is bool or (kind in _NUMBERS and -_INT32 < value < _INT32)
        )
    ]
    for name in doubtful:
        value = attributes.pop(name)
        is_list = isinstance(value, (list, tuple))
        safe = tuple(exportable_tree(value)) if is_list else exportable(value)
        if safe is not None:
            attributes[name] = safe


def put_attributes(span: Any, attributes: dict[str, Any]) -> None:
    """Set attributes that `make_exportable` has seen.

    The SDK looks at every value once more and puts each in by a call of its own: 8 µs for the
    two dozen of a chat. Where its limits are far they go into its container in one go.
    """
    if not _put_directly(span, attributes):
        span.set_attributes(attributes)


def _put_directly(span: Any, attributes: dict[str, Any]) -> bool:
    """Do what the SDK's own span does, 1.30 to 1.45; `False` when it is not that, or ended."""
    if type(span).__module__ != _SDK:
        return False
    try:
        held = span._attributes  # noqa: SLF001 - see `put_attributes`
        with span._lock, held._lock:  # noqa: SLF001
            known = held._dict  # noqa: SLF001
            is_open = span._end_time is None and held.max_value_len is None  # noqa: SLF001
            if not is_open or len(known) + len(attributes) > held.maxlen:
                return False
            known.update(attributes)
    except (AttributeError, TypeError):  # another version, or no limit at all
        return False
    return True


def _add_known(attributes: dict[str, Any], names: tuple[str, ...], values: tuple[Any, ...]) -> None:
    for name, value in zip(names, values, strict=True):
        if value is not None:
            attributes[name] = value  # noqa: PERF403 - into a dictionary that is there
