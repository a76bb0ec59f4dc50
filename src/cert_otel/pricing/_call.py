"""`price_call`: from a provider, a model and its usage to a cost, in about a microsecond."""

from __future__ import annotations

from datetime import date
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from cert_otel.pricing._rates import Rates, price_usage, resolve_rates
from cert_otel.pricing._table import find_priced, get_table

if TYPE_CHECKING:
    from cert_otel.pricing._table import Row
    from cert_otel.records import Cost, Usage

_DAY_S: Final = 86_400
_EPOCH: Final = date(1970, 1, 1)
_MEMO_SIZE: Final = 4096
"""Entries after which the memo starts anew: room for every model that one process calls."""

_STANDARD: Final = "standard"
_TIERS: Final = {
    "": _STANDARD,
    "auto": _STANDARD,
    "default": _STANDARD,
    "on_demand": _STANDARD,
    "standard_only": _STANDARD,
}
"""What providers call their standard tier. Any other name is that of a mode of the table."""


class Window(NamedTuple):
    """When and for which calls some rates hold."""

    since_unix_s: float
    from_second: int
    above_tokens: float
    rates: Rates | None


_memo: dict[tuple[str, str, str | None], tuple[Window, ...]] = {}


def price_call(
    provider: str,
    model: str,
    usage: Usage,
    *,
    at_unix_s: float,
    service_tier: str | None = None,
    batch: bool = False,
) -> Cost | None:
    """Price one call by the table.

    Args:
        provider: An id of the table, for instance `openai`, `azure` or `aws`; never a guess.
        model: The model that answered, as the provider spells it.
        usage: What the provider reported. Impossible counts are cut to fit.
        at_unix_s: When the call was made: prices change by date and by time of day.
        service_tier: As the provider reported it, for instance `flex` or `priority`; also
            `fast` for Anthropic's speed. `None` is the standard tier.
        batch: The call was part of a batch, whatever its tier.

    Returns:
        `None` when the provider or the model is unknown, when the model has no price in that
        tier on that day, or when nothing was reported that has a price.
    """
    key = (provider, model, "batch" if batch else service_tier)
    windows = _memo.get(key)
    if windows is None:
        windows = _remember(*key)
    tokens = usage.input_tokens or 0
    for since_unix_s, from_second, above_tokens, rates in windows:
        if (
            at_unix_s >= since_unix_s
            and tokens > above_tokens
            and at_unix_s % _DAY_S >= from_second
        ):
            return None if rates is None else price_usage(usage, rates)
    return None


def _remember(provider: str, model: str, tier: str | None) -> tuple[Window, ...]:
    windows = _find_windows(provider, model, tier)
    if len(_memo) >= _MEMO_SIZE:
        _memo.clear()
    _memo[provider, model, tier] = windows
    return windows


def _find_windows(provider: str, model: str, tier: str | None) -> tuple[Window, ...]:
    """Return the windows in the order in which they are tried, the newest first."""
    found = find_priced(provider, model)
    if found is None:
        return ()
    name = (tier or "").lower()
    mode = _TIERS.get(name, name)
    if mode == _STANDARD:
        rows = found.model.standard
    elif found.provider == provider:
        rows = found.model.modes.get(mode, ())
    else:
        # A reseller's discounts are its own: those of the provider behind it say nothing.
        rows = ()
    version = get_table().version
    return tuple(_read_window(row, version) for row in reversed(rows))


def _read_window(row: Row, version: str) -> Window:
    return Window(
        since_unix_s=-inf if row.since is None else (row.since - _EPOCH).days * _DAY_S,
        from_second=row.from_second,
        above_tokens=-inf if row.above_tokens is None else row.above_tokens,
        rates=resolve_rates(row, version),
    )
