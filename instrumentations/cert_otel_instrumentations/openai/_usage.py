"""Usage as OpenAI's endpoints report it, brought into one form.

Input counts include what came from the cache, in every endpoint, so nothing is added up here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cert_otel.records import Usage
from cert_otel_instrumentations.openai._fields import as_count, fields_of

if TYPE_CHECKING:
    from cert_otel.capture import Call

_MAX_COST: Final = 1e9
"""USD. A larger one, the infinities and NaN are no cost of a call."""


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
    input_tokens = as_count(fields.get("prompt_tokens"))
    output_tokens = as_count(fields.get("completion_tokens"))
    inputs = fields.get("prompt_tokens_details")
    outputs = fields.get("completion_tokens_details")
    if input_tokens is None and output_tokens is None:
        input_tokens = as_count(fields.get("input_tokens"))
        output_tokens = as_count(fields.get("output_tokens"))
        inputs = fields.get("input_tokens_details") or fields.get("input_token_details")
        outputs = fields.get("output_tokens_details") or fields.get("output_token_details")
    if input_tokens is None and output_tokens is None:
        return None
    inputs, outputs = fields_of(inputs), fields_of(outputs)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=as_count(inputs.get("cached_tokens")),
        cache_write_tokens=as_count(inputs.get("cache_write_tokens")),
        reasoning_tokens=as_count(outputs.get("reasoning_tokens")),
        input_audio_tokens=as_count(inputs.get("audio_tokens")),
        output_audio_tokens=as_count(outputs.get("audio_tokens")),
        input_image_tokens=as_count(inputs.get("image_tokens")),
        output_image_tokens=as_count(outputs.get("image_tokens")),
    )


def _read_cost(usage: Any) -> float | None:
    """Read the cost that some routers (OpenRouter) put into the usage, USD."""
    cost = fields_of(usage).get("cost")
    if isinstance(cost, bool) or not isinstance(cost, (int, float)):
        return None
    return float(cost) if 0 <= cost < _MAX_COST else None
