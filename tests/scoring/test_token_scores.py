"""What `summarise` makes of the figures of tokens."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cert_otel.scoring.token_scores import (
    AnswerScore,
    TokenScores,
    concatenate,
    summarise,
    surprise_rate,
)

FLOATS = ("nll", "entropy", "topk_entropy", "tail_mass", "prob_gap", "logit_gap", "margin")

nats = st.floats(0, 30, width=32)


def make_scores(nll: Any, entropy: Any = None) -> TokenScores:
    """Make scores with some columns given; the others are those of a sure model."""
    values = np.asarray(nll, dtype=np.float32)
    columns = {name: np.zeros_like(values) for name in FLOATS}
    columns["nll"] = values
    if entropy is not None:
        columns["entropy"] = np.asarray(entropy, dtype=np.float32)
    return TokenScores(**columns, rank=np.ones(len(values), dtype=np.int32))


class TestTokenScores:
    def test_a_slice_is_scores(self) -> None:
        """A slice cuts every column; parts join to the whole."""
        scores = make_scores([1, 2, 3], [4, 5, 6])

        joined = concatenate([scores[:1], scores[1:]])

        assert len(scores[1:]) == 2
        assert all(
            np.array_equal(one, other)
            for one, other in zip(scores.columns(), joined.columns(), strict=True)
        )

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_not_finite(self, value: float) -> None:
        """One figure that is no number is noticed."""
        assert make_scores([1]).is_finite()
        assert not make_scores([1], [value]).is_finite()


class TestSummarise:
    def test_nothing(self) -> None:
        """No token, no figure: absent, not zero."""
        assert summarise(make_scores([])) == AnswerScore(tokens=0)

    def test_one_token(self) -> None:
        """Each figure is defined from one token on, but for windows and onsets."""
        score = summarise(make_scores([math.log(4)], [0.5]))

        assert score.tokens == 1
        assert score.perplexity == pytest.approx(4)
        assert score.nll_max == score.nll_p95 == score.min_k == pytest.approx(math.log(4))
        assert score.entropy_mean == score.entropy_max == 0.5
        assert (score.surprise_rate, score.onset_entropy, score.windows) == (0, None, ())

    def test_definitions(self) -> None:
        """Figures of ten tokens, computed by hand."""
        score = summarise(make_scores(range(10), [0, 3, 1, 2, *[0] * 6]), onsets=[2, 3])

        assert score.nll_mean == 4.5
        assert score.perplexity == pytest.approx(math.exp(4.5))
        assert score.nll_p95 == pytest.approx(8.55)
        assert score.min_k == 8.5
        assert score.entropy_mean == pytest.approx(0.6)
        assert (score.entropy_max, score.onset_entropy) == (3, 2)
        assert score.surprise_rate == 0.7

    def test_perplexity_beyond_a_double(self) -> None:
        """What overflows is absent; the mean stays."""
        score = summarise(make_scores([800.0]))

        assert (score.perplexity, score.nll_mean) == (None, 800)

    @pytest.mark.parametrize(
        ("tokens", "windows"), [(64, []), (65, [64, 1]), (200, [64] * 3 + [8])]
    )
    def test_windows(self, tokens: int, windows: list[int]) -> None:
        """An answer of more than 64 tokens is also summarised 64 at a time, with nothing left out."""
        score = summarise(make_scores(np.linspace(0, 3, tokens)))

        assert [window.tokens for window in score.windows] == windows
        assert [window.start for window in score.windows] == list(range(0, tokens, 64))[
            : len(windows)
        ]

    @given(arrays(np.float32, st.integers(1, 300), elements=nats))
    def test_bounds(self, nll: Any) -> None:
        """Order among the figures, whatever the tokens."""
        score = summarise(make_scores(nll))

        assert score.perplexity is not None
        assert score.nll_mean is not None
        assert score.min_k is not None
        assert score.nll_max is not None
        assert score.perplexity >= 1
        assert score.nll_mean - 1e-6 <= score.min_k <= score.nll_max + 1e-6
        assert 0 <= surprise_rate(nll) <= 1

    @given(arrays(np.float32, st.integers(1, 60), elements=nats), st.integers(2, 9))
    def test_length_changes_nothing(self, nll: Any, times: int) -> None:
        """The same text again and again has the same means, rates and maxima."""
        once, often = summarise(make_scores(nll)), summarise(make_scores(np.tile(nll, times)))

        assert often.nll_mean == pytest.approx(once.nll_mean, abs=1e-5)
        assert often.surprise_rate == pytest.approx(once.surprise_rate)
        assert (often.nll_max, often.entropy_max) == (once.nll_max, once.entropy_max)
