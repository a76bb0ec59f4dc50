"""The rate table on disk: its format, how it is read, and which model a name means.

Each provider stays undecoded until it is first asked for. scripts/compile_prices.py writes
the table with the structs below.
"""

from __future__ import annotations

import re
from datetime import date  # noqa: TC003 - msgspec resolves the annotations at run time
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

PATH: Final = Path(__file__).with_name("data") / "prices.json"

_COMPACT_DATE: Final = r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)"
"""`-20251211`, as LiteLLM and OpenRouter write what the providers call `-2025-12-11`."""


class Match(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A rule on a lower-case model name: it holds when any of its parts does."""

    equals: tuple[str, ...] = ()
    starts_with: tuple[str, ...] = ()
    ends_with: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    regex: tuple[str, ...] = ()
    every: tuple[Match, ...] = ()
    """One part that holds when all of these do."""

    def is_match(self, name: str) -> bool:
        """Tell whether the rule holds for a lower-case name."""
        return (
            name in self.equals
            or name.startswith(self.starts_with)
            or name.endswith(self.ends_with)
            # Most rules have none of these: asking that first halves the search for a name.
            or bool(self.contains and any(part in name for part in self.contains))
            or bool(self.regex and any(re.search(pattern, name) for pattern in self.regex))
            or bool(self.every and all(rule.is_match(name) for rule in self.every))
        )


class Row(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """Rates in USD per million tokens, and when they hold: all three conditions together."""

    since: date | None = None
    """First day, UTC."""
    from_second: int = 0
    """Second of the day, UTC."""
    above_tokens: int | None = None
    """Holds for calls with more input tokens than this."""

    input: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    input_audio: float | None = None
    cache_read_audio: float | None = None
    input_image: float | None = None
    cache_read_image: float | None = None
    output: float | None = None
    output_audio: float | None = None
    output_image: float | None = None
    output_reasoning: float | None = None
    fee: bool = False
    """Each call is also billed for something that is not a token."""


class Model(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One model of one provider."""

    id: str
    match: Match
    standard: tuple[Row, ...] = ()
    """Among the rows whose conditions hold, the last one counts."""
    modes: dict[str, tuple[Row, ...]] = {}
    """The same for `batch`, `flex`, `priority` and `fast`, where the model has such prices."""


class Provider(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """The models of a provider; the first that matches counts."""

    fallbacks: tuple[str, ...] = ()
    """Providers whose models this one resells at their standard prices."""
    models: tuple[Model, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """The file."""

    generated: str
    version: str
    date: date
    model_count: int
    providers: dict[str, msgspec.Raw]


class TableInfo(NamedTuple):
    """What the rate table is."""

    version: str
    """Goes into `cert.cost.pricing_version`: the source, and a hash of the content."""
    date: date
    """The day on which the prices were taken from their source."""
    provider_count: int
    model_count: int


class ModelRef(NamedTuple):
    """A model of the table."""

    provider: str
    """Whose price it is: a provider that resells models has the price of the one it resells."""
    model: str


class Found(NamedTuple):
    """A model, and whose it is."""

    provider: str
    model: Model


@cache
def get_table() -> Table:
    """Read the table; the second time it is there already."""
    return msgspec.json.decode(PATH.read_bytes(), type=Table)


@lru_cache(maxsize=64)
def find_provider(provider: str) -> Provider | None:
    """Decode one provider; `None` when the table has none of exactly this id."""
    raw = get_table().providers.get(provider)
    return None if raw is None else msgspec.json.decode(raw, type=Provider)


def find_priced(provider: str, model: str) -> Found | None:
    """Find what `find_model` finds, with its rates."""
    name = model.lower()
    found = _find(provider, name)
    if found is not None:
        return found
    dashed = re.sub(_COMPACT_DATE, r"-\1-\2-\3", name)
    return None if dashed == name else _find(provider, dashed)


def find_model(provider: str, model: str) -> ModelRef | None:
    """Find the model of the table that a name means.

    Args:
        provider: An id of the table, for instance `openai`, `azure` or `aws`. An id that the
            table does not have finds nothing, whatever the model.
        model: As the provider or the application spells it; case does not matter.
    """
    found = find_priced(provider, model)
    return None if found is None else ModelRef(found.provider, found.model.id)


def table_info() -> TableInfo:
    """Describe the table, for `cert doctor` and reports."""
    table = get_table()
    return TableInfo(table.version, table.date, len(table.providers), table.model_count)


def _find(provider: str, name: str) -> Found | None:
    own = find_provider(provider)
    if own is None:
        return None
    for candidate in (provider, *own.fallbacks):
        model = _find_own(candidate, name)
        if model is not None:
            return Found(candidate, model)
    return None


def _find_own(provider: str, name: str) -> Model | None:
    decoded = find_provider(provider)
    models = () if decoded is None else decoded.models
    return next((model for model in models if model.match.is_match(name)), None)
