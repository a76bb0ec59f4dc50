"""Which model of the table, or of the user's own prices, a name means."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cert_otel.pricing._files import find_provider, get_overrides, get_table, get_table_path
from cert_otel.pricing._names import list_names
from cert_otel.pricing._table import find_own

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from cert_otel.pricing._table import Model


class TableInfo(NamedTuple):
    """What the rate table is."""

    version: str
    """Goes into `cert.cost.pricing_version`: the source, and a hash of the content."""
    date: date
    """The day on which the prices were taken from their source."""
    provider_count: int
    model_count: int
    path: Path


class ModelRef(NamedTuple):
    """A model of the table."""

    provider: str
    """Whose price it is: a provider that resells models has the price of the one it resells."""
    model: str


class Found(NamedTuple):
    """A model, and whose it is."""

    provider: str
    model: Model


def find_priced(provider: str, model: str) -> Found | None:
    """Find what `find_model` finds, with its rates."""
    own = find_provider(provider)
    if own is None:
        return None
    for name in list_names(provider, model):
        for candidate in (provider, *own.fallbacks):
            found = find_own(find_provider(candidate), name)
            if found is not None:
                return Found(candidate, found)
    return None


def find_override(provider: str, model: str) -> Model | None:
    """Find a model in the user's own prices; the name as it is given comes first."""
    listed = get_overrides().providers.get(provider)
    if listed is None:
        return None
    names = (model.lower(), *list_names(provider, model))
    return next((found for name in names if (found := find_own(listed, name))), None)


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
    return TableInfo(
        table.version, table.date, len(table.providers), table.model_count, get_table_path()
    )
