"""The figures of one sample, and the stretches of its answer that are not borne out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import msgspec

from cert_otel.evaluation.grounding.cache import ReadingCache
from cert_otel.evaluation.grounding.checks import Check, check_all
from cert_otel.evaluation.grounding.coverage import (
    Nearest,
    Weights,
    compare,
    credit,
    find_owners,
    mark_borne,
    measure_bigrams,
    measure_terms,
)
from cert_otel.evaluation.grounding.evidence import collect_evidence
from cert_otel.evaluation.grounding.negation import find_mismatches
from cert_otel.evaluation.grounding.question import QuestionFigures, measure_question
from cert_otel.evaluation.grounding.reading import Reading
from cert_otel.evaluation.grounding.weights import load_background

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.evaluation.sample import Evidence, EvidenceKind, Sample


_FACTS: Final[frozenset[EvidenceKind]] = frozenset(("number", "date", "name"))


class GroundingFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """What the context bears out of an answer, each in [0, 1], more is better.

    `None` where the answer has nothing of the kind.
    """

    terms: float | None = None
    """Share of the content terms, by weight."""
    bigrams: float | None = None
    """Share of neighbouring words that are neighbours in the context."""
    sentences: float | None = None
    """Share of a sentence's terms that one sentence of the context holds, on average."""
    weakest: float | None = None
    """The same of the sentence that is borne out least."""
    numbers: float | None = None
    """Share of the numbers whose value stands in the context, in whatever spelling."""
    dates: float | None = None
    names: float | None = None
    quotes: float | None = None
    code: float | None = None
    facts: float | None = None
    """Halved by each number, date or name that is not borne out: one wrong figure of many counts."""
    nearby: float | None = None
    """Share of numbers, dates and names that stand in or beside the nearest sentence."""
    consistent: float | None = None
    """1 less the share of numbers, dates and names to which the nearest sentence gives another value."""
    negation: float | None = None
    """1 less the share of sentences whose nearest sentence says the opposite."""
    question_gap: float | None = None
    """How near the answer's best sentence is to the one that best fits the question."""
    question_place: float | None = None
    """Whether the answer stands where the question points, and nothing like it stands nearer."""
    question_form: float | None = None
    """Whether the answer has what is asked for: a number, a date, a name."""


class Examination(msgspec.Struct, frozen=True):
    """What one sample was found to be."""

    features: GroundingFeatures
    evidence: tuple[Evidence, ...]


_CACHE = ReadingCache()


def measure(sample: Sample, *, weights: Weights | None = None) -> GroundingFeatures:
    """Return the figures of a sample; its context is read once, however often it comes.

    Args:
        sample: A sample without answer or context has no figure at all.
        weights: How informative terms are, by default the table that ships.
    """
    context = _CACHE.read(tuple(item.text for item in sample.context))
    return examine(sample, context, weights or load_background()).features


def examine(sample: Sample, context: Reading, weights: Weights) -> Examination:
    """Return figures and evidence of a sample whose context was read before."""
    answer = Reading((sample.answer,))
    if not answer.tokens or not context.tokens:
        return Examination(GroundingFeatures(), ())
    compared = compare(answer, context, weights)
    checks = check_all(answer, context, [near.sentence for near in compared.nearest])
    owners = find_owners(answer, checks)
    compared = credit(compared, owners)
    borne = mark_borne(compared, owners)
    mismatches = find_mismatches(answer, context, compared.nearest)
    question = (
        measure_question(Reading((sample.question,)), answer, context, weights)
        if sample.question
        else QuestionFigures()
    )
    features = GroundingFeatures(
        terms=measure_terms(compared, borne),
        bigrams=measure_bigrams(compared, borne, owners),
        negation=_measure_negation(compared.nearest, len(mismatches)),
        question_gap=question.gap,
        question_place=question.place,
        question_form=question.form,
        **_summarize(compared.nearest, checks),
    )
    return Examination(features, collect_evidence(compared, checks, borne, mismatches))


def _summarize(nearest: Sequence[Nearest], checks: Sequence[Check]) -> dict[str, float | None]:
    shares = [near.share for near in nearest if near.share is not None]
    facts = [check for check in checks if check.kind in _FACTS]
    return {
        "sentences": _mean(shares),
        "weakest": min(shares, default=None),
        "numbers": _mean_of(checks, "number"),
        "dates": _mean_of(checks, "date"),
        "names": _mean_of(checks, "name"),
        "quotes": _mean_of(checks, "quote"),
        "code": _mean_of(checks, "code"),
        "facts": _halve(facts),
        "nearby": _mean([check.nearby for check in facts]),
        "consistent": _mean([float(check.finding != "contradicted") for check in facts]),
    }


def _measure_negation(nearest: Sequence[Nearest], mismatches: int) -> float | None:
    looked_at = sum(near.sentence is not None for near in nearest)
    return 1 - mismatches / looked_at if looked_at else None


def _halve(facts: Sequence[Check]) -> float | None:
    return math.prod((1 + check.share) / 2 for check in facts) if facts else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _mean_of(checks: Sequence[Check], kind: EvidenceKind) -> float | None:
    return _mean([check.share for check in checks if check.kind == kind])
