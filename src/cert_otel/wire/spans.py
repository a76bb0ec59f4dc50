"""The OpenTelemetry SDK's spans to records: `record_from_span`, a pure function.

This is what the in-process exporter calls for each span; `_record` has the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import StatusCode

from cert_otel.wire._record import MARKERS, record_from_plain
from cert_otel.wire._values import MAX_METADATA_CHARS
from cert_otel.wire.span import Resource, Span

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from cert_otel.records import Record
    from cert_otel.wire.span import Attributes

_resource: tuple[object, Resource] = (None, Resource.of({}))
"""The last that was read."""

__all__ = ["MAX_METADATA_CHARS", "record_from_span"]


def record_from_span(span: ReadableSpan) -> Record | None:
    """Read one finished span.

    Args:
        span: Of any instrumentation that follows the GenAI conventions, or of ours.

    Returns:
        The record; `None` for a span that is not a GenAI span or was never started.
    """
    attributes = _copy_attributes(span)
    if attributes.keys().isdisjoint(MARKERS):
        return None
    context, parent, scope = span.context, span.parent, span.instrumentation_scope
    identified = context is not None and context.is_valid
    return record_from_plain(
        Span(
            span.name,
            f"{context.trace_id:032x}" if identified else None,
            f"{context.span_id:016x}" if identified else None,
            f"{parent.span_id:016x}" if parent is not None and parent.span_id else None,
            span.start_time,
            span.end_time,
            span.status.status_code is StatusCode.ERROR,
            attributes,
            (),
            _find_resource(span),
            None if scope is None else scope.name,
        )
    )


def _find_resource(span: ReadableSpan) -> Resource:
    global _resource  # noqa: PLW0603 - of one process nearly all spans have the same
    known = _resource
    if known[0] is not span.resource:
        known = _resource = (span.resource, Resource.of(span.resource.attributes))
    return known[1]


def _copy_attributes(span: ReadableSpan) -> Attributes:
    attributes = span.attributes
    # Over the SDK's mapping of a mapping, dict() takes ten times as long as its own copy().
    copy = getattr(attributes, "copy", None)
    copied: Attributes = copy() if copy is not None else dict(attributes or {})
    return copied
