"""Exact answers: what counts as the same words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.evaluation.exact import ExactEvaluator, normalise
from cert_otel.evaluation.sample import Evidence, Judgement, Sample
from cert_otel.records import ContextItem


def judge(answer: str, *context: str, expected: tuple[str, ...] = ()) -> Judgement:
    items = [ContextItem(text=text) for text in context]
    items += [ContextItem(text=text, source="expected") for text in expected]
    [judgement] = ExactEvaluator().judge([Sample(answer=answer, context=tuple(items))])
    return judgement


class TestNormalise:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("1,234,567", "1234567"),
            ("3.50", "3.5"),
            ("Two", "2"),
            ("\u22125 %", "-5 %"),
            ("The EIFFEL Tower", "Eiffel tower."),
            ("Rome's walls", "Rome walls"),
            ("\uff11\uff12", "12"),
            ("5km", "5 km"),
            (".0A", ".0"),
        ],
    )
    def test_same(self, one: str, other: str) -> None:
        """Case, articles, punctuation and the spelling of numbers make no difference."""
        assert normalise(one) == normalise(other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [("5", "-5"), ("5", "5%"), ("1.5", "15"), ("1,5", "15"), ("12", "1,2"), ("100", "1")],
    )
    def test_different(self, one: str, other: str) -> None:
        """Sign, percent and decimal places do."""
        assert normalise(one) != normalise(other)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Words of words are the same words."""
        words = normalise(text)

        assert normalise(" ".join(words)) == tuple(
            word for word in words if word not in ("a", "an", "the")
        )

    def test_range(self) -> None:
        """A hyphen between numbers is no sign."""
        assert normalise("1990-1995") == ("1990", "1995")


class TestExpected:
    """Right answers are known: context items of the source `expected`."""

    @pytest.mark.parametrize("answer", ["1912", "It sank in 1912.", "The year: 1,912"])
    def test_stated(self, answer: str) -> None:
        """An answer that is or states one of them passes."""
        judgement = judge(answer, expected=("1911", "1912"))

        assert (judgement.score, judgement.label, judgement.evidence) == (1.0, "pass", ())

    @pytest.mark.parametrize("answer", ["1913", "19120", "In nineteen-twelve"])
    def test_another(self, answer: str) -> None:
        """Any other fails, and the whole answer is the evidence."""
        judgement = judge(answer, expected=("1912",))

        assert (judgement.score, judgement.label) == (0.0, "fail")
        assert judgement.evidence == (Evidence(start=0, end=len(answer), kind="span"),)

    def test_go_before_the_context(self) -> None:
        """A passage that holds the answer does not count where the right answers are known."""
        assert judge("1913", "In 1913 it rained.", expected=("1912",)).score == 0.0

    def test_long_ones(self) -> None:
        """A long one must be the whole answer."""
        long = "one day all of the people of the city went out to see it burn"

        assert judge(long.upper() + "!", expected=(long,)).score == 1.0
        assert judge(long + " down", expected=(long,)).score == 0.0


class TestContext:
    """No right answer is known: a short answer is looked for in the passages."""

    def test_quoted(self) -> None:
        """Words that stand next to each other in one passage pass."""
        assert judge("the White Star Line", "Owned by White Star Line.").score == 1.0

    @pytest.mark.parametrize("answer", ["port", "White Line", "Star Line owned"])
    def test_not_quoted(self, answer: str) -> None:
        """Parts of words, words apart and words across passages do not."""
        assert judge(answer, "Transport by White Star Line.", "Owned by it.").score == 0.0

    def test_long_answers(self) -> None:
        """A long answer is skipped, whether it is quoted or not."""
        long = "one day all of the people of the city went out to see it burn"

        assert judge(long, long).reason == "answer_too_long"
        assert judge(long, "nothing").reason == "answer_too_long"

    @pytest.mark.parametrize(
        ("answer", "context", "reason"),
        [(" ", "x", "empty_answer"), ("x", " ", "no_context"), ("?!", "x", "no_words")],
    )
    def test_nothing_to_compare(self, answer: str, context: str, reason: str) -> None:
        """What cannot be compared has no score, and a reason."""
        judgement = judge(answer, context)

        assert (judgement.score, judgement.label, judgement.reason) == (None, None, reason)
