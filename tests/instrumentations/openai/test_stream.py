"""Chunks of a chat, of which nearly all are one more token and are read by a shorter way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from cert_otel_instrumentations.openai._chat import ChatStream

USAGE: Final = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
HEAD: Final = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
TOKEN: Final = {
    "choices": [{"delta": {}, "logprobs": {"content": [{"token": "a", "logprob": -1.0}]}}]
}
REFUSED: Final = {
    "choices": [{"logprobs": {"content": [{"logprob": -2.0}], "refusal": [{"logprob": -3.0}]}}]
}

_tokens = st.lists(
    st.fixed_dictionaries({"token": st.just("a"), "logprob": st.floats(-9, 0)}), max_size=3
)
_logprobs = st.none() | st.fixed_dictionaries(
    {"content": st.none() | _tokens}, optional={"refusal": st.none() | _tokens, "of": st.just(1)}
)
_choices = st.fixed_dictionaries(
    {"delta": st.just({"content": "a"}), "finish_reason": st.sampled_from([None, None, "stop"])},
    optional={"index": st.integers(0, 2), "logprobs": _logprobs},
)
_one_choice = st.lists(_choices, min_size=1, max_size=1)
_chunks = st.fixed_dictionaries(
    {"choices": _one_choice | st.lists(_choices, max_size=2) | st.sampled_from([None, {"a": 1}])},
    optional={
        "usage": st.none() | st.just(USAGE),
        "service_tier": st.just("flex"),
        "unexpected": st.just({"id": "r"}),
    },
)
_failures = st.builds(
    lambda chunk: {**chunk, "error": {"code": "overloaded"}},
    st.fixed_dictionaries({"choices": _one_choice}),
)


def gather(chunks: list[Any], *, captures: bool) -> dict[str, Any]:
    """Return what a call knows after these chunks."""
    call: Any = SimpleNamespace(
        captures_content=captures,
        attributes={},
        response_id=None,
        target=SimpleNamespace(reports_cost=False),
    )
    stream = ChatStream(call)
    for chunk in chunks:
        stream.read(chunk)
    stream.close()
    return dict(vars(call))


@pytest.mark.parametrize("captures", [False, True])
@pytest.mark.parametrize("head", [HEAD, {"object": "chat.completion.chunk"}])
@example(chunks=[TOKEN, REFUSED, TOKEN])
@given(chunks=st.lists(_chunks | _failures, min_size=2, max_size=4))
@settings(max_examples=300)
def test_by_whatever_way(head: dict[str, Any], chunks: list[Any], *, captures: bool) -> None:
    """Objects of the SDK, which may be skimmed, say what the JSON says that they were made of."""
    plain: list[Any] = [{**head, **chunk} for chunk in chunks]
    objects: list[Any] = [ChatCompletionChunk.construct(**chunk) for chunk in plain]

    assert gather(objects, captures=captures) == gather(plain, captures=captures)
