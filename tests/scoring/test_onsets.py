"""Which tokens start a sentence, a name or a number."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.scoring.onsets import find_onsets


def split_words(text: str) -> list[tuple[int, int]]:
    """Tokens as many tokenizers make them: a word with the space before it."""
    return [match.span() for match in re.finditer(r"\s*\w+|\s*[^\w\s]+|\s+", text)]


class TestFindOnsets:
    @pytest.mark.parametrize(
        ("text", "onsets"),
        [
            ("the cat sat.", ["the"]),
            ("it is. so what? yes! no", ["it", "so", "yes", "no"]),
            ("he met Ada Lovelace in London", ["he", "Ada", "Lovelace", "London"]),
            ("it took 12 days and 3.5 hours", ["it", "12", "3"]),
            ("first\nsecond", ["first", "second"]),
            (
                "\u5929\u6c14\u597d\u3002\u6211\u4eec\u8d70",
                ["\u5929\u6c14\u597d", "\u6211\u4eec\u8d70"],
            ),
            ("... and \u00c9mile", ["and", "\u00c9mile"]),
            ("", []),
        ],
    )
    def test_onsets(self, text: str, onsets: list[str]) -> None:
        """Sentences start after . ? ! and line ends, names with a capital, numbers with a digit."""
        offsets = split_words(text)

        found = [text[slice(*offsets[token])].strip() for token in find_onsets(text, offsets)]

        assert found == onsets

    @given(st.text(max_size=200))
    def test_any_text(self, text: str) -> None:
        """Indices ascend and exist, one token a character."""
        found = find_onsets(text, [(index, index + 1) for index in range(len(text))])

        assert list(found) == sorted(set(found))
        assert all(0 <= token < len(text) for token in found)

    def test_unknown_offsets(self) -> None:
        """Without offsets there are no onsets."""
        assert find_onsets("A text.", []) == ()
