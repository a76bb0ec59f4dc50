"""Whether the answer comes from where the context answers the question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from cert_otel.evaluation.grounding.coverage import hold
from cert_otel.evaluation.grounding.tokens import split_words

if TYPE_CHECKING:
    from cert_otel.evaluation.grounding.coverage import Weights
    from cert_otel.evaluation.grounding.reading import Reading

_QUESTION_WORDS: Final = frozenset(split_words("who whom whose what which when where why how"))


class QuestionFigures(msgspec.Struct, frozen=True, gc=False):
    """What the question adds; each in [0, 1], more is better borne out."""

    gap: float | None = None
    """How near the answer's best sentence is to the one that best fits the question."""


def is_question(question: Reading) -> bool:
    """Whether a text asks for something that a passage can answer."""
    return any(token.key in _QUESTION_WORDS for token in question.tokens) or any(
        "?" in text for text in question.texts
    )


def measure_question(
    question: Reading, answer: Reading, context: Reading, weights: Weights
) -> QuestionFigures:
    """Compare where the answer stands with where the question points."""
    asked = {t.key: weights.weight(t.key) for t in question.tokens if t.is_content}
    said = {t.key: weights.weight(t.key) for t in answer.tokens if t.is_content}
    if not asked or not said or not is_question(question):
        return QuestionFigures()
    return QuestionFigures(gap=_measure_gap(asked, said, context))


def _measure_gap(asked: dict[str, float], said: dict[str, float], context: Reading) -> float:
    recall = hold(asked, context)
    cover = hold(said, context)
    total_asked, total_said = sum(asked.values()), sum(said.values())
    best = max(recall.values(), default=0.0) / total_asked
    joint = max(
        (
            share / total_said * (0.3 + recall.get(place, 0.0) / total_asked)
            for place, share in cover.items()
        ),
        default=0.0,
    )
    return min(1.0, max(0.0, (1 + joint - best) / 1.3))
