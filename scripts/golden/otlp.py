"""OTLP messages to files: JSON lines as file exporters write them, and protobuf."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message

    from golden.receiver import Received

IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})
"""Bytes that OTLP's JSON has in hexadecimal, where protobuf's own mapping has base64."""


def encode_spans(lines: Iterable[Received]) -> bytes:
    """Return one line for each batch of spans, and nothing for none."""
    return b"".join(_encode_line(line.traces) for line in lines if line.traces.resource_spans)


def encode_logs(lines: Iterable[Received]) -> bytes:
    """Return one line for each batch of logs, and nothing for none."""
    return b"".join(_encode_line(line.logs) for line in lines if line.logs.resource_logs)


def merge_spans(lines: Iterable[Received]) -> bytes:
    """Return the spans of all batches as one export request."""
    request = ExportTraceServiceRequest()
    for line in lines:
        request.resource_spans.extend(line.traces.resource_spans)
    return bytes(request.SerializeToString(deterministic=True))


def merge_logs(lines: Iterable[Received]) -> bytes:
    """Return the logs of all batches as one export request."""
    request = ExportLogsServiceRequest()
    for line in lines:
        request.resource_logs.extend(line.logs.resource_logs)
    return bytes(request.SerializeToString(deterministic=True))


def _encode_line(message: Message) -> bytes:
    plain = _with_hexadecimal_ids(MessageToDict(message, use_integers_for_enums=True))
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _with_hexadecimal_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_hexadecimal_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: base64.b64decode(held).hex() if name in IDS else _with_hexadecimal_ids(held)
        for name, held in value.items()
    }
