"""One call as several instrumentors on top of each other record it, in several encodings."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from wire_samples import SAMPLES, make_line
from wire_strategies import to_json_pairs

START_NS = 1_800_000_000_000_000_000
START = datetime.fromtimestamp(START_NS // 10**9, UTC)
SCOPES = {
    "openinference": "openinference.instrumentation.openai",
    "openllmetry": "opentelemetry.instrumentation.openai.v1",
    "genai": "opentelemetry.instrumentation.genai.openai",
    "openlit": "openlit.instrumentation.openai",
}


def make_stack(call: int, *, trace: int) -> list[bytes]:
    """Return one call as the four record it, each within the one before: a line each."""
    lines = []
    parent = ""
    for depth, (dialect, scope) in enumerate(SCOPES.items()):
        attributes = {
            name: value.replace("r-1", f"r-{call}") if isinstance(value, str) else value
            for name, value in SAMPLES[dialect].items()
        }
        span_id = f"{call:08x}{depth + 1:08x}"
        lines.append(
            make_line(
                attributes,
                scope=scope,
                traceId=f"{trace:032x}",
                spanId=span_id,
                parentSpanId=parent,
                startTimeUnixNano=str(START_NS + call * 10**10 + depth * 10**6),
                endTimeUnixNano=str(START_NS + call * 10**10 + 10**9 - depth * 10**6),
            )
        )
        parent = span_id
    return lines


def make_details(attributes: dict[str, Any], **log: Any) -> bytes:
    """Return a line of one log event that completes a call."""
    record = {
        "eventName": "gen_ai.client.inference.operation.details",
        "timeUnixNano": str(START_NS),
        "traceId": "1" * 32,
        "spanId": "2" * 16,
        "attributes": to_json_pairs(attributes),
    }
    scoped = {"scope": {"name": "a"}, "logRecords": [record | log]}
    return json.dumps({"resourceLogs": [{"scopeLogs": [scoped]}]}).encode() + b"\n"
