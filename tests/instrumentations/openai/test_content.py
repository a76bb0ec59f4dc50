"""Messages of requests and replies in the form of the conventions."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, Final

import pytest

from cert_otel import config, semconv

if TYPE_CHECKING:
    from tests.instrumentations.openai.conftest import Desk

pytestmark = pytest.mark.usefixtures("content_on")

DATA: Final = base64.b64encode(b"picture").decode()
BLOB: Final = {"sha256": hashlib.sha256(b"picture").hexdigest(), "size_bytes": 7}
TOOL_CALL: Final = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "find", "arguments": '{"city": "Paris"}'},
}
FOUND: Final = {
    "type": "tool_call",
    "id": "call_1",
    "name": "find",
    "arguments": {"city": "Paris"},
}


def reply(message: Any = None, *, finish_reason: str = "stop", **fields: Any) -> dict[str, Any]:
    """Return a chat completion of one choice."""
    choice = {"index": 0, "finish_reason": finish_reason, "message": message or {}}
    return {"id": "chatcmpl-1", "model": "gpt-4o", "choices": [choice]} | fields


def chunk(delta: Any, *, index: int | None = 0, finish_reason: str | None = None) -> dict[str, Any]:
    """Return a chunk of one choice."""
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
    return {"id": "chatcmpl-1", "model": "gpt-4o", "choices": [choice]}


class TestChatRequest:
    """What was asked, part by part."""

    @pytest.mark.parametrize(
        ("content", "parts"),
        [
            ("Hello", [{"type": "text", "content": "Hello"}]),
            ("", []),
            (None, []),
            ([{"type": "text", "text": "Hi"}], [{"type": "text", "content": "Hi"}]),
            (["Hi"], [{"type": "text", "content": "Hi"}]),
            (
                [{"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}],
                [{"type": "uri", "modality": "image", "uri": "https://x.test/a.png"}],
            ),
            (
                [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}],
                [{"type": "blob", "modality": "image", "mime_type": "image/png", **BLOB}],
            ),
            (
                [{"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}}],
                [{"type": "blob", "modality": "audio", "mime_type": "audio/wav", **BLOB}],
            ),
            (
                [{"type": "file", "file": {"file_id": "file-1"}}],
                [{"type": "file", "modality": "document", "file_id": "file-1"}],
            ),
            (
                [{"type": "file", "file": {"file_data": f"data:application/pdf;base64,{DATA}"}}],
                [
                    {
                        "type": "blob",
                        "modality": "document",
                        "mime_type": "application/pdf",
                        **BLOB,
                    }
                ],
            ),
            (
                [{"type": "file", "file": {"file_data": DATA}}],
                [{"type": "blob", "modality": "document", "mime_type": None, **BLOB}],
            ),
            (
                [{"type": "refusal", "refusal": "No."}],
                [{"type": "refusal", "content": "No."}],
            ),
            (
                [{"type": "hologram", "depth": 3}],
                [{"type": "hologram", "content": {"type": "hologram", "depth": 3}}],
            ),
        ],
    )
    def test_parts_of_a_message(self, desk: Desk, content: Any, parts: list[Any]) -> None:
        """Texts stay, references stay, and of data its hash and size."""
        desk.chat(reply(), messages=[{"role": "user", "content": content}])

        assert desk.content(semconv.INPUT_MESSAGES) == [{"role": "user", "parts": parts}]

    def test_a_conversation_with_tools(self, desk: Desk) -> None:
        """Roles, names, tool calls and their results, in their order."""
        messages = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "name": "ann", "content": "Where?"},
            {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "In France."},
            {"role": "assistant", "function_call": {"name": "old", "arguments": "{}"}},
            {"role": "function", "name": "old", "content": "Done."},
        ]
        desk.chat(reply(), messages=messages)

        assert desk.content(semconv.INPUT_MESSAGES) == [
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Where?"}], "name": "ann"},
            {"role": "assistant", "parts": [FOUND]},
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": "call_1", "response": "In France."}],
            },
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "id": None, "name": "old", "arguments": {}}],
            },
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": "old", "response": "Done."}],
            },
        ]

    def test_definitions_of_tools(self, desk: Desk) -> None:
        """They are content as well."""
        tools = [{"type": "function", "function": {"name": "find", "parameters": {}}}]
        desk.chat(reply(), tools=tools)

        assert desk.content(semconv.TOOL_DEFINITIONS) == tools


class TestChatReply:
    """What was answered."""

    @pytest.mark.parametrize(
        ("message", "parts"),
        [
            ({"content": "Paris"}, [{"type": "text", "content": "Paris"}]),
            (
                {"content": "Paris", "reasoning_content": "Hm."},
                [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "Paris"}],
            ),
            (
                {"content": None, "reasoning": "Hm."},
                [{"type": "reasoning", "content": "Hm."}],
            ),
            ({"refusal": "No."}, [{"type": "refusal", "content": "No."}]),
            ({"tool_calls": [TOOL_CALL]}, [FOUND]),
            (
                {
                    "tool_calls": [
                        {
                            "id": "c",
                            "type": "custom",
                            "custom": {"name": "sql", "input": "select 1"},
                        }
                    ]
                },
                [{"type": "tool_call", "id": "c", "name": "sql", "arguments": "select 1"}],
            ),
            (
                {"audio": {"id": "a", "data": DATA, "transcript": "Paris"}},
                [
                    {"type": "blob", "modality": "audio", "mime_type": None, **BLOB},
                    {"type": "text", "content": "Paris"},
                ],
            ),
        ],
    )
    def test_parts_of_a_choice(self, desk: Desk, message: Any, parts: list[Any]) -> None:
        """Reasoning, text, refusal, tool calls and audio."""
        desk.chat(reply({"role": "assistant", **message}))

        assert desk.content(semconv.OUTPUT_MESSAGES) == [
            {"role": "assistant", "parts": parts, "finish_reason": "stop"}
        ]

    def test_a_stream_is_put_together(self, desk: Desk) -> None:
        """Deltas of text, reasoning, refusal and tool calls, choice by choice."""
        desk.chat(
            [
                chunk({"role": "assistant", "reasoning_content": "H"}),
                chunk({"reasoning": "m."}),
                chunk({"content": "Par"}),
                chunk({"content": "L"}, index=1),
                chunk({"content": "is"}),
                chunk({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "find"}}]}),
                chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"city": '}}]}),
                chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"Paris"}'}}]}),
                chunk({"refusal": "No."}, index=1),
                chunk({}, finish_reason="tool_calls"),
                chunk({}, index=1, finish_reason="stop"),
            ],
            stream=True,
            n=2,
        )

        first, second = desk.content(semconv.OUTPUT_MESSAGES)
        assert first == {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Hm."},
                {"type": "text", "content": "Paris"},
                FOUND,
            ],
            "finish_reason": "tool_calls",
        }
        assert second == {
            "role": "assistant",
            "parts": [{"type": "text", "content": "L"}, {"type": "refusal", "content": "No."}],
            "finish_reason": "stop",
        }

    def test_a_stream_without_indexes_is_one_choice(self, desk: Desk) -> None:
        """A server that leaves the index out has one choice."""
        desk.chat(
            [chunk({"content": "Pa"}, index=None), chunk({"content": "ris"}, index=None)],
            stream=True,
        )

        [message] = desk.content(semconv.OUTPUT_MESSAGES)
        assert message["parts"] == [{"type": "text", "content": "Paris"}]

    def test_a_stream_that_ended_early_keeps_what_came(self, desk: Desk) -> None:
        """Closed after the first words: those are the answer."""
        client = desk.open([chunk({"content": "Par"}), chunk({"content": "is"})])
        asked = [{"role": "user", "content": "Hello"}]
        stream = client.chat.completions.create(model="gpt-4o", messages=asked, stream=True)
        next(stream)
        stream.close()

        [message] = desk.content(semconv.OUTPUT_MESSAGES)
        assert message["parts"] == [{"type": "text", "content": "Par"}]
        assert desk.attributes[semconv.STREAM_OUTCOME] == "closed"


class TestCompletions:
    """The endpoint before chat."""

    def test_prompts_and_answers(self, desk: Desk) -> None:
        """Each prompt and each answer is a text."""
        choices = [
            {"index": 0, "text": "one", "finish_reason": "stop"},
            {"index": 1, "text": "two", "finish_reason": "length"},
        ]
        completions = desk.open({"id": "cmpl-1", "model": "m", "choices": choices}).completions
        completions.create(model="m", prompt=["a", "b"])

        assert desk.content(semconv.INPUT_MESSAGES) == [
            {
                "role": "user",
                "parts": [{"type": "text", "content": "a"}, {"type": "text", "content": "b"}],
            }
        ]
        assert [one["parts"][0]["content"] for one in desk.content(semconv.OUTPUT_MESSAGES)] == [
            "one",
            "two",
        ]
        assert desk.attributes[semconv.RESPONSE_FINISH_REASONS] == ["stop", "length"]

    def test_token_ids_are_no_text(self, desk: Desk) -> None:
        """A prompt of numbers is neither shown nor fingerprinted."""
        completions = desk.open({"id": "cmpl-1", "model": "m", "choices": []}).completions
        completions.create(model="m", prompt=[1, 2, 3])

        assert semconv.INPUT_MESSAGES not in desk.attributes
        assert semconv.PROMPT_FINGERPRINT not in desk.attributes

    def test_a_stream_is_put_together(self, desk: Desk) -> None:
        """Text by text, choice by choice."""
        events = [
            {"id": "cmpl-1", "model": "m", "choices": [{"index": 0, "text": "Par"}]},
            {"id": "cmpl-1", "model": "m", "choices": [{"index": 1, "text": "Lyon"}]},
            {
                "id": "cmpl-1",
                "model": "m",
                "choices": [{"index": 0, "text": "is", "finish_reason": "stop"}],
            },
        ]
        list(desk.open(events).completions.create(model="m", prompt="a", stream=True))

        assert [one["parts"][0]["content"] for one in desk.content(semconv.OUTPUT_MESSAGES)] == [
            "Paris",
            "Lyon",
        ]


class TestEmbeddings:
    """Texts in, vectors out."""

    @pytest.mark.parametrize(("given", "texts"), [("a", ["a"]), (["a", "b"], ["a", "b"])])
    def test_texts(self, desk: Desk, given: Any, texts: list[str]) -> None:
        """The texts are content; the vectors are never shown."""
        embeddings = desk.open({"model": "m", "data": []}).embeddings
        embeddings.create(model="m", input=given, encoding_format="float")

        [message] = desk.content(semconv.INPUT_MESSAGES)
        assert [part["content"] for part in message["parts"]] == texts
        assert semconv.OUTPUT_MESSAGES not in desk.attributes

    def test_token_ids_are_no_text(self, desk: Desk) -> None:
        """An input of numbers is neither shown nor fingerprinted."""
        embeddings = desk.open({"model": "m", "data": []}).embeddings
        embeddings.create(model="m", input=[[1, 2]], encoding_format="float")

        assert semconv.INPUT_MESSAGES not in desk.attributes
        assert semconv.PROMPT_FINGERPRINT not in desk.attributes


class TestResponses:
    """Items in, items out."""

    def test_a_text_is_a_message(self, desk: Desk) -> None:
        """The short form of the input."""
        desk.open(RESPONSE).responses.create(model="m", input="Hello", instructions="Be brief.")

        assert desk.content(semconv.INPUT_MESSAGES) == [
            {"role": "user", "parts": [{"type": "text", "content": "Hello"}]}
        ]
        assert desk.content(semconv.SYSTEM_INSTRUCTIONS) == [
            {"type": "text", "content": "Be brief."}
        ]

    @pytest.mark.parametrize(
        ("item", "message"),
        [
            (
                {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
            ),
            (
                {
                    "role": "user",
                    "content": [
                        {"type": "input_image", "image_url": f"data:image/png;base64,{DATA}"}
                    ],
                },
                {
                    "role": "user",
                    "parts": [
                        {"type": "blob", "modality": "image", "mime_type": "image/png", **BLOB}
                    ],
                },
            ),
            (
                {"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]},
                {
                    "role": "user",
                    "parts": [{"type": "file", "modality": "image", "file_id": "file-1"}],
                },
            ),
            (
                {"role": "user", "content": [{"type": "input_file", "file_url": "https://x.test"}]},
                {
                    "role": "user",
                    "parts": [{"type": "uri", "modality": "document", "uri": "https://x.test"}],
                },
            ),
            (
                {"type": "function_call_output", "call_id": "c", "output": "Paris"},
                {
                    "role": "tool",
                    "parts": [{"type": "tool_call_response", "id": "c", "response": "Paris"}],
                },
            ),
            (
                {"type": "function_call", "call_id": "c", "name": "find", "arguments": "{}"},
                {
                    "role": "assistant",
                    "parts": [{"type": "tool_call", "id": "c", "name": "find", "arguments": {}}],
                },
            ),
            (
                {"type": "item_reference", "id": "msg_1"},
                {
                    "role": "assistant",
                    "parts": [
                        {
                            "type": "item_reference",
                            "content": {"type": "item_reference", "id": "msg_1"},
                        }
                    ],
                },
            ),
        ],
    )
    def test_input_items(self, desk: Desk, item: Any, message: Any) -> None:
        """Messages, tool calls, their results, and what comes next."""
        desk.open(RESPONSE).responses.create(model="m", input=[item])

        assert desk.content(semconv.INPUT_MESSAGES) == [message]

    def test_output_items(self, desk: Desk) -> None:
        """All items of one reply are one message."""
        output = [
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {
                "type": "message",
                "id": "m",
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "Paris", "annotations": []},
                    {"type": "refusal", "refusal": "No."},
                ],
            },
            {
                "type": "custom_tool_call",
                "id": "t",
                "call_id": "c",
                "name": "sql",
                "input": "select 1",
            },
            {"type": "web_search_call", "id": "w", "status": "completed"},
        ]
        desk.open({**RESPONSE, "output": output}).responses.create(model="m", input="Hello")

        [message] = desk.content(semconv.OUTPUT_MESSAGES)
        assert (message["role"], message["finish_reason"]) == ("assistant", "stop")
        assert message["parts"] == [
            {"type": "reasoning", "content": "Hm."},
            {"type": "text", "content": "Paris"},
            {"type": "refusal", "content": "No."},
            {"type": "tool_call", "id": "c", "name": "sql", "arguments": "select 1"},
            {
                "type": "web_search_call",
                "content": {"type": "web_search_call", "id": "w", "status": "completed"},
            },
        ]

    def test_a_stream_that_ended_early_keeps_what_came(self, desk: Desk) -> None:
        """The last event has it all; without it the deltas are the answer."""
        events = [
            {"type": "response.created", "sequence_number": 0, "response": RESPONSE},
            {"type": "response.output_text.delta", "sequence_number": 1, "delta": "Par"},
            {"type": "response.output_text.delta", "sequence_number": 2, "delta": "is"},
            {"type": "response.completed", "sequence_number": 3, "response": RESPONSE},
        ]
        stream = desk.open(events).responses.create(model="m", input="Hello", stream=True)
        for _ in range(3):
            next(stream)
        stream.close()

        [message] = desk.content(semconv.OUTPUT_MESSAGES)
        assert message["parts"] == [{"type": "text", "content": "Paris"}]


RESPONSE: Final = {
    "id": "resp_1",
    "object": "response",
    "model": "gpt-4o",
    "status": "completed",
    "output": [],
}


class TestPolicy:
    """When and how content is shown."""

    def test_off_shows_none(self, desk: Desk) -> None:
        """With content off there is the fingerprint, and no text."""
        config.configure(capture_content=False)
        desk.chat(reply({"content": "Paris", "tool_calls": [TOOL_CALL]}), tools=[TOOL_CALL])

        assert semconv.PROMPT_FINGERPRINT in desk.attributes
        assert "Paris" not in str(desk.span)
        assert "Hello" not in str(desk.span)

    def test_names_and_keys_are_redacted_too(self, desk: Desk) -> None:
        """What a model invents as a name or a key is text like any."""
        config.configure(redact="secret")
        call = {"id": "c", "function": {"name": "secret", "arguments": '{"secret": "secret"}'}}
        desk.chat(
            reply({"tool_calls": [call]}),
            messages=[{"role": "user", "name": "secret", "content": "secret"}],
            stop=["secret"],
        )

        assert "secret" not in str(desk.span)
        assert desk.attributes[semconv.REQUEST_STOP_SEQUENCES] == ["[REDACTED]"]
