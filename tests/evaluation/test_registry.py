"""Evaluators by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cert_otel.errors import ConfigError
from cert_otel.evaluation.registry import list_evaluators, make_evaluator, make_evaluators
from cert_otel.evaluation.sample import Sample, SampleEvaluator
from cert_otel.records import ContextItem

if TYPE_CHECKING:
    from collections.abc import Callable

OWN = ["exact", "grounding", "judge", "nli", "p_supported", "semantic", "trajectory"]


class TestNames:
    def test_ours(self) -> None:
        """Seven come with the package."""
        assert list_evaluators() == OWN

    def test_those_of_other_packages(self, somebodys: Callable[..., None]) -> None:
        """An entry point is another name; one that takes a name of ours is passed over."""
        somebodys(words="Words", grounding="Words")

        assert list_evaluators() == sorted([*OWN, "words"])
        assert type(make_evaluator("words")).__name__ == "Words"


class TestMake:
    def test_in_the_order_of_the_names(self, somebodys: Callable[..., None]) -> None:
        """And each judges under its own name."""
        somebodys(words="Words", breaks="Breaks")
        made = make_evaluators(["words", "breaks"])
        sample = Sample(answer="free returns", context=(ContextItem(text="returns are free"),))

        assert [one.name for one in made] == ["words", "breaks"]
        assert all(isinstance(one, SampleEvaluator) for one in made)
        assert [one.judge([sample])[0].score for one in made] == [1.0, 1.0]

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("groundin", "'groundin' is unknown; did you mean grounding? there are exact, "),
            ("zzz", "'zzz' is unknown; there are exact, grounding, judge, nli, p_supported, "),
        ],
    )
    def test_an_unknown_name(self, name: str, message: str, somebodys: Callable[..., None]) -> None:
        """The message lists what there is, others' included."""
        somebodys(words="Words")

        with pytest.raises(ConfigError, match=r"words$") as raised:
            make_evaluators([name])
        assert message in str(raised.value)

    @pytest.mark.parametrize(
        ("factory", "message"),
        [
            ("refuse", "SOMEBODYS_MODEL: is not set"),
            ("fall", "broken (somebodys_evaluators:fall) cannot be made: OSError: no such library"),
            ("Nowhere", "broken (somebodys_evaluators:Nowhere) cannot be made: AttributeError"),
            ("make_nothing", "broken is no evaluator"),
        ],
    )
    def test_one_that_cannot_be_made(
        self, factory: str, message: str, somebodys: Callable[..., None]
    ) -> None:
        """Whoever installed it is told which name led there."""
        somebodys(broken=factory)

        with pytest.raises(ConfigError) as raised:
            make_evaluator("broken")
        assert message in str(raised.value)

    @pytest.mark.parametrize(
        ("names", "message"),
        [([], "none is named; there are exact"), (["words", "words"], "words is named twice")],
    )
    def test_none_or_twice(
        self, names: list[str], message: str, somebodys: Callable[..., None]
    ) -> None:
        """A name is a column of the result: there is one of each."""
        somebodys(words="Words")

        with pytest.raises(ConfigError, match=message):
            make_evaluators(names)
