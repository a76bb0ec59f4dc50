"""What the provider sent for each call: the facts that a record can be held against."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from golden.messages import ALIAS, MODEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from golden.scenarios import Call

SNAPSHOTS: Final = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "o4-mini": "o4-mini-2025-04-16",
    ALIAS: MODEL,
}
"""Which model the fake provider answers with."""
ID_PREFIXES: Final = {
    "chat": "chatcmpl-",
    "responses": "resp_",
    "embeddings": None,
    "messages": "msg_",
}
CACHE_READ: Final = "cache_read_input_tokens"
CACHE_WRITE: Final = "cache_creation_input_tokens"


def list_sent(call: Call, number: int, *, error: str) -> dict[str, Any]:
    """Return what the provider sent for its request of this number; `None` is "not sent".

    Args:
        call: The request and its reply.
        number: Of the request, counted from 1.
        error: What the SDK calls a refusal, which peers name with or without a package.
    """
    reply, answered = call.reply, call.reply.get("status", 200) < 400  # noqa: PLR2004 - HTTP
    prefix, asked = ID_PREFIXES[call.endpoint], call.request["model"]
    embedding = call.endpoint == "embeddings"
    return {
        "response_id": f"{prefix}{number:024d}" if answered and prefix else None,
        "model": SNAPSHOTS.get(asked, asked) if answered else None,
        "request_model": asked,
        **_list_usage(reply.get("usage", {})),
        "finish_reasons": None if embedding or not answered else _list_reasons(call),
        "input_data": call.asked,
        "output_data": reply.get("text") if answered else None,
        "tool_calls": [
            {
                "id": f"{'toolu' if call.endpoint == 'messages' else 'call'}_{number:024d}",
                "name": asked_for["name"],
                "arguments": json.loads(asked_for["arguments"]),
            }
            for asked_for in reply.get("tool_calls", ())
        ]
        or None,
        "error_type": None if answered else error,
        "perplexity": _compute_perplexity(reply.get("logprobs")),
    }


def _list_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    cached = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    output = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    prompt = usage.get("prompt_tokens", usage.get("input_tokens"))
    # Anthropic's input tokens are those that the cache has no part in.
    apart = [usage[name] for name in (CACHE_READ, CACHE_WRITE) if name in usage]
    return {
        "prompt_tokens": prompt + sum(apart) if apart else prompt,
        "completion_tokens": usage.get("completion_tokens", usage.get("output_tokens")),
        "cached_tokens": cached.get("cached_tokens", usage.get(CACHE_READ)),
        "cache_write_tokens": usage.get(CACHE_WRITE),
        "reasoning_tokens": output.get("reasoning_tokens"),
    }


def _list_reasons(call: Call) -> list[str]:
    # The status `completed` of the Responses endpoint is `stop` in the words of chat.
    words = ("tool_use", "end_turn") if call.endpoint == "messages" else ("tool_calls", "stop")
    reason = words[0 if call.reply.get("tool_calls") else 1]
    return [reason] * call.request.get("n", 1)


def _compute_perplexity(logprobs: list[float] | None) -> float | None:
    return math.exp(-math.fsum(logprobs) / len(logprobs)) if logprobs else None
