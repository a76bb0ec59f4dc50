"""Samples as tokens: the chat template or the plain text, and which tokens are the answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scoring.reference import build_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from cert_otel.scoring.prompts import NO_TEMPLATE, Encoded, Sample, encode

CHAT = build_tokenizer()
PLAIN = build_tokenizer(template=None)
REFUSING = build_tokenizer(template="{{ raise_exception('system messages are not known') }}")


def encode_one(tokenizer: PreTrainedTokenizerFast, sample: Sample) -> Encoded:
    """Encode one sample."""
    (encoded,) = encode(tokenizer, [sample])
    return encoded


def read(encoded: Encoded, tokenizer: Any = CHAT) -> tuple[str, str]:
    """Return the text before the scored tokens, and theirs."""
    first = encoded.scored_from
    return tokenizer.decode(encoded.ids[:first]), tokenizer.decode(encoded.ids[first:])


class TestForm:
    def test_messages(self) -> None:
        """Messages go through the model's template; the completion follows its opening."""
        messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"})

        encoded = encode_one(CHAT, Sample(messages=messages, completion="Yes."))

        assert read(encoded) == ("<|system|>Be brief.<|end|><|user|>Hi<|end|><|assistant|>", "Yes.")
        assert (encoded.form, encoded.reason) == ("chat", None)

    def test_parts(self) -> None:
        """The conventions' messages: texts joined, results of tools as text."""
        messages = (
            {
                "role": "user",
                "parts": [{"type": "text", "content": "A"}, {"type": "text", "content": "B"}],
            },
            {"role": "assistant", "parts": [{"type": "tool_call", "name": "f", "arguments": {}}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "response": {"x": 1}}]},
        )

        before, _ = read(encode_one(CHAT, Sample(messages=messages, completion="C")))

        assert before.startswith("<|user|>A\nB<|end|><|assistant|><|end|>")
        assert '{"x":1}<|end|>' in before

    def test_content_in_parts(self) -> None:
        """A content that is a list, as SDKs send it: its texts; what is no text is left out."""
        content = [{"type": "text", "text": "A"}, {"type": "image_url", "image_url": "x"}]
        messages = ({"role": "user", "content": content}, {"role": "assistant", "content": None})

        before, _ = read(encode_one(CHAT, Sample(messages=messages, completion="C")))

        assert before == "<|user|>A<|end|><|assistant|><|end|><|assistant|>"

    def test_prompt(self) -> None:
        """A prompt is one message of a user."""
        encoded = encode_one(CHAT, Sample(prompt="Hi", completion="Yes."))

        assert read(encoded) == ("<|user|>Hi<|end|><|assistant|>", "Yes.")

    def test_no_template(self) -> None:
        """Without a template prompt and completion are joined as they are, and that is said."""
        encoded = encode_one(PLAIN, Sample(prompt="Hi, ", completion="you."))

        assert read(encoded) == ("Hi, ", "you.")
        assert (encoded.form, encoded.reason) == ("joined", NO_TEMPLATE)

    def test_template_none(self) -> None:
        """When asked for, the ids of both are joined, as if each were a text of its own."""
        spaced: Any = build_tokenizer()
        spaced._tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        sample = Sample(prompt="Hi", completion="you", template="none")

        _, encoded = encode(spaced, [Sample(prompt="Hi", completion="you"), sample])

        ids = spaced("Hi")["input_ids"] + spaced("you", add_special_tokens=False)["input_ids"]
        assert encoded.ids.tolist() == ids
        assert len(ids) == len(" Hi you")
        assert (encoded.scored_from, encoded.form) == (3, "joined")
        assert encoded.reason == "template none"

    def test_template_refuses(self) -> None:
        """A template that does not take the messages is left out, with its reason."""
        messages = ({"role": "system", "content": "A"}, {"role": "user", "content": "B"})

        encoded = encode_one(REFUSING, Sample(messages=messages, completion="C"))

        assert read(encoded) == ("A\nB", "C")
        assert encoded.reason == "the chat template refused: system messages are not known"

    def test_no_prompt(self) -> None:
        """Without a prompt a start token precedes; the first token is scored as well."""
        encoded = encode_one(CHAT, Sample(completion="Yes."))

        assert read(encoded) == ("<|start|>", "Yes.")
        assert encoded.unscored == 0

    def test_nothing_precedes(self) -> None:
        """Without a start token the first token is not scored, and that is counted."""
        bare = PreTrainedTokenizerFast(tokenizer_object=CHAT._tokenizer)

        encoded = encode_one(bare, Sample(completion="Yes."))

        assert read(encoded) == ("Y", "es.")
        assert (encoded.unscored, encoded.offsets) == (1, ((1, 2), (2, 3), (3, 4)))


class TestBorder:
    @given(st.text(max_size=30), st.text(max_size=30), st.booleans())
    def test_the_completion_is_scored(self, prompt: str, completion: str, chat: bool) -> None:
        """The scored tokens are those of the completion, in any language and form."""
        encoded = encode_one(
            CHAT if chat else PLAIN, Sample(prompt=prompt or None, completion=completion)
        )

        assert read(encoded)[1] == completion
        assert len(encoded.offsets) == len(encoded.ids) - encoded.scored_from

    def test_offsets(self) -> None:
        """Offsets count characters of the completion; those of one letter may share one."""
        encoded = encode_one(CHAT, Sample(prompt="Hi", completion="a\u00e9b"))

        assert encoded.offsets == ((0, 1), (1, 2), (1, 2), (2, 3))

    def test_a_straddling_token(self) -> None:
        """Where a token would hold both, prompt and completion are tokens apart."""
        vocabulary = {"a": 0, "b": 1, "ab": 2}
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("a", "b")]))
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)

        encoded = encode_one(fast, Sample(prompt="aba", completion="bab"))

        assert encoded.ids.tolist() == [2, 0, 1, 2]
        assert (encoded.scored_from, encoded.offsets) == (2, ((0, 1), (1, 3)))

    def test_an_end_token_that_was_said(self) -> None:
        """A completion that is the end token alone is one token."""
        encoded = encode_one(CHAT, Sample(prompt="Hi", completion="<|end|>"))

        assert encoded.ids[encoded.scored_from :].tolist() == [CHAT.eos_token_id]

    def test_an_end_token_that_was_added(self) -> None:
        """The end token that a tokenizer adds is not the answer's."""
        from tokenizers.processors import TemplateProcessing  # noqa: PLC0415 - here alone

        ending: Any = build_tokenizer(template=None)
        ending._tokenizer.post_processor = TemplateProcessing(
            single="<|start|> $A <|end|>", special_tokens=[("<|start|>", 256), ("<|end|>", 257)]
        )

        encoded = encode_one(ending, Sample(prompt="Hi", completion="you"))

        assert read(encoded) == ("<|start|>Hi", "you")

    def test_lone_surrogates(self) -> None:
        """Half a character, which JSON may carry, is replaced by one."""
        encoded = encode_one(CHAT, Sample(prompt="\ud83d", completion="x\ude00y"))

        assert read(encoded) == ("<|user|>?<|end|><|assistant|>", "x?y")


class TestEncode:
    def test_order(self) -> None:
        """Results stand in the order of the samples, whatever their forms."""
        samples = [
            Sample(completion="a"),
            Sample(prompt="p", completion="b"),
            Sample(completion="c"),
        ]

        assert [read(encoded)[1] for encoded in encode(CHAT, samples)] == ["a", "b", "c"]

    def test_nothing(self) -> None:
        """No samples, no results."""
        assert encode(CHAT, []) == []

    @pytest.mark.parametrize("pre", [None, pre_tokenizers.Whitespace()])
    def test_empty_completion(self, pre: Any) -> None:
        """An empty completion has no scored tokens."""
        tokenizer: Any = build_tokenizer()
        if pre:
            tokenizer._tokenizer.pre_tokenizer = pre

        encoded = encode_one(tokenizer, Sample(prompt="Hi", completion=""))

        assert (len(encoded.ids), encoded.offsets) == (encoded.scored_from, ())
