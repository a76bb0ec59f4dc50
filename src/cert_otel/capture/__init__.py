"""From an SDK's call to a span: what every instrumentor shares.

An instrumentor resolves the `Target`, begins a `Call` with an `Endpoint` of its own, and hands
over what the SDK gave. Applications need three names of this package, all of them also on
`cert_otel` itself: `set_context`, `trace` and `log_call`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_HOMES = {
    "set_context": "_ambient",
    "Call": "_call",
    "ChunkReader": "_call",
    "Endpoint": "_call",
    "begin_call": "_call",
    "Message": "_content",
    "Part": "_content",
    "blob_part": "_content",
    "clean_tree": "_content",
    "file_part": "_content",
    "reasoning_part": "_content",
    "text_part": "_content",
    "tool_call_part": "_content",
    "tool_response_part": "_content",
    "uri_part": "_content",
    "report": "_guard",
    "log_call": "_log_call",
    "Target": "_providers",
    "resolve_target": "_providers",
    "read_along": "_streams",
    "watch_stream": "_streams",
    "Telemetry": "_telemetry",
    "trace": "_trace",
}


def __getattr__(name: str) -> Any:
    # Loaded when asked for: an application that calls no model must not wait for this 10 ms.
    if (home := _HOMES.get(name)) is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    found = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return found
