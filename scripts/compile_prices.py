"""Compile the prices of genai-prices into the table that cert-otel ships.

What is priced when is not read from the source's structures but asked from genai-prices
itself, once for every stretch of time and of context length in which it cannot change.

    python scripts/compile_prices.py            # write the table
    python scripts/compile_prices.py --check    # exit with 1 if it is not up to date
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from importlib.metadata import distribution
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import msgspec
from genai_prices import types as source
from genai_prices.data import providers as source_providers

from cert_otel.pricing._table import PATH, Match, Model, Provider, Row, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LICENSE_PATH: Final = PATH.with_name("LICENSE.genai-prices")
MARK: Final = "by scripts/compile_prices.py from genai-prices (MIT); do not edit"

RATES: Final = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "cache_audio_read_mtok": "cache_read_audio",
    "input_image_mtok": "input_image",
    "cache_image_read_mtok": "cache_read_image",
    "output_mtok": "output",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
    "output_reasoning_mtok": "output_reasoning",
}
"""Prices of genai-prices, and the rate of a row that each becomes."""

LEFT_OUT: Final = {
    "input_video_mtok": "no SDK reports it; priced as input",
    "output_video_mtok": "no SDK reports it; priced as output",
    "output_citation_mtok": "not reported apart; priced as output",
    "audio_hours": "not tokens",
    "input_audio_hours": "not tokens",
    "input_document_kpages": "not tokens",
    "input_annotated_document_kpages": "not tokens",
    "input_mchars": "not tokens",
    "input_text_messages_kcount": "not tokens",
    "requests_kcount": "not tokens; sets `Row.fee`",
    "storage_searches_kcount": "not tokens; counts of tool calls are not reported",
    "web_searches_kcount": "not tokens; counts of tool calls are not reported",
}
"""Prices that the table does not have, and why. Any other price stops the compilation."""

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
    ("search_type", "fast"): "changes the price of searches only",
    ("search_type", "web"): "changes the price of searches only",
}

Rates = dict[str, Any]
"""Fields of a row without its conditions."""
Windows = list[tuple[Any, Any]]
"""(start, what holds from there), in order."""


def compile_provider(provider: source.Provider) -> Provider:
    """Compile one provider; its models stay in order because the first match counts."""
    return Provider(
        fallbacks=tuple(provider.fallback_model_providers or ()),
        models=tuple(compile_model(model) for model in provider.models),
    )


def compile_model(model: source.ModelInfo) -> Model:
    """Compile one model with its standard prices and those of its modes."""
    conditions = _list_conditions(model)
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


def _list_conditions(model: source.ModelInfo) -> list[tuple[str, str]]:
    """List the conditions of the variants, of which the table can have one a variant."""
    for variant in model.price_variants or ():
        hourly = isinstance(variant.constraint, source.TimeOfDateConstraint)
        if (
            hourly
            or len(variant.when) > 1
            or not variant.when.items() <= MODES.keys() | NO_MODES.keys()
        ):
            sys.exit(f"{model.id}: decide what the variant {variant} is")
    return sorted({item for variant in model.price_variants or () for item in variant.when.items()})


def compile_match(clause: source.MatchLogic) -> Match:
    """Turn a tree of clauses into the rule of one model."""
    parts: dict[str, list[Any]] = {}
    for leaf in _flatten(clause):
        if isinstance(leaf, source.ClauseAnd):
            if "every" in parts:
                sys.exit(f"two conjunctions in one rule: {clause}")
            parts["every"] = [compile_match(part) for part in leaf.and_]
        else:
            [(kind, text)] = vars(leaf).items()
            parts.setdefault(kind, []).append(text if kind == "regex" else text.lower())
    return Match(**{kind: tuple(values) for kind, values in parts.items()})


def _flatten(clause: source.MatchLogic) -> Iterator[Any]:
    if isinstance(clause, source.ClauseOr):
        yield from chain.from_iterable(_flatten(part) for part in clause.or_)
    else:
        yield clause


def compile_rows(model: source.ModelInfo, *, condition: tuple[str, str] | None) -> tuple[Row, ...]:
    """Ask for the prices in each stretch of time and context length; later rows rule earlier."""
    days = _merge((day, _windows_of_day(model, condition, day)) for day in _list_days(model))
    return tuple(
        Row(since=day, from_second=second, above_tokens=tokens, **rates)
        for day, of_day in days
        for second, of_second in of_day
        for tokens, rates in of_second
    )


def _list_days(model: source.ModelInfo) -> list[date | None]:
    """List the days on which a price may change; `None` is the time before the first."""
    days = {
        c.start_date for c in _list_constraints(model) if isinstance(c, source.StartDateConstraint)
    }
    return [None, *sorted(days)]


def _list_seconds(model: source.ModelInfo) -> list[int]:
    """List the seconds of a day at which a price may change."""
    seconds = {0}
    for constraint in _list_constraints(model):
        if isinstance(constraint, source.TimeOfDateConstraint):
            seconds |= {_count_seconds(constraint.start_time), _count_seconds(constraint.end_time)}
    return sorted(seconds)


def _list_constraints(model: source.ModelInfo) -> list[object]:
    conditional = model.prices if isinstance(model.prices, list) else []
    return [priced.constraint for priced in (*conditional, *(model.price_variants or ()))]


def _count_seconds(moment: time) -> int:
    if moment.utcoffset():
        sys.exit(f"{moment} is not UTC")
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def _windows_of_day(
    model: source.ModelInfo, condition: tuple[str, str] | None, day: date | None
) -> Windows:
    midnight = datetime.combine(day or date(2000, 1, 1), time(), UTC)
    windows = []
    for second in _list_seconds(model):
        moment = midnight + timedelta(seconds=second)
        if condition is None or _has_mode(model, condition, moment):
            context = dict([condition]) if condition else None
            windows.append((second, _windows_of_tokens(model.get_prices(moment, context))))
    return _merge(windows)


def _has_mode(model: source.ModelInfo, condition: tuple[str, str], moment: datetime) -> bool:
    return any(
        dict([condition]) == variant.when
        and (variant.constraint is None or variant.constraint.active(moment))
        for variant in model.price_variants or ()
    )


def _windows_of_tokens(prices: source.ModelPrice) -> Windows:
    values = {key: value for key, value in vars(prices).items() if value is not None}
    undecided = values.keys() - RATES.keys() - LEFT_OUT.keys()
    if undecided:
        sys.exit(f"decide what the prices {undecided} are")
    tiered = [value for value in values.values() if isinstance(value, source.TieredPrices)]
    starts = sorted({tier.start for value in tiered for tier in value.tiers})
    return _merge((start, _read_rates(values, start)) for start in (None, *starts))


def _read_rates(values: dict[str, Any], above_tokens: int | None) -> Rates:
    rates: Rates = {
        RATES[key]: float(_read_price(value, above_tokens))
        for key, value in values.items()
        if key in RATES
    }
    if rates and _has_fee(values.keys()):
        rates["fee"] = True
    return rates


def _read_price(value: Decimal | source.TieredPrices, above_tokens: int | None) -> Decimal:
    if isinstance(value, Decimal):
        return value
    reached = [t.price for t in value.tiers if above_tokens is not None and t.start <= above_tokens]
    return reached[-1] if reached else value.base


def _has_fee(keys: Iterable[str]) -> bool:
    # Hours without input hours are those of the connection, which every call has.
    return "requests_kcount" in keys or ("audio_hours" in keys and "input_audio_hours" not in keys)


def _merge(windows: Iterable[tuple[Any, Any]]) -> Windows:
    """Drop what continues what was there, and nothing at the front."""
    merged: Windows = []
    for start, held in windows:
        if held != (merged[-1][1] if merged else []):
            merged.append((start, held))
    return merged


def render(version: str, day: date) -> bytes:
    """Render the table: one model a line, so that a new version can be read as a diff."""
    compiled = {provider.id: compile_provider(provider) for provider in source_providers}
    body = ",\n".join(
        f"{_encode(name)}:{_render_provider(provider)}" for name, provider in compiled.items()
    )
    digest = hashlib.sha256(body.encode()).hexdigest()[:8]
    head = {
        "generated": MARK,
        "version": f"genai-prices-{version}+{digest}",
        "date": day,
        "model_count": sum(len(provider.models) for provider in compiled.values()),
    }
    return f'{_encode(head)[:-1]},"providers":{{\n{body}\n}}}}\n'.encode()


def _render_provider(provider: Provider) -> str:
    models = ",\n".join(_encode(model) for model in provider.models)
    return f'{{"fallbacks":{_encode(provider.fallbacks)},"models":[\n{models}\n]}}'


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()


def choose_date(version: str) -> date:
    """Return the date that the table has; a new version of the source is of today."""
    if PATH.exists():
        table = msgspec.json.decode(PATH.read_bytes(), type=Table)
        if table.version.startswith(f"genai-prices-{version}+"):
            return table.date
    return datetime.now(UTC).date()


def read_license() -> bytes:
    """Return the licence of genai-prices, which travels with its data."""
    text = distribution("genai-prices").read_text("licenses/LICENSE")
    if text is None:
        sys.exit("genai-prices has no licence file")
    return text.encode()


def main() -> None:
    """Write the table and the licence, or check that they are what would be written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 on a difference"
    )
    arguments = parser.parse_args()
    version = distribution("genai-prices").version
    files = {PATH: render(version, choose_date(version)), LICENSE_PATH: read_license()}
    for path, content in files.items():
        if arguments.check and path.read_bytes() != content:
            sys.exit(f"{path} is not up to date: run python scripts/compile_prices.py")
        if not arguments.check:
            path.write_bytes(content)
            print(f"{path.name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
