"""The n-gram baseline, against the formulas written out."""

from __future__ import annotations

import math
from collections import Counter
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ngram import UNESTIMATED, fit_ngrams

VOCABULARY, START = 4, 0
SEQUENCES = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=12), min_size=1, max_size=6)
Gram: TypeAlias = tuple[int, ...]


def adjusted_counts(sequences: list[list[int]], order: int) -> list[Counter[Gram]]:
    """Counts by length: occurrences at the top, different predecessors below."""
    padded = [[START] * (order - 1) + sequence for sequence in sequences]
    top = Counter(tuple(one[i : i + order]) for one in padded for i in range(len(one) - order + 1))
    counts = [top]
    for _ in range(order - 1):
        counts.insert(0, Counter(gram[1:] for gram in counts[0]))
    return counts


def discounts_of(counts: Counter[Gram]) -> tuple[float, float, float]:
    n1, n2, n3, n4 = (sum(count == k for count in counts.values()) for k in (1, 2, 3, 4))
    if 0 in (n1, n2, n3):
        return UNESTIMATED
    y = n1 / (n1 + 2 * n2)
    estimates = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return estimates if all(one > 0 for one in estimates) else UNESTIMATED


def probability(counts: list[Counter[Gram]], history: Gram, symbol: int) -> float:
    """Interpolated modified Kneser-Ney, one symbol at a time."""
    n = len(history) + 1
    below = probability(counts, history[1:], symbol) if history else 1 / VOCABULARY
    followers = {gram: count for gram, count in counts[n - 1].items() if gram[:-1] == history}
    total = sum(followers.values())
    if not total:
        return below
    discounts = (0.0, *discounts_of(counts[n - 1]))
    count = followers.get((*history, symbol), 0)
    kept = count - discounts[min(count, 3)]
    left = sum(discounts[min(one, 3)] for one in followers.values())
    return (kept + left * below) / total


class TestNgrams:
    @given(SEQUENCES, st.lists(st.integers(1, 3), min_size=1, max_size=6), st.integers(1, 4))
    def test_is_modified_kneser_ney(
        self, sequences: list[list[int]], text: list[int], order: int
    ) -> None:
        """Every symbol has the probability of the published formulas."""
        model = fit_ngrams(
            map(np.array, sequences), order=order, vocabulary=VOCABULARY, start=START
        )
        counts = adjusted_counts(sequences, order)
        padded = [START] * (order - 1) + text
        expected = [
            math.log2(probability(counts, tuple(padded[i : i + order - 1]), symbol))
            for i, symbol in enumerate(text)
        ]

        assert model.log2_probabilities(np.array(text)) == pytest.approx(expected)

    @given(SEQUENCES, st.lists(st.integers(1, 3), max_size=6))
    def test_probabilities_sum_to_one(self, sequences: list[list[int]], history: list[int]) -> None:
        """After any history the symbols share out exactly one."""
        model = fit_ngrams(map(np.array, sequences), order=3, vocabulary=VOCABULARY, start=START)
        last = [
            model.log2_probabilities(np.array([*history, symbol]))[-1]
            for symbol in range(VOCABULARY)
        ]

        assert sum(2**one for one in last) == pytest.approx(1)

    def test_keys_that_overflow_are_refused(self) -> None:
        """An order and vocabulary beyond 63 bits raise instead of mixing n-grams up."""
        with pytest.raises(ValueError, match="5-grams over 10000 symbols"):
            fit_ngrams([np.array([1])], order=5, vocabulary=10_000, start=0)
