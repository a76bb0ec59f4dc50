"""The baseline: an n-gram model with interpolated modified Kneser-Ney smoothing.

Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling" (1999): three
discounts an order, estimated from the counts of counts; below the highest order an n-gram counts
as often as different symbols stand before it. Counting is sorting: an n-gram is a number of n
digits in the base of the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Keys: TypeAlias = NDArray[np.int64]
    Counts: TypeAlias = NDArray[np.int64]
    Reals: TypeAlias = NDArray[np.float64]

UNESTIMATED = (0.5, 1.0, 1.5)  # discounts where too few n-grams are rare to tell, as among bytes


@dataclass(frozen=True, slots=True)
class Order:
    """What n-grams of one length say, by sorted key."""

    ngrams: Keys
    shares: Reals
    """Discounted count of each n-gram over that of its history, in [0, 1)."""
    histories: Keys
    backoffs: Reals
    """What each history leaves to the order below, in (0, 1]."""


@dataclass(frozen=True, slots=True)
class Ngrams:
    """Orders from 1 up, over symbols 0 to `vocabulary` - 1; `start` stands before every sequence."""

    vocabulary: int
    start: int
    orders: tuple[Order, ...]

    def log2_probabilities(self, sequence: NDArray[np.integer]) -> Reals:
        """Log2 probability of every symbol, given those before it in the sequence; shape [symbols]."""
        keys = keys_of(sequence, len(self.orders), vocabulary=self.vocabulary, start=self.start)
        probabilities = np.full(len(keys), 1 / self.vocabulary)
        for n, order in enumerate(self.orders, start=1):
            suffixes = keys % self.vocabulary**n
            shares = look_up(order.ngrams, order.shares, suffixes, missing=0.0)
            histories = suffixes // self.vocabulary
            left = look_up(order.histories, order.backoffs, histories, missing=1.0)
            probabilities = shares + left * probabilities
        np.log2(probabilities, out=probabilities)
        return probabilities


def fit_ngrams(
    sequences: Iterable[NDArray[np.integer]], *, order: int, vocabulary: int, start: int
) -> Ngrams:
    """Count n-grams up to an order and smooth them.

    Raises:
        ValueError: When an n-gram has more digits than 63 bits hold.
    """
    if vocabulary**order >= 2**63:
        raise ValueError(f"{order}-grams over {vocabulary} symbols do not fit in 63 bits")
    keys = [keys_of(one, order, vocabulary=vocabulary, start=start) for one in sequences]
    ngrams, counts = np.unique(np.concatenate(keys), return_counts=True)
    orders = [smooth(ngrams, counts, vocabulary=vocabulary)]
    for n in range(order - 1, 0, -1):
        ngrams, counts = np.unique(ngrams % vocabulary**n, return_counts=True)
        orders.append(smooth(ngrams, counts, vocabulary=vocabulary))
    return Ngrams(vocabulary, start, tuple(reversed(orders)))


def keys_of(sequence: NDArray[np.integer], order: int, *, vocabulary: int, start: int) -> Keys:
    """Key of the n-gram that ends at each symbol; shape [symbols]."""
    padded = np.concatenate([np.full(order - 1, start), sequence]).astype(np.int64)
    keys = np.zeros(len(sequence), dtype=np.int64)
    for offset in range(order):
        keys = keys * vocabulary + padded[offset : offset + len(sequence)]
    return keys


def smooth(ngrams: Keys, counts: Counts, *, vocabulary: int) -> Order:
    """Discount the counts of one order, and give each history the mass to hand down."""
    discounts = np.array([0.0, *estimate_discounts(counts)])[np.minimum(counts, 3)]
    histories, first = np.unique(ngrams // vocabulary, return_index=True)
    totals = np.add.reduceat(counts, first)
    backoffs = np.add.reduceat(discounts, first) / totals
    lengths = np.diff(np.append(first, len(ngrams)))
    shares = (counts - discounts) / np.repeat(totals, lengths)
    return Order(ngrams, shares, histories, backoffs)


def estimate_discounts(counts: Counts) -> Sequence[float]:
    """Discounts of n-grams seen once, twice and more often, from how many are seen 1 to 4 times."""
    n1, n2, n3, n4 = (int(np.count_nonzero(counts == times)) for times in (1, 2, 3, 4))
    if not (n1 and n2 and n3):
        return UNESTIMATED
    y = n1 / (n1 + 2 * n2)
    estimates = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return estimates if min(estimates) > 0 else UNESTIMATED


def look_up(sorted_keys: Keys, values: Reals, wanted: Keys, *, missing: float) -> Reals:
    """Values of keys, or `missing` where a key does not occur."""
    places = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1)
    return np.where(sorted_keys[places] == wanted, values[places], missing)
