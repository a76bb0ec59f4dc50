"""`price_call`: from a provider, a model and its usage to a cost, in about a microsecond."""

from __future__ import annotations

from datetime import date
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from cert_otel import config
from cert_otel.pricing._files import get_overrides, get_table
from cert_otel.pricing._find import find_override, find_priced
from cert_otel.pricing._rates import Origin, Rates, price_usage, resolve_rates
from cert_otel.pricing._table import STANDARD, name_tier

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cert_otel.pricing._table import Model, Row
    from cert_otel.records import Cost, Usage

_DAY_S: Final = 86_400
_EPOCH: Final = date(1970, 1, 1)
_MEMO_SIZE: Final = 4096
"""Entries after which the memo starts anew: room for every model that one process calls."""


class Window(NamedTuple):
    """When and for which calls some rates hold."""

    since_unix_s: float
    from_second: int
    above_tokens: float
    rates: Rates | None


_memo: dict[tuple[str, str, str | None], tuple[Window, ...]] = {}
config.on_change(lambda _: _memo.clear())


def price_call(
    provider: str,
    model: str,
    usage: Usage,
    *,
    at_unix_s: float,
    service_tier: str | None = None,
    batch: bool = False,
) -> Cost | None:
    """Price one call by the user's own prices, else by the table.

    Args:
        provider: An id of the table, for instance `openai`, `azure` or `aws`, or a host of the
            user's own prices; never a guess.
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
    windows = (*_find_own_windows(provider, model, tier), *_find_windows(provider, model, tier))
    if len(_memo) >= _MEMO_SIZE:
        _memo.clear()
    _memo[provider, model, tier] = windows
    return windows


def _find_own_windows(provider: str, model: str, tier: str | None) -> Iterable[Window]:
    found = find_override(provider, model)
    if found is None:
        return ()
    origin = Origin("override", get_overrides().version)
    return _read_windows(_select_rows(found, name_tier(tier)), origin)


def _find_windows(provider: str, model: str, tier: str | None) -> Iterable[Window]:
    found = find_priced(provider, model)
    mode = name_tier(tier)
    # A reseller's discounts are its own: those of the provider behind it say nothing.
    if found is None or (mode != STANDARD and found.provider != provider):
        return ()
    return _read_windows(_select_rows(found.model, mode), Origin("table", get_table().version))


def _select_rows(model: Model, mode: str) -> tuple[Row, ...]:
    return model.standard if mode == STANDARD else model.modes.get(mode, ())


def _read_windows(rows: tuple[Row, ...], origin: Origin) -> Iterable[Window]:
    """Return windows in the order in which they are tried, the newest first."""
    return (_read_window(row, origin) for row in reversed(rows))


def _read_window(row: Row, origin: Origin) -> Window:
    return Window(
        since_unix_s=-inf if row.since is None else (row.since - _EPOCH).days * _DAY_S,
        from_second=row.from_second,
        above_tokens=-inf if row.above_tokens is None else row.above_tokens,
        rates=resolve_rates(row, origin),
    )
