"""Measure confidence on rows that its weights never saw: other families, or other documents."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from cert_otel.evaluation.combiners import VETOED
from cert_otel.evaluation.confidence import calibrate, weigh
from cert_otel.evaluation.shares import wilson
from cert_otel.evaluation.statistics import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.evaluation.fitting import Measured, Sets

    from cert_otel.evaluation.confidence import Confidence, Weights
    from cert_otel.evaluation.presets import Preset
    from cert_otel.evaluation.statistics import Validation

    Fit = Callable[[Sets], Weights]
    Scores = list[float | None]
    Confidences = list[Confidence | None]

FOLDS: Final = 5
TENTHS: Final = 10


class Point(msgspec.Struct, frozen=True):
    """What a preset lets through and holds back."""

    threshold: float
    sensitivity: float | None
    specificity: float | None


def predict(one: Measured, weights: Weights) -> Confidences:
    """Return the confidence in each row."""
    return [
        None if (score := weigh(figures, weights)) is None else calibrate(score, kind, weights)
        for figures, kind in zip(one.figures, one.types, strict=True)
    ]


def take_values(found: Confidences) -> Scores:
    """Leave the intervals away."""
    return [one.value if one else None for one in found]


def leave_families_out(sets: Sets, fit_on: Fit) -> dict[str, Weights]:
    """Return for each set weights that never saw its family."""
    families = dict.fromkeys(one.family for one in sets.values())
    fitted = {
        family: fit_on({name: one for name, one in sets.items() if one.family != family})
        for family in families
    }
    return {name: fitted[one.family] for name, one in sets.items()}


def cross_validate(sets: Sets, fit_on: Fit) -> dict[str, Confidences]:
    """Return for each set the confidences of weights that saw other documents of its family."""
    found: dict[str, Confidences] = {name: [None] * len(one.rows) for name, one in sets.items()}
    folds = {name: [fold_of(row.group) for row in one.rows] for name, one in sets.items()}
    for fold in range(FOLDS):
        inside = {n: [i for i, f in enumerate(its) if f == fold] for n, its in folds.items()}
        outside = {n: [i for i, f in enumerate(its) if f != fold] for n, its in folds.items()}
        weights = fit_on({name: one.take(outside[name]) for name, one in sets.items()})
        for name, one in sets.items():
            for i, score in zip(
                inside[name], predict(one.take(inside[name]), weights), strict=True
            ):
                found[name][i] = score
    return found


def fold_of(group: str) -> int:
    """Return the fold of a document, by its name alone."""
    return hashlib.sha256(group.encode()).digest()[0] % FOLDS


def validate_set(one: Measured, scores: Scores, *, threshold: float = 0.7) -> Validation:
    """Measure scores against the labels of a set."""
    return validate(
        scores,
        one.labels.tolist(),
        [row.group for row in one.rows],
        threshold=threshold,
    )


def measure_preset(one: Measured, scores: Scores, preset: Preset) -> Point:
    """Count what passes under a preset, vetoes included; rows without score do not count."""
    heeded = [
        min(score, VETOED) if score is not None and findings & preset.vetoes else score
        for score, findings in zip(scores, one.findings, strict=True)
    ]
    found = validate_set(one, heeded, threshold=preset.threshold)
    return Point(preset.threshold, found.sensitivity, found.specificity)


def measure_coverage(one: Measured, found: Confidences) -> tuple[int, int]:
    """Count tenths of a set, by confidence, whose share of borne-out answers fits the interval.

    The labels count alike, as they did when the curve was fitted; the share fits when its own
    interval, for so many rows, meets that of the confidences.

    Returns:
        How many fit, of how many.
    """
    pairs = [(c, label) for c, label in zip(found, one.labels.tolist(), strict=True) if c]
    pairs.sort(key=lambda pair: pair[0].value)
    positives = sum(label for _, label in pairs)
    say = {1: 1 / max(positives, 1), 0: 1 / max(len(pairs) - positives, 1)}
    parts = [part for part in np.array_split(np.arange(len(pairs)), TENTHS) if len(part)]
    return sum(_fits([pairs[i] for i in part], say) for part in parts), len(parts)


def _fits(part: Sequence[tuple[Confidence, int]], say: dict[int, float]) -> bool:
    weights = np.array([say[label] for _, label in part])
    rate = sum(say[1] for _, label in part if label) / weights.sum()
    own = wilson(round(rate * len(part)), len(part))
    low = np.average([one.low or 0.0 for one, _ in part], weights=weights)
    high = np.average([1.0 if one.high is None else one.high for one, _ in part], weights=weights)
    return bool((own.low or 0.0) <= high and low <= (own.high or 0.0))
