"""Usage as OpenAI's endpoints report it, brought into one form.

Input counts include what came from the cache, in every endpoint, so nothing is added up here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from cert_otel.records import Usage
from cert_otel_instrumentations.openai._fields import as_count, fields_of, get, get_text

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
    get = fields_of(usage).get
    prompt = as_count(get("prompt_tokens"))
    output = as_count(get("completion_tokens"))
    input_details, output_details = get("prompt_tokens_details"), get("completion_tokens_details")
    if prompt is None:
        prompt = as_count(get("input_tokens"))
    if output is None:
        output = as_count(get("output_tokens"))
    if prompt is None and output is None:
        return None
    of_input = fields_of(
        input_details or get("input_tokens_details") or get("input_token_details")
    ).get
    of_output = fields_of(
        output_details or get("output_tokens_details") or get("output_token_details")
    ).get
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        cache_read_tokens=as_count(of_input("cached_tokens")),
        cache_write_tokens=as_count(of_input("cache_write_tokens")),
        input_audio_tokens=as_count(of_input("audio_tokens")),
        input_image_tokens=as_count(of_input("image_tokens")),
        reasoning_tokens=as_count(of_output("reasoning_tokens")),
        output_audio_tokens=as_count(of_output("audio_tokens")),
        output_image_tokens=as_count(of_output("image_tokens")),
    )


def _read_cost(usage: Any) -> float | None:
    """Read the cost that some routers (OpenRouter) put into the usage, USD."""
    cost = fields_of(usage).get("cost")
    if isinstance(cost, bool) or not isinstance(cost, (int, float)):
        return None
    return float(cost) if 0 <= cost < _MAX_COST else None


def count_tools(usage: Usage, items: list[Any]) -> Usage:
    """Add what the provider ran for the call, which it bills and does not count."""
    searches = [item for item in items if get_text(item, "type") == "web_search_call"]
    counts = {
        # To open a page that was found, or to look for a word in it, is no search.
        "web_searches": sum(
            (get_text(get(item, "action"), "type") or "search") == "search" for item in searches
        ),
        "file_searches": sum(get_text(item, "type") == "file_search_call" for item in items),
        # A container is billed, not each run in it.
        "code_executions": len(
            {
                get_text(item, "container_id")
                for item in items
                if get_text(item, "type") == "code_interpreter_call"
            }
        ),
    }
    used = {name: count for name, count in counts.items() if count}
    return structs.replace(usage, **used) if used else usage
