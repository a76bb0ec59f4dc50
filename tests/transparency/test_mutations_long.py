"""Replies that no provider should send: the SDK's answer to them is the same with us.

Fields are removed, emptied, given the wrong type, huge numbers, junk and broken characters.
"""

from __future__ import annotations

import copy
import json
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, cast

import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from cert_otel import semconv

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.transparency.conftest import Canned, Sdk, Watched

    Act = Callable[[Sdk], Awaitable[None]]
    Path = tuple[str | int, ...]

AT_HAND: Final = openai.OpenAI(api_key="test")
QUESTION: Final = [{"role": "user", "content": "What is the capital of France?"}]
LOGPROBS: Final[dict[str, Any]] = {
    "content": [{"token": "Paris", "logprob": -0.5, "bytes": None, "top_logprobs": []}],
    "refusal": None,
}
USAGE: Final = {
    "prompt_tokens": 12,
    "completion_tokens": 3,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 1},
    "cost": 0.001,
}
TOOL_CALL: Final = {
    "index": 0,
    "id": "call_1",
    "type": "function",
    "function": {"name": "find", "arguments": '{"city": "Paris"}'},
}
ENVELOPE: Final = {
    "id": "chatcmpl-1",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "service_tier": "default",
    "system_fingerprint": "fp_1",
}
CHAT: Final = {
    **ENVELOPE,
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": LOGPROBS,
            "message": {
                "role": "assistant",
                "content": "Paris",
                "refusal": None,
                "reasoning_content": "Hm.",
                "tool_calls": [TOOL_CALL],
            },
        }
    ],
    "usage": USAGE,
}
CHUNKS: Final = [
    {**ENVELOPE, "object": "chat.completion.chunk", "choices": [choice], "usage": usage}
    for choice, usage in (
        ({"index": 0, "delta": {"role": "assistant", "content": ""}}, None),
        ({"index": 0, "delta": {"content": "Paris"}, "logprobs": LOGPROBS}, None),
        ({"index": 0, "delta": {"tool_calls": [TOOL_CALL]}}, None),
        ({"index": 0, "delta": {}, "finish_reason": "stop"}, USAGE),
    )
]
COMPLETION: Final = {
    **ENVELOPE,
    "object": "text_completion",
    "choices": [
        {
            "index": 0,
            "text": "Paris",
            "finish_reason": "stop",
            "logprobs": {"tokens": ["Paris"], "token_logprobs": [-0.5], "top_logprobs": None},
        }
    ],
    "usage": USAGE,
}
RESPONSE: Final = {
    **ENVELOPE,
    "id": "resp_1",
    "object": "response",
    "status": "incomplete",
    "incomplete_details": {"reason": "max_output_tokens"},
    "error": {"code": "server_error", "message": "No."},
    "output": [
        {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "content": [
                {
                    "type": "output_text",
                    "text": "Paris",
                    "annotations": [],
                    "logprobs": [{"token": "Paris", "logprob": -0.5}],
                }
            ],
        },
        {"id": "fc_1", "type": "function_call", "name": "find", "arguments": "{}", "call_id": "c"},
        {"id": "ws_1", "type": "web_search_call", "status": "completed"},
    ],
    "usage": {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 8},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 15,
    },
}
EVENTS: Final = [
    {"type": "response.created", "sequence_number": 0, "response": RESPONSE},
    {"type": "response.output_text.delta", "sequence_number": 1, "delta": "Pa", "item_id": "m"},
    {"type": "error", "sequence_number": 2, "code": "server_error", "message": "No."},
    {"type": "response.completed", "sequence_number": 3, "response": RESPONSE},
]
EMBEDDING: Final = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "usage": {"prompt_tokens": 12, "total_tokens": 12},
}
IMAGE: Final = {
    "created": 1,
    "data": [{"b64_json": "AAAA"}],
    "usage": {
        "input_tokens": 2,
        "output_tokens": 3,
        "total_tokens": 5,
        "input_tokens_details": {"text_tokens": 2, "image_tokens": 0},
    },
}
ERROR: Final = {"error": {"message": "No.", "type": "server_error", "code": None, "param": None}}


async def ask_chat(sdk: Sdk) -> None:
    await sdk.see(sdk.client.chat.completions.create(model="gpt-4o", messages=QUESTION))


async def ask_openrouter(sdk: Sdk) -> None:
    client = sdk.open(base_url="https://openrouter.ai/api/v1")
    await sdk.see(client.chat.completions.create(model="gpt-4o", messages=QUESTION))


async def stream_chat(sdk: Sdk) -> None:
    completions = sdk.client.chat.completions
    stream = await sdk.take(completions.create(model="gpt-4o", messages=QUESTION, stream=True))
    await sdk.read(stream)


async def stream_chat_lines(sdk: Sdk) -> None:
    completions = sdk.client.chat.completions.with_streaming_response
    manager = completions.create(model="gpt-4o", messages=QUESTION, stream=True)
    async with sdk.enter(manager) as reply:
        await sdk.read(reply.iter_lines())


async def complete(sdk: Sdk) -> None:
    await sdk.see(sdk.client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Hello"))


async def stream_completion(sdk: Sdk) -> None:
    completions = sdk.client.completions
    model = "gpt-3.5-turbo-instruct"
    await sdk.read(await sdk.take(completions.create(model=model, prompt="Hello", stream=True)))


async def respond(sdk: Sdk) -> None:
    await sdk.see(sdk.client.responses.create(model="gpt-4o", input="Hello"))


async def retrieve(sdk: Sdk) -> None:
    await sdk.see(sdk.client.responses.retrieve("resp_1"))


async def stream_response(sdk: Sdk) -> None:
    responses = sdk.client.responses
    await sdk.read(await sdk.take(responses.create(model="gpt-4o", input="Hello", stream=True)))


async def embed(sdk: Sdk) -> None:
    embeddings = sdk.client.embeddings
    model = "text-embedding-3-small"
    await sdk.see(embeddings.create(model=model, input="Hello", encoding_format="float"))


async def draw(sdk: Sdk) -> None:
    await sdk.see(sdk.client.images.generate(model="gpt-image-1", prompt="A cat"))


CASES: Final = [
    (act, template)
    for act, template in (
        (ask_chat, CHAT),
        (ask_openrouter, CHAT),
        (ask_chat, ERROR),
        (stream_chat, CHUNKS),
        (stream_chat, [*CHUNKS[:2], ERROR]),
        (stream_chat_lines, CHUNKS),
        (complete, COMPLETION),
        (stream_completion, [COMPLETION, COMPLETION]),
        (respond, RESPONSE),
        (retrieve, RESPONSE),
        (stream_response, EVENTS),
        (embed, EMBEDDING),
        (draw, IMAGE),
    )
    if hasattr(AT_HAND, "responses") or act not in (respond, retrieve, stream_response)
]


def list_paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield where something can be put in the place of something else."""
    if path:
        yield path
    if isinstance(value, dict):
        for name, item in value.items():
            yield from list_paths(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from list_paths(item, (*path, index))


def nest(depth: int) -> Any:
    """Return JSON that is `depth` levels deep."""
    value: Any = "bottom"
    for level in range(depth):
        value = [value] if level % 2 else {"down": value}
    return value


REMOVED: Final = object()
JUNK: Final = st.one_of(
    st.just(REMOVED),
    st.none(),
    st.booleans(),
    st.sampled_from(
        [
            -1,
            2**63,
            10**400,
            -0.5,
            1e308,
            -1e308,
            -9999.0,
            -800.0,
            float("nan"),
            float("inf"),
            float("-inf"),
        ]
    ),
    st.sampled_from(["", "x", "\ud800", "a\udfffb", "\0", "ü" * 300, "{", "data:,"]),
    st.builds(nest, st.sampled_from([1, 3, 60])),
    st.lists(st.one_of(st.none(), st.text(max_size=3), st.integers()), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
)


def replace(tree: Any, path: Path, junk: Any) -> None:
    """Put junk at a path; a path that an earlier change took away is passed over."""
    *parents, last = path
    last = cast("Any", last)  # a name or an index, which the check below tells apart
    for step in parents:
        try:
            tree = tree[step]
        except (IndexError, KeyError, TypeError):
            return
    if not isinstance(tree, (dict, list)) or (isinstance(tree, dict) != isinstance(last, str)):
        return
    if isinstance(tree, dict):
        tree.pop(last, None)
    if junk is not REMOVED and (isinstance(tree, dict) or last < len(tree)):
        tree[last] = copy.deepcopy(junk)


def encode(tree: Any, canned: type[Canned]) -> Canned:
    """Return a tree as the body of a reply: a list as an event stream."""
    if not isinstance(tree, list):
        status = 500 if "error" in tree and "id" not in tree else 200
        return canned(json.dumps(tree).encode(), status=status)
    events = "".join(f"data: {json.dumps(event)}\n\n" for event in tree)
    return canned(f"{events}data: [DONE]\n\n".encode(), "text/event-stream")


REQUESTS: Final[dict[str, dict[str, Any]]] = {
    "chat.completions": {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "name": "ann",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
                ],
            },
            {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "Paris"},
        ],
        "temperature": 0.5,
        "top_p": 0.5,
        "max_completion_tokens": 5,
        "seed": 7,
        "n": 2,
        "stop": ["."],
        "user": "u-17",
        "service_tier": "auto",
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
        "tools": [{"type": "function", "function": {"name": "find", "parameters": {}}}],
    },
    "completions": {"model": "gpt-3.5-turbo-instruct", "prompt": ["Hello"], "stop": "."},
    "embeddings": {"model": "text-embedding-3-small", "input": ["a"], "dimensions": 8},
    "responses": {
        "model": "gpt-4o",
        "instructions": "Be brief.",
        "previous_response_id": "resp_0",
        "conversation": {"id": "conv_1"},
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "text"}},
        "tools": [{"type": "web_search"}],
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
            {"type": "function_call_output", "call_id": "call_1", "output": "Paris"},
            {"type": "reasoning", "id": "rs_1", "summary": []},
        ],
    },
}


class TestMutatedRequests:
    """Arguments of the application, changed in up to three places."""

    @pytest.mark.parametrize(
        "resource", [name for name in REQUESTS if hasattr(AT_HAND, name.split(".")[0])]
    )
    @settings(
        max_examples=600,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(data=st.data())
    def test_reach_the_provider_as_they_are(
        self,
        compare: Callable[..., Watched],
        canned: type[Canned],
        *,
        resource: str,
        data: st.DataObject,
    ) -> None:
        """The same bytes are sent or the same error is raised, and no error is ours."""
        arguments = copy.deepcopy(REQUESTS[resource])
        mutate(arguments, data)

        async def ask(sdk: Sdk) -> None:
            client = sdk.client
            create = attrgetter(f"{resource}.create")(client)
            await sdk.see(create(**arguments))

        replies = [encode({**CHAT, "data": []}, canned)]
        watched = compare(ask, replies, is_async=data.draw(st.booleans()), content=True)

        check(watched)


def mutate(tree: Any, data: st.DataObject) -> None:
    """Change a tree in up to three places."""
    paths = st.sampled_from(list(list_paths(tree)))
    for path, junk in data.draw(st.lists(st.tuples(paths, JUNK), min_size=1, max_size=3)):
        replace(tree, path, junk)


def check(watched: Watched) -> None:
    """No error of ours, and spans that every exporter can send."""
    assert not watched.errors
    assert encode_spans(watched.finished).ByteSize() > 0 or not watched.spans
    assert len(watched.spans) <= 1
    for span in watched.spans:
        for name in (semconv.INPUT_MESSAGES, semconv.OUTPUT_MESSAGES):
            json.loads(span["attributes"].get(name, "[]"))


class TestMutatedReplies:
    """Templates of every endpoint, changed in up to three places."""

    @pytest.mark.parametrize(
        ("act", "template"), CASES, ids=[f"{act.__name__}-{n}" for n, (act, _) in enumerate(CASES)]
    )
    @settings(
        max_examples=600,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(data=st.data())
    def test_are_the_sdks_business(
        self,
        compare: Callable[..., Watched],
        canned: type[Canned],
        *,
        act: Act,
        template: Any,
        data: st.DataObject,
    ) -> None:
        """Same result or same error, no error of ours, and a span that every exporter can send."""
        tree = copy.deepcopy(template)
        mutate(tree, data)
        is_async = data.draw(st.booleans())
        watched = compare(act, [encode(tree, canned)], is_async=is_async, content=True)

        check(watched)
        assert len(watched.spans) == 1
