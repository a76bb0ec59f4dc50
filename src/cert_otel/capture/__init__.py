"""From an SDK's call to a span: what every instrumentor shares.

An instrumentor resolves the `Target`, begins a `Call` with an `Endpoint` of its own, and hands
over what the SDK gave. Applications need three names of this package, all of them also on
`cert_otel` itself: `set_context`, `trace` and `log_call`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cert_otel._lazy import load_when_asked

if TYPE_CHECKING:
    from cert_otel.capture._ambient import set_context
    from cert_otel.capture._call import Call, ChunkReader, Endpoint, begin_call
    from cert_otel.capture._content import (
        Message,
        Part,
        blob_part,
        clean_tree,
        file_part,
        reasoning_part,
        text_part,
        tool_call_part,
        tool_response_part,
        uri_part,
    )
    from cert_otel.capture._guard import report
    from cert_otel.capture._log_call import log_call
    from cert_otel.capture._providers import Target, resolve_target
    from cert_otel.capture._streams import read_along, watch_stream
    from cert_otel.capture._telemetry import Telemetry
    from cert_otel.capture._trace import trace

__all__ = [
    "Call",
    "ChunkReader",
    "Endpoint",
    "Message",
    "Part",
    "Target",
    "Telemetry",
    "begin_call",
    "blob_part",
    "clean_tree",
    "file_part",
    "log_call",
    "read_along",
    "reasoning_part",
    "report",
    "resolve_target",
    "set_context",
    "text_part",
    "tool_call_part",
    "tool_response_part",
    "trace",
    "uri_part",
    "watch_stream",
]

# An application that calls no model must not wait for this 10 ms.
__getattr__ = load_when_asked(
    __name__,
    {
        "_ambient": ["set_context"],
        "_call": ["Call", "ChunkReader", "Endpoint", "begin_call"],
        "_content": [
            "Message",
            "Part",
            "blob_part",
            "clean_tree",
            "file_part",
            "reasoning_part",
            "text_part",
            "tool_call_part",
            "tool_response_part",
            "uri_part",
        ],
        "_guard": ["report"],
        "_log_call": ["log_call"],
        "_providers": ["Target", "resolve_target"],
        "_streams": ["read_along", "watch_stream"],
        "_telemetry": ["Telemetry"],
        "_trace": ["trace"],
    },
)
