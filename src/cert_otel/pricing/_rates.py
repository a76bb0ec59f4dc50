"""Rates times tokens: what a call costs once its row of the table is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import structs

from cert_otel.pricing._usage import is_consistent, make_consistent
from cert_otel.records import Cost

if TYPE_CHECKING:
    from cert_otel.pricing._table import Row
    from cert_otel.records import Usage

_MTOK: Final = 1_000_000


class Extras(NamedTuple):
    """What some tokens cost beyond the rate of what they are part of, in USD per million."""

    input_audio: float
    cache_read_audio: float
    input_image: float
    cache_read_image: float
    output_audio: float
    output_image: float
    output_reasoning: float


class Rates(NamedTuple):
    """One row of the table with its gaps closed, in USD per million tokens."""

    version: str
    input: float
    cache_read: float
    cache_write: float
    cache_write_1h: float
    output: float | None
    extras: Extras | None
    """`None` when audio, image and reasoning tokens have no rates of their own."""
    fee: bool


def resolve_rates(row: Row, version: str) -> Rates | None:
    """Close the gaps of a row: what has no rate of its own has that of what it is part of.

    Returns:
        `None` when the row has no rate for tokens.
    """
    if row.input is None:
        return None
    cache_write = _first(row.cache_write, row.input)
    extras = _resolve_extras(row, row.input)
    return Rates(
        version=version,
        input=row.input,
        cache_read=_first(row.cache_read, row.input),
        cache_write=cache_write,
        cache_write_1h=_first(row.cache_write_1h, cache_write),
        output=row.output,
        extras=extras if any(extras) else None,
        fee=row.fee,
    )


def _resolve_extras(row: Row, rate: float) -> Extras:
    audio, image = _extra(row.input_audio, rate), _extra(row.input_image, rate)
    read = row.cache_read
    output = row.output or 0.0
    return Extras(
        input_audio=audio,
        # Without a rate for cache reads, cached audio is audio like any other.
        cache_read_audio=audio if read is None else _extra(row.cache_read_audio, read),
        input_image=image,
        cache_read_image=image if read is None else _extra(row.cache_read_image, read),
        output_audio=_extra(row.output_audio, output),
        output_image=_extra(row.output_image, output),
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
    if cost is None:
        return None
    if rates.extras is not None and _has_extras(counts, rates.extras):
        cost = _add_extras(cost, counts, rates.extras)
    return cost if consistent else _mark_partial(cost, usage)


def _price(usage: Usage, rates: Rates) -> Cost | None:
    version, input_rate, read_rate, write_rate, write_1h_rate, output_rate, _, fee = rates
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
        input=cost_input,
        output=cost_output,
        cache_read=cost_read,
        cache_write=cost_write,
        pricing_version=version,
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
        or usage.output_audio_tokens
        or usage.output_image_tokens
        or (usage.reasoning_tokens and extras.output_reasoning)
    )


def _add_extras(cost: Cost, usage: Usage, extras: Extras) -> Cost:
    audio, image = usage.input_audio_tokens or 0, usage.input_image_tokens or 0
    read, reported = usage.cache_read_tokens or 0, usage.cache_read_audio_tokens
    read_audio = _assume_cached(audio, read, extras.input_audio - extras.cache_read_audio)
    if reported is not None:
        read_audio = reported
    read_image = _assume_cached(
        image, read - read_audio, extras.input_image - extras.cache_read_image
    )
    assumed = read_image > 0 or (reported is None and read_audio > 0)
    input_extra = (audio - read_audio) * extras.input_audio
    input_extra += (image - read_image) * extras.input_image
    read_extra = read_audio * extras.cache_read_audio + read_image * extras.cache_read_image
    output_extra = (usage.output_audio_tokens or 0) * extras.output_audio
    output_extra += (usage.output_image_tokens or 0) * extras.output_image
    output_extra += (usage.reasoning_tokens or 0) * extras.output_reasoning
    prompt = _add(cost.input, input_extra)
    cached = _add(cost.cache_read, read_extra)
    output = _add(cost.output, output_extra)
    return structs.replace(
        cost,
        amount=_sum_parts(prompt, cached, cost.cache_write, output),
        input=prompt,
        output=output,
        cache_read=cached,
        partial=cost.partial or assumed,
    )


def _assume_cached(count: int, read: int, saving: float) -> int:
    """Count the tokens of one modality among the cached ones when nobody says how many.

    As many as can be where that is cheaper, so that the amount is a lower bound.
    """
    return min(count, read) if saving > 0 else 0


def _add(cost: float | None, extra: float) -> float | None:
    return None if cost is None else cost + extra / _MTOK


def _mark_partial(cost: Cost, usage: Usage) -> Cost:
    # A whole that was not reported was made of its parts: nothing is left of it.
    made_up = usage.input_tokens is None and not cost.input
    return structs.replace(cost, input=None if made_up else cost.input, partial=True)
