"""Which of the facts that the provider sent a peer's telemetry holds.

The search knows no dialect: a fact is there when its value stands in some attribute. So it says
what a reader can find, and not what our readers happen to look at.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

    from golden.chains import Step
    from golden.receiver import Received

RAW: Final = (
    "input.value",
    "output.value",
    "llm.invocation_parameters",
    "embedding.invocation_parameters",
    "gen_ai.usage.raw",
    "request_data",
    "response_data",
    "traceloop.entity.input",
    "traceloop.entity.output",
    "ai.prompt",
    "ai.request.body",
    "ai.response.providerMetadata",
    "anthropic.message.stop_reason",
)
"""Attributes that hold a request or a reply as a whole, or are a vendor's own: a reader may leave
them alone."""
SPELLINGS: Final = {
    "tool_calls": ("tool_call", "tool-calls"),
    "stop": ("completed",),
    "end_turn": ("stop",),
    "tool_use": ("tool_calls", "tool_call"),
}
"""How peers write a finish reason: `completed` is the status of a response."""
COUNTS: Final[Mapping[str, re.Pattern[str]]] = {
    "cache_write_tokens": re.compile("cache_?(write|creation)", re.IGNORECASE),
    "cached_tokens": re.compile("cache_?read|cached", re.IGNORECASE),
    "reasoning_tokens": re.compile("reasoning", re.IGNORECASE),
    "prompt_tokens": re.compile(
        r"(input|prompt)_?tokens$|inputTokens$|promptTokens$|count\.prompt$"
    ),
    "completion_tokens": re.compile(
        r"(output|completion)_?tokens$|outputTokens$|completionTokens$|count\.completion$"
    ),
}
"""Field to the names under which counts are kept; the first that matches is it."""


Attribute = tuple[str, Any]


def list_attributes(received: Received) -> list[Attribute]:
    """Return every attribute of spans and of their events."""
    found: list[Attribute] = []
    for resource in received.traces.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                found.extend(_flatten(span.attributes))
                for event in span.events:
                    found.extend(_flatten(event.attributes))
    return found


def list_log_attributes(received: Received) -> list[Attribute]:
    """Return every attribute and every body of logs."""
    found: list[Attribute] = []
    for resource in received.logs.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                found.extend(_flatten(record.attributes))
                found.append((record.event_name or "body", _plain(record.body)))
    return found


def _flatten(attributes: Iterable[Any]) -> Iterator[Attribute]:
    return ((pair.key, _plain(pair.value)) for pair in attributes)


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


def describe(
    sent: Mapping[str, Any], received: Received, *, altered: Mapping[str, Any]
) -> dict[str, Any]:
    """Return which facts are left out or stand elsewhere, and what is invented.

    Args:
        sent: The facts.
        received: What the peer exported for the call.
        altered: Facts that it is known to write otherwise, and how.

    Raises:
        ValueError: An altered fact is not there: the peer does otherwise by now.
    """
    attributes, logs = list_attributes(received), list_log_attributes(received)
    direct = [pair for pair in attributes if pair[0] not in RAW]
    for name, value in altered.items():
        if not is_there(name, value, direct):
            raise ValueError(f"{name} is not altered to {value!r} any more")
    facts = [name for name, value in sent.items() if value is not None and name not in altered]
    missing = [name for name in facts if not is_there(name, sent[name], direct)]
    in_logs = [name for name in missing if is_there(name, sent[name], logs)]
    in_raw = [name for name in missing if is_there(name, sent[name], attributes)]
    return {
        "left_out": [name for name in missing if name not in (*in_raw, *in_logs)],
        "in_raw_body": [name for name in in_raw if name not in in_logs],
        "in_logs": in_logs,
        "partly": [
            name for name in facts if name not in missing and is_partial(name, sent, direct)
        ],
        "invented": find_invented(sent, direct),
        "altered": dict(altered),
    }


def describe_step(step: Step, received: Received) -> dict[str, list[str]]:
    """Return which texts of a step are left out."""
    attributes = list_attributes(received)
    texts = {
        "name": step.name,
        "input_data": step.input_data,
        "output_data": step.output_data,
        **{f"passage {name}": text for name, text in step.passages},
    }
    spans = [
        span.name
        for resource in received.traces.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    held = [*attributes, *(("span", name) for name in spans)]
    return {
        "left_out": [
            name for name, text in texts.items() if text and not is_there(name, text, held)
        ]
    }


def is_there(name: str, value: Any, attributes: list[Attribute]) -> bool:
    """Tell whether a fact stands in some attribute."""
    match name:
        case "finish_reasons":
            return count_reasons(value[0], attributes) > 0
        case "tool_calls":
            return any(value[0]["id"] in _text(held) for _, held in attributes)
        case "perplexity":
            return any(
                isinstance(held, float) and math.isclose(held, value) for _, held in attributes
            )
        case "model" | "request_model":
            quoted = json.dumps(value)
            return any(
                held == value or f": {quoted}" in _text(held).replace('":"', '": "')
                for _, held in attributes
            )
        case _ if isinstance(value, int):
            number = re.compile(rf"(?<![\d.]){value}(?![\d.])")
            return any(
                held == value or (not isinstance(held, int | float) and number.search(_text(held)))
                for _, held in attributes
            )
        case _:
            return any(value in _text(held) for _, held in attributes)


def is_partial(name: str, sent: Mapping[str, Any], attributes: list[Attribute]) -> bool:
    """Tell whether fewer finish reasons are there than were sent."""
    return name == "finish_reasons" and count_reasons(sent[name][0], attributes) < len(sent[name])


def count_reasons(reason: str, attributes: list[Attribute]) -> int:
    """Count how often a finish reason is named, in any of its spellings."""
    words = {reason, *SPELLINGS.get(reason, ())}
    named = [
        held for key, held in attributes if re.search(r"(finish|stop)_?reason", key, re.IGNORECASE)
    ]
    counts = [sum(_text(held).count(f'"{word}"') for word in words) for held in named]
    pattern = re.compile(rf'"(?:finish|stop)_?[rR]eason": ?"(?:{"|".join(sorted(words))})"')
    counts += [len(pattern.findall(_text(held))) for _, held in attributes]
    return max(counts, default=0)


def find_invented(sent: Mapping[str, Any], attributes: list[Attribute]) -> dict[str, int]:
    """Return token counts that a peer wrote where the provider sent none."""
    invented: dict[str, int] = {}
    for key, held in attributes:
        field = next((name for name, pattern in COUNTS.items() if pattern.search(key)), None)
        if field and type(held) is int and sent[field] is None:
            invented[field] = held
    return invented


def _text(value: Any) -> str:
    """Return a value as JSON, and a JSON text as it is; scalars are quoted."""
    if isinstance(value, str) and value[:1] in "[{":
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
