"""Documents, their split, tokens and windows."""

from __future__ import annotations

import numpy as np
import pytest
from corpus import (
    BOS,
    SPECIAL_TOKENS,
    Document,
    as_turns,
    encode_document,
    split,
    token_id,
    train_tokenizer,
    windows,
)
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

TEXTS = ("A proposal says what changes and why.", "What changes is said first; why, second.") * 4
TOKENIZER = train_tokenizer(iter(TEXTS), vocabulary=290)
NAMES = [f"text/{i:04}.md" for i in range(2000)]


class TestSplit:
    def test_one_document_in_twenty_is_held_out(self) -> None:
        """Of many names about 5 % are held out, and none is in both parts."""
        training, held_out = split([Document("s", name, "") for name in NAMES])

        assert 0.035 < len(held_out) / len(NAMES) < 0.065
        assert {one.file for one in training}.isdisjoint(one.file for one in held_out)
        assert len(training) + len(held_out) == len(NAMES)

    @given(st.text(), st.text(), st.text())
    def test_the_name_alone_decides(self, name: str, source: str, text: str) -> None:
        """Neither source nor text moves a file to the other part."""
        assert Document(source, name, text).is_held_out == Document("", name, "").is_held_out

    def test_turns_are_training_documents(self) -> None:
        """Nothing held out is shown as a conversation; one in ten of the others is."""
        documents = [Document("s", name, "") for name in NAMES]

        assert not any(one.has_turns and one.is_held_out for one in documents)
        assert 0.08 < sum(one.has_turns for one in documents) / len(NAMES) < 0.12


class TestDocument:
    @pytest.mark.parametrize(
        ("text", "english"),
        [("A naïve café", True), ("Соавторами RFC являются", False), ("リーダーシップ", False)],
    )
    def test_translations_are_told_apart(self, text: str, *, english: bool) -> None:
        """A text whose letters are mostly outside ASCII is not English; a borrowed word is."""
        assert Document("s", "f", text).is_english == english


class TestTokenizer:
    @given(st.text())
    def test_any_text_comes_back(self, text: str) -> None:
        """Tokens stand for exactly the bytes of the text, whatever the language."""
        ids = TOKENIZER.encode(text).ids[1:]

        assert TOKENIZER.decode(ids, skip_special_tokens=False) == text

    def test_special_tokens_come_first(self) -> None:
        """Special tokens have the numbers of their order, which the training relies on."""
        assert [TOKENIZER.token_to_id(token) for token in SPECIAL_TOKENS] == list(range(8))

    def test_a_text_begins_with_its_token(self) -> None:
        """One beginning-of-text token stands before a text, and none where none is wanted."""
        assert TOKENIZER.encode("why").ids[0] == token_id(TOKENIZER, BOS)
        assert (
            TOKENIZER.encode("why").ids[1:] == TOKENIZER.encode("why", add_special_tokens=False).ids
        )

    def test_a_foreign_tokenizer_is_named_as_such(self) -> None:
        """A tokenizer without our tokens is refused with the token that it lacks."""
        with pytest.raises(ValueError, match=r"no <\|bos\|>"):
            token_id(Tokenizer(models.BPE()), BOS)


class TestTurns:
    def test_paragraphs_are_turns_in_turn(self) -> None:
        """The first paragraph is the system's, then the roles alternate."""
        assert as_turns("a\nb\nc") == ("<|system|>a<|end|><|user|>b<|end|><|assistant|>c<|end|>")


class TestWindows:
    DOCUMENTS = tuple(
        encode_document(TOKENIZER, Document("s", name, TEXTS[0])) for name in NAMES[:40]
    )

    @given(st.integers(2, 64), st.integers(0, 5))
    def test_an_epoch_is_nearly_all_text(self, length: int, epoch: int) -> None:
        """Rows are full, and what the cut at both ends leaves out is less than two of them."""
        rows = windows(self.DOCUMENTS, length=length, seed=1, epoch=epoch)
        tokens = sum(map(len, self.DOCUMENTS))

        assert rows.shape[1] == length
        assert tokens - 2 * length < rows.size <= tokens

    def test_the_same_epoch_comes_again(self) -> None:
        """Seed and epoch fix the rows: a resumed run goes on with what it would have seen."""
        first, again, other = (
            windows(self.DOCUMENTS, length=16, seed=1, epoch=epoch) for epoch in (3, 3, 4)
        )

        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)
