"""Usage as OpenAI's endpoints report it, brought into one form.

Input counts include what came from the cache, in every endpoint, so nothing is added up here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cert_otel.records import Usage
from cert_otel_instrumentations.openai._fields import MAX_COUNT, fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cert_otel.capture import Call

_MAX_COST: Final = 1e9
"""USD. A larger one, the infinities and NaN are no cost of a call."""

_WHOLES: Final = (
    ("prompt_tokens", "input_tokens"),
    ("completion_tokens", "output_tokens"),
    ("input_tokens", "input_tokens"),
    ("output_tokens", "output_tokens"),
)
"""Their names to `Usage`'s; of two for one field the first that is there counts."""
_INPUT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_INPUT_PARTS: Final = (
    ("cached_tokens", "cache_read_tokens"),
    ("cache_write_tokens", "cache_write_tokens"),
    ("audio_tokens", "input_audio_tokens"),
    ("image_tokens", "input_image_tokens"),
)
_OUTPUT_DETAILS: Final = (
    "completion_tokens_details",
    "output_tokens_details",
    "output_token_details",
)
_OUTPUT_PARTS: Final = (
    ("reasoning_tokens", "reasoning_tokens"),
    ("audio_tokens", "output_audio_tokens"),
    ("image_tokens", "output_image_tokens"),
)


def read_billing(call: Call, usage: Any) -> None:
    """Read tokens, and what the call cost where its server says so."""
    call.usage = read_usage(usage)
    if call.target.reports_cost:
        call.provider_cost = _read_cost(usage)


def read_usage(usage: Any) -> Usage | None:
    """Read a usage object: chat and completions', or Responses', embeddings' and images'.

    Returns:
        `None` when no token count is in it.
    """
    fields = fields_of(usage)
    counts: dict[str, int] = {}
    _add_counts(counts, fields, _WHOLES)
    if not counts:
        return None
    _add_counts(counts, _find_details(fields, _INPUT_DETAILS), _INPUT_PARTS)
    _add_counts(counts, _find_details(fields, _OUTPUT_DETAILS), _OUTPUT_PARTS)
    return Usage(**counts)


def _add_counts(
    counts: dict[str, int], fields: Mapping[str, Any], names: tuple[tuple[str, str], ...]
) -> None:
    for name, field in names:
        count = fields.get(name)
        if type(count) is int and 0 <= count < MAX_COUNT and field not in counts:
            counts[field] = count


def _find_details(fields: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    for name in names:
        if details := fields.get(name):
            return fields_of(details)
    return {}


def _read_cost(usage: Any) -> float | None:
    """Read the cost that some routers (OpenRouter) put into the usage, USD."""
    cost = fields_of(usage).get("cost")
    if isinstance(cost, bool) or not isinstance(cost, (int, float)):
        return None
    return float(cost) if 0 <= cost < _MAX_COST else None
