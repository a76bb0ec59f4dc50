"""Usage as OpenAI's endpoints report it, brought into one form.

Input counts include what came from the cache, in every endpoint, so nothing is added up here.
"""

from __future__ import annotations

from typing import Any

from cert_otel.records import Usage
from cert_otel_instrumentations.openai._fields import get, get_count


def read_usage(usage: Any) -> Usage | None:
    """Read a usage object: chat and completions', or Responses', embeddings' and images'.

    Returns:
        `None` when no token count is in it.
    """
    if usage is None:
        return None
    input_tokens = get_count(usage, "prompt_tokens")
    output_tokens = get_count(usage, "completion_tokens")
    inputs = get(usage, "prompt_tokens_details")
    outputs = get(usage, "completion_tokens_details")
    if input_tokens is None and output_tokens is None:
        input_tokens = get_count(usage, "input_tokens")
        output_tokens = get_count(usage, "output_tokens")
        inputs = get(usage, "input_tokens_details") or get(usage, "input_token_details")
        outputs = get(usage, "output_tokens_details") or get(usage, "output_token_details")
    if input_tokens is None and output_tokens is None:
        return None
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=get_count(inputs, "cached_tokens"),
        cache_write_tokens=get_count(inputs, "cache_write_tokens"),
        reasoning_tokens=get_count(outputs, "reasoning_tokens"),
        input_audio_tokens=get_count(inputs, "audio_tokens"),
        output_audio_tokens=get_count(outputs, "audio_tokens"),
        input_image_tokens=get_count(inputs, "image_tokens"),
        output_image_tokens=get_count(outputs, "image_tokens"),
    )


def read_provider_cost(usage: Any) -> float | None:
    """Read the cost that some routers (OpenRouter) put into the usage, USD."""
    cost = get(usage, "cost")
    if isinstance(cost, bool) or not isinstance(cost, (int, float)) or cost < 0:
        return None
    return float(cost)
