"""Perplexity: exp(-mean logprob) of what is a logprob, and nothing where nothing is."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.capture._logprobs import LogprobStats, summarise_logprobs

USABLE = st.floats(min_value=-50, max_value=0)


class TestStatistics:
    def test_by_hand(self) -> None:
        """Two tokens of probability 1/2 and 1/8 are as surprising as two of 1/4."""
        stats = summarise_logprobs([math.log(1 / 2), math.log(1 / 8)])

        assert stats is not None
        assert stats.mean == pytest.approx(math.log(1 / 4))
        assert stats.minimum == math.log(1 / 8)
        assert stats.total == pytest.approx(math.log(1 / 16))
        assert stats.token_count == 2
        assert stats.perplexity == pytest.approx(4.0)

    def test_certainty_is_one(self) -> None:
        """A completion without any surprise has perplexity 1, not 0."""
        stats = summarise_logprobs([0.0, 0.0, -0.0])

        assert stats is not None
        assert stats.perplexity == 1.0

    @given(st.lists(USABLE, min_size=1))
    def test_it_is_the_formula(self, logprobs: list[float]) -> None:
        """Whatever the tokens, the figures are those of the definition."""
        stats = summarise_logprobs(logprobs)

        assert stats is not None
        mean = sum(logprobs) / len(logprobs)
        assert stats.mean == pytest.approx(mean, abs=1e-9)
        assert stats.total == pytest.approx(sum(logprobs), abs=1e-9)
        assert stats.minimum == min(logprobs)
        assert stats.token_count == len(logprobs)
        assert stats.perplexity == pytest.approx(math.exp(-mean))

    @given(
        st.lists(USABLE, min_size=1),
        st.lists(st.sampled_from([None, math.nan, math.inf, -math.inf, -9999.0, 0.5])),
        st.randoms(use_true_random=False),
    )
    def test_what_is_no_logprob_does_not_count(
        self, logprobs: list[float], noise: list[float | None], random: object
    ) -> None:
        """Mixing in sentinels, in any place, changes no figure: the mean is over the tokens left."""
        mixed: list[float | None] = [*logprobs, *noise]
        random.shuffle(mixed)  # type: ignore[attr-defined]  # hypothesis' own Random

        assert summarise_logprobs(mixed) == pytest.approx(summarise_logprobs(logprobs))


class TestNothingUsable:
    @pytest.mark.parametrize(
        "logprobs",
        [
            [],
            [None],
            [math.nan],
            [-math.inf],
            [math.inf],
            [-9999.0],
            [-9999],
            [-10_000.0],
            [0.1],
            [None, -9999.0, math.nan],
            ["-0.1"],
        ],
    )
    def test_is_none(self, logprobs: list[Any]) -> None:
        """No token left is no perplexity: neither 1 nor infinity is invented."""
        assert summarise_logprobs(logprobs) is None

    def test_what_no_number_holds_is_absent(self) -> None:
        """Servers that send -5000 for "never" have a mean, and no perplexity."""
        stats = summarise_logprobs([-5000.0])

        assert stats == LogprobStats(mean=-5000.0, minimum=-5000.0, total=-5000.0, token_count=1)
        assert stats.perplexity is None


class TestSource:
    def test_any_sequence_is_read(self) -> None:
        """Readers hand over what they have gathered."""
        stats = summarise_logprobs((-1.0, -3.0))

        assert stats == LogprobStats(mean=-2.0, minimum=-3.0, total=-4.0, token_count=2)

    def test_whole_numbers_are_numbers(self) -> None:
        """JSON has no difference between 0 and 0.0."""
        assert summarise_logprobs([0, -2]) == LogprobStats(-1.0, -2, -2.0, 2)
