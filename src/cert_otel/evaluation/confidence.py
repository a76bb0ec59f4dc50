"""`confidence`: what figures and evaluators say of an answer, as one calibrated probability.

Three steps, each of which can be followed by hand (docs/evaluation.md):

1. `weigh`: the grounding figures become one score. *Shares* (how much of the answer is borne out)
   are averaged by weight; *objections* (a number that is not there, a negation that turns the
   sense) each take their part of it off. No weight is negative: a figure that rises never lowers
   the confidence.
2. `calibrate`: the score becomes the share of answers of that type, in the development data, that
   were borne out at such a score, with an interval.
3. `combiners.pool`: other evaluators that judged the answer are averaged in, as log-odds.

Nothing is invented: a share that an answer does not have leaves the average to the others, and
without any of them there is no confidence. Weights, calibration and their figures are in
`data/weights.json`, made by models/evaluation/train.py.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cert_otel.evaluation.sample import Sample

AnswerType = Literal["short", "long", "unasked"]
"""A few words to a question; more to a question; an answer to none, such as a summary."""
ANSWER_TYPES: Final[tuple[AnswerType, ...]] = ("short", "long", "unasked")
SHORT_WORDS: Final = 8
"""Words of a short answer, at most."""
NEEDED: Final = "terms"
"""The figure without which there is nothing to check, and no score."""
_PACKAGE: Final = "cert_otel.evaluation"


class Curve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Score to probability: straight lines between points; beyond the ends, the ends."""

    scores: tuple[float, ...]
    """Ascending."""
    confidences: tuple[float, ...]
    """Not descending, as are the bounds."""
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    rows: int
    """That it was fitted on."""


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was learned from labelled answers; the content of `data/weights.json`."""

    version: Literal[1] = 1
    features_commit: str
    """Of the code that computed the figures."""
    shares: dict[str, float]
    """Weight in the average, by name of the figure."""
    objections: dict[str, float]
    """What part of the score goes when nothing of the kind is borne out, in [0, 1)."""
    curves: dict[AnswerType, Curve]

    @property
    def revision(self) -> str:
        """Twelve digits of the hash of its content."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:12]


class Confidence(msgspec.Struct, frozen=True, kw_only=True):
    """Probability that an answer is borne out."""

    value: float
    low: float | None = None
    """95 % interval over kinds of traffic and samples of them; `None` when not calibrated."""
    high: float | None = None
    answer_type: AnswerType | None = None
    """Whose calibration it is."""
    vetoed: bool = False
    """A finding that the preset does not tolerate decided, whatever the rest."""


@cache
def load_weights() -> Weights:
    """Load the weights that ship with the package."""
    return decode_weights(files(_PACKAGE).joinpath("data", "weights.json").read_bytes())


def decode_weights(data: bytes) -> Weights:
    """Decode weights, and check what the rest relies on.

    Raises:
        ValueError: It is not such a file, a weight is negative or a curve falls.
    """
    weights = msgspec.json.decode(data, type=Weights)
    if any(weight < 0 for weight in (*weights.shares.values(), *weights.objections.values())):
        raise ValueError("a weight is negative")
    if not sum(weights.shares.values()) > 0 or any(v >= 1 for v in weights.objections.values()):
        raise ValueError("no share has a weight, or an objection takes everything")
    for name, curve in weights.curves.items():
        columns = (curve.scores, curve.confidences, curve.lows, curve.highs)
        if not curve.scores or any(
            len(one) != len(curve.scores) or list(one) != sorted(one) for one in columns
        ):
            raise ValueError(f"the curve of {name} falls or has gaps")
    return weights


def weigh(figures: Mapping[str, float | None], weights: Weights | None = None) -> float | None:
    """Form one score in [0, 1] of grounding figures.

    A share that is `None` is left out of the average, which is that of the others. An objection
    that is `None` takes nothing off: where there is no number, none is wrong.

    Args:
        figures: In [0, 1], 1 is borne out; names without a weight have no say.
        weights: By default those that ship.

    Returns:
        `None` when the answer has no term that could be borne out.
    """
    if figures.get(NEEDED) is None:
        return None
    weights = weights or load_weights()
    total = sum_ = 0.0
    for name, weight in weights.shares.items():
        figure = figures.get(name)
        if figure is not None:
            total += weight
            sum_ += weight * figure
    if total <= 0:
        return None
    score = min(sum_ / total, 1.0)  # rounding
    for name, weight in weights.objections.items():
        figure = figures.get(name)
        if figure is not None:
            score *= 1 - weight * (1 - figure)
    return score


def find_answer_type(sample: Sample) -> AnswerType:
    """Return whose calibration an answer falls under."""
    if not sample.question or not sample.question.strip():
        return "unasked"
    return "short" if len(sample.answer.split()) <= SHORT_WORDS else "long"


def calibrate(score: float, answer_type: AnswerType, weights: Weights | None = None) -> Confidence:
    """Turn a score into a probability with its interval."""
    curve = (weights or load_weights()).curves[answer_type]
    return Confidence(
        value=_interpolate(curve.scores, curve.confidences, score),
        low=_interpolate(curve.scores, curve.lows, score),
        high=_interpolate(curve.scores, curve.highs, score),
        answer_type=answer_type,
    )


def _interpolate(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    right = bisect_right(xs, x)
    if right == 0:
        return ys[0]
    if right == len(xs):
        return ys[-1]
    left = right - 1
    share = (x - xs[left]) / (xs[right] - xs[left])
    # Of two products, so that rounding leaves it between the two.
    return min(max((1 - share) * ys[left] + share * ys[right], ys[left]), ys[right])
