"""What a peer exported, with ids and times that count: running it again changes nothing.

Names and values stay as the peer wrote them, but for what differs from run to run or from machine
to machine: ids, times, measured durations, stack traces, and resource attributes of the process.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs

    from golden.receiver import Received

START_NS: Final = 1_800_000_000_000_000_000
"""2027-01-15T08:00:00Z."""
TICK_NS: Final = 10_000_000
MEASURED: Final = frozenset(
    {
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.server.time_to_first_token",
        "gen_ai.server.time_per_output_token",
        "cert.stream.time_per_chunk",
        "ai.response.msToFirstChunk",
        "ai.response.msToFinish",
        "ai.response.avgOutputTokensPerSecond",
        "duration",
    }
)
"""Attributes that a clock made."""
MEASURED_VALUE: Final = 0.25
REPLACED: Final[Mapping[str, str]] = {
    "exception.stacktrace": "Traceback (most recent call last): …",
    "logfire.exception.fingerprint": "0" * 64,
    "code.filepath": "application.py",
}
"""Texts that depend on where files lie and what their lines are."""
LINE_NUMBER: Final = "code.lineno"
DURATION_TEXT: Final = re.compile(r"(?<=took )[\d.]+(?=s$)")
"""In Logfire's message about a stream."""
RUN_ID: Final = re.compile(r"lc_run-{1,2}[0-9a-f-]{36}")
"""In LangChain's messages."""
OF_THE_PROCESS: Final = ("host.", "os.", "process.", "container.", "service.instance.id")
SDK_VERSION: Final = "telemetry.sdk.version"


class Normaliser:
    """Counts ids and ticks over all scenarios of a peer."""

    def __init__(self) -> None:
        self._ticks = itertools.count(START_NS, TICK_NS)
        self._trace_numbers = itertools.count(1)
        self._span_numbers = itertools.count(1)
        self._traces: dict[bytes, bytes] = {}
        self._spans: dict[bytes, bytes] = {}
        self._ends: dict[bytes, int] = {}

    def normalise(self, received: Received) -> None:
        """Rewrite the spans and logs of one scenario in place."""
        _merge(received.traces)
        spans = [span for _, scope in _list_scopes(received.traces) for span in scope.spans]
        for span in sorted(_list_roots(spans), key=lambda root: root.start_time_unix_nano):
            self._rewrite(span, spans)
        for resource in received.traces.resource_spans:
            _clean_resource(resource)
            for scope in resource.scope_spans:
                scope.spans.sort(key=lambda span: span.start_time_unix_nano)
        for logs in received.logs.resource_logs:
            self._rewrite_logs(logs)

    def _rewrite(self, span: Span, spans: list[Span]) -> None:
        old_id = span.span_id
        children = sorted(
            (other for other in spans if other.parent_span_id == old_id and other is not span),
            key=lambda child: child.start_time_unix_nano,
        )
        span.trace_id = self._traces.setdefault(span.trace_id, b"") or self._new_trace(span)
        span.span_id = self._spans[old_id] = next(self._span_numbers).to_bytes(8)
        if span.parent_span_id:
            span.parent_span_id = self._spans.get(span.parent_span_id, span.parent_span_id)
        span.start_time_unix_nano = next(self._ticks)
        for child in children:
            self._rewrite(child, spans)
        for event in span.events:
            event.time_unix_nano = next(self._ticks)
            _clean_attributes(event.attributes)
        span.end_time_unix_nano = self._ends[old_id] = next(self._ticks)
        _clean_attributes(span.attributes)

    def _new_trace(self, span: Span) -> bytes:
        number = next(self._trace_numbers).to_bytes(16)
        self._traces[span.trace_id] = number
        return number

    def _rewrite_logs(self, resource: ResourceLogs) -> None:
        _clean_resource(resource)
        for scope in resource.scope_logs:
            for record in scope.log_records:
                ended = self._ends.get(record.span_id)
                record.time_unix_nano = record.observed_time_unix_nano = ended or next(self._ticks)
                record.trace_id = self._traces.get(record.trace_id, record.trace_id)
                record.span_id = self._spans.get(record.span_id, record.span_id)
                _clean_attributes(record.attributes)


def _merge(traces: ExportTraceServiceRequest) -> None:
    """Put the spans of one resource and scope together: exporters send them one by one."""
    merged: dict[bytes, ResourceSpans] = {}
    scopes: dict[tuple[bytes, bytes], ScopeSpans] = {}
    for resource, scope in _list_scopes(traces):
        key = resource.resource.SerializeToString(deterministic=True)
        target = merged.setdefault(
            key, ResourceSpans(resource=resource.resource, schema_url=resource.schema_url)
        )
        name = scope.scope.SerializeToString(deterministic=True)
        if (key, name) not in scopes:
            scopes[key, name] = target.scope_spans.add(
                scope=scope.scope, schema_url=scope.schema_url
            )
        scopes[key, name].spans.extend(scope.spans)
    del traces.resource_spans[:]
    traces.resource_spans.extend(merged.values())


def _list_scopes(
    traces: ExportTraceServiceRequest,
) -> Iterator[tuple[ResourceSpans, ScopeSpans]]:
    for resource in traces.resource_spans:
        for scope in resource.scope_spans:
            yield resource, scope


def _list_roots(spans: list[Span]) -> Iterator[Span]:
    known = {span.span_id for span in spans}
    return (span for span in spans if span.parent_span_id not in known)


def _clean_resource(resource: Any) -> None:
    attributes = resource.resource.attributes
    kept = [pair for pair in attributes if not pair.key.startswith((*OF_THE_PROCESS, SDK_VERSION))]
    copies = [type(pair).FromString(pair.SerializeToString()) for pair in kept]
    del attributes[:]
    attributes.extend(copies)


def _clean_attributes(attributes: Iterable[KeyValue]) -> None:
    for pair in attributes:
        if pair.key in MEASURED:
            pair.value.double_value = MEASURED_VALUE
        elif pair.key in REPLACED:
            pair.value.string_value = REPLACED[pair.key]
        elif pair.key == LINE_NUMBER:
            pair.value.int_value = 1
        elif pair.value.HasField("string_value"):
            text = DURATION_TEXT.sub("0.25", pair.value.string_value)
            pair.value.string_value = RUN_ID.sub("lc_run--0", text)
