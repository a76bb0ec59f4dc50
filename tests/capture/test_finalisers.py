"""Streams that the application let go of: recorded later, in an ordinary frame, and counted."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cert_otel import semconv
from cert_otel.capture import Telemetry, _finalisers, watch_stream
from cert_otel.capture._batch import DrainingBatchSpanProcessor
from cert_otel.testing import MetricCapture

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from tests.capture.conftest import Bench

    from cert_otel.capture import Call

PROGRAM: Final = Path(__file__).with_name("abandon_streams.py")
BATCHES: Final = 10_000
PER_BATCH: Final = 10
MOST_GROWTH_MIB: Final = 32.0


class Response:
    """What is used of an HTTP response: it can be closed."""

    def close(self) -> None:
        """Close the connection."""

    async def aclose(self) -> None:
        """Close the connection."""


class Stream:
    """A stream as the SDKs make it: a generator that closes its response when it is closed."""

    def __init__(self, chunks: int = 3) -> None:
        self.response = Response()
        self._iterator = self._read(chunks)

    def _read(self, chunks: int) -> Iterator[Any]:
        try:
            for _ in range(chunks):
                yield lambda _: None
        finally:
            self.response.close()

    def __iter__(self) -> Iterator[Any]:
        for chunk in self._iterator:  # noqa: UP028 - unlike `yield from`, it does not close it
            yield chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()


def watched(call: Call) -> Stream:
    """Return a stream of a call."""
    stream = Stream()
    watch_stream(stream, call, is_async=False)
    return stream


def outcomes(bench: Bench) -> list[str]:
    """Return how the streams that were recorded so far ended."""
    return [span["attributes"][semconv.STREAM_OUTCOME] for span in bench.spans.spans()]


class TestLoad:
    """100,000 streams abandoned in cycles, found at every point of recording another call."""

    def test_no_lock_no_loss_no_growth(self) -> None:
        """No finaliser waits for a lock, the account adds up, and memory stays where it was."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        done = subprocess.run(
            [sys.executable, str(PROGRAM), str(BATCHES)],
            env=environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

        assert (done.returncode, done.stderr) == (0, "")
        report = json.loads(done.stdout)
        assert report["one_by_one"]["ended"] == BATCHES * (PER_BATCH + 1)
        assert report["one_by_one"]["dropped"] == 0
        assert report["one_by_one"]["waiting"] <= _finalisers.CAPACITY
        assert report["growth_mib"] < MOST_GROWTH_MIB
        at_once = report["at_once"]
        assert at_once["started"] == at_once["ended"] + at_once["dropped"]
        assert (at_once["waiting"], at_once["dropped"]) == (_finalisers.CAPACITY, 7)


class TestFinaliser:
    """What runs while an object is being destroyed."""

    def test_leaves_the_call_to_the_next(self, bench: Bench) -> None:
        """Nothing is recorded in the finaliser; the next call records it first."""
        stream = watched(bench.begin())
        next(iter(stream))
        del stream
        gc.collect()

        assert outcomes(bench) == []
        bench.begin()
        assert outcomes(bench) == ["abandoned"]

    def test_ends_when_it_was_let_go_of(self, bench: Bench) -> None:
        """The span ends with the stream, not when somebody drained."""
        call = bench.begin()
        stream = watched(call)
        del stream
        gc.collect()
        [(_, left_ns)] = _finalisers._abandoned
        _finalisers.drain()

        (span,) = bench.spans.finished
        assert span.end_time == left_ns

    def test_generator_with_a_with_block_inside(self, bench: Bench) -> None:
        """A generator of the application that is never finished closes its stream as it dies."""

        def answer() -> Iterator[Any]:
            with watched(bench.begin()) as stream:
                yield from stream

        generator = answer()
        next(generator)
        del generator
        gc.collect()

        assert outcomes(bench) == []
        _finalisers.drain()
        assert outcomes(bench) == ["abandoned"]

    def test_error_on_the_way_out_of_a_dying_generator(self, bench: Bench) -> None:
        """It is a finaliser all the same when the stream is closed while handling that error."""

        def answer() -> Iterator[Any]:
            stream = watched(bench.begin())
            try:
                yield from stream
            except GeneratorExit:
                try:
                    int("no number")
                except ValueError:
                    stream.response.close()
                raise

        generator = answer()
        next(generator)
        del generator

        assert outcomes(bench) == []
        _finalisers.drain()
        assert outcomes(bench) == ["abandoned"]

    def test_close_in_a_destructor(self, bench: Bench) -> None:
        """A `__del__` of the application that closes its stream takes no lock of ours."""

        class Owner:
            def __init__(self) -> None:
                self.stream = watched(bench.begin())

            def __del__(self) -> None:
                self.stream.response.close()

        owner: Owner | None = Owner()
        assert owner is not None
        owner = None

        assert outcomes(bench) == []
        _finalisers.drain()
        assert outcomes(bench) == ["abandoned"]

    def test_close_in_a_callback_under_a_lock_of_the_sdk(self, bench: Bench) -> None:
        """A weak reference's callback that runs inside the SDK takes no lock either."""

        class Anything:
            """Something that is let go of inside the SDK."""

        stream = watched(bench.begin())
        things = [Anything()]
        reference = weakref.ref(things[0], lambda _: stream.response.close())

        class Clearing(SpanProcessor):
            def on_end(self, span: Any) -> None:
                del span
                things.clear()

        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(Clearing())
        provider.get_tracer("test").start_span("other").end()

        assert reference() is None
        assert outcomes(bench) == []
        _finalisers.drain()
        assert outcomes(bench) == ["abandoned"]

    def test_close_by_the_application_is_no_finaliser(self, bench: Bench) -> None:
        """What an ordinary frame closes is recorded at once, as closed."""
        watched(bench.begin()).response.close()

        assert outcomes(bench) == ["closed"]


class TestOtherThread:
    """A thread that holds the lock which recording needs."""

    def test_does_not_hold_up_the_finaliser(self) -> None:
        """The stream is let go of at once, and recorded when the lock is free."""
        held, done, ended = threading.Lock(), threading.Event(), []

        class Locking(SpanProcessor):
            def on_end(self, span: Any) -> None:
                with held:
                    ended.append(span)

        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(Locking())
        bench = self._make_bench(provider)

        def abandon() -> None:
            stream = watched(bench.begin())
            del stream
            gc.collect()
            done.set()

        with held:
            thread = threading.Thread(target=abandon)
            thread.start()
            assert done.wait(5)
        thread.join()
        _finalisers.drain()
        assert len(ended) == 1

    @staticmethod
    def _make_bench(provider: TracerProvider) -> Any:
        class OneCall:
            telemetry = Telemetry("test", "1", tracer_provider=provider)

            def begin(self) -> Call:
                return begin(self.telemetry)

        return OneCall()


class TestCapacity:
    """More abandoned streams than are kept."""

    @pytest.fixture(autouse=True)
    def _two(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_finalisers, "CAPACITY", 2)
        monkeypatch.setattr(_finalisers, "dropped", 0)
        monkeypatch.setattr(_finalisers, "_counted", 0)

    def test_is_a_bound_and_the_rest_is_counted(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two are kept, three are counted as dropped, once, in the metric too."""
        with MetricCapture() as capture:
            monkeypatch.setattr(metrics, "get_meter", capture.meter_provider.get_meter)
            streams = [watched(bench.begin()) for _ in range(5)]
            streams.clear()
            gc.collect()
            _finalisers.drain()
            _finalisers.drain()
            [point] = [one for one in capture.points() if "finalisers" in one["name"]]

        assert outcomes(bench) == ["abandoned", "abandoned"]
        assert _finalisers.dropped == 3
        assert point == {
            "name": semconv.METRIC_FINALISERS_DROPPED,
            "unit": "{call}",
            "attributes": {},
            "value": 3,
        }


class TestDrain:
    """Ending what was left."""

    def test_goes_on_after_an_error(self, bench: Bench, swallowed: Counter[str]) -> None:
        """One call that cannot be ended does not keep the others."""

        class Broken:
            def abandon(self, *, end_ns: int | None = None) -> None:
                raise LookupError(end_ns)

        _finalisers.leave(Broken())
        stream = watched(bench.begin())
        _finalisers.leave(Broken())
        del stream
        gc.collect()
        _finalisers.drain()

        assert outcomes(bench) == ["abandoned"]
        assert swallowed.pop("drain") == 2

    @pytest.mark.parametrize("how", ["force_flush", "shutdown"])
    def test_is_done_by_our_batch_processor(self, how: str) -> None:
        """A flush and a shutdown end what was left before they export."""
        exporter = InMemorySpanExporter()
        processor = DrainingBatchSpanProcessor(exporter)
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(processor)
        stream = watched(begin(Telemetry("test", "1", tracer_provider=provider)))
        del stream
        gc.collect()
        getattr(processor, how)()

        (span,) = exporter.get_finished_spans()
        assert (span.attributes or {})[semconv.STREAM_OUTCOME] == "abandoned"
        provider.shutdown()

    def test_is_done_at_exit_under_any_provider(self) -> None:
        """A plain batch processor of somebody else's gets them too, before it shuts down."""
        assert run_program(AT_EXIT) == ["abandoned"]


class TestFork:
    """A process that splits while streams are open or waiting to be ended."""

    def test_records_in_the_parent_alone(self) -> None:
        """The parent records both streams; the child's copies of them are nobody's."""
        assert run_program(FORK) == {"child": [], "parent": ["abandoned", "completed"]}


def begin(telemetry: Telemetry) -> Call:
    """Begin a call of any model."""
    from cert_otel.capture import begin_call, resolve_target  # noqa: PLC0415 - as programs do
    from cert_otel_instrumentations.openai._endpoints import (  # noqa: PLC0415 - likewise
        find_endpoint,
    )

    target = resolve_target(object, scheme="https", host="api.openai.com", port=None)
    endpoint = find_endpoint("post", "/chat/completions")
    call = begin_call(telemetry, endpoint, target, model="gpt-4o", request={})
    assert call is not None
    return call


def run_program(code: str) -> Any:
    """Run a program that prints JSON, with this module at hand."""
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__))],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


AT_HAND: Final = """
import gc, importlib.util, json, os, sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from cert_otel.capture import Telemetry

spec = importlib.util.spec_from_file_location("tests", sys.argv[1])
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)


class Exporter(SpanExporter):
    seen = []

    def export(self, spans):
        self.seen += [span.attributes["cert.stream.outcome"] for span in spans]
"""
AT_EXIT: Final = f"""{AT_HAND}
    def shutdown(self):
        print(json.dumps(self.seen))


provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(Exporter()))
stream = tests.watched(tests.begin(Telemetry("test", "1", tracer_provider=provider)))
del stream
gc.collect()
"""
FORK: Final = f"""{AT_HAND}

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Exporter()))
telemetry = Telemetry("test", "1", tracer_provider=provider)
open_stream = tests.watched(tests.begin(telemetry))
next(iter(open_stream))
left = tests.watched(tests.begin(telemetry))
del left
gc.collect()
reading, writing = os.pipe()
if os.fork() == 0:
    list(open_stream)
    del open_stream
    gc.collect()
    tests._finalisers.drain()
    os.write(writing, json.dumps(Exporter.seen).encode())
    os._exit(0)
os.wait()
child = json.loads(os.read(reading, 1000))
list(open_stream)
tests._finalisers.drain()
print(json.dumps({{"child": child, "parent": sorted(Exporter.seen)}}))
"""
