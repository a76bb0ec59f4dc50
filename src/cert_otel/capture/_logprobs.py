"""Perplexity from the logprobs that a provider sent of its own accord or because it was asked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

SENTINEL: Final = -9999.0
"""What OpenAI sends for a token outside its top list: not a logprob."""


class LogprobStats(NamedTuple):
    """Statistics over the tokens of a completion, natural logarithm."""

    mean: float
    minimum: float
    total: float
    token_count: int

    @property
    def perplexity(self) -> float:
        """exp(-mean logprob): 1 is certain, the vocabulary's size is a guess."""
        return math.exp(-self.mean)


def summarise_logprobs(logprobs: Iterable[float | None]) -> LogprobStats | None:
    """Summarise logprobs over all tokens of all choices.

    Args:
        logprobs: One a token; `None`, NaN, infinities and the sentinel -9999 are left out.

    Returns:
        `None` when no token is left, so that nothing is invented.
    """
    usable = [
        value
        for value in logprobs
        if value is not None and SENTINEL < value <= 0 and math.isfinite(value)
    ]
    if not usable:
        return None
    total = math.fsum(usable)
    return LogprobStats(total / len(usable), min(usable), total, len(usable))
