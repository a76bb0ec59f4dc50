"""Payloads for tests of the service: spans of model calls as an exporter sends them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cert_otel.records import ContextItem, Record, Tokens
from cert_otel.service.inbox import Inbox, Payload
from cert_otel.wire.otlp_write import encode_line, encode_traces

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

START = datetime(2026, 11, 20, 10, tzinfo=UTC)


def make_call(number: int, **changes: Any) -> Record:
    """Return a model call as its span tells it; of each number another one."""
    fields: dict[str, Any] = {
        "kind": "inference",
        "operation": "chat",
        "timestamp": START + timedelta(milliseconds=number),
        "trace_id": f"{number + 1:032x}",
        "span_id": f"{number + 1:016x}",
        "service": "support",
        "platform": "openai",
        "model": "gpt-4o-2024-08-06",
        "request_model": "gpt-4o",
        "input_data": f"What is {number} and 2?",
        "output_data": f"It is {number + 2}.",
        "tokens": Tokens(prompt=12, completion=5),
        "latency_ms": 200.0,
    }
    return Record(**(fields | changes))


def make_retrieval(number: int, text: str, **changes: Any) -> Record:
    """Return what was retrieved for the call of this number, before it."""
    fields: dict[str, Any] = {
        "kind": "retrieval",
        "operation": "retrieval",
        "timestamp": START + timedelta(milliseconds=number - 1),
        "trace_id": f"{number + 1:032x}",
        "span_id": f"{number + 1:015x}f",
        "context": [ContextItem(text=text)],
        "latency_ms": 0.5,
    }
    return Record(**(fields | changes))


def make_payload(records: Iterable[Record], **changes: Any) -> Payload:
    """Return spans as one request in protobuf."""
    fields: dict[str, Any] = {
        "kind": "traces",
        "encoding": "protobuf",
        "body": encode_traces(records),
        "received_ns": time.time_ns(),
    }
    return Payload(**(fields | changes))


def make_json_payload(record: Record) -> Payload:
    """Return one span as a request in JSON."""
    return make_payload([], encoding="json", body=encode_line(record))


def fill(directory: Path, payloads: Sequence[Payload], *, cap_bytes: int = 1 << 30) -> list[int]:
    """Put payloads into the inbox of a directory, and return their ids."""
    with Inbox.open(directory, cap_bytes=cap_bytes) as inbox:
        return [future.result(10) for future in [inbox.append(one) for one in payloads]]
