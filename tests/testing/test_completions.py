"""Legacy completions as the fake provider sends them."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot
from openai.types import Completion

from cert_otel.testing import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai import OpenAI

_PATH = "/v1/completions"
_BODY = {"model": "gpt-3.5-turbo-instruct", "prompt": "Say hi"}


class TestWhole:
    def test_body_is_the_providers(self, ask: Callable[..., Any]) -> None:
        """Logprobs are parallel lists, with offsets into the text."""
        body = ask(_PATH, _BODY | {"logprobs": 1}, Reply("Hi there", logprobs=[-0.1, -0.2]))

        assert Completion.model_validate(body).model_extra == {}
        assert body["choices"] == snapshot(
            [
                {
                    "text": "Hi there",
                    "index": 0,
                    "logprobs": {
                        "tokens": ["Hi", " there"],
                        "token_logprobs": [-0.1, -0.2],
                        "top_logprobs": [{"Hi": -0.1}, {" there": -0.2}],
                        "text_offset": [0, 2],
                    },
                    "finish_reason": "stop",
                }
            ]
        )

    @pytest.mark.parametrize(
        ("prompt", "choices"), [("a", 2), (["a", "b"], 4), ([1, 2, 3], 2), ([[1], [2]], 4), ([], 2)]
    )
    def test_each_prompt_has_its_choices(
        self, ask: Callable[..., Any], prompt: Any, choices: int
    ) -> None:
        """`n` counts for each prompt; token ids are one prompt."""
        body = ask(_PATH, _BODY | {"prompt": prompt, "n": 2}, "x")

        assert [choice["index"] for choice in body["choices"]] == list(range(choices))
        assert body["usage"]["completion_tokens"] == choices

    def test_usage_can_be_withheld(self, ask: Callable[..., Any]) -> None:
        """A body without usage is scripted."""
        assert "usage" not in ask(_PATH, _BODY, Reply("x", send_usage=False))

    def test_canned_answer(self, connect: Callable[..., OpenAI]) -> None:
        """Nothing scripted, the answer repeats the prompt."""
        answer = connect().completions.create(model="babbage-002", prompt="Say hi")

        assert answer.choices[0].text == "You asked: Say hi"
        assert answer.model == "babbage-002"


class TestStreamed:
    @pytest.mark.parametrize("counted", [True, False])
    def test_the_stream_says_what_the_whole_says(
        self, connect: Callable[..., OpenAI], *, counted: bool
    ) -> None:
        """Text, logprobs and, when asked for, usage are those of the plain answer."""
        client = connect("Hi there", "Hi there")
        options: dict[str, Any] = {"model": "babbage-002", "prompt": ["a", "b"], "logprobs": 2}

        whole = client.completions.create(**options)
        chunks = list(
            client.completions.create(
                **options, stream=True, stream_options={"include_usage": counted}
            )
        )
        parts = [chunk.choices[0] for chunk in chunks if chunk.choices]

        for choice in whole.choices:
            own = [part for part in parts if part.index == choice.index]
            assert "".join(part.text for part in own) == choice.text
            assert choice.logprobs is not None
            tokens = [part.logprobs.tokens or [] for part in own if part.logprobs]
            assert list(chain.from_iterable(tokens)) == choice.logprobs.tokens
            assert own[-1].finish_reason == "stop"
        assert chunks[-1].usage == (whole.usage if counted else None)
