"""How good are scores against labels: AUC, operating point, calibration, each with its interval.

`validate` is what `cert validate` prints. Rows of one group (a document, a conversation) are not
independent, so intervals come from drawing whole groups. Pure: the same rows and seed, the same
figures. A row without score is counted and left out, never taken for 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from cert_otel.evaluation.shares import Share, measure_share, wilson

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

ROUNDS: Final = 1000
"""Bootstrap rounds and simulated label sets."""
BINS: Final = 10
"""Of equal width, in [0, 1]."""
MIN_GROUPS: Final = 10
"""With fewer groups, drawing groups says little: rows are drawn within them instead."""
_TAILS: Final = (2.5, 97.5)
_CELLS: Final = 2_000_000  # rounds times rows at once: 16 MB an array

Resampled = Literal["groups", "rows"]


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of one bin beside how many of them were borne out."""

    low: float
    high: float
    n: int
    score_mean: float
    rate: float
    """Share with label 1."""
    rate_low: float
    rate_high: float


class GroupFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One group's row."""

    group: str
    n: int
    skipped: int
    positives: int
    auc: float | None
    accuracy: float | None
    sensitivity: float | None
    specificity: float | None


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one evaluator on labelled rows; `None` where the rows do not tell."""

    n: int
    """Rows with a score: what every figure is of."""
    skipped: int
    """Rows without."""
    positives: int
    threshold: float
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    resampled: Resampled
    """What the interval of the AUC comes from."""
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    sensitivity: float | None
    """Share of what is borne out that passes."""
    sensitivity_low: float | None
    sensitivity_high: float | None
    specificity: float | None
    """Share of what is not borne out that fails."""
    specificity_low: float | None
    specificity_high: float | None
    ece: float | None
    """Expected calibration error, over bins of equal width."""
    ece_null_low: float | None
    """Within this band, the error is what perfect calibration would show on so many rows."""
    ece_null_high: float | None
    reliability: tuple[Bin, ...]
    groups: tuple[GroupFigures, ...]


def validate(
    scores: Sequence[float | None],
    labels: Sequence[int],
    groups: Sequence[str] | None = None,
    *,
    threshold: float,
    seed: int = 0,
) -> Validation:
    """Measure scores against labels.

    Args:
        scores: In [0, 1]; `None` where there is none.
        labels: 1 is borne out, 0 is not.
        groups: What rows belong together; without, each row is its own.
        threshold: A score that reaches it passes.
        seed: Of the intervals.

    Raises:
        ValueError: When the lengths differ, or a score or a label is none.
    """
    names = [str(i) for i in range(len(scores))] if groups is None else list(groups)
    _check(scores, labels, names)
    rows = [
        (score, label, name)
        for score, label, name in zip(scores, labels, names, strict=True)
        if score is not None
    ]
    values = np.array([row[0] for row in rows], dtype=np.float64)
    truth = np.array([row[1] for row in rows], dtype=np.int64)
    kept = [row[2] for row in rows]
    auc_low, auc_high = bootstrap_auc(values, truth, kept, seed=seed)
    null_low, null_high = simulate_ece(values, seed=seed)
    accuracy, sensitivity, specificity = measure_point(values, truth, threshold=threshold)
    return Validation(
        n=len(rows),
        skipped=len(scores) - len(rows),
        positives=int(truth.sum()),
        threshold=threshold,
        auc=measure_auc(values, truth),
        auc_low=auc_low,
        auc_high=auc_high,
        resampled=_what_is_drawn(kept),
        accuracy=accuracy.value,
        accuracy_low=accuracy.low,
        accuracy_high=accuracy.high,
        sensitivity=sensitivity.value,
        sensitivity_low=sensitivity.low,
        sensitivity_high=sensitivity.high,
        specificity=specificity.value,
        specificity_low=specificity.low,
        specificity_high=specificity.high,
        ece=measure_ece(values, truth),
        ece_null_low=null_low,
        ece_null_high=null_high,
        reliability=measure_reliability(values, truth),
        groups=() if groups is None else _measure_groups(scores, labels, names, threshold),
    )


def measure_auc(scores: Floats, labels: Integers) -> float | None:
    """Probability that a row with label 1 scores higher than one with 0; a tie counts half.

    Returns:
        `None` when one of the labels does not occur.
    """
    auc = float(_weighted_aucs(scores, labels, np.ones((1, len(scores))))[0])
    return None if math.isnan(auc) else auc


def bootstrap_auc(
    scores: Floats, labels: Integers, groups: Sequence[str], *, seed: int, rounds: int = ROUNDS
) -> tuple[float, float] | tuple[None, None]:
    """Return the 95 % percentile interval of the AUC.

    Groups are drawn with replacement; when they are fewer than `MIN_GROUPS`, rows are drawn
    within each of them. A round that draws one label only says nothing and is left out. Where
    the labels are separated without exception no draw varies: the far end is then Wilson's, for
    as many successes of as many rows as the rarer label has.
    """
    auc, rarer = measure_auc(scores, labels), min(int(labels.sum()), int((1 - labels).sum()))
    if auc is None:
        return None, None
    if auc in (0, 1):
        _, low, high = measure_share(int(auc) * rarer, rarer)
        return low, high
    return percentile_interval(
        np.concatenate(
            [
                _weighted_aucs(scores, labels, weights)
                for weights in draw_weights(groups, seed=seed, rounds=rounds)
            ]
        )
    )


def percentile_interval(rounds: Floats) -> tuple[float, float] | tuple[None, None]:
    """Return the 95 % interval of what the rounds gave, without those that gave nothing."""
    told = rounds[~np.isnan(rounds)]
    if 2 * len(told) <= len(rounds):
        return None, None
    low, high = np.percentile(told, _TAILS)
    return float(low), float(high)


def draw_weights(groups: Sequence[str], *, seed: int, rounds: int = ROUNDS) -> Iterator[Floats]:
    """Yield how often each row was drawn, shape [rounds, rows], in parts that fit the memory."""
    source = np.random.default_rng(seed)
    index = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)[1]
    count = len(set(groups))
    at_once = max(1, _CELLS // max(len(groups), 1))
    for start in range(0, rounds, at_once):
        size = min(at_once, rounds - start)
        if _what_is_drawn(groups) == "groups":
            yield _draw(source, count, size)[:, index]
            continue
        weights = np.zeros((size, len(groups)))
        for group in range(count):
            rows = np.flatnonzero(index == group)
            weights[:, rows] = _draw(source, len(rows), size)
        yield weights


def measure_point(
    scores: Floats, labels: Integers, *, threshold: float
) -> tuple[Share, Share, Share]:
    """Return accuracy, sensitivity and specificity at a threshold, which itself passes."""
    passed, borne = scores >= threshold, labels == 1
    return (
        wilson(int((passed == borne).sum()), len(scores)),
        wilson(int((passed & borne).sum()), int(borne.sum())),
        wilson(int((~passed & ~borne).sum()), int((~borne).sum())),
    )


def measure_ece(scores: Floats, labels: Integers) -> float | None:
    """Mean distance between score and share of label 1, over bins, weighted by their rows."""
    if not len(scores):
        return None
    return float(_eces(scores, labels[None, :] == 1)[0])


def simulate_ece(
    scores: Floats, *, seed: int, rounds: int = ROUNDS
) -> tuple[float, float] | tuple[None, None]:
    """Return the 95 % band of the error that these scores show if each is exactly right.

    A small sample has an error above 0 whatever its calibration: only what is above the band
    tells of a bad one.
    """
    if not len(scores):
        return None, None
    source = np.random.default_rng(seed)
    at_once = max(1, _CELLS // len(scores))
    found = [
        _eces(scores, (source.random((min(at_once, rounds - start), len(scores))) < scores))
        for start in range(0, rounds, at_once)
    ]
    return percentile_interval(np.concatenate(found))


def measure_reliability(scores: Floats, labels: Integers) -> tuple[Bin, ...]:
    """Return the bins that are not empty, from the lowest score up."""
    index = _bin_of(scores)
    return tuple(
        Bin(
            low=i / BINS,
            high=(i + 1) / BINS,
            n=int(inside.sum()),
            score_mean=float(scores[inside].mean()),
            rate=rate,
            rate_low=low,
            rate_high=high,
        )
        for i in range(BINS)
        if (inside := index == i).any()
        for rate, low, high in (measure_share(int(labels[inside].sum()), int(inside.sum())),)
    )


def _check(scores: Sequence[float | None], labels: Sequence[int], groups: Sequence[str]) -> None:
    if not len(scores) == len(labels) == len(groups):
        raise ValueError(f"{len(scores)} scores, {len(labels)} labels, {len(groups)} groups")
    for row, (score, label) in enumerate(zip(scores, labels, strict=True)):
        if score is not None and not 0 <= score <= 1:
            raise ValueError(f"row {row}: the score {score} is not in [0, 1]")
        if label not in (0, 1):
            raise ValueError(f"row {row}: the label {label!r} is neither 0 nor 1")


def _what_is_drawn(groups: Sequence[str]) -> Resampled:
    return "groups" if len(set(groups)) >= MIN_GROUPS else "rows"


def _draw(source: np.random.Generator, n: int, rounds: int) -> Floats:
    """Draw n of n with replacement; how often each was drawn, shape [rounds, n]."""
    drawn = source.integers(0, n, size=(rounds, n)) + np.arange(rounds)[:, None] * n
    counts = np.bincount(drawn.ravel(), minlength=rounds * n)
    weights: Floats = counts.reshape(rounds, n).astype(np.float64)
    return weights


def _weighted_aucs(scores: Floats, labels: Integers, weights: Floats) -> Floats:
    """One AUC for each row of weights; NaN where one label has no weight."""
    if not len(scores):
        return np.full(len(weights), np.nan)
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    borne = labels[order] == 1
    # Weight of each label at each distinct score, from the lowest score up.
    positive = np.add.reduceat(weights[:, order] * borne, starts, axis=1)
    negative = np.add.reduceat(weights[:, order] * ~borne, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    won = (positive * below).sum(axis=1)
    aucs: Floats = np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
    return aucs


def _bin_of(scores: Floats) -> Integers:
    index: Integers = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    return index


def _eces(scores: Floats, labels: npt.NDArray[np.bool_]) -> Floats:
    """One error for each row of labels."""
    index = _bin_of(scores)
    order = np.argsort(index, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(index[order]) > 0])
    gaps = np.add.reduceat(labels[:, order] - scores[order], starts, axis=1)
    errors: Floats = np.abs(gaps).sum(axis=1) / len(scores)
    return errors


def _measure_groups(
    scores: Sequence[float | None], labels: Sequence[int], groups: Sequence[str], threshold: float
) -> tuple[GroupFigures, ...]:
    members: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    return tuple(
        _measure_group(
            group, [scores[row] for row in rows], [labels[row] for row in rows], threshold
        )
        for group, rows in members.items()
    )


def _measure_group(
    group: str, scores: Sequence[float | None], labels: Sequence[int], threshold: float
) -> GroupFigures:
    known = [pair for pair in zip(scores, labels, strict=True) if pair[0] is not None]
    values = np.array([score for score, _ in known], dtype=np.float64)
    truth = np.array([label for _, label in known], dtype=np.int64)
    accuracy, sensitivity, specificity = measure_point(values, truth, threshold=threshold)
    return GroupFigures(
        group=group,
        n=len(known),
        skipped=len(scores) - len(known),
        positives=int(truth.sum()),
        auc=measure_auc(values, truth),
        accuracy=accuracy.value,
        sensitivity=sensitivity.value,
        specificity=specificity.value,
    )
