"""One process of benchmarks/overhead.py: calls the openai SDK with one instrumentor, on demand.

Each line on standard input is `KIND COUNT`; the answer is three numbers, the nanoseconds of CPU
and of wall time that COUNT calls took, and of CPU with the export of their spans. The transport is in-process, so nothing but the SDK and
the instrumentor runs. The host is api.openai.com and every reply carries logprobs, so that
cert-otel prices each call and computes its perplexity; the others skip both.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import httpx2
import openai
from openai._base_client import SyncAPIClient
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNKS: Final = 53
"""Of one stream, the last one with the usage."""
STREAM_TOKENS: Final = 50
REPLY_TOKENS: Final = 16
"""Each with its logprob, as in a stream."""
WARM_UP: Final = {"chat": 1200, "stream": 20}
"""Until the processor has exported twice: its queue, and with it the memory, grows no more."""
MESSAGES: Final = [
    {"role": "system", "content": "You answer questions about geography in one sentence."},
    {"role": "user", "content": "What is the capital of France, and since when?"},
]
USAGE: Final = {
    "prompt_tokens": 1200,
    "completion_tokens": 50,
    "total_tokens": 1250,
    "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
HEAD: Final = {"id": "chatcmpl-1", "created": 1795000000, "model": "gpt-4o-2024-08-06"}


class NoSpans(SpanExporter):
    """Looks at the attributes of spans, as every exporter does, and does nothing with them.

    cert-otel works some of them out at the first look; the processor time of this thread counts.
    """

    def export(self, spans: Any) -> SpanExportResult:
        """Look at them."""
        for span in spans:
            len(span.attributes)
        return SpanExportResult.SUCCESS


class NoMetrics(MetricExporter):
    """Takes metrics and does nothing with them."""

    def export(
        self,
        metrics_data: Any,  # noqa: ARG002 - the interface
        timeout_millis: float = 0,  # noqa: ARG002 - the interface
        **_: Any,
    ) -> MetricExportResult:
        """Do nothing."""
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:  # noqa: ARG002 - the interface
        """Do nothing."""
        return True

    def shutdown(self, timeout_millis: float = 0, **_: Any) -> None:
        """Do nothing."""


def instrument(variant: str) -> None:
    """Instrument openai the way each instrumentor documents."""
    if variant == "cert-otel":
        from cert_otel_instrumentations.openai import OpenAIInstrumentor as Ours  # noqa: PLC0415

        Ours().instrument()
    elif variant == "genai-openai":
        from opentelemetry.instrumentation.genai.openai import (  # noqa: PLC0415
            OpenAIInstrumentor as Official,
        )

        Official().instrument()
    elif variant == "openllmetry":
        from opentelemetry.instrumentation.openai import (  # noqa: PLC0415
            OpenAIInstrumentor as Traceloop,
        )

        Traceloop().instrument()
    elif variant == "openinference":
        from openinference.instrumentation.openai import (  # noqa: PLC0415
            OpenAIInstrumentor as Arize,
        )

        Arize().instrument()
    elif variant == "bare-span":
        span_around_requests()


def span_around_requests() -> None:
    """Put a span of four attributes around each request: what no instrumentor can be below."""
    tracer = trace.get_tracer("bare-span")
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "server.address": "api.openai.com",
    }
    original = SyncAPIClient.request

    def request(self: SyncAPIClient, *args: Any, **kwargs: Any) -> Any:
        span = tracer.start_span("chat gpt-4o", kind=trace.SpanKind.CLIENT, attributes=attributes)
        result: Any = original(self, *args, **kwargs)
        span.end()
        return result

    SyncAPIClient.request = request  # type: ignore[method-assign]


def start_telemetry(*, with_metrics: bool) -> None:
    """Set global providers that export to nowhere."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(NoSpans()))
    trace.set_tracer_provider(provider)
    if with_metrics:
        reader = PeriodicExportingMetricReader(NoMetrics())
        metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))


def flush() -> None:
    """Export what waits."""
    provider: Any = trace.get_tracer_provider()
    provider.force_flush()


def make_logprob(token: int) -> dict[str, Any]:
    """Return a token as OpenAI sends it where logprobs were asked for."""
    return {
        "token": f" word{token}",
        "logprob": -0.01 * (token + 1),
        "bytes": [32, 119],
        "top_logprobs": [],
    }


def make_reply() -> bytes:
    """Return a chat completion of `REPLY_TOKENS` tokens."""
    text = "".join(f" word{token}" for token in range(REPLY_TOKENS))
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": {
            "content": [make_logprob(token) for token in range(REPLY_TOKENS)],
            "refusal": None,
        },
    }
    reply = {**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}
    return json.dumps(reply).encode()


def make_stream() -> bytes:
    """Return the events of a stream: role, `STREAM_TOKENS` tokens, the end, and the usage."""
    deltas: list[tuple[dict[str, Any], Any, str | None]] = [
        ({"role": "assistant", "content": ""}, None, None),
        *(
            ({"content": f" word{token}"}, {"content": [make_logprob(token)]}, None)
            for token in range(STREAM_TOKENS)
        ),
        ({}, None, "stop"),
    ]
    chunks = [
        [{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason}]
        for delta, logprobs, reason in deltas
    ]
    events: list[dict[str, Any]] = [{"choices": choices, "usage": None} for choices in chunks]
    events.append({"choices": [], "usage": USAGE})
    lines = [
        json.dumps({**HEAD, "object": "chat.completion.chunk", **event}).encode()
        for event in events
    ]
    return b"".join(b"data: " + line + b"\n\n" for line in [*lines, b"[DONE]"])


def make_client() -> openai.OpenAI:
    """Return a client of api.openai.com whose transport answers in this process."""
    reply, stream = make_reply(), make_stream()

    def answer(request: httpx2.Request) -> httpx2.Response:
        if b'"stream":true' in request.content:
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)  # fmt: skip
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=reply)

    transport = httpx2.MockTransport(answer)
    return openai.OpenAI(api_key="none", http_client=openai.DefaultHttpxClient(transport=transport))


def make_calls(client: openai.OpenAI) -> dict[str, Callable[[], None]]:
    """Return one call of each kind."""
    create: Any = client.chat.completions.create

    def chat() -> None:
        create(model="gpt-4o", messages=MESSAGES, temperature=0.2, logprobs=True)

    def stream() -> None:
        chunks = create(
            model="gpt-4o",
            messages=MESSAGES,
            temperature=0.2,
            logprobs=True,
            stream=True,
            stream_options={"include_usage": True},
        )
        if sum(1 for _ in chunks) != CHUNKS:
            raise RuntimeError("the stream is incomplete")

    return {"chat": chat, "stream": stream}


def time_calls(call: Callable[[], None], count: int) -> tuple[int, int, int]:
    """Return CPU and wall nanoseconds of `count` calls, and their CPU with the export of the spans.

    Spans and garbage of earlier calls are not their fault, nor that other processes had the
    processor's caches: some calls go before.
    """
    for _ in range(count):
        call()
    flush()
    gc.collect()
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    for _ in range(count):
        call()
    called_cpu, called_wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
    flush()
    return called_cpu, called_wall, time.process_time_ns() - cpu


def main() -> None:
    """Warm up, then answer until the input ends."""
    variant, with_metrics = sys.argv[1], sys.argv[2] == "metrics"
    start_telemetry(with_metrics=with_metrics)
    instrument(variant)
    calls = make_calls(make_client())
    for kind, call in calls.items():
        time_calls(call, WARM_UP[kind])
    # What is alive now stays: without this each collection walks the modules again.
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        kind, count = line.split()
        print(*time_calls(calls[kind], int(count)), flush=True)


if __name__ == "__main__":
    main()
