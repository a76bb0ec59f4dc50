"""The token rule of the fake provider."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cert_otel.testing import count_tokens, split_tokens
from cert_otel.testing._tokens import (
    count_audio,
    count_input,
    count_messages,
    count_tools,
    derive_logprob,
)


class TestSplitTokens:
    @given(st.text())
    def test_nothing_is_lost(self, text: str) -> None:
        """Joined, the tokens are the text."""
        assert text == "".join(split_tokens(text))

    @given(st.text())
    def test_count_agrees(self, text: str) -> None:
        """What is billed is what is streamed."""
        assert len(split_tokens(text)) == count_tokens(text)

    def test_words_carry_their_space(self) -> None:
        """Long words are cut after eight characters."""
        assert split_tokens("International prices: 4.") == [
            "Internat",
            "ional",
            " prices",
            ":",
            " 4",
            ".",
        ]


class TestDeriveLogprob:
    @given(st.text())
    def test_is_a_log_probability(self, token: str) -> None:
        """The same token has the same log probability, below zero and finite."""
        assert -3.1 < derive_logprob(token) < 0
        assert derive_logprob(token) == derive_logprob(token)


class TestCountMessages:
    def test_each_message_and_the_reply_cost_something(self) -> None:
        """Three tokens prime the reply, four frame each message."""
        messages = [{"role": "user", "content": "Hello there"}, {"role": "user", "content": "Hi"}]

        assert count_messages(messages) == 3 + (4 + 2) + (4 + 1)

    def test_parts_are_counted_by_kind(self) -> None:
        """Text by the rule, an image and a clip at a flat rate."""
        parts = [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:,"}},
            {"type": "input_audio", "input_audio": {"data": ""}},
            "no part",
        ]

        assert count_messages([{"role": "user", "content": parts}]) == 3 + 4 + 4 + 85 + 10
        assert count_audio([{"role": "user", "content": parts}, "no message"]) == 10

    def test_tool_calls_and_results_are_counted(self) -> None:
        """A repeated tool call and a tool's output are prompt too."""
        call = {"function": {"name": "find", "arguments": "{}"}}

        assert count_messages([{"role": "assistant", "tool_calls": [call]}]) == 3 + 4 + 3
        assert count_messages([{"type": "function_call_output", "output": "ok"}]) == 3 + 4 + 1
        assert count_messages([{"output": {"a": 1}}]) == 3 + 4 + 7

    def test_what_is_no_message_counts_nothing(self) -> None:
        """A request that the provider would refuse does not break the count."""
        assert count_messages("no list") == 0
        assert count_messages(["no message"]) == 3 + 4
        assert count_audio(None) == 0


class TestCountInput:
    def test_texts_and_token_ids(self) -> None:
        """An input is a text, texts, token ids, or lists of ids."""
        assert count_input("one two") == 2
        assert count_input(["one two", "three"]) == 3
        assert count_input([1, 2, 3]) == 3
        assert count_input([[1, 2], [3]]) == 3
        assert count_input(None) == 0

    def test_tools_are_counted_as_json(self) -> None:
        """No tools, no tokens."""
        assert count_tools(None) == 0
        assert count_tools([{"a": 1}]) == count_tokens('[{"a": 1}]')
