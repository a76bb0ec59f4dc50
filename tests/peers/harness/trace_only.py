"""A call through the collector to a backend that takes traces alone (trace-only-backend.yaml)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from collector_harness import Chain, Sink
from peer_application import send_by_grpc
from peer_harness import list_scores, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from peer_application import Sent
    from peer_harness import CertServe

    from cert_otel.records import Record


class Trace(NamedTuple):
    """What was sent, and what the backend has of it."""

    sent: Sent
    record: Record
    spans: list[dict[str, Any]]
    """Root, call, and a child of the call for each score, as the backend gives them."""


def send_trace(
    folder: Path,
    service: CertServe,
    endpoint: str,
    list_spans: Callable[[str], list[dict[str, Any]]],
) -> Trace:
    """Send a call, and wait until a backend has the whole of its trace.

    Args:
        folder: For the collector, made anew.
        service: Not started.
        endpoint: Of the backend, OTLP/gRPC.
        list_spans: The spans that the backend has of a trace.
    """
    (folder / "collector").mkdir()
    with (
        Sink() as backend,
        Chain(
            folder / "collector",
            service,
            backend,
            overlays=["trace-only-backend.yaml"],
            environment={"BACKEND_TRACES": endpoint},
        ) as chain,
    ):
        chain.collector.start()
        service.start(deliver={"to": ["span"], "endpoint": f"http://{chain.collector.results}"})
        sent = send_by_grpc(chain.collector.endpoint)
        (record,) = service.wait_for_records(1)
        expected = 2 + len(list_scores(record))
        spans = wait_for(
            lambda: found if len(found := list_spans(sent.trace_id)) == expected else None,
            what=f"the whole trace at {endpoint}",
        )
    return Trace(sent, record, spans)
