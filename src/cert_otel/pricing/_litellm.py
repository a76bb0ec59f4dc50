"""LiteLLM's `model_prices_and_context_window.json` as price lists of ours.

It gives costs in USD per token, under the name of each model with or without the provider's
before it. It has no dates. What has no cost for tokens (images by the piece, speech by the
second) is left out, and so is what costs 0, which is written for what is free, for what a plan
covers and for what is not known.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from cert_otel.errors import InputError
from cert_otel.pricing._providers import match_platform
from cert_otel.pricing._table import Match, Model, Provider, Row

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PER_TOKEN: Final = {
    "input_cost_per_token": "input",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "input_cost_per_audio_token": "input_audio",
    "cache_read_input_audio_token_cost": "cache_read_audio",
    "input_cost_per_image_token": "input_image",
    "cache_read_input_image_token_cost": "cache_read_image",
    "input_cost_per_video_token": "input_video",
    "output_cost_per_token": "output",
    "output_cost_per_audio_token": "output_audio",
    "output_cost_per_image_token": "output_image",
    "output_cost_per_video_token": "output_video",
    "output_cost_per_reasoning_token": "output_reasoning",
}
_MODES: Final = {"batches": "batch", "flex": "flex", "priority": "priority"}
_COST: Final = re.compile(
    rf"({'|'.join(sorted(_PER_TOKEN, key=len, reverse=True))})"
    rf"(?:_above_(\d+)k_tokens)?(?:_({'|'.join(_MODES)}))?"
)
_SEARCH_SIZES: Final = tuple(f"search_context_size_{size}" for size in ("low", "medium", "high"))

_MTOK: Final = 1_000_000
_K: Final = 1_000

Costs = dict[tuple[str | None, int | None], dict[str, float]]
"""Rates of a row, by mode and by the number of tokens above which they hold."""


def is_litellm(content: Mapping[str, Any]) -> bool:
    """Tell whether a JSON object is such a map: whether any of its values is such an entry."""
    return any(
        isinstance(entry, dict) and ("litellm_provider" in entry or "input_cost_per_token" in entry)
        for entry in content.values()
    )


def read_litellm(content: Mapping[str, Any], path: Path) -> dict[str, Provider]:
    """Read such a map.

    Args:
        content: The decoded file.
        path: Where it comes from, for error messages.

    Raises:
        InputError: A cost is no number, or negative; names the model and the field.
    """
    models: dict[str, dict[str, Model]] = {}
    for name, entry in content.items():
        if name == "sample_spec":
            continue
        if not isinstance(entry, dict):
            raise InputError(path, f"{name}: is no object")
        provider, model = _split_name(name.lower(), entry.get("litellm_provider"))
        rows = _read_rows(name, entry, path)
        if rows:
            # Vertex AI and the Gemini API are one price list: of two entries the first counts.
            models.setdefault(provider, {}).setdefault(
                model,
                Model(
                    id=model,
                    match=Match(equals=(model,)),
                    standard=rows.pop(None, ()),
                    modes={mode: held for mode, held in rows.items() if mode is not None},
                ),
            )
    return {provider: Provider(models=tuple(of.values())) for provider, of in models.items()}


def _split_name(name: str, litellm_provider: Any) -> tuple[str, str]:
    """Return the price list and the model's own name."""
    prefix, slash, rest = name.partition("/")
    named = litellm_provider if isinstance(litellm_provider, str) else prefix
    provider = match_platform(named) or named.lower()
    if slash and provider in (match_platform(prefix), prefix):
        return provider, rest
    return provider, name


def _read_rows(
    name: str, entry: Mapping[str, Any], path: Path
) -> dict[str | None, tuple[Row, ...]]:
    costs: Costs = {}
    for field, cost in entry.items():
        matched = _COST.fullmatch(field)
        if matched is None or cost is None:
            continue
        rate = _read_cost(name, field, cost, path)
        above = None if matched[2] is None else int(matched[2]) * _K
        mode = _MODES.get(matched[3])
        costs.setdefault((mode, above), {})[_PER_TOKEN[matched[1]]] = rate
    base = costs.get((None, None), {})
    if "input" not in base or not any(base.values()):
        return {}
    tools = _read_tools(name, entry, path)
    modes = dict.fromkeys(mode for mode, _ in costs)
    return {mode: _stack(costs, mode, tools) for mode in modes}


def _stack(costs: Costs, mode: str | None, tools: Mapping[str, float]) -> tuple[Row, ...]:
    """Build a mode's rows; what a row does not say is as in the one that it refines.

    A length that has costs in the standard tier and none in this one has no price in it.
    """
    rows = [Row(**_merge_rates(costs, mode, None, tools))]  # type: ignore[arg-type]  # all are rates
    for above in sorted({above for _, above in costs if above is not None}):
        if (mode, above) in costs:
            rates = _merge_rates(costs, mode, above, tools)
            rows.append(Row(above_tokens=above, **rates))  # type: ignore[arg-type]  # likewise
        elif (None, above) in costs:
            rows.append(Row(above_tokens=above))
    return tuple(rows)


def _merge_rates(
    costs: Costs, mode: str | None, above: int | None, tools: Mapping[str, float]
) -> dict[str, float]:
    rates = dict(tools)
    for key in ((None, None), (None, above), (mode, None), (mode, above)):
        rates |= costs.get(key, {})
    return rates


def _read_tools(name: str, entry: Mapping[str, Any], path: Path) -> dict[str, float]:
    """Read fees for a thousand uses; a search whose fee depends on its size has none here."""
    tools: dict[str, float] = {}
    searches = entry.get("search_context_cost_per_query")
    if isinstance(searches, dict):
        field = "search_context_cost_per_query"
        fees = {
            _read_cost(name, f"{field}.{size}", searches[size], path, per=_K)
            for size in _SEARCH_SIZES
            if searches.get(size) is not None
        }
        if len(fees) == 1:
            tools["web_searches"] = fees.pop()
    for field, rate, per in (
        ("file_search_cost_per_1k_calls", "file_searches", 1),
        ("code_interpreter_cost_per_session", "code_executions", _K),
    ):
        if entry.get(field) is not None:
            tools[rate] = _read_cost(name, field, entry[field], path, per=per)
    return tools


def _read_cost(name: str, field: str, cost: Any, path: Path, *, per: int = _MTOK) -> float:
    if isinstance(cost, bool) or not isinstance(cost, int | float):
        raise InputError(path, f"{name}: {field}: {cost!r} is no number")
    if not 0 <= cost < math.inf:
        raise InputError(path, f"{name}: {field}: {cost!r} is no cost")
    return float(Decimal(repr(cost)) * per)  # exact: 3e-07 USD is 0.3 a million
