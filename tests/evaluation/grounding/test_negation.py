"""What one sentence denies of another."""

from __future__ import annotations

import pytest

from cert_otel.evaluation.grounding import measure
from cert_otel.evaluation.grounding.negation import find_denied
from cert_otel.evaluation.grounding.tokens import tokenize
from cert_otel.evaluation.sample import Sample
from cert_otel.records import ContextItem

BOARD = "The board did not approve the merger with Orsten."


def agree(answer: str, context: str) -> bool:
    """Whether an answer of one sentence has its negations where the context has them."""
    return measure(Sample(answer=answer, context=(ContextItem(text=context),))).negation == 1


class TestFindDenied:
    @pytest.mark.parametrize(
        ("text", "denied"),
        [
            ("The board did not approve it", {"approv"}),
            ("It can't fly", {"fly"}),
            ("He never saw ships", {"see", "ship"}),
            ("not only ships", set()),
            ("No, ships sank", set()),
            ("ships sank", set()),
        ],
    )
    def test_reach(self, text: str, denied: set[str]) -> None:
        """A "not" reaches the words behind it; idioms and answers to questions deny nothing."""
        assert find_denied(tokenize(text)) == denied


class TestMismatches:
    @pytest.mark.parametrize(
        ("answer", "context"),
        [
            ("Sales did not grow in May.", "Sales grew in May."),
            ("Dogs are allowed here.", "Dogs are not allowed here."),
            ("Sales fell by 3% in May.", "Sales rose by 3% in May."),
            ("The court approved the ban.", "The court rejected the ban."),
            ("The board never approved the merger.", "The board approved the merger."),
            ("The merger with Orsten the board approved.", BOARD),
            ("Sales grew in Oslo, and not in Rome.", "Sales did not grow in Oslo, but in Rome."),
        ],
    )
    def test_opposites(self, answer: str, context: str) -> None:
        """A "not" on one side, or the opposite word, is a contradiction."""
        assert not agree(answer, context)

    @pytest.mark.parametrize(
        ("answer", "context"),
        [
            ("Sales did not grow in May.", "Sales didn't grow in May."),
            ("No, dogs are not allowed here.", "Dogs are not allowed here."),
            ("Sales fell by 3% in May.", "Sales dropped by 3% in May."),
            ("Sales did not rise in May.", "Sales fell in May."),
            ("The harbour opened in May.", "The harbour opened in May, and closed in June."),
            ("The harbour opened in May.", "It was not sunny when the harbour opened in May."),
            ("The merger with Orsten the board did not approve.", BOARD),
            ("The merger with Orsten was not approved by the board.", BOARD),
            ("No merger with Orsten was approved by the board.", BOARD),
            ("The board rejected the merger with Orsten.", BOARD),
        ],
    )
    def test_the_same_said_otherwise(self, answer: str, context: str) -> None:
        """Contractions, synonyms, a denied opposite, another order and another "not" are none."""
        assert agree(answer, context)
