"""Every step of ours is made to raise in turn: the application sees nothing, and it is counted.

Replacing our own functions is the point here, and only here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import openai
import pytest
from opentelemetry.context import attach, detach, set_value
from opentelemetry.sdk._logs import Logger
from opentelemetry.sdk.metrics import Meter
from opentelemetry.sdk.trace import Span, Tracer
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cert_otel import config, semconv, set_context
from cert_otel.capture import (
    _call,
    _duplicates,
    _finalisers,
    _recording,
    _streams,
    _telemetry,
)
from cert_otel.capture._instruments import Instruments
from cert_otel.testing import Reply
from cert_otel_instrumentations.openai import _patch
from cert_otel_instrumentations.openai._chat import ChatEndpoint, ChatStream
from cert_otel_instrumentations.openai._completions import CompletionsEndpoint, CompletionStream
from cert_otel_instrumentations.openai._embeddings import EmbeddingsEndpoint
from cert_otel_instrumentations.openai._plain import (
    FetchEndpoint,
    FetchStream,
    PlainEndpoint,
    PlainStream,
)
from cert_otel_instrumentations.openai._responses import ResponsesEndpoint, ResponseStream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.transparency.conftest import Canned, Sdk, Watched

    from cert_otel.testing import RecordedRequest

    Act = Callable[[Sdk], Awaitable[None]]

QUESTION: Final = [{"role": "user", "content": "What is the capital of France?"}]
COUNTED: Final = {"include_usage": True}
AT_HAND: Final = openai.OpenAI(api_key="test")
ANSWER: Final = Reply("Paris.", logprobs=[-0.1, -0.4])


async def chat(sdk: Sdk) -> None:
    """Ask inside a context that something of the application's is in."""
    token = attach(set_value("application", "here"))
    with set_context("Paris is the capital of France.", user="u-17"):
        await sdk.see(
            sdk.client.chat.completions.create(model="gpt-4o", messages=QUESTION, logprobs=True)
        )
    detach(token)


async def chat_stream(sdk: Sdk) -> None:
    completions = sdk.client.chat.completions
    options = {"stream": True, "stream_options": COUNTED}
    await sdk.read(await sdk.see(completions.create(model="gpt-4o", messages=QUESTION, **options)))


async def closed_chat_stream(sdk: Sdk) -> None:
    completions = sdk.client.chat.completions
    stream = await sdk.see(completions.create(model="gpt-4o", messages=QUESTION, stream=True))
    await sdk.read(stream, limit=1)
    await sdk.take(stream.close())


async def streaming_response(sdk: Sdk) -> None:
    completions = sdk.client.chat.completions.with_streaming_response
    manager = completions.create(model="gpt-4o", messages=QUESTION)
    async with sdk.enter(manager) as reply:
        await sdk.see(reply.parse())


async def refused(sdk: Sdk) -> None:
    await sdk.see(sdk.client.chat.completions.create(model="refused", messages=QUESTION))


async def completion(sdk: Sdk) -> None:
    await sdk.see(sdk.client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Hello"))


async def completion_stream(sdk: Sdk) -> None:
    completions = sdk.client.completions
    model = "gpt-3.5-turbo-instruct"
    await sdk.read(
        await sdk.see(
            completions.create(model=model, prompt="Hello", stream=True, stream_options=COUNTED)
        )
    )


async def response(sdk: Sdk) -> None:
    await sdk.see(sdk.client.responses.create(model="gpt-4o", input="Hello"))


async def response_stream(sdk: Sdk) -> None:
    responses = sdk.client.responses
    await sdk.read(await sdk.see(responses.create(model="gpt-4o", input="Hello", stream=True)))


async def retrieved(sdk: Sdk) -> None:
    await sdk.see(sdk.client.responses.retrieve("resp_1"))


async def retrieved_stream(sdk: Sdk) -> None:
    await sdk.read(await sdk.see(sdk.client.responses.retrieve("resp_1", stream=True)))


async def embeddings(sdk: Sdk) -> None:
    await sdk.see(sdk.client.embeddings.create(model="text-embedding-3-small", input="Hello"))


async def image(sdk: Sdk) -> None:
    await sdk.see(sdk.client.images.generate(model="gpt-image-1", prompt="A cat"))


async def transcription_stream(sdk: Sdk) -> None:
    transcriptions = sdk.client.audio.transcriptions
    file = ("a.wav", b"RIFF")
    await sdk.read(
        await sdk.see(transcriptions.create(model="gpt-4o-transcribe", file=file, stream=True))
    )


class Fault(NamedTuple):
    """What raises, in which scenario, and the step that it is counted under."""

    owner: Any
    name: str
    step: str
    act: Act
    loses: str = ""
    """`tokens` where the fault takes the usage along, `span` where there is no span at all."""


ENDPOINTS: Final = (
    (ChatEndpoint, chat, chat_stream),
    (CompletionsEndpoint, completion, completion_stream),
    (ResponsesEndpoint, response, response_stream),
    (EmbeddingsEndpoint, embeddings, None),
    (PlainEndpoint, image, transcription_stream),
    (FetchEndpoint, retrieved, retrieved_stream),
)
READERS: Final = (
    (ChatStream, chat_stream),
    (CompletionStream, completion_stream),
    (ResponseStream, response_stream),
    (PlainStream, transcription_stream),
    (FetchStream, retrieved_stream),
)
FAULTS: Final = (
    *(
        Fault(kind, "read_request", "read_request", plain, "tokens" if plain is retrieved else "")
        for kind, plain, _ in ENDPOINTS
    ),
    *(Fault(kind, "read_reply", "read_reply", plain, "tokens") for kind, plain, _ in ENDPOINTS),
    *(
        Fault(kind, "open_stream", "open_stream", stream, "tokens")
        for kind, _, stream in ENDPOINTS
        if stream is not None
    ),
    *(Fault(kind, "read", "read_chunk", stream, "tokens") for kind, stream in READERS),
    Fault(ChatStream, "close", "close_reader", chat_stream, "tokens"),
    Fault(CompletionStream, "close", "close_reader", completion_stream, "tokens"),
    Fault(ResponseStream, "close", "close_reader", response_stream),
    Fault(PlainStream, "close", "close_reader", transcription_stream),
    Fault(FetchStream, "close", "close_reader", retrieved_stream, "tokens"),
    Fault(config, "get_config", "begin", chat, "span"),
    Fault(_patch, "find_endpoint", "begin", chat, "span"),
    Fault(_patch, "resolve_target", "begin", chat, "span"),
    Fault(_patch, "begin_call", "begin", chat, "span"),
    Fault(_patch, "with_watched_parser", "options", chat),
    Fault(_patch, "with_logprobs", "options", chat),
    Fault(_patch, "watch_stream", "hand_over", chat_stream, "tokens"),
    Fault(_patch, "read_along", "hand_over", streaming_response, "tokens"),
    Fault(_finalisers, "drain", "begin", chat, "span"),
    Fault(_duplicates, "is_suppressed", "begin", chat, "span"),
    Fault(_duplicates, "find_inference_data", "begin", chat, "span"),
    Fault(_duplicates, "find_foreign_span", "begin", chat, "span"),
    Fault(_duplicates, "publish_inference", "begin", chat, "span"),
    Fault(_call, "get_ambient", "begin", chat, "span"),
    Fault(_call, "fingerprint_prompt", "read_request", chat),
    Fault(_recording, "price_call", "price", chat),
    Fault(_recording, "summarise_logprobs", "logprobs", chat),
    Fault(_recording, "ambient_attributes", "ambient", chat),
    Fault(_recording, "to_json", "content", chat),
    Fault(_recording, "make_exportable", "write_span", chat, "tokens"),
    Fault(_call, "get_cleaner", "read_error", refused, "tokens"),
    Fault(_call, "make_encodable", "begin", chat, "span"),
    Fault(_streams.BodyDecoder, "feed", "read_body", streaming_response, "tokens"),
    Fault(_streams.BodyDecoder, "finish", "finish_body", streaming_response, "tokens"),
    Fault(_streams.StreamState, "on_close", "close", closed_chat_stream, "tokens"),
    Fault(_telemetry, "Instruments", "instruments", chat),
    *(
        Fault(Instruments, name, "write_metrics", act)
        for name, act in (
            ("record_duration", chat),
            ("record_usage", chat),
            ("record_cost", chat),
            ("record_perplexity", chat),
            ("record_chunks", chat_stream),
        )
    ),
    Fault(Tracer, "start_span", "begin", chat, "span"),
    Fault(Span, "is_recording", "begin", chat, "span"),
    Fault(_recording, "put_attributes", "write_span", chat, "tokens"),
    Fault(Span, "set_status", "write_span", refused, "tokens"),
    Fault(Span, "end", "end", chat, "span"),
    Fault(InMemorySpanExporter, "export", "", chat, "span"),
    Fault(Meter, "create_histogram", "instruments", chat),
    Fault(Logger, "emit", "event", chat),
)


EXPORTERS_OWN: Final = "opentelemetry.sdk"
"""The SDK logs what an exporter raises, as it does for everybody."""


def is_available(fault: Fault) -> bool:
    """Whether the SDK at hand has what the scenario calls."""
    newer = (response, response_stream, retrieved, retrieved_stream, transcription_stream)
    return fault.act not in newer or hasattr(AT_HAND, "responses")


def answer(request: RecordedRequest) -> Reply:
    """Answer everything but one model."""
    refuses = request.fields.get("model") == "refused"
    return Reply("No.", status=400) if refuses else ANSWER


def make_stored(canned: type[Canned], *, stream: bool) -> list[Canned]:
    """Return a stored response, which the fake provider does not stream."""
    stored = {"id": "resp_1", "object": "response", "model": "gpt-4o", "output": []}
    if not stream:
        return [canned(json.dumps(stored).encode())]
    event = {"type": "response.completed", "sequence_number": 0, "response": stored}
    return [canned(b"data: %b\n\n" % json.dumps(event).encode(), "text/event-stream")]


class TestFaultInjection:
    """One fault at a time, in the synchronous and the asynchronous SDK."""

    @pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
    @pytest.mark.parametrize("kind", [RuntimeError, StopIteration])
    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param(fault, id=f"{fault.owner.__name__}.{fault.name}-{fault.act.__name__}")
            for fault in FAULTS
            if is_available(fault)
        ],
    )
    def test_costs_what_it_broke_and_nothing_else(
        self,
        compare: Callable[..., Watched],
        canned: type[Canned],
        *,
        fault: Fault,
        kind: type[Exception],
        is_async: bool,
    ) -> None:
        """The caller sees no difference, the fault is counted, and what is left is recorded."""
        config.configure(request_logprobs=fault.name == "with_logprobs")
        answers: Any = answer
        if fault.act in (retrieved, retrieved_stream):
            answers = make_stored(canned, stream=fault.act is retrieved_stream)

        def fail(*_: object, **__: object) -> None:
            raise kind("ours")

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(fault.owner, fault.name, fail)
            watched = compare(
                fault.act,
                answers,
                is_async=is_async,
                content=True,
                permitted_noise="" if fault.step else EXPORTERS_OWN,
            )

        assert not fault.step or watched.errors[fault.step] > 0
        assert list_counted(watched.spans) == EXPECTED[fault.loses]

    def test_a_failing_redactor_withholds_the_text(self, compare: Callable[..., Watched]) -> None:
        """Where the application's own redactor raises, nothing of the text is attached."""

        def fail(text: str) -> str:
            raise LookupError(text)

        config.configure(redactor=fail)
        watched = compare(chat, answer, is_async=False, content=True)

        assert watched.errors["redactor"] > 0
        (span,) = watched.spans
        assert "Paris" not in str(span)
        assert "[withheld: the redactor failed]" in span["attributes"][semconv.INPUT_MESSAGES]


EXPECTED: Final[dict[str, list[bool]]] = {"": [True], "tokens": [False], "span": []}


def list_counted(spans: list[dict[str, Any]]) -> list[bool]:
    """Say of each span whether it has tokens."""
    return [semconv.USAGE_INPUT_TOKENS in span["attributes"] for span in spans]
