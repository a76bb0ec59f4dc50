"""Spans begun by a shorter way: who looks at the attributes of a starting span finds them."""

from __future__ import annotations

import copy
import functools
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import (
    Event,
    SpanLimits,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
    Tracer,
    TracerProvider,
)
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from cert_otel.capture._sdk_spans import SpanStarter

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Span
    from opentelemetry.trace import Span as AnySpan

ATTRIBUTES: dict[str, str | int] = {"gen_ai.operation.name": "chat", "server.port": 443}


class Noting(SpanProcessor):
    """Notes the attributes that a span starts with."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 - the interface
        """Note them."""
        self.seen.append(dict(span.attributes or {}))


class OnlyChat(Sampler):
    """Keeps what says at its start that it is a chat."""

    def should_sample(  # noqa: PLR0917 - the interface
        self,
        parent_context: Context | None,  # noqa: ARG002 - the interface
        trace_id: int,  # noqa: ARG002 - the interface
        name: str,  # noqa: ARG002 - the interface
        kind: Any = None,  # noqa: ARG002 - the interface
        attributes: Any = None,
        links: Any = None,  # noqa: ARG002 - the interface
        trace_state: Any = None,  # noqa: ARG002 - the interface
    ) -> SamplingResult:
        """Decide by the operation."""
        is_chat = (attributes or {}).get("gen_ai.operation.name") == "chat"
        return SamplingResult(Decision.RECORD_AND_SAMPLE if is_chat else Decision.DROP, attributes)

    def get_description(self) -> str:
        """Say what this is."""
        return "OnlyChat"


def start(provider: TracerProvider) -> AnySpan:
    """Start a span of a provider."""
    starter = SpanStarter(provider.get_tracer("test"))
    return starter.start("chat", dict(ATTRIBUTES), parent=Context(), at_ns=1_000)


def make(sampler: Sampler | None = None) -> TracerProvider:
    """Make a provider with an exporter of the SDK's own."""
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    return provider


class TestStart:
    @pytest.mark.parametrize("sampler", [None, ALWAYS_ON, OnlyChat(), ParentBased(OnlyChat())])
    def test_the_span_has_them_whoever_samples(self, sampler: Sampler | None) -> None:
        """A sampler that decides by attributes decides by these."""
        span: Any = start(make(sampler))

        assert span.is_recording()
        assert dict(span.attributes) == ATTRIBUTES
        assert (span.name, span.start_time, span.kind.name) == ("chat", 1_000, "CLIENT")

    def test_a_span_that_is_sampled_out_takes_none(self) -> None:
        """Nothing is kept of it, and nothing is raised."""
        assert not start(make(ALWAYS_OFF)).is_recording()

    def test_a_processor_finds_them_at_the_start(self) -> None:
        """Also one that came when calls had been made before."""
        provider, noting = make(), Noting()
        starter = SpanStarter(provider.get_tracer("test"))
        starter.start("chat", dict(ATTRIBUTES), parent=Context(), at_ns=1_000)
        provider.add_span_processor(noting)
        starter.start("chat", dict(ATTRIBUTES), parent=Context(), at_ns=1_000)

        assert noting.seen == [ATTRIBUTES]


def describe(span: Any) -> dict[str, Any]:
    """Return a span as it is exported, without its ids."""
    described: dict[str, Any] = json.loads(span.to_json())
    for name in ("trace_id", "span_id"):
        assert int(described["context"].pop(name), 16)
    described["links"] = [link["attributes"] for link in described["links"]]
    return described


def context_of(flags: int, *, is_remote: bool = False) -> Context:
    """Return a context with a parent of these flags."""
    state = TraceState([("vendor", "a")])
    parent = SpanContext(0xABC, 0xDEF, is_remote, TraceFlags(flags), state)
    return set_span_in_context(NonRecordingSpan(parent), Context())


def use(span: Any) -> None:
    """Do everything to a span that an application may do."""
    span.add_event("seen", {"n": 1}, timestamp=4)
    span.add_link(SpanContext(1, 2, is_remote=False), {"of": "another"})
    span.set_attribute("late", True)
    span.update_name("chat again")
    span.record_exception(ValueError("no"), timestamp=5)
    span.set_status(StatusCode.ERROR, "no")
    span.end(2_000)


class TestPattern:
    @pytest.mark.parametrize("parent", [Context(), *map(context_of, (0, 1, 2, 3))])
    @pytest.mark.parametrize(
        "limits", [SpanLimits(), SpanLimits(max_span_attributes=3, max_events=1)]
    )
    def test_spans_made_after_it_are_the_sdk_s(self, parent: Context, limits: SpanLimits) -> None:
        """All of a parent's spans are alike, the first one and those that follow."""
        provider = TracerProvider(shutdown_on_exit=False, span_limits=limits)
        provider.add_span_processor(SimpleSpanProcessor(exporter := InMemorySpanExporter()))
        tracer = provider.get_tracer("test")
        starter = SpanStarter(tracer)
        plain = tracer.start_span(
            "chat", parent, SpanKind.CLIENT, dict(ATTRIBUTES), start_time=1_000
        )
        made = [
            starter.start("chat", dict(ATTRIBUTES), parent=parent, at_ns=1_000) for _ in range(3)
        ]
        for span in (plain, *made):
            use(span)

        assert len({span.get_span_context().span_id for span in (plain, *made)}) == len(made) + 1
        exported = list(map(describe, exporter.get_finished_spans()))
        assert exported == [exported[0]] * len(exported) if exported else not plain.is_recording()
        fields = ("_attributes", "_events", "_links", "_lock")
        own = [[id(vars(span)[name]) for name in fields] for span in made if exported]
        assert len({one for ids in own for one in ids}) == sum(map(len, own))

    def test_what_is_exported_is_the_sdk_s(self) -> None:
        """Its type, and each of its fields, also for who looks at these."""
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter := InMemorySpanExporter()))
        tracer = provider.get_tracer("test")
        starter = SpanStarter(tracer)
        for _ in range(2):
            starter.start("chat", {}, parent=Context(), at_ns=1).end(2)
        tracer.start_span("chat", Context(), SpanKind.CLIENT, start_time=1).end(2)
        _, made, plain = exporter.get_finished_spans()

        assert isinstance(made, type(plain))
        assert (type(made).__module__, type(made).__name__) == (
            "opentelemetry.sdk.trace",
            "ReadableSpan",
        )
        assert type(made._events) is type(plain._events)
        assert type(made._links) is type(plain._links)
        assert vars(made).keys() == vars(plain).keys()
        own = {"_context", "_attributes", "_events", "_links"}
        assert {name: vars(made)[name] for name in vars(made).keys() - own} == {
            name: vars(plain)[name] for name in vars(plain).keys() - own
        }
        assert (made.events, made.links, made.dropped_events, made.dropped_links) == ((), (), 0, 0)

    def test_lists_are_there_when_somebody_asks(self) -> None:
        """Of several threads that add the first event, none is lost."""
        starter = SpanStarter(make().get_tracer("test"))
        starter.start("chat", {}, parent=Context(), at_ns=1)
        with ThreadPoolExecutor(8) as pool:
            for _ in range(50):
                span: Any = starter.start("chat", {}, parent=Context(), at_ns=1)
                barrier = Barrier(8)

                def add(number: int, span: Any = span, barrier: Barrier = barrier) -> None:
                    barrier.wait()
                    span.add_event(str(number))

                list(pool.map(add, range(8)))

                assert sorted(event.name for event in span.events) == list("01234567")
        assert span.links == ()

    def test_a_copy_is_the_sdk_s(self) -> None:
        """It shares the lists, as that of a span of the SDK's does, and cannot be pickled either."""
        starter = SpanStarter(make().get_tracer("test"))
        for _ in range(2):
            span: Any = starter.start("chat", {}, parent=Context(), at_ns=1)
            copied = copy.copy(span)
            span.add_event("seen")
            span.end(2)

            assert [event.name for event in copied.events] == ["seen"]
            with pytest.raises(TypeError, match=r"(?i)lock"):
                pickle.dumps(span)

    def test_what_a_processor_changes_is_exported(self) -> None:
        """Before the end in the span, and after it in what is exported."""

        class Changing(SpanProcessor):
            def on_end(self, span: Any) -> None:
                span._events.append(Event("added", timestamp=1))

        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(Changing())
        provider.add_span_processor(SimpleSpanProcessor(exporter := InMemorySpanExporter()))
        starter = SpanStarter(provider.get_tracer("test"))
        for number in range(3):
            span: Any = starter.start("chat", {}, parent=Context(), at_ns=1)
            span._resource = Resource({"number": number})
            span.end(2)

        exported = exporter.get_finished_spans()
        assert [span.resource.attributes["number"] for span in exported] == [0, 1, 2]
        assert [[event.name for event in span.events] for span in exported] == [["added"]] * 3

    def test_lists_may_be_replaced(self) -> None:
        """As some processors do, to take out what nobody shall see."""
        starter = SpanStarter(make().get_tracer("test"))
        for _ in range(2):
            span: Any = starter.start("chat", {}, parent=Context(), at_ns=1)
            span.add_event("secret")
            span._events = span._new_events()

        assert span.events == ()

    @pytest.mark.parametrize("number", [0, 7, 2**64, 2**128])
    def test_ids_of_any_generator(self, number: int) -> None:
        """They are valid, or not, as the SDK would have it."""
        ids = Mock(
            **{
                "generate_trace_id.return_value": number,
                "generate_span_id.return_value": number,
                "is_trace_id_random.return_value": True,
            }
        )
        tracer = TracerProvider(id_generator=ids, shutdown_on_exit=False).get_tracer("test")
        starter = SpanStarter(tracer)
        for _ in range(2):
            span = starter.start("chat", {}, parent=Context(), at_ns=1)

        assert span.get_span_context() == tracer.start_span("chat").get_span_context()

    def test_a_child_is_in_its_parent_s_trace(self) -> None:
        """With its parent, and the state of the trace."""
        starter = SpanStarter(make().get_tracer("test"))
        for _ in range(2):
            span: Any = starter.start("chat", {}, parent=context_of(1), at_ns=1)

        assert (span.context.trace_id, span.parent.span_id) == (0xABC, 0xDEF)
        assert span.context.trace_state.get("vendor") == "a"

    def test_what_changes_in_the_provider_shows(self) -> None:
        """A tracer that gets another sampler starts its next span by that one."""
        tracer: Any = make().get_tracer("test")
        starter = SpanStarter(tracer)
        before = [starter.start("chat", {}, parent=Context(), at_ns=1) for _ in range(2)]
        tracer.sampler = ALWAYS_OFF

        assert all(span.is_recording() for span in before)
        assert not starter.start("chat", {}, parent=Context(), at_ns=1).is_recording()

    def test_far_and_near_parents_are_told_apart(self) -> None:
        """A sampler may take the one and leave the other, whatever their flags."""
        sampler = ParentBased(ALWAYS_ON, remote_parent_not_sampled=ALWAYS_ON)
        tracer = make(sampler).get_tracer("test")
        starter = SpanStarter(tracer)
        for is_remote in (True, False, True, False):
            parent = context_of(0, is_remote=is_remote)

            made = starter.start("chat", {}, parent=parent, at_ns=1)

            assert made.is_recording() is tracer.start_span("chat", parent).is_recording()

    def test_ratios_of_parents_that_are_not_sampled(self) -> None:
        """These are asked span by span too."""
        sampler = ParentBased(ALWAYS_ON, local_parent_not_sampled=TraceIdRatioBased(0.5))
        starter = SpanStarter(make(sampler).get_tracer("test"))
        parents = [
            set_span_in_context(NonRecordingSpan(SpanContext(number << 59, 1, is_remote=False)))
            for number in range(1, 32)
        ]
        made = [starter.start("chat", {}, parent=parent, at_ns=1) for parent in parents]

        assert len({span.is_recording() for span in made}) == 2

    def test_who_is_in_the_way_is_asked_span_by_span(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A processor of all processors, one that was patched, a tracer that was wrapped."""
        seen: list[str] = []

        class Multi(SynchronousMultiSpanProcessor):
            def on_start(self, span: Span, parent_context: Context | None = None) -> None:
                seen.append("multi")
                super().on_start(span, parent_context)

        patched = SimpleSpanProcessor(InMemorySpanExporter())
        monkeypatch.setattr(patched, "on_start", lambda *_, **__: seen.append("patched"))
        providers = [
            TracerProvider(active_span_processor=Multi(), shutdown_on_exit=False),  # type: ignore[no-untyped-call]
            TracerProvider(shutdown_on_exit=False),
        ]
        providers[1].add_span_processor(patched)
        plain = make().get_tracer("test")
        starters = [SpanStarter(provider.get_tracer("test")) for provider in providers]
        starters.append(SpanStarter(plain))
        starters[2].start("chat", {}, parent=Context(), at_ns=1)
        start_span = Tracer.start_span

        def wrapped(*args: Any, **kwargs: Any) -> AnySpan:
            seen.append("wrapped")
            return start_span(*args, **kwargs)

        for starter in starters:
            if starter.tracer is plain:
                monkeypatch.setattr(Tracer, "start_span", functools.wraps(start_span)(wrapped))
            for _ in range(3):
                starter.start("chat", {}, parent=Context(), at_ns=1)

        assert seen == ["multi"] * 3 + ["patched"] * 3 + ["wrapped"] * 3

    def test_ratios_are_asked_span_by_span(self) -> None:
        """A sampler that decides by the trace's id is asked for each."""
        starter = SpanStarter(make(TraceIdRatioBased(0.5)).get_tracer("test"))
        made = [starter.start("chat", {}, parent=Context(), at_ns=1) for _ in range(64)]

        assert len({span.is_recording() for span in made}) == 2
