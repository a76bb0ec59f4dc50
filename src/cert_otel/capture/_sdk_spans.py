"""Shorter ways into a span of the SDK, 1.30 to 1.45, where nobody could tell the difference.

The SDK looks at every attribute and puts each in by a call of its own: of a chat's thirty that
is a third of what instrumentation costs. What is set here is checked by `make_exportable` or
made by us, so it goes into the span's container in one go. Where a limit, a sampler, a processor
or the span itself is not what the SDK brings by default, its public methods are used.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import SpanKind

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

_SDK: Final = "opentelemetry.sdk.trace"
_CLIENT: Final = SpanKind.CLIENT  # an enumeration's member is looked up by a function
_BLIND_SAMPLERS: Final = ("StaticSampler", "TraceIdRatioBased")


class SpanStarter:
    """Starts the client spans of one tracer."""

    __slots__ = ("_is_blind", "_processors", "tracer")

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self._processors: Any = None
        self._is_blind = False

    def start(self, name: str, attributes: dict[str, Any], *, parent: Context, at_ns: int) -> Span:
        """Start a span; samplers and processors that look at attributes find these.

        Args:
            name: Of the span.
            attributes: Exportable ones.
            parent: The context that its parent is in.
            at_ns: Unix time.
        """
        tracer = self.tracer
        try:
            processors = tracer.span_processor._span_processors  # type: ignore[attr-defined]  # noqa: SLF001 - see above
        except AttributeError:  # not the SDK's
            processors = None
        if processors is not self._processors:
            self._processors = processors
            self._is_blind = processors is not None and _is_blind(tracer, processors)
        if not self._is_blind:
            return tracer.start_span(name, parent, _CLIENT, attributes, start_time=at_ns)
        span = tracer.start_span(name, parent, _CLIENT, start_time=at_ns)
        put_attributes(span, attributes)
        return span


def _is_blind(tracer: Any, processors: tuple[Any, ...]) -> bool:
    """Whether nobody looks at the attributes with which a span starts."""
    trace = sys.modules[_SDK]
    export = sys.modules.get(f"{_SDK}.export")
    own = (trace.SpanProcessor, getattr(export, "BatchSpanProcessor", None), getattr(export, "SimpleSpanProcessor", None))  # fmt: skip
    nothing = [kind.on_start for kind in own if kind is not None]
    return _is_blind_sampler(tracer.sampler) and all(
        getattr(type(processor), "on_start", None) in nothing for processor in processors
    )


def _is_blind_sampler(sampler: Any) -> bool:
    kind = type(sampler)
    if kind.__module__ != f"{_SDK}.sampling":
        return False
    if kind.__name__ == "ParentBased":
        return all(map(_is_blind_sampler, vars(sampler).values()))
    return kind.__name__ in _BLIND_SAMPLERS


def put_attributes(span: Any, attributes: dict[str, Any]) -> None:
    """Set attributes that every exporter can send."""
    try:
        held = span._attributes  # noqa: SLF001 - see above
        known = held._dict  # noqa: SLF001
        if (
            type(span).__module__ == _SDK
            and held.max_value_len is None
            and len(known) + len(attributes) <= held.maxlen
        ):
            with span._lock:  # noqa: SLF001
                if span._end_time is None:  # noqa: SLF001
                    known.update(attributes)
                    return
    except (AttributeError, TypeError):  # not the SDK's, or another version, or without a limit
        pass
    span.set_attributes(attributes)
