"""The plain span: what every source produces and every reader takes, without a library's types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from cert_otel import semconv
from cert_otel.wire._values import clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Attributes = dict[str, Any]
"""Values are str, bool, int, float, bytes, lists of values, dicts of values, or `None`."""

NANOSECONDS_END: Final = 1 << 63
"""Beyond it lies the year 2262, and no clock: such a time is taken for missing."""


class Resource(msgspec.Struct, frozen=True):
    """Who recorded spans: shared by all of a process."""

    attributes: Mapping[str, Any]
    service: str | None
    """`None` for the SDK's placeholder, too."""
    service_version: str | None

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Resource:
        """Read a resource's attributes."""
        service = attributes.get(semconv.SERVICE_NAME)
        version = attributes.get(semconv.SERVICE_VERSION)
        # "unknown_service" is what the SDK writes for "not given".
        named = isinstance(service, str) and not service.startswith("unknown_service")
        return cls(
            attributes,
            clean(service) if named else None,  # type: ignore[arg-type] # a str
            clean(version) if isinstance(version, str) else None,
        )


class Event(msgspec.Struct, frozen=True):
    """Something that happened within a span: OTLP's span event."""

    name: str
    attributes: Mapping[str, Any]


class Span(msgspec.Struct):
    """One span, as plain values. A reader owns `attributes`; their values and all else are shared."""

    name: str
    trace_id: str | None
    """32 lower-case hexadecimal digits."""
    span_id: str | None
    """16 lower-case hexadecimal digits."""
    parent_span_id: str | None
    start_ns: int | None
    """Nanoseconds since 1970, UTC."""
    end_ns: int | None
    failed: bool
    """Its status is an error."""
    attributes: Attributes
    events: Sequence[Event]
    resource: Resource
    scope: str | None
    """Name of the instrumentation scope."""


class LogEvent(msgspec.Struct, frozen=True):
    """One log record that may belong to a span by its ids."""

    name: str
    trace_id: str | None
    span_id: str | None
    time_ns: int | None
    attributes: Mapping[str, Any]
    body: Any
    resource: Resource
    scope: str | None


class Batch(msgspec.Struct, frozen=True):
    """What one message or line of OTLP held."""

    spans: list[Span]
    logs: list[LogEvent]
    problems: list[str]
    """What could not be read, one entry a span or log record."""
