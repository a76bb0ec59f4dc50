"""Fit weights and calibration on labelled rows.

Families differ in everything but the question that is asked of them, so nothing is pooled that
may differ: each set has an intercept of its own while weights are fitted, each family counts
alike, and so do the two labels within a set. Weights are pulled towards a plain mean; how much,
`train.py --search` shows by leaving families out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from cert_otel.evaluation.confidence import (
    ANSWER_TYPES,
    NEEDED,
    Curve,
    Weights,
    find_answer_type,
    weigh,
)
from cert_otel.evaluation.grounding import GroundingEvaluator
from cert_otel.evaluation.sample import Sample
from cert_otel.records import ContextItem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from models.evaluation.datasets import Row

    from cert_otel.evaluation.confidence import AnswerType
    from cert_otel.evaluation.sample import EvidenceKind
    from cert_otel.evaluation.sample import Finding as FindingKind

    Finding = tuple[EvidenceKind, FindingKind]
    Figures = Mapping[str, float | None]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SHARES: tuple[str, ...] = ("terms", "bigrams", "sentences", "weakest", "question_gap")
OBJECTIONS: tuple[str, ...] = (
    "numbers",
    "dates",
    "names",
    "quotes",
    "code",
    "facts",
    "nearby",
    "consistent",
    "negation",
    "question_place",
)
RIDGE: Final = 0.3
"""Pull towards equal shares and `USUAL_OBJECTION`."""
USUAL_OBJECTION: Final = 0.3
MAX_OBJECTION: Final = 0.95
OTHERS_SAY: Final = 0.75
"""Of rows of other answer types in the curve of one: the type of one family is no type yet."""
MAX_SAY: Final = 300
"""Rows of the rarer label beyond which a set has no more say."""
NOT_FITTED: Final = frozenset({"halueval_short", "xquad_same_paragraph", "squad_plausible"})
"""Only measured: a part of another set, more of the same, and questions that the context does not
answer, which no figure can tell: they would teach that nothing is ever borne out."""
SAY: Final[Mapping[str, float]] = MappingProxyType(
    {"squad_other_article": 0.5, "squad_same_article": 0.5, "squad_same_paragraph": 2.0}
)
"""Of a set in its family, 1 if not here. The first two have one kind of wrong answer: what the
context does not hold. The third has those that are hard to tell, which easy ones would hide."""
ROUNDS: Final = 400
"""Of the bootstrap behind a curve."""
BINS: Final = 100
"""Of scores, while a curve is fitted."""
POINTS: Final = 33
"""Of a curve, at most."""
SLOPE: Final = 0.02
"""Part of the score in a confidence, so that a higher score is always a higher confidence."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One set: its rows, and the figures of each."""

    rows: Sequence[Row]
    figures: Sequence[Figures]
    types: Sequence[AnswerType]
    findings: Sequence[frozenset[Finding]]
    """What an answer's evidence shows, which presets may not tolerate."""
    labels: Integers = field(repr=False)

    @property
    def family(self) -> str:
        """The family that all its rows are of."""
        return self.rows[0].family

    def take(self, indices: Iterable[int]) -> Measured:
        """Keep some rows."""
        kept = list(indices)
        return Measured(
            [self.rows[i] for i in kept],
            [self.figures[i] for i in kept],
            [self.types[i] for i in kept],
            [self.findings[i] for i in kept],
            self.labels[kept],
        )


T = TypeVar("T")
Sets = dict[str, Measured]


class Matrix(NamedTuple):
    """What is fitted: one line for each row that has a score."""

    shares: Floats
    """NaN where a row has none; the figure's name is the column's."""
    losses: Floats
    """1 less each objection's figure; 0 where there is none."""
    labels: Integers
    sets: Integers
    weights: Floats


def make_sample(row: Row) -> Sample:
    """Make of a row what evaluators take."""
    return Sample(
        answer=row.answer,
        context=(ContextItem(text=row.context, source="explicit"),),
        question=row.question,
    )


def measure_rows(rows: Sequence[Row]) -> Measured:
    """Compute the grounding figures of rows."""
    evaluator, samples = GroundingEvaluator(), [make_sample(row) for row in rows]
    examined = [evaluator.examine(sample) for sample in samples]
    return Measured(
        rows,
        [msgspec.structs.asdict(one.features) for one in examined],
        [find_answer_type(sample) for sample in samples],
        [frozenset((found.kind, found.finding) for found in one.evidence) for one in examined],
        np.array([row.label for row in rows], dtype=np.int64),
    )


def fit(sets: Sets, *, commit: str, ridge: float = RIDGE, rounds: int = ROUNDS) -> Weights:
    """Fit everything on the sets of some families.

    Args:
        sets: Those in `NOT_FITTED` are left out.
        commit: Of the code that computed the figures.
        ridge: 0 fits the data alone; very much of it leaves a plain mean.
        rounds: Of the bootstrap behind the curves.
    """
    used = {name: one for name, one in sets.items() if name not in NOT_FITTED}
    shares, objections = fit_weights(make_matrix(used), ridge=ridge)
    weights = Weights(
        features_commit=commit,
        shares=dict(zip(SHARES, shares, strict=True)),
        objections=dict(zip(OBJECTIONS, objections, strict=True)),
        curves={},
    )
    curves = {kind: fit_curve(used, kind, weights, rounds=rounds) for kind in ANSWER_TYPES}
    return msgspec.structs.replace(weights, curves=curves)


def make_matrix(sets: Sets) -> Matrix:
    """Bring figures into columns, and give each row its say."""
    families = [one.family for one in sets.values()]
    columns: list[Matrix] = []
    for number, (name, one) in enumerate(sets.items()):
        shares = np.array(
            [[f.get(column) for column in SHARES] for f in one.figures],
            dtype=np.float64,  # None becomes NaN, which lives inside a matrix only
        )
        losses = 1 - np.array(
            [
                [1.0 if f.get(column) is None else f[column] for column in OBJECTIONS]
                for f in one.figures
            ],
            dtype=np.float64,
        )
        known = ~np.isnan(shares[:, SHARES.index(NEEDED)])
        say = balance(one.labels) * SAY.get(name, 1.0) / families.count(one.family)
        columns.append(
            Matrix(
                shares[known],
                losses[known],
                one.labels[known],
                np.full(int(known.sum()), number),
                say[known],
            )
        )
    return Matrix(*(np.concatenate(parts) for parts in zip(*columns, strict=True)))


def balance(labels: Integers) -> Floats:
    """Give both labels the same say; all rows together have that of their rarer label."""
    positives = int(labels.sum())
    rarer = min(positives, len(labels) - positives)
    if not rarer:
        return np.zeros(len(labels))
    each = np.where(labels == 1, 0.5 / positives, 0.5 / (len(labels) - positives))
    say: Floats = each * min(rarer, MAX_SAY) / MAX_SAY
    return say


def fit_weights(matrix: Matrix, *, ridge: float) -> tuple[list[float], list[float]]:
    """Fit shares (which sum to 1) and objections; none is negative.

    Logistic loss of `intercept of the set + steepness x score`, plus the pull of `ridge`.
    """
    k, j, s = len(SHARES), len(OBJECTIONS), int(matrix.sets.max()) + 1
    start = np.r_[np.full(k, 1 / k), np.full(j, USUAL_OBJECTION), 5.0, np.full(s, -3.0)]
    bounds = [(0.0, None)] * k + [(0.0, MAX_OBJECTION)] * j + [(0.0, None)] + [(None, None)] * s
    found = minimize(
        lambda p: loss_of(p, matrix, ridge=ridge), start, jac=True, method="L-BFGS-B", bounds=bounds
    ).x
    shares, objections = found[:k] / found[:k].sum(), found[k : k + j]
    return [round(float(v), 4) for v in shares], [round(float(v), 4) for v in objections]


def loss_of(parameters: Floats, matrix: Matrix, *, ridge: float) -> tuple[float, Floats]:
    """Loss and its gradient."""
    k, j = len(SHARES), len(OBJECTIONS)
    shares, objections, steep, intercepts = np.split(parameters, [k, k + j, k + j + 1])
    known = ~np.isnan(matrix.shares)
    values = np.where(known, matrix.shares, 0.0)
    total = (known * shares).sum(axis=1) + 1e-9
    mean = (values * shares).sum(axis=1) / total
    kept = 1 - matrix.losses * objections
    factor = kept.prod(axis=1)
    score = mean * factor
    sign = 2 * matrix.labels - 1
    logits = np.clip(intercepts[matrix.sets] + steep[0] * score, -30, 30)
    say = matrix.weights / matrix.weights.sum()
    pull = -say * sign / (1 + np.exp(sign * logits))
    on_score = pull * steep[0]
    to_mean = (known * (values - mean[:, None]) / total[:, None]) * factor[:, None]
    to_loss = -matrix.losses / kept * score[:, None]
    off_shares, off_objections = shares - 1 / k, objections - USUAL_OBJECTION
    loss = (say * np.logaddexp(0, -sign * logits)).sum()
    loss += ridge * (k * (off_shares**2).sum() + (off_objections**2).sum()) + 1e-4 * steep[0] ** 2
    gradient = np.r_[
        on_score @ to_mean + 2 * ridge * k * off_shares,
        on_score @ to_loss + 2 * ridge * off_objections,
        pull @ score + 2e-4 * steep[0],
        np.bincount(matrix.sets, pull, minlength=len(intercepts)),
    ]
    return float(loss), gradient


def fit_curve(sets: Sets, kind: AnswerType, weights: Weights, *, rounds: int) -> Curve:
    """Fit the calibration of one answer type.

    A curve is the mean of monotone fits to resampled data. Families are drawn first, then sets of
    each, then groups: the interval is as wide as kinds of traffic differ, not only as rows are
    few.
    """
    parts = {
        (one.family, name, its): score_set(
            one, its, weights, say=1.0 if its == kind else OTHERS_SAY
        )
        for name, one in sets.items()
        for its in ANSWER_TYPES
    }
    parts = {key: part for key, part in parts.items() if part.weights.sum() > 0}
    scores = np.concatenate([part.scores for part in parts.values()])
    # Of scores that differ: four in ten rows have exactly 1, and what lies below matters.
    distinct = np.unique(scores.round(3))
    edges = np.unique(np.quantile(distinct, np.linspace(0, 1, BINS)))
    grid = np.unique(np.quantile(distinct, np.linspace(0, 1, POINTS)).round(4))
    families: dict[str, dict[str, list[Floats]]] = {}
    for (family, name, _), part in parts.items():
        families.setdefault(family, {}).setdefault(name, []).append(
            SAY.get(name, 1.0) * tabulate(part, edges)
        )
    tables = [list(names.values()) for names in families.values()]
    source = np.random.default_rng(0)
    found = np.array([draw_curve(source, tables, edges, grid) for _ in range(rounds)])
    found = (1 - SLOPE) * found + SLOPE * grid
    low, high = np.percentile(found, (2.5, 97.5), axis=0)
    return Curve(
        scores=to_points(grid),
        confidences=to_points(found.mean(axis=0)),
        lows=to_points(low),
        highs=to_points(high),
        rows=sum(len(part.scores) for (_, _, its), part in parts.items() if its == kind),
    )


class Scored(NamedTuple):
    """Rows of one set and one answer type, with their scores."""

    scores: Floats
    labels: Integers
    weights: Floats
    groups: Integers


def score_set(one: Measured, kind: AnswerType, weights: Weights, *, say: float) -> Scored:
    """Score the rows of one type."""
    scores = [weigh(figures, weights) for figures in one.figures]
    kept = [
        i
        for i, (score, its) in enumerate(zip(scores, one.types, strict=True))
        if score is not None and its == kind
    ]
    names = [one.rows[i].group for i in kept]
    labels = one.labels[kept]
    return Scored(
        np.array([scores[i] for i in kept], dtype=np.float64),
        labels,
        say * balance(labels),
        np.unique(names, return_inverse=True)[1] if names else np.empty(0, dtype=np.int64),
    )


def tabulate(part: Scored, edges: Floats) -> Floats:
    """Sum weights by group, label and bin of the score: shape [groups, 2, bins]."""
    table = np.zeros((int(part.groups.max()) + 1, 2, len(edges)))
    bins = np.maximum(np.searchsorted(edges, part.scores, side="right") - 1, 0)
    np.add.at(table, (part.groups, part.labels, bins), part.weights)
    return table


def draw_curve(
    source: np.random.Generator,
    families: Sequence[Sequence[Sequence[Floats]]],
    edges: Floats,
    grid: Floats,
) -> Floats:
    """Fit one monotone curve to families, sets and groups drawn with replacement.

    Args:
        source: Of the draws.
        families: Of each its sets, of each set a table for each answer type.
        edges: Lower ends of the tables' bins.
        grid: Where the curve is wanted.
    """
    total = np.zeros((2, len(edges)))
    for family in draw(source, families):
        for tables in draw(source, family):
            for table in tables:
                groups = source.integers(0, len(table), size=len(table))
                counts = np.bincount(groups, minlength=len(table))
                total += np.tensordot(counts, table, axes=1) / len(family)
    weight = total.sum(axis=0)
    used = weight > 0
    heights = fit_monotone(total[1, used] / weight[used], weight[used])
    curve: Floats = np.interp(grid, edges[used], heights)
    return curve


def draw(source: np.random.Generator, things: Sequence[T]) -> list[T]:
    """Draw as many as there are, with replacement."""
    return [things[i] for i in source.integers(0, len(things), size=len(things))]


def fit_monotone(values: Floats, weights: Floats) -> Floats:
    """Return the nearest sequence that does not fall (pool adjacent violators)."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, mass, count = value, weight, 1
        while blocks and blocks[-1][0] >= mean:
            before, its_mass, its_count = blocks.pop()
            mean = (mean * mass + before * its_mass) / (mass + its_mass)
            mass, count = mass + its_mass, count + its_count
        blocks.append((mean, mass, count))
    return np.concatenate([np.full(count, mean) for mean, _, count in blocks])


def to_points(values: Floats) -> tuple[float, ...]:
    """Round, and leave no fall behind that rounding or resampling made."""
    return tuple(float(v) for v in np.maximum.accumulate(values).round(4))
