"""`log_call`: a record for a model call that no instrumentor sees."""

from __future__ import annotations

import math
import operator
import time
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import SpanKind

from cert_otel import config, semconv
from cert_otel.capture import _guard
from cert_otel.capture._ambient import ContextLike, context_attribute, get_ambient, to_items
from cert_otel.capture._attributes import add_cost, add_usage, make_exportable
from cert_otel.capture._content import make_encodable, to_json
from cert_otel.capture._fingerprint import fingerprint_prompt
from cert_otel.capture._functions import add_surroundings, show, telemetry, to_builtins
from cert_otel.capture._guard import attempt
from cert_otel.pricing import find_price_id, price_call
from cert_otel.records import Cost, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

_NS_PER_MS: Final = 1e6
_TOKENS: Final = (
    ("prompt", "input_tokens"),
    ("completion", "output_tokens"),
    ("cache_read", "cache_read_tokens"),
    ("cache_write", "cache_write_tokens"),
    ("reasoning", "reasoning_tokens"),
)


def log_call(
    *,
    platform: str,
    model: str,
    input_data: Any = None,
    output_data: Any = None,
    tokens: Mapping[str, int] | None = None,
    cost: float | None = None,
    context: ContextLike | None = None,
    metadata: Mapping[str, Any] | None = None,
    latency_ms: float | None = None,
) -> None:
    """Record a model call that the application made in its own way.

    Calling it is an explicit opt-in: input and output are recorded, redacted and capped,
    whether or not content is captured elsewhere. It never raises: an argument that cannot be
    used is left out.

    Args:
        platform: `gen_ai.provider.name`, for instance `openai`.
        model: As the provider names it.
        input_data: The prompt: a text, or anything JSON-like.
        output_data: The answer, likewise.
        tokens: `prompt`, `completion` and, where known, `cache_read`, `cache_write`,
            `reasoning`. The prompt includes what came from the cache.
        cost: USD; priced from the table when it is left out.
        context: The passages that the answer may rest on.
        metadata: JSON-like, recorded as it is.
        latency_ms: How long the call took; it is taken to have ended now.

    Example:
        ```python
        cert_otel.log_call(
            platform="openai",
            model="gpt-4o",
            input_data="What is 2+2?",
            output_data="4",
            tokens={"prompt": 12, "completion": 5},
        )
        ```
    """
    try:
        from cert_otel.capture.distro import ensure_started  # noqa: PLC0415 - a cycle

        ensure_started()
        attributes: dict[str, Any] = {
            semconv.OPERATION_NAME: semconv.OPERATION_CHAT,
            semconv.PROVIDER_NAME: platform,
            semconv.REQUEST_MODEL: model,
            semconv.RESPONSE_MODEL: model,
            semconv.RECORD_KIND: "inference",
        }
        attempt("log_call", add_surroundings, attributes, metadata)
        attempt("log_call", _add_content, attributes, input_data, output_data)
        attempt("log_call", _add_context, attributes, context)
        attempt("log_call", _add_cost, attributes, platform, model, tokens=tokens, cost=cost)
        make_exportable(attributes)
        end_ns = time.time_ns()
        duration_ns = attempt("log_call", _to_ns, latency_ms) or 0
        span = telemetry.tracer.start_span(
            make_encodable(f"{semconv.OPERATION_CHAT} {model}"),
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=end_ns - duration_ns,
        )
        span.end(end_ns)
    except Exception as error:  # noqa: BLE001 - the guard
        _guard.report("log_call", error)


def _to_ns(latency_ms: float | None) -> int:
    return 0 if latency_ms is None else max(0, int(latency_ms * _NS_PER_MS))


def _add_context(attributes: dict[str, Any], context: ContextLike | None) -> None:
    if context is not None and (items := to_items(context)):
        attributes[semconv.CONTEXT] = context_attribute(items)


def _add_content(attributes: dict[str, Any], input_data: Any, output_data: Any) -> None:
    for name, role, value in (
        (semconv.INPUT_MESSAGES, "user", input_data),
        (semconv.OUTPUT_MESSAGES, "assistant", output_data),
    ):
        if value is not None:
            plain = value if isinstance(value, str) else to_builtins(value)
            part = {"type": "text", "content": show(plain)}
            attributes[name] = to_json([{"role": role, "parts": [part]}])
            if role == "user":
                text = plain if isinstance(plain, str) else to_json(plain)
                attributes[semconv.PROMPT_FINGERPRINT] = fingerprint_prompt((role, text))


def _add_cost(
    attributes: dict[str, Any],
    platform: str,
    model: str,
    *,
    tokens: Mapping[str, int] | None,
    cost: float | None,
) -> None:
    usage = attempt("log_call", _to_usage, tokens)
    if usage is not None:
        add_usage(attributes, usage, config.get_config().semconv)
    if not get_ambient().cost_tracking:
        return
    aliases = config.get_config().cost_aliases
    amount = None if cost is None else attempt("log_call", _to_amount, cost)
    if amount is not None:
        add_cost(attributes, Cost(amount=amount, source="override"), aliases)
        return
    price_id = find_price_id(platform)
    if usage is None or price_id is None:
        return
    priced = price_call(price_id, model, usage, at_unix_s=time.time())
    if priced is not None:
        add_cost(attributes, priced, aliases)


def _to_usage(tokens: Mapping[str, int] | None) -> Usage | None:
    if not tokens:
        return None
    counts = {field: attempt("log_call", _to_count, tokens.get(name)) for name, field in _TOKENS}
    return None if all(count is None for count in counts.values()) else Usage(**counts)


def _to_count(value: Any) -> int | None:
    if value is None:
        return None
    count = operator.index(value)
    if isinstance(value, bool) or count < 0:
        raise ValueError(f"{value!r} is no number of tokens")
    return count


def _to_amount(cost: Any) -> float:
    amount = float(cost)
    if not math.isfinite(amount):
        raise ValueError(f"{cost!r} is no amount")
    return amount
