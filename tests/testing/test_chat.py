"""Chat completions as the fake provider sends them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest
from inline_snapshot import snapshot
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from cert_otel.testing import Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai import OpenAI

_PATH = "/v1/chat/completions"
_BODY: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "What is 2+2?"}],
}
_TOOL: Any = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}


class _Sum(BaseModel):
    total: int
    steps: list[str]


class TestWhole:
    def test_body_is_the_providers(self, ask: Callable[..., Any]) -> None:
        """Every field of a plain answer, in the provider's shape."""
        assert ask(_PATH, _BODY, "It is 4.") == snapshot(
            {
                "id": "chatcmpl-000000000000000000000001",
                "object": "chat.completion",
                "created": 1760000001,
                "model": "gpt-4o-2024-08-06",
                "system_fingerprint": "fp_00b55827d2",
                "service_tier": "default",
                "choices": [
                    {
                        "index": 0,
                        "message": {
                            "role": "assistant",
                            "content": "It is 4.",
                            "refusal": None,
                            "annotations": [],
                        },
                        "logprobs": None,
                        "finish_reason": "stop",
                    }
                ],
                "usage": {
                    "prompt_tokens": 13,
                    "completion_tokens": 4,
                    "total_tokens": 17,
                    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                    "completion_tokens_details": {
                        "reasoning_tokens": 0,
                        "audio_tokens": 0,
                        "accepted_prediction_tokens": 0,
                        "rejected_prediction_tokens": 0,
                    },
                },
            }
        )

    @pytest.mark.parametrize(
        ("extra", "reply"),
        [
            ({"n": 2, "logprobs": True, "top_logprobs": 2}, Reply("Yes.", alternatives=["No."])),
            ({"tools": [_TOOL]}, Reply(tool_calls=[ToolCall("add", {"a": 1})])),
            ({"logprobs": True}, Reply(refusal="I will not.")),
            ({"service_tier": "flex"}, Reply("Yes.", finish_reason="length", reasoning="Hm, well")),
        ],
    )
    def test_the_sdk_knows_every_field(
        self, ask: Callable[..., Any], extra: dict[str, Any], reply: Reply
    ) -> None:
        """Validated strictly, nothing is missing and nothing is unknown."""
        parsed = ChatCompletion.model_validate(ask(_PATH, _BODY | extra, reply))

        assert parsed.model_extra == parsed.choices[0].model_extra == {}
        assert parsed.choices[0].message.model_extra == {}

    def test_choices_have_their_own_texts(self, connect: Callable[..., OpenAI]) -> None:
        """Where the script has fewer texts than choices, the first one is repeated."""
        client = connect(Reply("a", alternatives=["b"]))

        answer = client.chat.completions.create(model="gpt-4o", messages=[], n=3)

        assert [choice.message.content for choice in answer.choices] == ["a", "b", "a"]
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 3

    def test_scripted_logprobs_are_sent_when_asked_for(
        self, ask: Callable[..., Any], connect: Callable[..., OpenAI]
    ) -> None:
        """One entry a token, with its bytes and the alternatives that were asked for."""
        reply = Reply("Sí there", logprobs=[-0.1, -9999.0])
        body = ask(_PATH, _BODY | {"logprobs": True, "top_logprobs": 1}, reply)

        assert body["choices"][0]["logprobs"]["content"][0] == snapshot(
            {
                "token": "Sí",
                "logprob": -0.1,
                "bytes": [83, 195, 173],
                "top_logprobs": [{"token": "Sí", "logprob": -0.1, "bytes": [83, 195, 173]}],
            }
        )
        plain = connect(reply).chat.completions.create(model="gpt-4o", messages=[])
        assert plain.choices[0].logprobs is None

    def test_usage_is_scripted_exactly(self, ask: Callable[..., Any]) -> None:
        """What the script says goes over the wire, or nothing does."""
        usage = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}

        assert ask(_PATH, _BODY, Reply("a", usage=usage))["usage"] == usage
        assert "usage" not in ask(_PATH, _BODY, Reply("a", send_usage=False))

    def test_parts_of_the_usage_are_scripted(self, ask: Callable[..., Any]) -> None:
        """Cached and reasoning tokens are parts, reasoning adds to the output."""
        usage = ask(_PATH, _BODY, Reply("a", cached_tokens=5, reasoning="Hm, well"))["usage"]

        assert usage["prompt_tokens_details"]["cached_tokens"] == 5
        assert usage["completion_tokens_details"]["reasoning_tokens"] == 3
        assert usage["completion_tokens"] == 1 + 3

    def test_fields_can_be_replaced(self, ask: Callable[..., Any]) -> None:
        """A broken body is one that the script patched."""
        assert ask(_PATH, _BODY, Reply("a", patch={"choices": None}))["choices"] is None

    def test_the_model_and_its_tier_are_scripted(self, ask: Callable[..., Any]) -> None:
        """Fingerprint, tier and model are the script's where it names them."""
        reply = Reply("a", model="m", service_tier="priority", system_fingerprint="fp_1")
        body = ask(_PATH, _BODY, reply)

        assert (body["model"], body["service_tier"], body["system_fingerprint"]) == (
            "m",
            "priority",
            "fp_1",
        )


class TestStreamed:
    @pytest.mark.parametrize(
        ("extra", "reply"),
        [
            ({"n": 2, "logprobs": True, "top_logprobs": 2}, Reply("Yes.", alternatives=["No."])),
            ({"tools": [_TOOL]}, Reply(tool_calls=[ToolCall("add", {"a": 1})])),
            ({"logprobs": True}, Reply(refusal="I will not.")),
            ({"stream_options": {"include_usage": True}}, Reply("Yes.")),
        ],
    )
    def test_the_sdk_knows_every_field(
        self, listen: Callable[..., Any], extra: dict[str, Any], reply: Reply
    ) -> None:
        """Validated strictly, each chunk is a chunk and the stream ends as it should."""
        *chunks, (_, end) = listen(_PATH, _BODY | extra, reply)

        assert end == "[DONE]"
        for _, data in chunks:
            chunk = ChatCompletionChunk.model_validate_json(data)
            assert chunk.model_extra == {}
            assert [choice.model_extra for choice in chunk.choices] == [{}] * len(chunk.choices)

    def test_the_stream_says_what_the_whole_says(self, connect: Callable[..., OpenAI]) -> None:
        """Accumulated by the SDK, text, logprobs and usage are those of the plain answer."""
        replies = [Reply("Four, of course.", alternatives=["Five."])] * 2
        client = connect(*replies)
        options: dict[str, Any] = {"model": "gpt-4o", "messages": [], "n": 2, "logprobs": True}

        whole = client.chat.completions.create(**options)
        with client.chat.completions.stream(
            **options, stream_options={"include_usage": True}
        ) as stream:
            streamed = stream.get_final_completion()

        assert streamed.usage == whole.usage
        for one, other in zip(streamed.choices, whole.choices, strict=True):
            assert one.message.content == other.message.content
            assert one.logprobs == other.logprobs
            assert one.finish_reason == other.finish_reason

    def test_usage_comes_last_and_alone(self, listen: Callable[..., Any]) -> None:
        """Asked for, it is null on every chunk but the last, which has no choice."""
        events = listen(_PATH, _BODY | {"stream_options": {"include_usage": True}}, "It is 4.")
        *chunks, last = [json.loads(data) for _, data in events[:-1]]

        assert [chunk["usage"] for chunk in chunks] == [None] * len(chunks)
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] == 13 + 4

    @pytest.mark.parametrize("extra", [{}, {"stream_options": {"include_usage": False}}])
    def test_usage_is_not_sent_unasked(
        self, listen: Callable[..., Any], extra: dict[str, Any]
    ) -> None:
        """Without the option no chunk mentions usage."""
        assert not any("usage" in data for _, data in listen(_PATH, _BODY | extra, "It is 4."))

    def test_usage_can_be_withheld(self, listen: Callable[..., Any]) -> None:
        """A provider that ignores the option is scripted."""
        asked = _BODY | {"stream_options": {"include_usage": True}}

        assert not any(
            "usage" in data for _, data in listen(_PATH, asked, Reply("a", send_usage=False))
        )

    def test_tool_calls_arrive_in_pieces(self, listen: Callable[..., Any]) -> None:
        """First the name, then the arguments piece by piece, each with the call's index."""
        calls = [ToolCall("add", {"a": 1}), ToolCall("stop")]
        events = listen(_PATH, _BODY, Reply(tool_calls=calls))
        deltas = [json.loads(data)["choices"][0]["delta"] for _, data in events[:-1]]
        pieces = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]

        assert deltas[0]["content"] is None
        assert pieces[0] == snapshot(
            {
                "index": 0,
                "id": "call_000000000000000000000001",
                "type": "function",
                "function": {"name": "add", "arguments": ""},
            }
        )
        first = [piece["function"]["arguments"] for piece in pieces if piece["index"] == 0]
        assert len(first) > 2
        assert "".join(first) == '{"a": 1}'
        assert [piece["id"] for piece in pieces if "id" in piece][1] == pieces[0]["id"] + "1"

    def test_a_refusal_is_streamed_as_one(self, connect: Callable[..., OpenAI]) -> None:
        """It is refusal text, never content."""
        client = connect(Reply(refusal="I will not."))
        with client.chat.completions.stream(model="gpt-4o", messages=[]) as stream:
            message = stream.get_final_completion().choices[0].message

        assert (message.refusal, message.content) == ("I will not.", None)


class TestCanned:
    def test_repeats_the_question(self, connect: Callable[..., OpenAI]) -> None:
        """Nothing scripted, the answer shows what arrived."""
        client = connect()
        parts: Any = [{"type": "text", "text": "ignored"}, {"type": "text", "text": "And 3+3?"}]

        plain = client.chat.completions.create(**_BODY)
        of_parts = client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": parts}]
        )
        nothing = client.chat.completions.create(model="gpt-4o", messages=[])

        assert plain.choices[0].message.content == "You asked: What is 2+2?"
        assert of_parts.choices[0].message.content == "You asked: And 3+3?"
        assert nothing.choices[0].message.content == "Nothing was asked."

    def test_fills_the_schema(self, connect: Callable[..., OpenAI]) -> None:
        """Structured outputs parse."""
        answer = connect().chat.completions.parse(**_BODY, response_format=_Sum)

        assert answer.choices[0].message.parsed == _Sum(total=1, steps=["text"])

    @pytest.mark.parametrize(
        "choice", ["required", {"type": "function", "function": {"name": "add"}}]
    )
    def test_calls_the_tool_that_is_demanded(
        self, connect: Callable[..., OpenAI], choice: Any
    ) -> None:
        """`required` or a name makes a call with arguments that fit."""
        answer = connect().chat.completions.create(**_BODY, tools=[_TOOL], tool_choice=choice)
        call = (answer.choices[0].message.tool_calls or [])[0]

        assert call.type == "function"
        assert (call.function.name, call.function.arguments) == ("add", '{"a": 1}')
        assert answer.choices[0].finish_reason == "tool_calls"

    @pytest.mark.parametrize("choice", ["auto", {"type": "function", "function": {"name": "no"}}])
    def test_calls_no_tool_otherwise(self, connect: Callable[..., OpenAI], choice: Any) -> None:
        """A free choice, or a tool that is not there, gives text."""
        answer = connect().chat.completions.create(**_BODY, tools=[_TOOL], tool_choice=choice)

        assert answer.choices[0].message.tool_calls is None

    def test_broken_structured_output_is_scripted(self, connect: Callable[..., OpenAI]) -> None:
        """A reply's text is sent as it is, whatever the schema says."""
        client = connect(Reply('{"total": ', finish_reason="length"))

        with pytest.raises(openai.LengthFinishReasonError):
            client.chat.completions.parse(**_BODY, response_format=_Sum)
