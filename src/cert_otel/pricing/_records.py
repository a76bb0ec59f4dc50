"""`price_record`: a price for calls that somebody else recorded, when their records are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from cert_otel import semconv
from cert_otel.pricing._call import price_call
from cert_otel.pricing._price_lists import find_price_id
from cert_otel.pricing._providers import AZURE_PRICE_ID
from cert_otel.records import Cost, CostDetail, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cert_otel.records import Record, Tokens

_PRICED_KINDS: Final = frozenset({"inference", "embedding"})
_WHOLE_OUTCOMES: Final = frozenset({None, "completed"})
_MODALITIES: Final = {
    semconv.USAGE_AUDIO_INPUT_TOKENS: "input_audio_tokens",
    semconv.USAGE_AUDIO_OUTPUT_TOKENS: "output_audio_tokens",
    semconv.USAGE_AUDIO_CACHE_READ_TOKENS: "cache_read_audio_tokens",
    semconv.USAGE_IMAGE_INPUT_TOKENS: "input_image_tokens",
    semconv.USAGE_IMAGE_OUTPUT_TOKENS: "output_image_tokens",
    semconv.USAGE_IMAGE_CACHE_READ_TOKENS: "cache_read_image_tokens",
}
_DETAILS: Final = CostDetail.__struct_fields__


def price_record(record: Record) -> Record:
    """Price a call that was recorded without a cost.

    Pure but for the rate table and the user's own prices. Whose price list applies, its platform
    and the metadata's `server.address` say (`find_price_id`).

    Args:
        record: Of any kind. One that has a cost keeps it: it was priced when it was made.

    Returns:
        The record with `cost`, `currency` and `cost_detail`; unchanged when it is not of a
        model's call, has no tokens, or has no price.
    """
    if record.kind not in _PRICED_KINDS or record.cost is not None or record.tokens is None:
        return record
    host, port = map(record.metadata.get, (semconv.SERVER_ADDRESS, semconv.SERVER_PORT))
    price_id = find_price_id(
        record.platform,
        host if isinstance(host, str) else None,
        port if isinstance(port, int) else None,
    )
    if price_id is None:
        return record
    cost = _price(record, price_id, _read_usage(record.tokens, record.metadata))
    if cost is None:
        return record
    partial = cost.partial or record.stream_outcome not in _WHOLE_OUTCOMES
    detail = {name: getattr(cost, name) for name in _DETAILS} | {"partial": partial}
    return structs.replace(
        record, cost=cost.amount, currency=cost.currency, cost_detail=CostDetail(**detail)
    )


def _price(record: Record, price_id: str, usage: Usage) -> Cost | None:
    tier = record.metadata.get(semconv.OPENAI_RESPONSE_SERVICE_TIER)
    at_unix_s = record.timestamp.timestamp()
    costs = (
        price_call(
            price_id,
            model,
            usage,
            at_unix_s=at_unix_s,
            service_tier=tier if isinstance(tier, str) else None,
        )
        for model in _list_models(record, price_id)
    )
    return next((cost for cost in costs if cost is not None), None)


def _list_models(record: Record, price_id: str) -> Iterator[str]:
    """List the model that answered, then the one that was asked for.

    On Azure the latter is a deployment, whose name may be that of another model; where the reply
    named none, the former is a copy of it.
    """
    if price_id == AZURE_PRICE_ID:
        if record.model is not None and record.model != record.request_model:
            yield record.model
        return
    for model in dict.fromkeys((record.model, record.request_model)):
        if model is not None:
            yield model


def _read_usage(tokens: Tokens, metadata: Mapping[str, Any]) -> Usage:
    others = {
        field: count
        for name, field in _MODALITIES.items()
        if type(count := metadata.get(name)) is int
    }
    return Usage(
        input_tokens=tokens.prompt,
        output_tokens=tokens.completion,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
        reasoning_tokens=tokens.reasoning,
        **others,
    )
