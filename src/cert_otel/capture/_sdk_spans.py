"""Shorter ways into a span of the SDK, 1.30 to 1.45, where nobody could tell the difference.

The SDK looks at every attribute and puts each in by a call of its own: of a chat's thirty that
is a third of what instrumentation costs. What is set here is checked by `make_exportable` or
made by us, so it goes into the span's container in one go. And the SDK asks, for each span anew,
what is the same for all: the first span is therefore its own work, and the next ones are made
after it, without the lists that stay empty. Where a limit, a sampler, a processor or the span itself is not what the SDK brings by
default, or has a field that is not known here, its public methods are used.
"""

from __future__ import annotations

import sys
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, Final, SupportsIndex

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.trace import SpanContext, SpanKind, get_current_span

from cert_otel.capture._late import LateAttributes

if TYPE_CHECKING:
    from collections.abc import Callable

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
_LISTS: Final = ("_events", "_links")
_READ_AT_END: Final = frozenset(
    [
        "_resource",
        "_kind",
        "_instrumentation_info",
        "_instrumentation_scope",
        "_name",
        "_context",
        "_parent",
        "_status",
        "_start_time",
        "_end_time",
        "_attributes",
    ]
)
"""Fields of what is exported, beside the lists."""
_LOCKS: Final = {type(make()): make for make in (Lock, RLock)}
"""What makes a lock, by its type; those of attributes are of the second kind before SDK 1.45."""
_MOST_AT_START: Final = 16
"""Attributes that a span may start with: more than we ever give it."""
_NO_METRICS: Final = ("NoneType", "NoOpTracerMetrics")
"""Types of what counts the spans of a tracer, where nobody does."""


class SpanStarter:
    """Starts the client spans of one tracer."""

    __slots__ = ("_is_blind", "_patterns", "_processors", "_start_span", "_state", "tracer")

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self._processors: Any = None
        self._start_span: Any = None
        self._is_blind = False
        self._state: dict[str, Any] = {}
        self._patterns: dict[tuple[int, bool] | None, Pattern | None] = {}
        """By what samplers know the parent by; `None` where the SDK has to be asked."""

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
        if (
            processors is not self._processors
            or tracer.__dict__ != self._state
            or type(tracer).start_span is not self._start_span
        ):
            self._start_span = type(tracer).start_span
            self._state = dict(vars(tracer))
            self._is_blind = processors is not None and _is_blind(tracer, processors)
            self._patterns = {}
            self._processors = processors  # the last, so that no other thread goes by half of it
        if not self._is_blind:
            return tracer.start_span(name, parent, _CLIENT, attributes, start_time=at_ns)
        above = get_current_span(parent).get_span_context() if parent else None
        if above is not None and not above.is_valid:
            above = None
        kind = None if above is None else (above.trace_flags, above.is_remote)
        if (pattern := self._patterns.get(kind)) is not None:
            return pattern.make(name, attributes, above, at_ns)
        span = tracer.start_span(name, parent, _CLIENT, start_time=at_ns)
        if kind not in self._patterns:
            self._patterns[kind] = find_pattern(tracer, span)
        put_attributes(span, attributes)
        return span


_new: Final[Callable[[type[Any]], Any]] = object.__new__
"""Make an object that is about to get all its fields at once."""
_make_context: Final[Callable[[type[SpanContext], tuple[Any, ...]], SpanContext]] = tuple.__new__
_TRACE_IDS: Final = 2**128
_SPAN_IDS: Final = 2**64


class WhenAsked:
    """A field that is made when somebody asks for it; of several threads one makes it for all."""

    __slots__ = ("_make", "_name")

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __set_name__(self, _: type, name: str) -> None:
        self._name = name

    def __get__(self, owner: Any, _: type | None = None) -> Any:
        if owner is None:
            return self
        fields = vars(owner)
        if (found := fields.get(self._name)) is not None:
            return found
        return fields.setdefault(self._name, self._make(owner))

    def __set__(self, owner: Any, value: Any) -> None:
        vars(owner)[self._name] = value


class Lean:
    """What is mixed into the SDK's classes of spans: two lists, made when somebody asks for them.

    Few model calls have events or links, and an empty list of the SDK's is three objects that
    the garbage collector looks at until the span is exported.
    """

    __slots__ = ()
    _make_events: Callable[[], Any]
    _make_links: Callable[[tuple[()]], Any]

    _events = WhenAsked(lambda span: span._make_events())  # noqa: SLF001
    _links = WhenAsked(lambda span: span._make_links(()))  # noqa: SLF001

    def __reduce_ex__(self, _: SupportsIndex) -> tuple[Any, ...]:
        """Have it copied, or not, as the SDK's own, with which a copy shares its lists."""
        lists = {"_events": self._events, "_links": self._links}
        return _new, (type(self).__bases__[-1],), vars(self) | lists


class LeanSpan(Lean):
    """The same, and how such a span becomes what is exported."""

    __slots__ = ()
    _readable_type: type[Any]

    def _readable_span(self) -> Any:
        fields = self.__dict__
        readable = _new(self._readable_type)
        readable.__dict__ = known = {
            "_resource": fields["_resource"],
            "_kind": fields["_kind"],
            "_instrumentation_info": fields["_instrumentation_info"],
            "_instrumentation_scope": fields["_instrumentation_scope"],
            "_name": fields["_name"],
            "_context": fields["_context"],
            "_parent": fields["_parent"],
            "_status": fields["_status"],
            "_start_time": fields["_start_time"],
            "_end_time": fields["_end_time"],
            "_attributes": fields["_attributes"],
        }
        for name in _LISTS:
            if name in fields:
                known[name] = fields[name]
        return readable


def _mix(lean: type[Any], kind: type[Any], fields: dict[str, Any]) -> type[Any]:
    """Return a class of the SDK with something lean before it, under its own name."""
    own = {"__slots__": (), "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (lean, kind), own | fields)


class Pattern:
    """A span that the SDK has started, after which others are made."""

    __slots__ = (
        "_attributes",
        "_flags",
        "_ids",
        "_lock",
        "_lock_held",
        "_shared",
        "_state",
        "_type",
    )

    def __init__(self, span: Any, readable: Any, ids: Any) -> None:
        """Take over what all spans share; of a span that `find_pattern` has looked at."""
        fields = vars(span)
        self._ids = ids
        self._flags = span.context.trace_flags
        self._state = span.context.trace_state
        self._shared = {name: fields[name] for name in fields.keys() & _SHARED}
        self._attributes = dict(vars(fields["_attributes"]))
        self._lock = _LOCKS[type(fields["_lock"])]
        self._lock_held = _LOCKS[type(self._attributes["_lock"])]
        blank = _blank(span)
        makers = {"_make_events": blank._new_events, "_make_links": blank._new_links}  # noqa: SLF001
        readable_type = _mix(Lean, type(readable), makers)
        self._type = _mix(LeanSpan, type(span), {**makers, "_readable_type": readable_type})

    def make(
        self, name: str, attributes: dict[str, Any], parent: SpanContext | None, at_ns: int
    ) -> Span:
        """Make another; `attributes` become its own."""
        ids = self._ids
        if parent is None:
            trace_id, state = ids.generate_trace_id(), self._state
        else:
            trace_id, state = parent.trace_id, parent.trace_state
        span_id = ids.generate_span_id()
        is_valid = 0 < trace_id < _TRACE_IDS and 0 < span_id < _SPAN_IDS
        held = _new(LateAttributes)
        held.__dict__ = {**self._attributes, "_dict": attributes, "_lock": self._lock_held()}
        span: Any = _new(self._type)
        span.__dict__ = {
            **self._shared,
            "_name": name,
            "_context": _make_context(
                SpanContext, (trace_id, span_id, False, self._flags, state, is_valid)
            ),
            "_parent": parent,
            "_start_time": at_ns,
            "_lock": self._lock(),
            "_attributes": held,
        }
        return span  # type: ignore[no-any-return]


def _blank(span: Any) -> Any:
    """Return a span with nothing but what all of its tracer share, to make lists by its limits."""
    blank = _new(type(span))
    blank.__dict__ = {name: value for name, value in vars(span).items() if name in _SHARED}
    return blank


def find_pattern(tracer: Any, span: Any) -> Pattern | None:
    """Return what further spans may be made after; `None` if they have to be the SDK's own work.

    Args:
        tracer: Of the SDK.
        span: One that it has just started without attributes, for a parent with the same flags.
    """
    try:
        fields = vars(span)
        held, blank = fields["_attributes"], _blank(span)
        readable = span._readable_span()  # noqa: SLF001
        is_known = (
            type(span).__module__ == _SDK
            and type(held) is BoundedAttributes
            and fields.keys() - _SHARED == _OWN
            and _is_copy(readable, fields)
            and type(blank._new_events()) is type(fields["_events"])  # noqa: SLF001
            and type(blank._new_links(())) is type(fields["_links"])  # noqa: SLF001
            and _is_tuple(span.context)
            and vars(held).keys() <= _OF_ATTRIBUTES
            and {type(span._lock), type(held._lock)} <= _LOCKS.keys()  # noqa: SLF001
            and not held._dict  # noqa: SLF001
            and held.max_value_len is None
            and (held.maxlen is None or held.maxlen >= _MOST_AT_START)
            and _is_constant(tracer.sampler)
            and type(getattr(tracer, "_tracer_metrics", None)).__name__ in _NO_METRICS
        )
        return Pattern(span, readable, tracer.id_generator) if is_known else None
    except (AttributeError, KeyError, TypeError):  # another version, or not the SDK's
        return None


def _is_tuple(context: Any) -> bool:
    """Whether a span's context is the tuple as which `Pattern` makes it."""
    fields = (context.trace_id, context.span_id, False, context.trace_flags, context.trace_state)
    return type(context) is SpanContext and tuple(context) == (*fields, True)


def _is_copy(readable: Any, fields: dict[str, Any]) -> bool:
    """Whether what is exported has the fields of a span, the very same, and no other."""
    own = vars(readable)
    return own.keys() == _READ_AT_END.union(_LISTS) and all(
        own[name] is fields[name] for name in own
    )


def _is_constant(sampler: Any) -> bool:
    """Whether all spans are sampled, or none, whose parents are alike."""
    kind = type(sampler)
    if kind.__module__ != f"{_SDK}.sampling":
        return False
    if kind.__name__ == "ParentBased":
        return all(map(_is_constant, vars(sampler).values()))
    return kind.__name__ == "StaticSampler"


def _is_blind(tracer: Any, processors: tuple[Any, ...]) -> bool:
    """Whether nobody looks at the attributes with which a span starts."""
    trace = sys.modules[_SDK]
    multi = tracer.span_processor
    if type(multi) not in (trace.SynchronousMultiSpanProcessor, trace.ConcurrentMultiSpanProcessor):
        return False
    if getattr(type(tracer).start_span, "__globals__", None) is not vars(trace):
        return False  # somebody's wrapper, or another tracer
    export = sys.modules.get(f"{_SDK}.export")
    own = (trace.SpanProcessor, getattr(export, "BatchSpanProcessor", None), getattr(export, "SimpleSpanProcessor", None))  # fmt: skip
    nothing = [kind.on_start for kind in own if kind is not None]
    return _is_blind_sampler(tracer.sampler) and all(
        getattr(type(processor), "on_start", None) in nothing and "on_start" not in vars(processor)
        for processor in processors
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
