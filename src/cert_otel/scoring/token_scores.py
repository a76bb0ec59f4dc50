"""The figures of one answer: for each token, and over the answer. Needs numpy, not torch.

Notation, for a completion token t with target x, next-token logits z over the whole vocabulary
(raw, temperature 1) and p = softmax(z). The logarithm is natural: nll and entropies are in nats.
`reduction` computes the columns; docs/scoring.md has the limits of each figure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int32]

TOP_K: Final = 10
"""Candidates in `topk_entropy` and `tail_mass`; fewer where the vocabulary has fewer."""
SURPRISING_P: Final = 0.1
"""A token that the model gave less than this is a surprise."""
LEAST_LIKELY_SHARE: Final = 0.2
"""The share of tokens in `min_k` (Min-K% Prob, arXiv 2310.16789)."""
WINDOW_TOKENS: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class TokenScores:
    """One row a completion token, in reading order; every array has shape [tokens]."""

    nll: Floats
    """-ln p(x), nats, >= 0: how surprising the token was."""
    entropy: Floats
    """-sum p ln p over the vocabulary, nats, in [0, ln V]: how open the choice was."""
    topk_entropy: Floats
    """The same over the `TOP_K` most likely, renormalised, nats, in [0, ln TOP_K]."""
    tail_mass: Floats
    """1 - sum of the `TOP_K` largest p, in [0, 1]: what `topk_entropy` leaves out."""
    prob_gap: Floats
    """p(1) - p(2), the two largest, in [0, 1]."""
    logit_gap: Floats
    """z(1) - z(2), nats, >= 0."""
    margin: Floats
    """z(1) - z(x), nats, >= 0: 0 where the token is the model's first choice."""
    rank: Ints
    """1 + the number of tokens with a larger logit; 1 is the first choice, ties share a rank."""

    def __len__(self) -> int:
        return len(self.nll)

    def __getitem__(self, tokens: slice) -> TokenScores:
        return TokenScores(*(column[tokens] for column in self.columns()))

    def columns(self) -> tuple[NDArray[Any], ...]:
        """Return the arrays in the order of the fields."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def is_finite(self) -> bool:
        """Tell whether every figure is a number: not so where weights or logits are broken."""
        return all(bool(np.isfinite(column).all()) for column in self.columns())


def concatenate(parts: Sequence[TokenScores]) -> TokenScores:
    """Join the parts of one completion, in reading order."""
    columns = zip(*(part.columns() for part in parts), strict=True)
    return TokenScores(*(np.concatenate(column) for column in columns))


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """`WINDOW_TOKENS` neighbouring tokens of a long answer; the last window may be shorter."""

    start: int
    """Index of the first token, counted from 0."""
    tokens: int
    perplexity: float | None
    entropy_mean: float
    entropy_max: float
    surprise_rate: float


class AnswerScore(msgspec.Struct, frozen=True, kw_only=True):
    """What the tokens of one answer come to; a figure that cannot be formed is `None`."""

    tokens: int
    nll_mean: float | None = None
    """Mean nll, nats."""
    perplexity: float | None = None
    """exp(mean nll), >= 1; `None` beyond what a double holds."""
    nll_max: float | None = None
    nll_p95: float | None = None
    """95th percentile of nll, linear between neighbours; under 20 tokens it is near the maximum."""
    min_k: float | None = None
    """Mean nll of the least likely 20 % of tokens, rounded up to whole tokens."""
    entropy_mean: float | None = None
    entropy_max: float | None = None
    onset_entropy: float | None = None
    """Largest entropy at the start of a sentence, name or number; `None` where there is none."""
    gap_mean: float | None = None
    """Mean of `prob_gap`."""
    surprise_rate: float | None = None
    """Share of tokens with p(x) < 0.1."""
    context_gain: float | None = None
    """Mean nll without the context minus `nll_mean`, nats: above 0, it made the answer likelier."""
    windows: tuple[Window, ...] = ()
    """Of an answer longer than one window; else empty."""


def summarise(scores: TokenScores, *, onsets: Sequence[int] = ()) -> AnswerScore:
    """Reduce the tokens of one answer; sums are in double precision.

    Args:
        scores: Finite figures.
        onsets: Indices of tokens that start a sentence, name or number (`onsets.find_onsets`).
    """
    if not len(scores):
        return AnswerScore(tokens=0)
    nll = scores.nll.astype(np.float64)
    entropy = scores.entropy
    return AnswerScore(
        tokens=len(scores),
        nll_mean=float(nll.mean()),
        perplexity=perplexity(nll),
        nll_max=float(nll.max()),
        nll_p95=float(np.percentile(nll, 95)),
        min_k=_mean_of_largest(nll, LEAST_LIKELY_SHARE),
        entropy_mean=_mean(entropy),
        entropy_max=float(entropy.max()),
        onset_entropy=float(entropy[list(onsets)].max()) if len(onsets) else None,
        gap_mean=_mean(scores.prob_gap),
        surprise_rate=surprise_rate(nll),
        windows=_split_windows(scores) if len(scores) > WINDOW_TOKENS else (),
    )


def perplexity(nll: NDArray[np.floating]) -> float | None:
    """Return exp(mean nll); `None` where that overflows."""
    mean = _mean(nll)
    return math.exp(mean) if mean < math.log(np.finfo(np.float64).max) else None


def surprise_rate(nll: NDArray[np.floating]) -> float:
    """Return the share of tokens with p < `SURPRISING_P`."""
    return float(np.count_nonzero(nll > -math.log(SURPRISING_P)) / len(nll))


def _split_windows(scores: TokenScores) -> tuple[Window, ...]:
    starts = range(0, len(scores), WINDOW_TOKENS)
    return tuple(_make_window(scores[start : start + WINDOW_TOKENS], start) for start in starts)


def _make_window(scores: TokenScores, start: int) -> Window:
    return Window(
        start=start,
        tokens=len(scores),
        perplexity=perplexity(scores.nll),
        entropy_mean=_mean(scores.entropy),
        entropy_max=float(scores.entropy.max()),
        surprise_rate=surprise_rate(scores.nll),
    )


def _mean(column: NDArray[np.floating]) -> float:
    return float(column.mean(dtype=np.float64))


def _mean_of_largest(column: NDArray[np.float64], share: float) -> float:
    count = math.ceil(share * len(column))
    return float(np.partition(column, -count)[-count:].mean())
