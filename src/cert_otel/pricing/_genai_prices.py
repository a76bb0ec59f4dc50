"""genai-prices' `data.json` as price lists of ours.

One row for each stretch of time and of context length in which a model's price is another. What
this module does not know (a new kind of price, a new condition) is named in the result, so that
someone decides; the rest is compiled.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from cert_otel.pricing._table import Match, Model, Provider, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RATES: Final = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "cache_audio_read_mtok": "cache_read_audio",
    "input_image_mtok": "input_image",
    "cache_image_read_mtok": "cache_read_image",
    "input_video_mtok": "input_video",
    "output_mtok": "output",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
    "output_video_mtok": "output_video",
    "output_reasoning_mtok": "output_reasoning",
    "web_searches_kcount": "web_searches",
    "storage_searches_kcount": "file_searches",
    "code_executions_kcount": "code_executions",
}
"""Prices of genai-prices, and the rate of a row that each becomes."""

LEFT_OUT: Final = {
    "output_citation_mtok": "not reported apart; priced as output",
    "audio_hours": "not tokens",
    "input_audio_hours": "not tokens",
    "input_document_kpages": "not tokens",
    "input_annotated_document_kpages": "not tokens",
    "input_mchars": "not tokens",
    "input_text_messages_kcount": "not tokens",
    "requests_kcount": "not tokens; sets `Row.fee`",
}
"""Prices that the table does not have, and why."""

MODES: Final = {
    ("processing", "batch"): "batch",
    ("service_tier", "flex"): "flex",
    ("service_tier", "priority"): "priority",
    ("service_tier", "fast"): "fast",
    ("speed", "fast"): "fast",
}
"""Conditions of price variants that are modes of the table."""

NO_MODES: Final = {
    ("service_tier", "default"): "the standard prices",
    ("route", "mistral/eu"): "a call does not say how it was routed",
    ("search_type", "fast"): "a call does not say what kind its searches were",
    ("search_type", "web"): "the standard prices",
}


class Tier(msgspec.Struct, frozen=True):
    """The price of calls with more input tokens than `start`."""

    start: int
    price: float


class Tiered(msgspec.Struct, frozen=True):
    """A price that depends on the length of the context."""

    base: float
    tiers: tuple[Tier, ...]


class Constraint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From a day on, or between two times of every day. Any other kind is refused."""

    start_date: date | None = None
    start_time: time | None = None
    end_time: time | None = None

    def is_active(self, moment: datetime) -> bool:
        """Tell whether the constraint holds at a moment in UTC."""
        if self.start_date is not None:
            return moment.date() >= self.start_date
        if self.start_time is None or self.end_time is None:
            raise ValueError(f"a constraint of unknown kind: {self}")
        start, end, now = _second_of(self.start_time), _second_of(self.end_time), _seconds(moment)
        return start <= now < end if start <= end else now >= start or now < end


Prices = dict[str, float | Tiered | None]


class Conditional(msgspec.Struct, frozen=True):
    """Prices, and when they hold."""

    prices: Prices
    constraint: Constraint | None = None

    def is_active(self, moment: datetime) -> bool:
        """Tell whether the prices hold at a moment in UTC."""
        return self.constraint is None or self.constraint.is_active(moment)


class Variant(Conditional, frozen=True, kw_only=True):
    """Prices that go before the standard ones where a call meets a condition."""

    when: dict[str, str]


class SourceModel(msgspec.Struct, frozen=True):
    """One model of the source."""

    id: str
    match: dict[str, Any]
    prices: Prices | tuple[Conditional, ...]
    price_variants: tuple[Variant, ...] | None = None

    @property
    def conditional(self) -> tuple[Conditional, ...]:
        """The standard prices; the last that holds counts."""
        if isinstance(self.prices, dict):
            return (Conditional(self.prices),)
        return self.prices

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The prices of modes; the first that holds counts, for each price apart."""
        return self.price_variants or ()


class SourceProvider(msgspec.Struct, frozen=True):
    """One provider of the source."""

    id: str
    models: tuple[SourceModel, ...]
    fallback_model_providers: tuple[str, ...] | None = None


class Compiled(NamedTuple):
    """Price lists, and what this version of the compiler does not know."""

    providers: dict[str, Provider]
    undecided: frozenset[str]


Windows = list[tuple[Any, Any]]
"""(start, what holds from there), in order."""
Condition = tuple[str, str]


def compile_source(content: bytes) -> Compiled:
    """Compile the JSON list of providers.

    Raises:
        msgspec.MsgspecError: It is no such list.
        ValueError: A model's rule or constraint is of a form that this module does not know.
    """
    source = msgspec.json.decode(content, type=tuple[SourceProvider, ...])
    models = chain.from_iterable(provider.models for provider in source)
    return Compiled(
        {provider.id: compile_provider(provider) for provider in source},
        frozenset(chain.from_iterable(map(list_undecided, models))),
    )


def compile_provider(provider: SourceProvider) -> Provider:
    """Compile one provider; its models stay in order because the first match counts."""
    return Provider(
        fallbacks=provider.fallback_model_providers or (),
        models=tuple(map(compile_model, provider.models)),
    )


def compile_model(model: SourceModel) -> Model:
    """Compile one model with its standard prices and those of its modes."""
    conditions = sorted({item for variant in model.variants for item in variant.when.items()})
    return Model(
        id=model.id,
        match=compile_match(model.match),
        standard=compile_rows(model, condition=None),
        modes={
            MODES[condition]: compile_rows(model, condition=condition)
            for condition in conditions
            if condition in MODES
        },
    )


def list_undecided(model: SourceModel) -> Iterator[str]:
    """Name the prices and conditions of a model that are not compiled."""
    for priced in (*model.conditional, *model.variants):
        for price, value in priced.prices.items():
            if value is not None and price not in RATES and price not in LEFT_OUT:
                yield f"price {price}"
    for variant in model.variants:
        if not _is_known(variant):
            yield f"condition {' and '.join(f'{k}={v}' for k, v in variant.when.items())}"


def _is_known(variant: Variant) -> bool:
    """Tell whether a variant is one that a mode can be made of: one condition, no hours."""
    hourly = variant.constraint is not None and variant.constraint.start_time is not None
    known = variant.when.items() <= MODES.keys() | NO_MODES.keys()
    return known and len(variant.when) == 1 and not hourly


def compile_match(clause: dict[str, Any]) -> Match:
    """Turn a tree of clauses into the rule of one model."""
    parts: dict[str, list[Any]] = {}
    for kind, value in _flatten(clause):
        if kind == "and":
            if "every" in parts:
                raise ValueError(f"two conjunctions in one rule: {clause}")
            parts["every"] = [compile_match(part) for part in value]
        else:
            parts.setdefault(kind, []).append(value if kind == "regex" else value.lower())
    return msgspec.convert(parts, Match)


def _flatten(clause: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for kind, value in clause.items():
        if kind == "or":
            yield from chain.from_iterable(_flatten(part) for part in value)
        elif kind in {"and", *Match.__struct_fields__} - {"every"}:
            yield kind, value
        else:
            raise ValueError(f"a rule of unknown kind: {kind}")


def compile_rows(model: SourceModel, *, condition: Condition | None) -> tuple[Row, ...]:
    """Find the prices in each stretch of time and context length; later rows rule earlier."""
    days = _merge((day, _windows_of_day(model, condition, day)) for day in _list_days(model))
    return tuple(
        Row(since=day, from_second=second, above_tokens=tokens, **rates)
        for day, of_day in days
        for second, of_second in of_day
        for tokens, rates in of_second
    )


def _list_days(model: SourceModel) -> list[date | None]:
    """List the days on which a price may change; `None` is the time before the first."""
    days = {c.start_date for c in _list_constraints(model) if c.start_date is not None}
    return [None, *sorted(days)]


def _list_seconds(model: SourceModel) -> list[int]:
    """List the seconds of a day at which a price may change."""
    times = (t for c in _list_constraints(model) for t in (c.start_time, c.end_time))
    return sorted({0, *(_second_of(moment) for moment in times if moment is not None)})


def _list_constraints(model: SourceModel) -> list[Constraint]:
    priced = (*model.conditional, *model.variants)
    return [one.constraint for one in priced if one.constraint is not None]


def _second_of(moment: time) -> int:
    if moment.utcoffset():
        raise ValueError(f"{moment} is not UTC")
    return _seconds(moment)


def _seconds(moment: time | datetime) -> int:
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def _windows_of_day(model: SourceModel, condition: Condition | None, day: date | None) -> Windows:
    midnight = datetime.combine(day or date(2000, 1, 1), time(), UTC)
    windows = []
    for second in _list_seconds(model):
        moment = midnight + timedelta(seconds=second)
        if condition is None or any(_select_variants(model, condition, moment)):
            windows.append((second, _windows_of_tokens(_get_prices(model, condition, moment))))
    return _merge(windows)


def _select_variants(
    model: SourceModel, condition: Condition | None, moment: datetime
) -> list[Variant]:
    return [
        variant
        for variant in model.variants
        if condition is not None and dict([condition]) == variant.when and variant.is_active(moment)
    ]


def _get_prices(model: SourceModel, condition: Condition | None, moment: datetime) -> Prices:
    active = (priced for priced in reversed(model.conditional) if priced.is_active(moment))
    prices = dict(next(active, model.conditional[0]).prices)
    for variant in reversed(_select_variants(model, condition, moment)):
        prices |= {price: value for price, value in variant.prices.items() if value is not None}
    return prices


def _windows_of_tokens(prices: Prices) -> Windows:
    values = {price: value for price, value in prices.items() if value is not None}
    tiered = [value for value in values.values() if isinstance(value, Tiered)]
    starts = sorted({tier.start for value in tiered for tier in value.tiers})
    return _merge((start, _read_rates(values, start)) for start in (None, *starts))


def _read_rates(values: dict[str, float | Tiered], above_tokens: int | None) -> dict[str, Any]:
    rates: dict[str, Any] = {
        RATES[price]: _read_price(value, above_tokens)
        for price, value in values.items()
        if price in RATES
    }
    if "input" in rates and _has_fee(values.keys()):
        rates["fee"] = True
    return rates


def _read_price(value: float | Tiered, above_tokens: int | None) -> float:
    if not isinstance(value, Tiered):
        return float(value)
    tiers = sorted(value.tiers, key=lambda tier: tier.start)
    reached = [t.price for t in tiers if above_tokens is not None and t.start <= above_tokens]
    return float(reached[-1] if reached else value.base)


def _has_fee(prices: Iterable[str]) -> bool:
    # Hours without input hours are those of the connection, which every call has.
    names = set(prices)
    return "requests_kcount" in names or {"audio_hours", "input_audio_hours"} & names == {
        "audio_hours"
    }


def _merge(windows: Iterable[tuple[Any, Any]]) -> Windows:
    """Drop what continues what was there, and nothing at the front."""
    merged: Windows = []
    for start, held in windows:
        if held != (merged[-1][1] if merged else []):
            merged.append((start, held))
    return merged
