"""Perplexity from the logprobs that a provider sent of its own accord or because it was asked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

SENTINEL: Final = -9999.0
"""What OpenAI sends for a token outside its top list: not a logprob."""


class LogprobStats(msgspec.Struct, frozen=True, gc=False):
    """Statistics over the tokens of a completion, natural logarithm."""

    mean: float
    minimum: float
    total: float
    token_count: int

    @property
    def perplexity(self) -> float | None:
        """exp(-mean logprob): 1 is certain, the vocabulary's size is a guess.

        `None` where no number can hold it: some servers send -5000 for "never".
        """
        try:
            return math.exp(-self.mean)
        except OverflowError:
            return None


def summarise_logprobs(logprobs: Sequence[Any]) -> LogprobStats | None:
    """Summarise logprobs over all tokens of all choices.

    Args:
        logprobs: One a token; what is no number, NaN, infinities and the sentinel -9999 are
            left out.

    Returns:
        `None` when no token is left, so that nothing is invented.
    """
    stats = _summarise(logprobs)
    return stats or _summarise([value for value in logprobs if _is_usable(value)])


def _summarise(logprobs: Sequence[Any]) -> LogprobStats | None:
    """Summarise logprobs that are all usable, at the speed of C; `None` when one is not."""
    try:
        minimum, maximum, total = min(logprobs), max(logprobs), math.fsum(logprobs)
    except (TypeError, ValueError, OverflowError):
        return None
    # A NaN may hide from the ends, but not from the sum.
    if not minimum > SENTINEL or not maximum <= 0 or math.isnan(total):
        return None
    return LogprobStats(total / len(logprobs), float(minimum), total, len(logprobs))


def _is_usable(value: Any) -> bool:
    # The comparison is false for NaN and the infinities as well.
    return isinstance(value, (int, float)) and SENTINEL < value <= 0
