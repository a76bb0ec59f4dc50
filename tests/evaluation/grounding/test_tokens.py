"""Terms with their offsets, in whatever script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.evaluation.grounding.sentences import find_sentences
from cert_otel.evaluation.grounding.tokens import stem, tokenize


def keys(text: str) -> list[str]:
    """Read a text, and look at what is compared."""
    return [token.key for token in tokenize(text)]


class TestTokenize:
    @given(st.text())
    def test_offsets_point_into_the_text(self, text: str) -> None:
        """Whatever comes in, tokens lie within the text, in order, and none is empty."""
        tokens = tokenize(text)

        assert all(0 <= token.start < token.end <= len(text) for token in tokens)
        assert [t.start for t in tokens] == sorted(t.start for t in tokens)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("The companies invaded", "the company's invading"),
            ("1,200 people", "1200 people"),
            ("seven", "7"),
            ("café", "cafe"),
            ("didn't", "did not"),
            ("3.50", "3.5"),
            ("sales rose", "sales increased"),
            ("they approve", "they accepted"),
        ],
    )
    def test_spellings_share_a_key(self, one: str, other: str) -> None:
        """Inflection, separators, accents, contractions and synonyms make no difference."""
        assert keys(one)[-1] == keys(other)[-1]

    @pytest.mark.parametrize(
        "identifier", ["max_tokens", "__init__", "MAX_SIZE", "list.append()", "--dry-run", "a::b"]
    )
    def test_identifiers_stay_whole(self, identifier: str) -> None:
        """What a program would understand is one token."""
        (token,) = tokenize(identifier)

        assert (token.kind, token.key) == ("code", identifier.lower())

    def test_scripts_without_spaces_become_bigrams(self) -> None:
        """Two texts share what they have in common, wherever a word would begin."""
        assert keys("日本の首都") == ["日本", "本の", "の首", "首都"]
        assert {"日本", "首都"} <= set(keys("首都は日本"))

    def test_numbers_within_other_scripts(self) -> None:
        """A number needs no space around it to be one."""
        numbers = [token.key for token in tokenize("高さは333メートル") if token.kind == "number"]

        assert numbers == ["333"]

    def test_inflected_alphabets_share_grams(self) -> None:
        """Two cases of a Russian noun have grams in common."""
        assert set(keys("столица")) & set(keys("столицей"))


class TestStem:
    @pytest.mark.parametrize(
        ("word", "stemmed"),
        [
            ("running", "run"),
            ("countries", "country"),
            ("invaded", "invad"),
            ("invade", "invad"),
            ("string", "string"),
            ("class", "class"),
        ],
    )
    def test_cuts_lightly(self, word: str, stemmed: str) -> None:
        """Endings go; what is no ending stays."""
        assert stem(word) == stemmed


class TestFindSentences:
    @given(st.text())
    def test_cover_every_token(self, text: str) -> None:
        """Sentences do not overlap, and leave out nothing but white space."""
        spans = find_sentences(text)
        rest = list(text)
        for start, end in spans:
            rest[start:end] = [" "] * (end - start)

        assert spans == sorted(spans)
        assert not "".join(rest).strip()

    def test_sentences_that_lost_their_space(self) -> None:
        """Passages joined by a program are parted; abbreviations and decimals are not."""
        text = "Founded in the 19th century.First for Women is new. Dr. Lee paid 3.5 million."
        parts = [text[start:end] for start, end in find_sentences(text)]

        assert parts == [
            "Founded in the 19th century.",
            "First for Women is new.",
            "Dr. Lee paid 3.5 million.",
        ]

    def test_lines(self) -> None:
        """A line break ends a sentence unless a small letter goes on."""
        text = "- First item\n- Second item\nthat goes on"
        parts = [text[start:end] for start, end in find_sentences(text)]

        assert parts == ["- First item", "- Second item\nthat goes on"]
