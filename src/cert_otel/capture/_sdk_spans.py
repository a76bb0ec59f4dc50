"""Shorter ways into a span of the SDK, 1.30 to 1.45, where nobody could tell the difference.

The SDK looks at every attribute and puts each in by a call of its own: of a chat's thirty that
is a third of what instrumentation costs. What is set here is checked by `make_exportable` or
made by us, so it goes into the span's container in one go. And the SDK asks, for each span anew,
what is the same for all: the first span is therefore its own work, and the next ones are made
after it. Where a limit, a sampler, a processor or the span itself is not what the SDK brings by
default, or has a field that is not known here, its public methods are used.
"""

from __future__ import annotations

import sys
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.trace import SpanContext, SpanKind, get_current_span

from cert_otel.capture._late import LateAttributes

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

_SDK: Final = "opentelemetry.sdk.trace"
_CLIENT: Final = SpanKind.CLIENT  # an enumeration's member is looked up by a function
_BLIND_SAMPLERS: Final = ("StaticSampler", "TraceIdRatioBased")
_SHARED: Final = frozenset(
    [
        "_kind",
        "_instrumentation_info",
        "_end_time",
        "_resource",
        "_status",
        "_instrumentation_scope",
        "_sampler",
        "_trace_config",
        "_record_exception",
        "_set_status_on_exception",
        "_span_processor",
        "_limits",
        "_record_end_metrics",
    ]
)
"""Fields that are the same in all spans of a tracer when they start, and replaced, not changed."""
_OWN: Final = frozenset(
    ["_name", "_context", "_parent", "_start_time", "_lock", "_attributes", "_events", "_links"]
)
_OF_ATTRIBUTES: Final = frozenset(
    ["_dict", "maxlen", "dropped", "max_value_len", "_lock", "_immutable", "_extended_attributes"]
)
_OF_LISTS: Final = frozenset(["dropped", "_dq", "_lock"])
_LOCK: Final = type(Lock())
_MOST_AT_START: Final = 16
"""Attributes that a span may start with: more than we ever give it."""
_NO_METRICS: Final = ("NoneType", "NoOpTracerMetrics")
"""Types of what counts the spans of a tracer, where nobody does."""


class SpanStarter:
    """Starts the client spans of one tracer."""

    __slots__ = ("_is_blind", "_patterns", "_processors", "_state", "tracer")

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self._processors: Any = None
        self._is_blind = False
        self._state: dict[str, Any] = {}
        self._patterns: dict[int | None, Pattern | None] = {}
        """By the flags of the parent; `None` where the SDK has to be asked."""

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
        if processors is not self._processors or tracer.__dict__ != self._state:
            self._processors = processors
            self._state = dict(vars(tracer))
            self._is_blind = processors is not None and _is_blind(tracer, processors)
            self._patterns = {}
        if not self._is_blind:
            return tracer.start_span(name, parent, _CLIENT, attributes, start_time=at_ns)
        above = get_current_span(parent).get_span_context() if parent else None
        if above is not None and not above.is_valid:
            above = None
        flags = None if above is None else above.trace_flags
        if (pattern := self._patterns.get(flags)) is not None:
            return pattern.make(name, attributes, above, at_ns)
        span = tracer.start_span(name, parent, _CLIENT, start_time=at_ns)
        if flags not in self._patterns:
            self._patterns[flags] = find_pattern(tracer, span)
        put_attributes(span, attributes)
        return span


class Pattern:
    """A span that the SDK has started, after which others are made."""

    __slots__ = (
        "_attributes",
        "_flags",
        "_ids",
        "_list",
        "_max_events",
        "_max_links",
        "_shared",
        "_type",
    )

    def __init__(self, span: Any, ids: Any) -> None:
        """Take over what all spans share; of a span that `find_pattern` has looked at."""
        fields = vars(span)
        self._ids = ids
        self._type = type(span)
        self._flags = span.context.trace_flags
        self._shared = {name: fields[name] for name in fields.keys() & _SHARED}
        self._attributes = dict(vars(fields["_attributes"]))
        self._list = type(fields["_events"])
        self._max_events = fields["_events"]._dq.maxlen  # noqa: SLF001
        self._max_links = fields["_links"]._dq.maxlen  # noqa: SLF001

    def make(
        self, name: str, attributes: dict[str, Any], parent: SpanContext | None, at_ns: int
    ) -> Span:
        """Make another; `attributes` become its own."""
        ids = self._ids
        if parent is None:
            trace_id, state = ids.generate_trace_id(), None
        else:
            trace_id, state = parent.trace_id, parent.trace_state
        held = _new(LateAttributes)
        held.__dict__ = {**self._attributes, "_dict": attributes, "_lock": Lock()}
        span: Any = _new(self._type)
        span.__dict__ = {
            **self._shared,
            "_name": name,
            "_context": SpanContext(trace_id, ids.generate_span_id(), False, self._flags, state),
            "_parent": parent,
            "_start_time": at_ns,
            "_lock": Lock(),
            "_attributes": held,
            "_events": self._make_list(self._max_events),
            "_links": self._make_list(self._max_links),
        }
        return span  # type: ignore[no-any-return]

    def _make_list(self, most: int | None) -> Any:
        made = _new(self._list)
        made.__dict__ = {"dropped": 0, "_dq": deque(maxlen=most), "_lock": Lock()}
        return made


def _new(kind: type[Any]) -> Any:
    return object.__new__(kind)


def find_pattern(tracer: Any, span: Any) -> Pattern | None:
    """Return what further spans may be made after; `None` if they have to be the SDK's own work.

    Args:
        tracer: Of the SDK.
        span: One that it has just started without attributes, for a parent with the same flags.
    """
    try:
        fields = vars(span)
        held, events, links = fields["_attributes"], fields["_events"], fields["_links"]
        is_known = (
            type(span).__module__ == _SDK
            and type(held) is BoundedAttributes
            and fields.keys() - _SHARED == _OWN
            and vars(held).keys() <= _OF_ATTRIBUTES
            and vars(events).keys() == vars(links).keys() == _OF_LISTS
            and {type(one._lock) for one in (span, held, events, links)} == {_LOCK}  # noqa: SLF001
            and not held._dict  # noqa: SLF001
            and held.max_value_len is None
            and (held.maxlen is None or held.maxlen >= _MOST_AT_START)
            and _is_constant(tracer.sampler)
            and type(getattr(tracer, "_tracer_metrics", None)).__name__ in _NO_METRICS
        )
        return Pattern(span, tracer.id_generator) if is_known else None
    except (AttributeError, KeyError, TypeError):  # another version, or not the SDK's
        return None


def _is_constant(sampler: Any) -> bool:
    """Whether every span is sampled but those of a parent that is not."""
    if type(sampler).__module__ != f"{_SDK}.sampling":
        return False
    if type(sampler).__name__ == "ParentBased":
        parts = (sampler._root, sampler._local_parent_sampled, sampler._remote_parent_sampled)  # noqa: SLF001
        return all(map(_is_constant, parts))
    if type(sampler).__name__ != "StaticSampler":
        return False
    return bool(sampler._decision.is_sampled())  # noqa: SLF001


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
