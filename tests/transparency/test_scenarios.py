"""Every scenario with and without us: the application sees the same, and one span tells it right.

Each function below is a row: what the application does, once for the synchronous and once for
the asynchronous SDK. The decorator holds what the provider answers and what must be recorded.
Prices are those of the published list, per million tokens: gpt-4o 2.50 (cached 1.25) and 10.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import signal
from itertools import product
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import openai
import pydantic
import pytest

from cert_otel import semconv
from cert_otel.testing import Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.transparency.conftest import Sdk, Watched

    Act = Callable[[Sdk], Awaitable[None]]

RAISED: Final = "raised"
"""Stands for the type of the exception that the application saw."""
SYNC: Final = "sync"
ASYNC: Final = "async"


class Recorded(NamedTuple):
    """What must be on a span; `None` is absent. The defaults are those of one gpt-4o chat."""

    name: str = "chat gpt-4o"
    provider: str = "openai"
    model: str | None = "gpt-4o-2024-08-06"
    response: str | None = "chatcmpl-1"
    """Prefix of the response's id, and the number of its request."""
    tokens: tuple[int | None, int | None] | None = (1200, 300)
    cached: int | None = 1000
    reasoning: int | None = 100
    cost: float | None = 0.00475
    partial: bool | None = False
    finish: tuple[str, ...] | None = ("stop",)
    perplexity: float | None = None
    outcome: str | None = None
    error: str | None = None
    kind: str | None = None


CHAT: Final = Recorded()
UNCOUNTED: Final = CHAT._replace(tokens=None, cached=None, reasoning=None, cost=None, partial=None)
"""The provider sent no usage, so there is none."""
FAILED: Final = UNCOUNTED._replace(model=None, response=None, finish=None, error=RAISED)
CUT_SHORT: Final = UNCOUNTED._replace(finish=None)
"""A stream whose last chunks never came."""


class Row(NamedTuple):
    """One scenario of the table."""

    act: Act
    answers: Sequence[Reply | str] | None
    recorded: tuple[Recorded, ...]
    flavours: tuple[str, ...]


TABLE: Final[list[Row]] = []
AT_HAND: Final = openai.OpenAI(api_key="test")
"""A client of the SDK at hand: older ones lack some resources."""


def row(
    *recorded: Recorded,
    answers: Sequence[Reply | str] | None = None,
    flavours: tuple[str, ...] = (SYNC, ASYNC),
    needs: str = "chat",
) -> Callable[[Act], Act]:
    """Add a scenario, unless the SDK at hand is older than the resource that it needs."""

    def add(act: Act) -> Act:
        if hasattr(AT_HAND, needs):
            TABLE.append(Row(act, answers, recorded, flavours))
        return act

    return add


QUESTION: Final = [{"role": "user", "content": "What is the capital of France?"}]
USAGE: Final = {
    "prompt_tokens": 1200,
    "completion_tokens": 300,
    "total_tokens": 1500,
    "prompt_tokens_details": {"cached_tokens": 1000},
    "completion_tokens_details": {"reasoning_tokens": 100},
}
RESPONSES_USAGE: Final = {
    "input_tokens": 1200,
    "input_tokens_details": {"cached_tokens": 1000},
    "output_tokens": 300,
    "output_tokens_details": {"reasoning_tokens": 100},
    "total_tokens": 1500,
}
PARIS: Final = Reply("Paris, of course.", usage=USAGE)
JSON_PARIS: Final = Reply('{"name": "Paris"}', usage=USAGE)
RESPONSE_PARIS: Final = Reply("Paris, of course.", usage=RESPONSES_USAGE)
COUNTED: Final = {"include_usage": True}


class City(pydantic.BaseModel):
    """What the model is asked to fill."""

    name: str


def chat(client: Any, **options: Any) -> Any:
    """Ask for a chat completion."""
    return client.chat.completions.create(model="gpt-4o", messages=QUESTION, **options)


def helpers(client: Any) -> Any:
    """Return the resource that has `parse` and `stream`: `beta` in older versions."""
    completions = client.chat.completions
    return completions if hasattr(completions, "parse") else client.beta.chat.completions


_PARSE: Final = inspect.getsource(helpers(AT_HAND).parse)
_PARSES_LATER: Final = "_parse_chat_completion(" in _PARSE and "def parser" not in _PARSE
REFUSED: Final = None if _PARSES_LATER else RAISED
"""Up to openai 1.4x a reply was parsed after the request was over: its call did not fail."""


# Plain calls


@row(CHAT, answers=[PARIS])
async def plain_chat(sdk: Sdk) -> None:
    await sdk.see(chat(sdk.client, temperature=0.5, max_tokens=50, seed=7, user="u-17"))


@row(
    CHAT._replace(perplexity=1.6487212707001282),  # exp(0.5)
    answers=[Reply("Paris.", usage=USAGE, logprobs=[-0.25, -0.75])],
)
async def chat_with_logprobs(sdk: Sdk) -> None:
    await sdk.see(chat(sdk.client, logprobs=True, top_logprobs=2))


@row(
    CHAT._replace(finish=("tool_calls",)),
    answers=[Reply(tool_calls=[ToolCall("find", {"city": "Paris"})], usage=USAGE)],
)
async def chat_with_tools(sdk: Sdk) -> None:
    function = {"name": "find", "parameters": {"type": "object", "properties": {}}}
    await sdk.see(chat(sdk.client, tools=[{"type": "function", "function": function}]))


@row(
    CHAT._replace(finish=("stop", "stop")),
    answers=[Reply("Paris.", alternatives=["Lyon."], usage=USAGE)],
)
async def chat_with_two_choices(sdk: Sdk) -> None:
    await sdk.see(chat(sdk.client, n=2))


@row(CHAT, answers=[PARIS])
async def messages_from_a_generator(sdk: Sdk) -> None:
    messages = (message for message in QUESTION)
    completions = sdk.client.chat.completions
    await sdk.see(completions.create(model="gpt-4o", messages=messages))


@row(CHAT._replace(finish=None), answers=[Reply("Paris.", usage=USAGE, patch={"choices": None})])
async def reply_without_choices(sdk: Sdk) -> None:
    await sdk.see(chat(sdk.client))


@row(CHAT._replace(name="chat deployed", provider="azure.ai.openai"), answers=[PARIS])
async def azure_chat(sdk: Sdk) -> None:
    client = sdk.open(
        "AzureOpenAI", azure_endpoint="https://eu.openai.azure.com", api_version="2024-10-21"
    )
    await sdk.see(client.chat.completions.create(model="deployed", messages=QUESTION))


@row(UNCOUNTED._replace(tokens=(1200, 300), cached=1000, reasoning=100), answers=[PARIS])
async def chat_with_a_server_of_unknown_brand(sdk: Sdk) -> None:
    await sdk.see(chat(sdk.open(base_url="http://localhost:8000/v1")))


@row(
    CHAT._replace(
        name="text_completion gpt-3.5-turbo-instruct",
        model="gpt-3.5-turbo-instruct",
        response="cmpl-1",
        tokens=(1000, 100),
        cached=None,
        reasoning=None,
        cost=0.0017,  # 1.50 and 2.00 per million
        perplexity=1.2840254166877414,  # exp(0.25)
    ),
    answers=[
        Reply(
            "Paris.",
            logprobs=[-0.1, -0.4],
            usage={"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
        )
    ],
)
async def legacy_completion(sdk: Sdk) -> None:
    completions = sdk.client.completions
    await sdk.see(completions.create(model="gpt-3.5-turbo-instruct", prompt="Hello", logprobs=1))


EMBEDDED: Final = UNCOUNTED._replace(
    name="embeddings text-embedding-3-small",
    model="text-embedding-3-small",
    response=None,
    tokens=(1_000_000, None),
    cost=0.02,
    partial=False,
    finish=None,
)
VECTORS: Final = Reply(usage={"prompt_tokens": 1_000_000, "total_tokens": 1_000_000})


@row(EMBEDDED, answers=[VECTORS])
async def embeddings_in_base64(sdk: Sdk) -> None:
    embeddings = sdk.client.embeddings
    await sdk.see(embeddings.create(model="text-embedding-3-small", input=["a", "b"]))


@row(EMBEDDED, answers=[VECTORS])
async def embeddings_in_floats(sdk: Sdk) -> None:
    embeddings = sdk.client.embeddings
    model = "text-embedding-3-small"
    await sdk.see(embeddings.create(model=model, input="a", encoding_format="float", dimensions=8))


@row(CHAT, answers=[JSON_PARIS])
async def parsed_chat(sdk: Sdk) -> None:
    completions = helpers(sdk.client)
    await sdk.see(completions.parse(model="gpt-4o", messages=QUESTION, response_format=City))


# The Responses API

RESPONSE: Final = CHAT._replace(response="resp_1")


@row(
    RESPONSE._replace(perplexity=1.6487212707001282),
    answers=[Reply("Paris.", usage=RESPONSES_USAGE, logprobs=[-0.25, -0.75])],
    needs="responses",
)
async def response(sdk: Sdk) -> None:
    responses = sdk.client.responses
    include = ["message.output_text.logprobs"]
    await sdk.see(responses.create(model="gpt-4o", input="Hello", include=include))


@row(RESPONSE, answers=[Reply('{"name": "Paris"}', usage=RESPONSES_USAGE)], needs="responses")
async def parsed_response(sdk: Sdk) -> None:
    responses = sdk.client.responses
    await sdk.see(responses.parse(model="gpt-4o", input="Hello", text_format=City))


@row(
    RESPONSE._replace(outcome="completed"),
    answers=[RESPONSE_PARIS],
    needs="responses",
)
async def response_stream(sdk: Sdk) -> None:
    responses = sdk.client.responses
    stream = await sdk.see(responses.create(model="gpt-4o", input="Hello", stream=True))
    await sdk.read(stream)


@row(
    RESPONSE._replace(outcome="completed"),
    answers=[RESPONSE_PARIS],
    needs="responses",
)
async def response_stream_helper(sdk: Sdk) -> None:
    manager = sdk.client.responses.stream(model="gpt-4o", input="Hello")
    async with sdk.enter(manager) as stream:
        await sdk.read(stream)
        await sdk.see(stream.get_final_response())


@row(
    RESPONSE,
    UNCOUNTED._replace(name="fetch_response", response="resp_1", finish=None, kind="function"),
    answers=[RESPONSE_PARIS],
    needs="responses",
)
async def retrieved_response(sdk: Sdk) -> None:
    responses = sdk.client.responses
    first = await sdk.see(responses.create(model="gpt-4o", input="Hello"))
    await sdk.see(responses.retrieve(first.id))


# Streams


@row(CHAT._replace(outcome="completed"), answers=[PARIS])
async def stream_with_usage(sdk: Sdk) -> None:
    stream = await sdk.see(chat(sdk.client, stream=True, stream_options=COUNTED))
    await sdk.read(stream)
    sdk.seen.append(sorted(vars(stream.response)))


@row(UNCOUNTED._replace(outcome="completed"), answers=[PARIS])
async def stream_without_usage(sdk: Sdk) -> None:
    stream = await sdk.see(chat(sdk.client, stream=True))
    await sdk.read(stream)
    await sdk.read(stream)


@row(
    CHAT._replace(outcome="completed", perplexity=1.6487212707001282),
    answers=[Reply("Paris.", usage=USAGE, logprobs=[-0.25, -0.75])],
)
async def stream_with_logprobs(sdk: Sdk) -> None:
    options = {"stream": True, "stream_options": COUNTED, "logprobs": True}
    await sdk.read(await sdk.take(chat(sdk.client, **options)))


@row(
    CHAT._replace(outcome="completed", finish=("tool_calls",)),
    answers=[Reply(tool_calls=[ToolCall("find", {"city": "Paris"})], usage=USAGE)],
)
async def stream_of_tool_calls(sdk: Sdk) -> None:
    function = {"name": "find", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": function}]
    options = {"stream": True, "stream_options": COUNTED, "tools": tools}
    await sdk.read(await sdk.take(chat(sdk.client, **options)))


@row(
    CHAT._replace(
        name="text_completion gpt-3.5-turbo-instruct",
        model="gpt-3.5-turbo-instruct",
        response="cmpl-1",
        cost=0.0024,
        outcome="completed",
    ),
    answers=[PARIS],
)
async def legacy_completion_stream(sdk: Sdk) -> None:
    completions = sdk.client.completions
    model = "gpt-3.5-turbo-instruct"
    stream = await sdk.see(
        completions.create(model=model, prompt="Hello", stream=True, stream_options=COUNTED)
    )
    await sdk.read(stream)


@row(
    CHAT._replace(name="chat deployed", provider="azure.ai.openai", outcome="completed"),
    answers=[PARIS],
)
async def azure_stream(sdk: Sdk) -> None:
    client = sdk.open(
        "AzureOpenAI", azure_endpoint="https://eu.openai.azure.com", api_version="2024-10-21"
    )
    stream = await sdk.see(
        client.chat.completions.create(
            model="deployed", messages=QUESTION, stream=True, stream_options=COUNTED
        )
    )
    await sdk.read(stream)


@row(CHAT._replace(outcome="completed"), answers=[PARIS])
async def stream_helper(sdk: Sdk) -> None:
    completions = helpers(sdk.client)
    async with sdk.enter(
        completions.stream(model="gpt-4o", messages=QUESTION, stream_options=COUNTED)
    ) as stream:
        await sdk.read(stream)
        await sdk.see(stream.get_final_completion())


@row(
    UNCOUNTED._replace(outcome="completed"),
    answers=[Reply("Paris.", fault="null_index")],
)
async def chunk_without_an_index(sdk: Sdk) -> None:
    await sdk.read(await sdk.take(chat(sdk.client, stream=True)))


@row(CUT_SHORT._replace(outcome="abandoned"), answers=[PARIS])
async def stream_left_to_the_garbage_collector(sdk: Sdk) -> None:
    stream = await sdk.take(chat(sdk.client, stream=True, stream_options=COUNTED))
    await sdk.read(stream, limit=2)
    del stream
    await sdk.collect()


@row(FAILED._replace(error=None, outcome="abandoned"), answers=[PARIS])
async def stream_never_read(sdk: Sdk) -> None:
    await sdk.see(chat(sdk.client, stream=True))
    await sdk.collect()


@row(CUT_SHORT._replace(outcome="closed"), answers=[PARIS])
async def closed_stream(sdk: Sdk) -> None:
    stream = await sdk.take(chat(sdk.client, stream=True))
    await sdk.read(stream, limit=2)
    await sdk.see(stream.close())
    await sdk.see(stream.close())
    sdk.seen.append(sorted(vars(stream.response)))


@row(CUT_SHORT._replace(outcome="closed"), answers=[PARIS])
async def stream_left_inside_a_with_block(sdk: Sdk) -> None:
    stream = await sdk.take(chat(sdk.client, stream=True))
    async with sdk.enter(stream) as entered:
        sdk.seen.append(entered is stream)
        await sdk.read(stream, limit=2)


@row(CUT_SHORT._replace(outcome="closed"), answers=[PARIS])
async def callers_own_error_inside_a_with_block(sdk: Sdk) -> None:
    stream = await sdk.take(chat(sdk.client, stream=True))
    async with sdk.enter(stream):
        await sdk.read(stream, limit=1)
        raise LookupError("mine")


# Raw and streaming responses


@row(CHAT, answers=[PARIS])
async def raw_response(sdk: Sdk) -> None:
    completions = sdk.client.chat.completions.with_raw_response
    raw = await sdk.see(completions.create(model="gpt-4o", messages=QUESTION))
    await sdk.see(raw.parse())
    await sdk.see(raw.text)
    sdk.seen.append(sorted(vars(raw.http_response)))


@row(CHAT._replace(outcome="completed"), answers=[PARIS])
async def raw_stream(sdk: Sdk) -> None:
    completions = sdk.client.chat.completions.with_raw_response
    raw = await sdk.see(
        completions.create(model="gpt-4o", messages=QUESTION, stream=True, stream_options=COUNTED)
    )
    await sdk.read(await sdk.see(raw.parse()))
    sdk.seen.append(sorted(vars(raw.http_response)))


def streamed(sdk: Sdk, **options: Any) -> Any:
    """Enter a response whose body the application reads itself."""
    completions = sdk.client.chat.completions.with_streaming_response
    return sdk.enter(completions.create(model="gpt-4o", messages=QUESTION, **options))


@row(CHAT, answers=[PARIS])
async def streaming_response_parsed(sdk: Sdk) -> None:
    async with streamed(sdk) as reply:
        await sdk.see(reply)
        await sdk.see(reply.parse())


@row(CHAT, answers=[PARIS])
async def streaming_response_in_bytes(sdk: Sdk) -> None:
    async with streamed(sdk) as reply:
        await sdk.read(reply.iter_bytes(16))
        sdk.seen.append(sorted(vars(reply.http_response)))


@row(CHAT._replace(outcome="completed"), answers=[PARIS])
async def streaming_response_in_lines(sdk: Sdk) -> None:
    async with streamed(sdk, stream=True, stream_options=COUNTED) as reply:
        await sdk.read(reply.iter_lines())


@row(CHAT._replace(outcome="completed"), answers=[PARIS])
async def streaming_response_as_a_stream(sdk: Sdk) -> None:
    async with streamed(sdk, stream=True, stream_options=COUNTED) as reply:
        await sdk.read(await sdk.see(reply.parse()))


@row(FAILED._replace(error=None, outcome="closed"), answers=[PARIS])
async def streaming_response_never_read(sdk: Sdk) -> None:
    async with streamed(sdk) as reply:
        sdk.seen.append(reply.status_code)


@row(
    CUT_SHORT._replace(outcome="closed"), answers=[Reply("Paris.", usage=USAGE, chunk_delay_s=0.01)]
)
async def streaming_response_left_early(sdk: Sdk) -> None:
    async with streamed(sdk, stream=True) as reply:
        lines = reply.iter_lines()
        await sdk.step(lines)


# Failures


@row(FAILED, answers=[Reply("No.", status=400)])
async def refused_request(sdk: Sdk) -> None:
    await sdk.see(chat(sdk.client))


@row(CHAT._replace(response="chatcmpl-3"), answers=[Reply(status=429), Reply(status=429), PARIS])
async def retried_request(sdk: Sdk) -> None:
    await sdk.see(chat(sdk.open(max_retries=2)))


@row(FAILED, answers=[Reply(status=500), Reply(status=500)])
async def request_retried_in_vain(sdk: Sdk) -> None:
    await sdk.see(chat(sdk.open(max_retries=1)))


@row(FAILED, answers=[Reply("Late.", delay_s=1.0)])
async def timeout(sdk: Sdk) -> None:
    await sdk.see(chat(sdk.client, timeout=0.15))


@row(FAILED, answers=[Reply("Paris.", fault="cut")])
async def connection_cut_in_a_reply(sdk: Sdk) -> None:
    await sdk.see(chat(sdk.client))


@row(CUT_SHORT._replace(outcome="error", error=RAISED), answers=[Reply("Paris.", fault="cut")])
async def connection_cut_in_a_stream(sdk: Sdk) -> None:
    await sdk.read(await sdk.take(chat(sdk.client, stream=True)))


@row(
    CUT_SHORT._replace(outcome="error", error=RAISED),
    answers=[Reply("Paris.", fault="error_event")],
)
async def error_event_in_a_stream(sdk: Sdk) -> None:
    await sdk.read(await sdk.take(chat(sdk.client, stream=True)))


@row(
    CUT_SHORT._replace(outcome="error", error="server_error"),
    answers=[Reply("Paris.", fault="error_event")],
)
async def error_event_in_a_streaming_response(sdk: Sdk) -> None:
    async with streamed(sdk, stream=True) as reply:
        await sdk.read(reply.iter_lines())


@row(
    CUT_SHORT._replace(response="resp_1", outcome="error", error="server_error"),
    answers=[Reply("Paris.", fault="error_event")],
    needs="responses",
)
async def error_event_in_a_response_stream(sdk: Sdk) -> None:
    responses = sdk.client.responses
    await sdk.read(await sdk.take(responses.create(model="gpt-4o", input="Hello", stream=True)))


@row(CHAT._replace(error=REFUSED), answers=[Reply("{}", usage=USAGE)])
async def parsed_chat_that_does_not_fit(sdk: Sdk) -> None:
    completions = helpers(sdk.client)
    await sdk.see(completions.parse(model="gpt-4o", messages=QUESTION, response_format=City))


@row(
    CHAT._replace(error=REFUSED, finish=("length",)),
    answers=[Reply('{"na', usage=USAGE, finish_reason="length")],
)
async def parsed_chat_that_was_too_long(sdk: Sdk) -> None:
    completions = helpers(sdk.client)
    await sdk.see(completions.parse(model="gpt-4o", messages=QUESTION, response_format=City))


# Other endpoints

OTHER: Final = UNCOUNTED._replace(model=None, response=None, finish=None, kind="function")


@row(
    OTHER._replace(
        name="images.generations gpt-image-1",
        tokens=(2, 4160),
        cost=0.16641,  # 5 per million of text in, 40 of image out
        partial=False,
        kind="inference",
    )
)
async def image(sdk: Sdk) -> None:
    await sdk.see(sdk.client.images.generate(model="gpt-image-1", prompt="A cat"))


@row(
    OTHER._replace(
        name="moderations omni-moderation-latest", model="omni-moderation-latest", response="modr-1"
    )
)
async def moderation(sdk: Sdk) -> None:
    await sdk.see(sdk.client.moderations.create(model="omni-moderation-latest", input="Hello"))


@row(
    OTHER._replace(
        name="audio.transcriptions gpt-4o-transcribe",
        tokens=(14, 3),
        cost=0.000114,  # 6 per million of audio in, 10 of text out
        partial=False,
        kind="inference",
    ),
    answers=[
        Reply(
            "Good morning.",
            usage={
                "type": "tokens",
                "input_tokens": 14,
                "input_token_details": {"audio_tokens": 14, "text_tokens": 0},
                "output_tokens": 3,
                "total_tokens": 17,
            },
        )
    ],
)
async def transcription(sdk: Sdk) -> None:
    transcriptions = sdk.client.audio.transcriptions
    await sdk.see(transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", b"RIFF")))


@row(OTHER._replace(name="audio.transcriptions whisper-1"), answers=["Good morning."])
async def transcription_as_text(sdk: Sdk) -> None:
    transcriptions = sdk.client.audio.transcriptions
    file = ("a.wav", b"RIFF")
    await sdk.see(transcriptions.create(model="whisper-1", file=file, response_format="text"))


@row(OTHER._replace(name="audio.speech gpt-4o-mini-tts"))
async def speech(sdk: Sdk) -> None:
    spoken = await sdk.take(
        sdk.client.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input="Hello")
    )
    sdk.seen += [type(spoken), spoken.content]


@row(OTHER._replace(name="models"))
async def list_of_models(sdk: Sdk) -> None:
    await sdk.read(sdk.client.models.list())


@row(OTHER._replace(name="models"))
async def page_of_models(sdk: Sdk) -> None:
    page = await sdk.see(sdk.client.models.list())
    sdk.seen.append(page.has_next_page())


@row(OTHER._replace(name="batches", response="batch_1"))
async def batch(sdk: Sdk) -> None:
    await sdk.see(
        sdk.client.batches.create(
            completion_window="24h", endpoint="/v1/chat/completions", input_file_id="file-1"
        )
    )


# Interruptions

SLOW: Final = Reply("Paris, of course.", chunk_delay_s=0.05)


class Interrupted(BaseException):
    """What a signal handler raises, as Ctrl-C does."""


@row(
    CUT_SHORT._replace(outcome="cancelled", error=RAISED),
    answers=[Reply("Paris, of course.", chunk_delay_s=0.2)],
    flavours=(SYNC,),
)
async def interrupted_while_reading(sdk: Sdk) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    stream = await sdk.take(chat(sdk.client, stream=True))
    await sdk.read(stream, limit=1)
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        next(iter(stream))
    finally:
        signal.signal(signal.SIGALRM, before)


@row(CUT_SHORT._replace(outcome="cancelled", error=RAISED), answers=[SLOW], flavours=(ASYNC,))
async def task_cancelled_while_reading(sdk: Sdk) -> None:
    started = asyncio.Event()
    stream = await sdk.take(chat(sdk.client, stream=True))

    async def consume() -> None:
        async for _ in stream:
            started.set()

    task = asyncio.create_task(consume())
    await started.wait()
    task.cancel()
    await task


@row(CUT_SHORT._replace(outcome="abandoned"), answers=[PARIS], flavours=(ASYNC,))
async def task_cancelled_while_its_consumer_waits(sdk: Sdk) -> None:
    started = asyncio.Event()

    async def consume() -> None:
        async for _ in await chat(sdk.client, stream=True):
            started.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(consume())
    await started.wait()
    task.cancel()
    await task


@row(
    FAILED._replace(error="asyncio.exceptions.CancelledError"),
    answers=[Reply("Late.", delay_s=1.0)],
    flavours=(ASYNC,),
)
async def task_cancelled_before_the_reply(sdk: Sdk) -> None:
    async with asyncio.timeout(0.05):
        await chat(sdk.client)


@row(CUT_SHORT._replace(outcome="abandoned"), answers=[PARIS], flavours=(ASYNC,))
async def stream_abandoned_in_another_task(sdk: Sdk) -> None:
    streams = [await sdk.take(chat(sdk.client, stream=True))]

    async def consume() -> None:
        stream = streams.pop()
        async for _ in stream:
            break

    await asyncio.create_task(consume())
    await sdk.collect()


@row(CUT_SHORT._replace(outcome="abandoned"), answers=[SLOW], flavours=(ASYNC,))
async def read_dropped_by_the_event_loop(sdk: Sdk) -> None:
    """What becomes of a pending task when its loop is gone: closed in a context of nobody's."""
    stream = await sdk.take(chat(sdk.client, stream=True))
    await sdk.read(stream, limit=1)
    pending = stream.__anext__()
    contextvars.copy_context().run(pending.send, None)
    contextvars.Context().run(pending.close)
    del pending, stream
    gc.collect()


@row(FAILED._replace(error=None, outcome="abandoned"), answers=[PARIS], flavours=(ASYNC,))
async def request_dropped_by_the_event_loop(sdk: Sdk) -> None:
    pending = chat(sdk.client)
    contextvars.copy_context().run(pending.send, None)
    contextvars.Context().run(pending.close)


CASES: Final = [
    pytest.param(
        row,
        flavour == ASYNC,
        content,
        id=f"{row.act.__name__}-{flavour}-content_{'on' if content else 'off'}",
    )
    for row in TABLE
    for flavour, content in product(row.flavours, (False, True))
]


class TestTransparency:
    """Each row, sync and async, with content off and on."""

    @pytest.mark.parametrize(("row", "is_async", "content"), CASES)
    def test_is_seen_by_nobody_and_recorded_once(
        self, compare: Callable[..., Watched], row: Row, is_async: bool, content: bool
    ) -> None:
        """Result, request, error and warnings are the same, and each call is one true span."""
        watched = compare(row.act, row.answers, is_async=is_async, content=content)

        assert [read_span(span) for span in watched.spans] == [
            resolve(one, watched) for one in row.recorded
        ]
        assert watched.events == (len(row.recorded) if content else 0)
        assert count_durations(watched) == len(row.recorded)
        assert not watched.errors
        scopes = {getattr(span.instrumentation_scope, "name", None) for span in watched.finished}
        assert scopes == {"cert_otel_instrumentations.openai"}


def count_durations(watched: Watched) -> int:
    """Count the calls that the duration metric knows of."""
    name = semconv.METRIC_OPERATION_DURATION
    return sum(point["count"] for point in watched.points if point["name"] == name)


def resolve(recorded: Recorded, watched: Watched) -> Recorded:
    """Fill in what depends on the run: the id's digits and the type of the raised exception."""
    close: Any
    if recorded.error == RAISED:
        kind = watched.seen.error[0]
        name = kind.__qualname__
        error = name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"
        recorded = recorded._replace(error=error)
    if recorded.response is not None:
        prefix, digit = recorded.response[:-1], recorded.response[-1]
        recorded = recorded._replace(response=f"{prefix}{digit:0>24}")
    if recorded.cost is not None:
        close = pytest.approx(recorded.cost, rel=1e-12)
        recorded = recorded._replace(cost=close)
    if recorded.perplexity is not None:
        close = pytest.approx(recorded.perplexity, rel=1e-12)
        recorded = recorded._replace(perplexity=close)
    return recorded


def read_span(span: dict[str, Any]) -> Recorded:
    """Return what a span says, having checked that its parts agree."""
    found = span["attributes"].get
    error = found(semconv.ERROR_TYPE)
    tokens = (found(semconv.USAGE_INPUT_TOKENS), found(semconv.USAGE_OUTPUT_TOKENS))
    finish = found(semconv.RESPONSE_FINISH_REASONS)
    assert span["status"] == ("UNSET" if error is None else "ERROR")
    assert span["kind"] == "CLIENT"
    assert span["events"] == []
    return Recorded(
        name=span["name"],
        provider=found(semconv.PROVIDER_NAME),
        model=found(semconv.RESPONSE_MODEL),
        response=found(semconv.RESPONSE_ID),
        tokens=None if tokens == (None, None) else tokens,
        cached=found(semconv.USAGE_CACHE_READ_TOKENS),
        reasoning=found(semconv.USAGE_REASONING_TOKENS),
        cost=found(semconv.COST_AMOUNT),
        partial=found(semconv.COST_PARTIAL),
        finish=None if finish is None else tuple(finish),
        perplexity=found(semconv.PERPLEXITY),
        outcome=found(semconv.STREAM_OUTCOME),
        error=error,
        kind=found(semconv.RECORD_KIND),
    )
