"""Whether the answer comes from where the context answers the question."""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from cert_otel.evaluation.grounding.coverage import hold
from cert_otel.evaluation.grounding.proximity import Surroundings, find_form, find_rivals, locate
from cert_otel.evaluation.grounding.words import split_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cert_otel.evaluation.grounding.coverage import Weights
    from cert_otel.evaluation.grounding.proximity import Span
    from cert_otel.evaluation.grounding.reading import Reading

Expected = Literal["number", "date", "name"]

_QUESTION_WORDS: Final = frozenset(split_words("who whom whose what which when where why how"))
_KINDS: Final[tuple[tuple[Expected, re.Pattern[str]], ...]] = (
    (
        "number",
        re.compile(
            r"\bhow (?:many|much|old|long|far|tall|high|large|big|often|fast|deep|wide|heavy)\b"
            r"|\b(?:what|which) (?:percent\w*|number|amount|population|portion|proportion|age)\b",
            re.IGNORECASE,
        ),
    ),
    (
        "date",
        re.compile(
            r"\bwhen (?:is|was|were|did|does|do|will|has|had)\b"
            r"|\b(?:what|which) (?:\w+ )?(?:year|date|century|decade|month|day)\b",
            re.IGNORECASE,
        ),
    ),
    ("name", re.compile(r"\b(?:who|whom|whose|where)\b", re.IGNORECASE)),
)
"""What a question asks for, by its wording; the first that fits."""
_OPENING: Final = 3
"""Tokens among which a question without a mark has its question word: "In which year …"."""
_SHORT: Final = 6
"""Content terms, the question's own left out, up to which an answer has one place in the context."""
_GIVEN: Final = 0.3
"""What a sentence that holds the answer counts for where it holds nothing of the question."""
_PREFIX_MIN: Final = 4
_PREFIX_SHARE: Final = 2 / 3
"""Letters that two forms of a word begin with alike: "invade", "invasion"."""
_GAP_SHARE, _LEAD_SHARE, _NEW_SHARE = 1.3, 2.0, 0.3
_SHARES: Final = _GAP_SHARE + _LEAD_SHARE + _NEW_SHARE
"""Of sentence, lead over rivals and newness in the place: one to one in their own units (gaps span
1.3 of question recall, leads 2), and a little for what the question had not given already."""
_NOWHERE, _EVIDENT = 0.25, 0.72
"""Places below and above which nothing is told apart: a lead is never whole, a lag neither."""
_FORM_WEIGHT: Final = 0.7
"""What another form of a word counts for."""


class QuestionFigures(msgspec.Struct, frozen=True, gc=False):
    """What the question adds; each in [0, 1], more is better borne out."""

    gap: float | None = None
    """How near the answer's best sentence is to the one that best fits the question."""
    place: float | None = None
    """Whether the answer stands where the question points, and nothing like it stands nearer."""
    form: float | None = None
    """Whether the answer has what is asked for: a number, a date, a name."""


def measure_question(
    question: Reading, answer: Reading, context: Reading, weights: Weights
) -> QuestionFigures:
    """Compare where the answer stands with where the question points."""
    asked = _weigh(question, weights)
    said = _weigh(answer, weights)
    if not asked or not said or not _is_question(question):
        return QuestionFigures()
    wanted = _adapt(asked, context)
    recall = hold(wanted, context)
    fresh = {key: weight for key, weight in said.items() if key not in asked}
    gap = _measure_gap(recall, hold(said, context), sum(asked.values()), sum(said.values()))
    if len(fresh) > _SHORT:
        return QuestionFigures(gap=gap)
    others = {key: weight for key, weight in wanted.items() if key not in said}
    lead = _measure_lead(
        Surroundings(others or wanted, context),
        locate(answer, fresh or said, context),
        find_rivals(find_form(answer), wanted, recall, context),
    )
    new = 1.0 if _offers(question) else sum(fresh.values()) / sum(said.values())
    place = (_GAP_SHARE * gap + _LEAD_SHARE * lead + _NEW_SHARE * new) / _SHARES
    place = min(1.0, max(0.0, (place - _NOWHERE) / (_EVIDENT - _NOWHERE)))
    return QuestionFigures(gap=gap, place=place, form=_measure_form(question, answer))


def _measure_lead(
    surroundings: Surroundings, spans: Sequence[Span], rivals: Sequence[Span]
) -> float:
    """Return 0.5 where the best rival stands as near as the answer, more where the answer leads."""
    near = max(map(surroundings.measure, spans), default=0.0)
    best = max(
        (
            surroundings.measure(rival)
            for rival in rivals
            if not any(rival[0] < last and first < rival[1] for first, last in spans)
        ),
        default=0.0,
    )
    return (1 + near - best) / 2


def _offers(question: Reading) -> bool:
    """Whether the question names what may be answered: "Was it Oslo or Bergen?"."""
    return any(token.key == "or" for token in question.tokens)


def _weigh(reading: Reading, weights: Weights) -> dict[str, float]:
    return {t.key: weights.weight(t.key) for t in reading.tokens if t.is_content}


def _is_question(question: Reading) -> bool:
    return any("?" in text for text in question.texts) or any(
        token.key in _QUESTION_WORDS for token in question.tokens[:_OPENING]
    )


def _adapt(asked: Mapping[str, float], context: Reading) -> dict[str, float]:
    """Put another form of the word for each term that the context has in that form alone."""
    wanted: dict[str, float] = {}
    for key, weight in asked.items():
        form = None if key in context.positions else _find_form_of(key, context)
        if form is None:
            wanted[key] = weight
        else:
            wanted[form] = max(wanted.get(form, 0.0), weight * _FORM_WEIGHT)
    return wanted


def _find_form_of(key: str, context: Reading) -> str | None:
    if len(key) <= _PREFIX_MIN or not key.isalpha():
        return None
    prefix = key[: max(_PREFIX_MIN, int(len(key) * _PREFIX_SHARE))]
    words = context.vocabulary
    forms = []
    for i in range(bisect_left(words, prefix), len(words)):
        if not words[i].startswith(prefix):
            break
        forms.append(words[i])
    return min(forms, key=lambda form: abs(len(form) - len(key)), default=None)


def _measure_gap(
    recall: Mapping[int, float], cover: Mapping[int, float], asked: float, said: float
) -> float:
    best = max(recall.values(), default=0.0) / asked
    joint = max(
        (
            share / said * (_GIVEN + recall.get(place, 0.0) / asked)
            for place, share in cover.items()
        ),
        default=0.0,
    )
    return min(1.0, max(0.0, (1 + joint - best) / (1 + _GIVEN)))


def _measure_form(question: Reading, answer: Reading) -> float | None:
    (text,) = question.texts
    expected = next((kind for kind, wording in _KINDS if wording.search(text)), None)
    if expected is None:
        return None
    if expected == "number":
        return float(bool(answer.quantities))
    if expected == "date":
        return float(bool(answer.dates or answer.quantities))
    return float(bool(answer.names))
