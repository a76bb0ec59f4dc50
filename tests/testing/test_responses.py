"""The Responses API as the fake provider sends it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest
from inline_snapshot import snapshot
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from cert_otel.testing import Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai import OpenAI

_PATH = "/v1/responses"
_BODY: dict[str, Any] = {"model": "o4-mini", "input": "What is 2+2?"}
_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_FULL = Reply("It is 4.", reasoning="Two and two.", tool_calls=[ToolCall("add", {"a": 1})])
_SHAPES: list[tuple[dict[str, Any], Reply]] = [
    ({"reasoning": {"summary": "auto"}}, _FULL),
    ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, Reply("It is 4.")),
    ({"instructions": "Be brief."}, Reply(refusal="I will not.")),
    ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]}, Reply("a")),
    ({}, Reply("It is", finish_reason="length")),
]


class TestWhole:
    @pytest.mark.parametrize(("extra", "reply"), _SHAPES)
    def test_the_sdk_knows_every_field(
        self, ask: Callable[..., Any], extra: dict[str, Any], reply: Reply
    ) -> None:
        """Validated strictly, nothing is missing; unknown is only `store`, which is real."""
        parsed = Response.model_validate(ask(_PATH, _BODY | extra, reply))

        assert parsed.model_extra == {"store": True}
        assert [item.model_extra for item in parsed.output] == [{}] * len(parsed.output)

    def test_items_come_in_order(self, ask: Callable[..., Any]) -> None:
        """Reasoning, message, then function calls."""
        body = ask(_PATH, _BODY, _FULL)

        assert body["output"] == snapshot(
            [
                {"id": "rs_000000000000000000000001", "type": "reasoning", "summary": []},
                {
                    "id": "msg_000000000000000000000001",
                    "type": "message",
                    "status": "completed",
                    "role": "assistant",
                    "content": [
                        {
                            "type": "output_text",
                            "text": "It is 4.",
                            "annotations": [],
                            "logprobs": [],
                        }
                    ],
                },
                {
                    "id": "fc_000000000000000000000001",
                    "type": "function_call",
                    "status": "completed",
                    "call_id": "call_000000000000000000000001",
                    "name": "add",
                    "arguments": '{"a": 1}',
                },
            ]
        )
        assert body["usage"] == snapshot(
            {
                "input_tokens": 13,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": 16,
                "output_tokens_details": {"reasoning_tokens": 4},
                "total_tokens": 29,
            }
        )

    def test_only_calls_is_no_message(self, connect: Callable[..., OpenAI]) -> None:
        """A model that only calls functions says nothing."""
        client = connect(Reply(tool_calls=[ToolCall("add")]))

        assert [item.type for item in client.responses.create(**_BODY).output] == ["function_call"]

    def test_an_answer_that_was_cut_is_incomplete(self, connect: Callable[..., OpenAI]) -> None:
        """The finish reason becomes a status with details."""
        response = connect(Reply("It", finish_reason="length")).responses.create(**_BODY)

        assert response.status == "incomplete"
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == "max_output_tokens"

    def test_usage_is_scripted(self, ask: Callable[..., Any]) -> None:
        """Exactly, or not at all."""
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}

        assert ask(_PATH, _BODY, Reply("a", usage=usage))["usage"] == usage
        assert ask(_PATH, _BODY, Reply("a", send_usage=False))["usage"] is None

    def test_can_be_fetched_later(self, connect: Callable[..., OpenAI]) -> None:
        """What was made, plain or streamed, is kept; what was not is not found."""
        client = connect("One.", "Two.")
        one = client.responses.create(**_BODY)
        with client.responses.stream(**_BODY) as stream:
            two = stream.get_final_response()

        assert client.responses.retrieve(one.id).output_text == "One."
        assert client.responses.retrieve(two.id).output_text == "Two."
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve("resp_none")

    def test_structured_output_parses(self, connect: Callable[..., OpenAI]) -> None:
        """The canned answer fills the schema."""

        class Total(BaseModel):
            total: int

        parsed = connect().responses.parse(**_BODY, text_format=Total)

        assert parsed.output_parsed == Total(total=1)

    def test_a_demanded_function_is_called(self, connect: Callable[..., OpenAI]) -> None:
        """Tools have their flat shape here."""
        tool: Any = {
            "type": "function",
            "name": "add",
            "strict": True,
            "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
        }
        client = connect()

        choices: tuple[Any, ...] = ("required", {"type": "function", "name": "add"})
        for choice in choices:
            call = client.responses.create(**_BODY, tools=[tool], tool_choice=choice).output[0]
            assert call.type == "function_call"
            assert call.arguments == '{"a": 1}'

    def test_canned_answer_to_a_tool_result(self, connect: Callable[..., OpenAI]) -> None:
        """The last item is what was asked, a tool's output too."""
        items: Any = [{"type": "function_call_output", "call_id": "call_1", "output": "sunny"}]

        answer = connect().responses.create(model="gpt-4o", input=items)

        assert answer.output_text == "You asked: sunny"


class TestStreamed:
    @pytest.mark.parametrize(("extra", "reply"), _SHAPES)
    def test_the_sdk_knows_every_event(
        self, listen: Callable[..., Any], extra: dict[str, Any], reply: Reply
    ) -> None:
        """Validated strictly, named like their type and numbered without a gap."""
        events = listen(_PATH, _BODY | extra, reply)

        for number, (name, data) in enumerate(events):
            event = _EVENT.validate_json(data)
            assert (event.type, event.sequence_number) == (name, number)

    def test_events_come_in_order(self, listen: Callable[..., Any]) -> None:
        """Each item is added, filled and done before the next one."""
        events = listen(_PATH, _BODY | {"reasoning": {"summary": "auto"}}, _FULL)
        names = [name.removeprefix("response.") for name, _ in events]
        once = [
            name
            for position, name in enumerate(names)
            if not position or name != names[position - 1]
        ]

        assert once == snapshot(
            [
                "created",
                "in_progress",
                "output_item.added",
                "reasoning_summary_part.added",
                "reasoning_summary_text.delta",
                "reasoning_summary_text.done",
                "reasoning_summary_part.done",
                "output_item.done",
                "output_item.added",
                "content_part.added",
                "output_text.delta",
                "output_text.done",
                "content_part.done",
                "output_item.done",
                "output_item.added",
                "function_call_arguments.delta",
                "function_call_arguments.done",
                "output_item.done",
                "completed",
            ]
        )

    def test_the_stream_ends_with_the_whole(self, listen: Callable[..., Any]) -> None:
        """The last event holds the response with its usage, the first ones hold none."""
        events = [json.loads(data) for _, data in listen(_PATH, _BODY, _FULL)]

        assert events[0]["response"]["usage"] is None
        assert events[0]["response"]["output"] == []
        assert events[-1]["response"]["usage"]["total_tokens"] == 29
        assert len(events[-1]["response"]["output"]) == 3

    def test_the_sdk_accumulates_it(self, connect: Callable[..., OpenAI]) -> None:
        """Text, refusal and arguments add up to the final response."""
        client = connect(_FULL, Reply(refusal="I will not."))

        with client.responses.stream(**_BODY) as stream:
            deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
            assert "".join(deltas) == stream.get_final_response().output_text == "It is 4."
        with client.responses.stream(**_BODY) as stream:
            message = stream.get_final_response().output[0]
        assert message.type == "message"
        assert message.content[0].type == "refusal"

    @pytest.mark.parametrize("status", ["failed", "incomplete"])
    def test_a_failed_response_is_patched(self, listen: Callable[..., Any], status: str) -> None:
        """The last event is named after the status."""
        patch = {"status": status, "output": None, "usage": None}

        assert listen(_PATH, _BODY, Reply("a", patch=patch))[-1][0] == f"response.{status}"
