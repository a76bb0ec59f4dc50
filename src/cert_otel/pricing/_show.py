"""What the prices of a model are, for whoever asks: `cert prices`."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import structs

from cert_otel.pricing._files import find_provider, get_overrides, get_table
from cert_otel.pricing._find import find_override, find_priced
from cert_otel.pricing._table import RATES, STANDARD, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date

    from cert_otel.pricing._table import Model
    from cert_otel.records import CostSource

_NEAREST: Final = 5


class ListedRow(NamedTuple):
    """Rates that hold on a day, for calls of one tier that meet the conditions."""

    tier: str
    since: date | None
    from_second: int
    """Of the day, UTC."""
    above_tokens: int | None
    rates: dict[str, float]
    """By name: per million tokens, those of `_table.PER_THOUSAND` for a thousand."""
    fee: bool
    """Each call is billed for something else besides."""


class Listing(NamedTuple):
    """A model that a name means, and what it costs on a day."""

    provider: str
    model: str
    sellers: tuple[str, ...]
    """Other providers that sell it at these standard prices."""
    source: CostSource
    pricing_version: str
    currency: str
    rows: tuple[ListedRow, ...]


def list_prices(model: str, at: date, provider: str | None = None) -> list[Listing]:
    """List the prices of what a name means; the user's own come first.

    Args:
        model: As a provider or the application spells it.
        at: The day, UTC.
        provider: An id of a price list; all of them if left out.
    """
    names = list_providers() if provider is None else [provider]
    return [*_list_overridden(names, model, at), *_list_priced(names, model, at)]


def list_providers() -> list[str]:
    """List the ids of all price lists."""
    return list(dict.fromkeys([*get_overrides().providers, *get_table().providers]))


def find_nearest(model: str, provider: str | None = None) -> list[str]:
    """Find names of models that look like this one."""
    names = list_providers() if provider is None else [provider]
    known = dict.fromkeys(name for one in names for name in _list_known(one))
    return difflib.get_close_matches(model.lower(), known, n=_NEAREST)


def _list_known(provider: str) -> Iterator[str]:
    for listed in (get_overrides().providers.get(provider), find_provider(provider)):
        for model in () if listed is None else listed.models:
            yield model.id
            yield from model.match.equals


def _list_overridden(providers: Iterable[str], model: str, at: date) -> Iterator[Listing]:
    version = get_overrides().version
    for provider in providers:
        found = find_override(provider, model)
        if found is not None:
            yield _list(found, provider, at, source="override", version=version, sellers=())


def _list_priced(providers: list[str], model: str, at: date) -> Iterator[Listing]:
    version = get_table().version
    found = {name: priced for name in providers if (priced := find_priced(name, model))}
    # The same model may be found by way of those who resell it, or by way of them alone.
    makers = dict.fromkeys((priced.provider, priced.model.id) for priced in found.values())
    for maker, model_id in makers:
        ways = [
            name for name, one in found.items() if (one.provider, one.model.id) == (maker, model_id)
        ]
        sellers = tuple(name for name in ways if name != maker)
        priced = found[ways[0]]
        yield _list(priced.model, maker, at, source="table", version=version, sellers=sellers)


def _list(
    model: Model,
    provider: str,
    at: date,
    *,
    source: CostSource,
    version: str,
    sellers: tuple[str, ...],
) -> Listing:
    tiers = {STANDARD: model.standard, **model.modes}
    rows = [(tier, row) for tier, held in tiers.items() for row in select_rows(held, at)]
    currency = rows[0][1].currency if rows else Row().currency
    listed = tuple(_list_row(tier, row) for tier, row in rows)
    return Listing(provider, model.id, sellers, source, version, currency, listed)


def select_rows(rows: tuple[Row, ...], at: date) -> list[Row]:
    """Select the rows that some call of a day is priced by, in their order."""
    selected: list[Row] = []
    for row in reversed(rows):
        if row.since is None or row.since <= at:
            selected.append(row)
            if not row.from_second and row.above_tokens is None:
                break  # it holds for every call: what comes before it for none
    return selected[::-1]


def _list_row(tier: str, row: Row) -> ListedRow:
    fields = structs.asdict(row)
    rates = {name: fields[name] for name in RATES if fields[name] is not None}
    return ListedRow(tier, row.since, row.from_second, row.above_tokens, rates, row.fee)
