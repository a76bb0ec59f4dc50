"""Which stretches of an answer are not borne out, and where the context was looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from cert_otel.evaluation.grounding.checks import Check
from cert_otel.evaluation.sample import Evidence, EvidenceKind, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cert_otel.evaluation.grounding.coverage import Comparison, Weights
    from cert_otel.evaluation.grounding.reading import Sentence
    from cert_otel.evaluation.grounding.tokens import Token

_INFORMATIVE: Final = 3.0
"""Weight below which a missing word is no finding: it stands in 1 of 20 sentences."""
_GAP: Final = 2
"""Characters between two missing terms that are shown as one stretch."""


class Stretch(NamedTuple):
    """Where neighbouring terms stand in the answer."""

    start: int
    end: int


def collect_evidence(
    compared: Comparison,
    checks: Sequence[Check],
    borne: Sequence[bool],
    mismatches: Sequence[int],
) -> tuple[Evidence, ...]:
    """Return the findings in the order of the answer.

    Args:
        compared: Answer and context.
        checks: What was looked up.
        borne: For each token of the answer, whether the context bears it out.
        mismatches: Sentences of the answer whose nearest sentence says the opposite.
    """
    found = [
        _point(compared, check, check.kind, check.finding)
        for check in checks
        if check.share < 1 or check.finding == "contradicted"
    ]
    taken = [(item.start, item.end) for item in found]
    found += (
        _point(compared, compared.answer.sentences[i], "negation", "contradicted")
        for i in mismatches
    )
    found += _find_terms(compared, borne, taken)
    return tuple(sorted(found, key=lambda item: (item.start, item.end)))


def _find_terms(
    compared: Comparison, borne: Sequence[bool], taken: Sequence[tuple[int, int]]
) -> Iterator[Evidence]:
    begin = end = None
    for token, is_borne in zip(compared.answer.tokens, borne, strict=True):
        if is_borne or not _is_finding(token, compared.weights, taken):
            continue
        if begin is not None and end is not None and token.start - end <= _GAP:
            end = token.end
            continue
        if begin is not None and end is not None:
            yield _point(compared, Stretch(begin, end), "term", "missing")
        begin, end = token.start, token.end
    if begin is not None and end is not None:
        yield _point(compared, Stretch(begin, end), "term", "missing")


def _is_finding(token: Token, weights: Weights, taken: Sequence[tuple[int, int]]) -> bool:
    return (
        token.is_content
        and weights.weight(token.key) >= _INFORMATIVE
        and not any(start <= token.start < end for start, end in taken)
    )


def _point(
    compared: Comparison, place: Check | Sentence | Stretch, kind: EvidenceKind, finding: Finding
) -> Evidence:
    looked_at = place.sentence if isinstance(place, Check) else None
    if looked_at is None:
        looked_at = _find_nearest(compared, place.start)
    if looked_at is None:
        return Evidence(start=place.start, end=place.end, kind=kind, finding=finding)
    sentence = compared.context.sentences[looked_at]
    return Evidence(
        start=place.start,
        end=place.end,
        kind=kind,
        finding=finding,
        context_item=sentence.item,
        context_start=sentence.start,
        context_end=sentence.end,
    )


def _find_nearest(compared: Comparison, start: int) -> int | None:
    for sentence, near in zip(compared.answer.sentences, compared.nearest, strict=True):
        if sentence.start <= start < sentence.end:
            return near.sentence
    return None
