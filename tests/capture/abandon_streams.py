"""Abandon many streams while telemetry holds its locks, and report the account as JSON.

A program, run by test_finalisers.py: should a finaliser wait for a lock, the watchdog ends it
with a traceback of every thread.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import resource
import sys
import threading
import time
from typing import Any, Final

import openai
from openai.types.chat import ChatCompletionChunk
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from cert_otel.capture import Call, Telemetry, _finalisers, begin_call, resolve_target, watch_stream
from cert_otel_instrumentations.openai._endpoints import find_endpoint

WATCHDOG_S: Final = 60.0
"""Without progress."""
PER_BATCH: Final = 10
MOST_ALLOCATIONS: Final = 200
"""Recording a call makes fewer."""
EPOCH: Final = 500
"""Batches after which the metrics start anew: the SDK keeps every set of attributes for ever."""
WARM_UP: Final = 1_000
"""Batches until caches are full."""
HTTP: Final[Any] = sys.modules[openai.DefaultHttpxClient.__mro__[1].__module__.split(".")[0]]
CLIENT: Final = openai.OpenAI(api_key="test")
ENDPOINT: Final = find_endpoint("post", "/chat/completions")
TARGET: Final = resolve_target(openai.OpenAI, scheme="https", host="api.openai.com", port=None)
CHUNK: Final = {"id": "c", "choices": [], "created": 1, "model": "gpt-4o", "object": "chunk"}
BODY: Final = b"data: %b\n\n" % json.dumps(CHUNK).encode() * 3


class CountingProcessor(SpanProcessor):
    """Counts under a lock that a thread cannot take twice, and allocates while it has it."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def on_end(self, span: ReadableSpan) -> None:  # noqa: ARG002 - the SDK's signature
        """Count, with room for a collection inside the lock."""
        with self._lock:
            self.count += bool([[] for _ in range(60)])


def start(telemetry: Telemetry, number: int) -> Any:
    """Return a stream of the SDK's own class, watched as the instrumentor watches it."""
    model = f"model-{number}"
    request = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    call: Call | None = begin_call(telemetry, ENDPOINT, TARGET, model=model, request=request)
    assert call is not None
    response = HTTP.Response(200, content=BODY)
    stream: Any = openai.Stream(cast_to=ChatCompletionChunk, response=response, client=CLIENT)
    watch_stream(stream, call, is_async=False)
    return stream


def measure_mib() -> float:
    """Return the memory that this process has in use now."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def watch_out() -> None:
    """Give the watchdog its time anew."""
    faulthandler.dump_traceback_later(WATCHDOG_S, exit=True)


def make_telemetry(processor: SpanProcessor) -> Telemetry:
    """Return telemetry with metrics of its own."""
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(processor)
    meters = MeterProvider(metric_readers=[InMemoryMetricReader()], shutdown_on_exit=False)
    return Telemetry("test", "1", tracer_provider=tracers, meter_provider=meters)


def abandon_many(batches: int, processor: SpanProcessor) -> float:
    """Abandon streams in cycles, ten at a time, and have them found while a call is recorded.

    The collector waits until that call has made so many allocations, a few more in each batch:
    so it comes at every point of recording, under each of the locks.

    Returns:
        The growth of the process after the warm-up, MiB.
    """
    before = 0.0
    for batch in range(batches):
        if batch % EPOCH == 0:
            telemetry = make_telemetry(processor)
            watch_out()
        if batch == WARM_UP:
            before = measure_mib()
        gc.disable()
        for number in range(PER_BATCH):
            stream = start(telemetry, batch * PER_BATCH + number)
            if number % 5 == 0:
                next(stream)
            cycle: list[Any] = [stream]
            cycle.append(cycle)
        ended = start(telemetry, -batch)
        del cycle, stream
        gc.set_threshold(gc.get_count()[0] + batch % MOST_ALLOCATIONS + 1)
        gc.enable()
        ended.close()
    del ended
    gc.collect()
    return measure_mib() - before


def overflow(extra: int, processor: SpanProcessor) -> int:
    """Abandon more streams at once than are kept; return how many were started."""
    telemetry = make_telemetry(processor)
    watch_out()
    streams = [start(telemetry, number) for number in range(_finalisers.CAPACITY + extra)]
    started = len(streams)
    streams.clear()
    gc.collect()
    return started


def main() -> None:
    """Run and report."""
    batches = int(sys.argv[1])
    processor = CountingProcessor()
    begun = time.perf_counter()
    growth_mib = abandon_many(batches, processor)
    waiting = len(_finalisers._abandoned)
    _finalisers.drain()
    one_by_one = {"ended": processor.count, "dropped": _finalisers.dropped, "waiting": waiting}
    processor.count = 0
    started = overflow(7, processor)
    waiting = len(_finalisers._abandoned)
    _finalisers.drain()
    at_once = {
        "started": started,
        "ended": processor.count,
        "dropped": _finalisers.dropped,
        "waiting": waiting,
    }
    report = {
        "one_by_one": one_by_one,
        "at_once": at_once,
        "growth_mib": growth_mib,
        "seconds": time.perf_counter() - begun,
    }
    print(json.dumps(report))  # noqa: T201 - it is the report


if __name__ == "__main__":
    main()
