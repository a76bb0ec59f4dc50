"""Attributes and metrics that are worked out when somebody looks: as if they had been at once."""

from __future__ import annotations

import copy
import gc
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from tests.capture.conftest import OPENAI, ScriptedEndpoint, fill_nothing

from cert_otel import config, semconv
from cert_otel.capture import (
    Call,
    Telemetry,
    _finalisers,
    _late,
    _recording,
    begin_call,
    set_context,
)
from cert_otel.records import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ANSWERED = {
    semconv.REQUEST_MODEL: "gpt-4o",
    semconv.RESPONSE_MODEL: "gpt-4o-2024-08-06",
    semconv.USAGE_INPUT_TOKENS: 1_000,
    semconv.COST_CURRENCY: "USD",
    semconv.PERPLEXITY: pytest.approx(2.718, abs=0.001),
}


def answer(call: Call) -> None:
    """Answer with usage and logprobs."""
    call.response_model = "gpt-4o-2024-08-06"
    call.usage = Usage(input_tokens=1_000, output_tokens=10)
    call.logprobs = [-1.0, -1.0]


class Unread(SpanExporter):
    """Keeps spans, and looks at none."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep them."""
        self.spans += spans
        return SpanExportResult.SUCCESS


class Desk:
    """Makes calls whose spans nobody has looked at."""

    def __init__(self, *, limits: SpanLimits | None = None) -> None:
        self.unread = Unread()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider(span_limits=limits)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.unread))
        self.telemetry = Telemetry(
            "desk",
            "1",
            tracer_provider=self.tracers,
            meter_provider=MeterProvider([self.reader]),
        )
        self.run()  # the first span of a tracer is the SDK's own work
        self.unread.spans.clear()
        self.collect()

    def run(self, request: Callable[[Call], None] = fill_nothing) -> Call:
        """Make a call."""
        endpoint = ScriptedEndpoint(semconv.OPERATION_CHAT, None, fill_nothing)
        call = begin_call(self.telemetry, endpoint, OPENAI, model="gpt-4o", request=request)
        assert call is not None
        call.succeed(answer)
        return call

    @property
    def last(self) -> ReadableSpan:
        """The last span."""
        return self.unread.spans[-1]

    def collect(self) -> dict[str, list[Any]]:
        """Return the points of each metric."""
        data = self.reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def count(self) -> int:
        """Return of how many calls the duration was recorded."""
        points = self.collect().get("gen_ai.client.operation.duration", [])
        return int(sum(point.count for point in points)) - 1  # the first


@pytest.fixture
def desk() -> Desk:
    """Return one that has made its first call."""
    return Desk()


def is_waiting(span: ReadableSpan) -> bool:
    """Tell whether nobody has looked."""
    return _late._LATE in vars(span._attributes)


class TestSpan:
    def test_first_look(self, desk: Desk) -> None:
        """The span ends on time; whoever looks first finds everything."""
        desk.run()

        assert is_waiting(desk.last)
        assert dict(desk.last.attributes or {}).items() >= ANSWERED.items()
        assert not is_waiting(desk.last)

    @pytest.mark.parametrize(
        "look",
        [
            lambda held: len(held) > 10,
            lambda held: semconv.COST_AMOUNT in held,
            lambda held: held[semconv.COST_AMOUNT] > 0,
            lambda held: semconv.COST_AMOUNT in list(held),
            lambda held: held.copy()[semconv.COST_AMOUNT] > 0,
            lambda held: copy.deepcopy(held)[semconv.COST_AMOUNT] > 0,
            lambda held: semconv.COST_AMOUNT in repr(held),
        ],
    )
    def test_any_look(self, desk: Desk, look: Callable[[Any], bool]) -> None:
        """There is no way to read attributes that misses the late ones."""
        desk.run()

        assert look(desk.last._attributes)

    def test_processor(self) -> None:
        """A processor that reads a span at its end finds everything."""
        seen: list[dict[str, Any]] = []

        class Reading(SpanProcessor):
            def on_end(self, span: ReadableSpan) -> None:
                seen.append(dict(span.attributes or {}))

        desk = Desk()
        desk.tracers.add_span_processor(Reading())
        desk.run()
        desk.run()

        assert [one.items() >= ANSWERED.items() for one in seen] == [True, True]

    def test_application_changes_what_it_said(self, desk: Desk) -> None:
        """Attributes are those of the time of the call."""
        groups = ["a", "b"]
        with set_context(metadata={"groups": groups}):
            desk.run()
        groups.append("c")

        assert (desk.last.attributes or {})[semconv.METADATA] == '{"groups":["a","b"]}'

    def test_what_no_exporter_can_send(self, desk: Desk) -> None:
        """It is replaced, or left out, at whatever time."""

        def ask(call: Call) -> None:
            call.attributes |= {"number": 2**70, "text": "a\ud800", "list": ["\ud800", 1.5]}

        desk.run(ask)

        found = desk.last.attributes or {}
        assert "number" not in found
        assert (found["text"], found["list"]) == ("a?", ("?", 1.5))

    def test_model_of_a_wrong_type(self, desk: Desk, swallowed: Counter[str]) -> None:
        """What goes wrong in the export's thread is counted there, and costs no other span."""
        wrong: Any = 5

        def answer_wrongly(call: Call) -> None:
            call.response_model = wrong

        endpoint = ScriptedEndpoint(semconv.OPERATION_CHAT, None, answer_wrongly)
        call = begin_call(desk.telemetry, endpoint, OPENAI, model="gpt-4o", request=fill_nothing)
        assert call is not None
        call.succeed(answer_wrongly)

        assert semconv.REQUEST_MODEL in (desk.last.attributes or {})
        assert swallowed.pop("price") == 1

    def test_several_look(self, desk: Desk) -> None:
        """Nobody sees half of it, and it is recorded once."""
        desk.run()
        barrier = Barrier(8)

        def look(_: int) -> int:
            barrier.wait()
            return len(desk.last.attributes or {})

        with ThreadPoolExecutor(8) as pool:
            sizes = set(pool.map(look, range(8)))

        assert sizes == {len(desk.last.attributes or {})}
        assert desk.count() == 1

    def test_a_look_within_a_look(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """A signal's handler, or a log's, that reads the span finds everything as well."""
        seen: list[int] = []
        price = _recording._price

        def look_and_price(*args: Any) -> Any:
            if not seen:
                seen.append(0)
                seen.append(len(desk.last.attributes or {}))
            return price(*args)

        monkeypatch.setattr(_recording, "_price", look_and_price)
        desk.run()

        assert len(desk.last.attributes or {}) == seen[1]

    def test_an_interrupted_look(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """After Ctrl-C the next look finds everything."""
        with monkeypatch.context() as patch:
            patch.setattr(_recording, "_price", Mock(side_effect=KeyboardInterrupt))
            desk.run()
            with pytest.raises(KeyboardInterrupt):
                len(desk.last.attributes or {})

        assert dict(desk.last.attributes or {}).items() >= ANSWERED.items()
        assert desk.count() == 1

    def test_settings_that_change(self, desk: Desk) -> None:
        """The settings of a call are those of its time."""

        def ask(call: Call) -> None:
            call.user = "ann"

        desk.run(ask)
        expected = dict(desk.last.attributes or {})[semconv.ENDUSER_PSEUDO_ID]
        desk.run(ask)
        config.configure(hash_key="another")

        assert (desk.last.attributes or {})[semconv.ENDUSER_PSEUDO_ID] == expected

    def test_a_model_that_cannot_be_looked_up(self, desk: Desk, swallowed: Counter[str]) -> None:
        """The span of an application's own kind of text is like any; the SDK's metrics cannot be."""

        class Odd(str):
            __slots__ = ()
            __hash__ = None  # type: ignore[assignment]

        endpoint = ScriptedEndpoint(semconv.OPERATION_CHAT, None, fill_nothing)
        call = begin_call(desk.telemetry, endpoint, OPENAI, model=Odd("a"), request=fill_nothing)
        assert call is not None
        call.succeed(answer)

        assert (desk.last.attributes or {})[semconv.REQUEST_MODEL] == "a"
        assert swallowed.pop("write_metrics") == 1

    def test_few_attributes(self) -> None:
        """Where a span may have few attributes, the SDK decides which."""
        desk = Desk(limits=SpanLimits(max_span_attributes=20))

        desk.run()

        assert len(desk.last.attributes or {}) <= 20
        assert not is_waiting(desk.last)

    def test_what_goes_wrong(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, swallowed: Counter[str]
    ) -> None:
        """An error is counted, and leaves the others whole."""

        def fail(*_: Any) -> None:
            raise ValueError

        monkeypatch.setattr(_recording, "_price", fail)
        desk.run()

        found = dict(desk.last.attributes or {})
        assert found[semconv.USAGE_INPUT_TOKENS] == 1_000
        assert semconv.COST_AMOUNT not in found
        assert swallowed.pop("price") == 1

    def test_nothing_stays(self, desk: Desk) -> None:
        """A span that was looked at holds on to nothing of the call."""
        desk.run()
        len(desk.last.attributes or {})
        gc.collect()

        assert not [one for one in gc.get_objects() if type(one) is Call]


class TestMetrics:
    def test_collected_before_export(self, desk: Desk) -> None:
        """A call is in the metrics as soon as it has ended."""
        desk.run()

        assert desk.count() == 1
        assert dict(desk.last.attributes or {}).items() >= ANSWERED.items()
        assert desk.count() == 1

    def test_once(self, desk: Desk) -> None:
        """Looked at before and after, it is counted once."""
        desk.run()
        len(desk.last.attributes or {})

        assert desk.count() == 1
        assert desk.count() == 1

    def test_spans_that_nobody_reads(self, desk: Desk) -> None:
        """Neither the backlog grows without end, nor is a span held, nor a call missed."""
        before = Counter(type(one) for one in gc.get_objects())
        for _ in range(_late.MOST_WAITING + 50):
            desk.run()
        desk.unread.spans.clear()
        gc.collect()

        held = Counter(type(one) for one in gc.get_objects())
        assert held[Call] - before[Call] <= _late.MOST_WAITING
        assert held[_late.LateAttributes] <= before[_late.LateAttributes]
        assert desk.count() == _late.MOST_WAITING + 50

    def test_collected_while_somebody_records(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A collection, the last one before the exit too, waits for what is being recorded."""
        begun, go_on = Event(), Event()
        write = _recording._write_metrics

        def write_slowly(*args: Any) -> None:
            begun.set()
            go_on.wait(10)
            write(*args)

        monkeypatch.setattr(_recording, "_write_metrics", write_slowly)
        desk.run()
        with ThreadPoolExecutor(2) as pool:
            look = pool.submit(lambda: len(desk.last.attributes or {}))
            begun.wait(10)
            count = pool.submit(desk.count)
            desk.run()  # the application does not wait
            assert not count.done()
            go_on.set()
            look.result(10)

            assert count.result(10) == 2

    def test_examples(self, desk: Desk) -> None:
        """Examples of slow or unlikely answers name the call's span."""
        desk.run()
        found = desk.collect()
        points = [
            *found["cert.gen_ai.client.perplexity"],
            *found["gen_ai.client.operation.duration"],
        ]

        named = {one.span_id for point in points for one in point.exemplars}
        assert desk.last.context.span_id in named
        assert all(point.exemplars for point in points)


class TestFork:
    def test_a_look_in_the_child(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the parent has yet to record is the parent's, also where the child looks first."""
        record = Mock()
        backlog = _late.Backlog()
        backlog.add(Mock(record=record))
        monkeypatch.setattr(_finalisers, "fork_generation", 99)

        backlog.record_some()

        record.assert_not_called()

    def test_calls_of_the_parent(self) -> None:
        """A child works with calls of its own, and leaves the parent's to the parent."""
        source = """
import os
from tests.capture.test_late import Desk
desk = Desk()
desk.run()
if os.fork() == 0:
    desk.run()
    print("child", desk.count(), flush=True)
    os._exit(0)
os.wait()
print("parent", desk.count())
"""
        root = Path(__file__).parents[2]
        run = subprocess.run(
            [sys.executable, "-c", source], capture_output=True, text=True, check=True, cwd=root
        )

        assert run.stdout.split() == ["child", "1", "parent", "1"]
