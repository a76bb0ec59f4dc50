"""Rates times tokens: what a call costs once its row of the table is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import structs

from cert_otel.pricing._usage import is_consistent, make_consistent
from cert_otel.records import Cost

if TYPE_CHECKING:
    from cert_otel.pricing._table import Row
    from cert_otel.records import CostSource, Usage

_MTOK: Final = 1_000_000
_THOUSAND: Final = 1_000


class Origin(NamedTuple):
    """Whose rates they are: what a cost says beside its amount."""

    source: CostSource
    version: str


class Extras(NamedTuple):
    """What some tokens cost beyond the rate of what they are part of, per million."""

    input_audio: float
    cache_read_audio: float
    input_image: float
    cache_read_image: float
    input_video: float
    cache_read_video: float
    output_audio: float
    output_image: float
    output_video: float
    output_reasoning: float


class Rates(NamedTuple):
    """One row of the table with its gaps closed, per million tokens."""

    origin: Origin
    currency: str
    input: float
    cache_read: float
    cache_write: float
    cache_write_1h: float
    output: float | None
    extras: Extras | None
    """`None` when audio, image, video and reasoning tokens have no rates of their own."""
    tools: tuple[float | None, ...]
    """Fees for a thousand web searches, file searches and code executions; `None` for no fee."""
    fee: bool


class _Modality(NamedTuple):
    """Input of one kind, and what it costs beyond text."""

    tokens: int
    cached: int | None
    """As reported."""
    extra: float
    extra_cached: float

    @property
    def saving(self) -> float:
        return self.extra - self.extra_cached


def resolve_rates(row: Row, origin: Origin) -> Rates | None:
    """Close the gaps of a row: what has no rate of its own has that of what it is part of.

    Returns:
        `None` when the row has no rate for tokens.
    """
    if row.input is None:
        return None
    cache_write = _first(row.cache_write, row.input)
    extras = _resolve_extras(row, row.input)
    return Rates(
        origin=origin,
        currency=row.currency,
        input=row.input,
        cache_read=_first(row.cache_read, row.input),
        cache_write=cache_write,
        cache_write_1h=_first(row.cache_write_1h, cache_write),
        output=row.output,
        extras=extras if any(extras) else None,
        tools=(row.web_searches, row.file_searches, row.code_executions),
        fee=row.fee,
    )


def _resolve_extras(row: Row, rate: float) -> Extras:
    audio, image = _extra(row.input_audio, rate), _extra(row.input_image, rate)
    video = _extra(row.input_video, rate)
    read = row.cache_read
    output = row.output or 0.0
    return Extras(
        input_audio=audio,
        # Without a rate for cache reads, cached audio is audio like any other.
        cache_read_audio=audio if read is None else _extra(row.cache_read_audio, read),
        input_image=image,
        cache_read_image=image if read is None else _extra(row.cache_read_image, read),
        input_video=video,
        cache_read_video=video if read is None else 0.0,
        output_audio=_extra(row.output_audio, output),
        output_image=_extra(row.output_image, output),
        output_video=_extra(row.output_video, output),
        output_reasoning=_extra(row.output_reasoning, output),
    )


def _first(rate: float | None, otherwise: float) -> float:
    return otherwise if rate is None else rate


def _extra(rate: float | None, whole: float) -> float:
    return 0.0 if rate is None else rate - whole


def price_usage(usage: Usage, rates: Rates) -> Cost | None:
    """Price one call.

    Returns:
        `None` when no reported count has a rate.
    """
    consistent = is_consistent(usage)
    counts = usage if consistent else make_consistent(usage)
    cost = _price(counts, rates)
    if cost is not None and rates.extras is not None and _has_extras(counts, rates.extras):
        cost = _add_extras(cost, counts, rates.extras)
    if cost is not None and (
        counts.web_searches is not None
        or counts.file_searches is not None
        or counts.code_executions is not None
    ):
        cost = _add_tools(cost, counts, rates)
    return cost if consistent or cost is None else _mark_partial(cost, usage)


def _price(usage: Usage, rates: Rates) -> Cost | None:
    origin, currency, input_rate, read_rate, write_rate, write_1h_rate, output_rate, _, _, fee = (
        rates
    )
    prompt, output = usage.input_tokens, usage.output_tokens
    read, write = usage.cache_read_tokens, usage.cache_write_tokens
    cost_input = cost_read = cost_write = cost_output = None
    if prompt is not None:
        cost_input = (prompt - (read or 0) - (write or 0)) * input_rate / _MTOK
    if read is not None:
        cost_read = read * read_rate / _MTOK
    if write is not None:
        write_1h = usage.cache_write_1h_tokens or 0
        cost_write = ((write - write_1h) * write_rate + write_1h * write_1h_rate) / _MTOK
    if output is not None and output_rate is not None:
        cost_output = output * output_rate / _MTOK
    if cost_input is None and cost_read is None and cost_write is None and cost_output is None:
        return None
    output_missing = bool(output) if output_rate is None else output is None
    return Cost(
        amount=_sum_parts(cost_input, cost_read, cost_write, cost_output),
        currency=currency,
        input=cost_input,
        output=cost_output,
        cache_read=cost_read,
        cache_write=cost_write,
        source=origin.source,
        pricing_version=origin.version,
        partial=fee or prompt is None or output_missing,
    )


def _sum_parts(
    prompt: float | None, read: float | None, write: float | None, output: float | None
) -> float:
    return (prompt or 0.0) + (read or 0.0) + (write or 0.0) + (output or 0.0)


def _has_extras(usage: Usage, extras: Extras) -> bool:
    return bool(
        usage.input_audio_tokens
        or usage.input_image_tokens
        or usage.input_video_tokens
        or usage.output_audio_tokens
        or usage.output_image_tokens
        or usage.output_video_tokens
        or (usage.reasoning_tokens and extras.output_reasoning)
    )


def _add_extras(cost: Cost, usage: Usage, extras: Extras) -> Cost:
    modalities = _list_modalities(usage, extras)
    cached = _split_cached(modalities, usage.cache_read_tokens or 0)
    pairs = tuple(zip(modalities, cached, strict=True))
    input_extra = sum((modality.tokens - read) * modality.extra for modality, read in pairs)
    read_extra = sum(read * modality.extra_cached for modality, read in pairs)
    assumed = any(read and modality.cached is None for modality, read in pairs)
    output_extra = (usage.output_audio_tokens or 0) * extras.output_audio
    output_extra += (usage.output_image_tokens or 0) * extras.output_image
    output_extra += (usage.output_video_tokens or 0) * extras.output_video
    output_extra += (usage.reasoning_tokens or 0) * extras.output_reasoning
    prompt = _add(cost.input, input_extra)
    cache_read = _add(cost.cache_read, read_extra)
    output = _add(cost.output, output_extra)
    return structs.replace(
        cost,
        amount=_sum_parts(prompt, cache_read, cost.cache_write, output),
        input=prompt,
        output=output,
        cache_read=cache_read,
        partial=cost.partial or assumed,
    )


def _list_modalities(usage: Usage, extras: Extras) -> tuple[_Modality, ...]:
    return (
        _Modality(
            usage.input_audio_tokens or 0,
            usage.cache_read_audio_tokens,
            extras.input_audio,
            extras.cache_read_audio,
        ),
        _Modality(
            usage.input_image_tokens or 0,
            usage.cache_read_image_tokens,
            extras.input_image,
            extras.cache_read_image,
        ),
        _Modality(usage.input_video_tokens or 0, None, extras.input_video, extras.cache_read_video),
    )


def _split_cached(modalities: tuple[_Modality, ...], read: int) -> list[int]:
    """Count the tokens of each modality among the cached ones.

    Where nobody says how many they are: as many as can be where that is cheaper, what saves most
    first, so that the amount is a lower bound.
    """
    left = read - sum(modality.cached or 0 for modality in modalities)
    counts = [modality.cached or 0 for modality in modalities]
    for at in sorted(range(len(counts)), key=lambda at: -modalities[at].saving):
        modality = modalities[at]
        if modality.cached is None and modality.saving > 0:
            counts[at] = min(modality.tokens, left)
            left -= counts[at]
    return counts


def _add(cost: float | None, extra: float) -> float | None:
    # Some of what is cheaper than text may have been written to the cache: never below nothing.
    return None if cost is None else max(0.0, cost + extra / _MTOK)


def _add_tools(cost: Cost, usage: Usage, rates: Rates) -> Cost:
    fee: float | None = None
    partial = cost.partial
    counts = (usage.web_searches, usage.file_searches, usage.code_executions)
    for count, rate in zip(counts, rates.tools, strict=True):
        if count is None:
            continue
        if rate is not None:
            fee = (fee or 0.0) + max(count, 0) * rate / _THOUSAND
        if count < 0 or (count and rate is None):
            partial = True
    return Cost(  # written out: replace() takes three times as long
        amount=cost.amount + (fee or 0.0),
        currency=cost.currency,
        input=cost.input,
        output=cost.output,
        cache_read=cost.cache_read,
        cache_write=cost.cache_write,
        tools=fee,
        source=cost.source,
        pricing_version=cost.pricing_version,
        partial=partial,
    )


def _mark_partial(cost: Cost, usage: Usage) -> Cost:
    # A whole that was not reported was made of its parts: nothing is left of it.
    made_up = usage.input_tokens is None and not cost.input
    return structs.replace(cost, input=None if made_up else cost.input, partial=True)
