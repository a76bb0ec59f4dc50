"""The shape of what `Evaluator` answers; JSON types only."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

import msgspec

from cert_otel.evaluation.shares import wilson

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cert_otel.evaluation.sample import Label
    from cert_otel.records import Evaluation, EvaluationRecord, Evidence, ScoreStatus

UNKNOWN: Final = "unknown"


class Result(TypedDict):
    """What became of one answer."""

    timestamp: str
    """ISO 8601, UTC: when the call began, or when a text was evaluated."""
    trace_id: str | None
    span_id: str | None
    status: ScoreStatus
    """`scored`, `skipped` or `error`."""
    reason: str | None
    """Why there is no confidence."""
    confidence: float | None
    """In [0, 1]; `None` where nothing could be judged: neither 0 nor 1."""
    confidence_low: float | None
    """Ends of its 95 % interval, where it is calibrated."""
    confidence_high: float | None
    threshold: float | None
    passed: bool | None
    label: Label | Literal["unknown"]
    grounding_score: float | None
    """`None` when that evaluator was not asked, or could not judge; so the next."""
    semantic_score: float | None
    evidence: list[dict[str, Any]]
    """What is not borne out, by every evaluator, in the order of the answer."""
    evaluations: list[dict[str, Any]]
    """One entry an evaluator, as `cert_otel.records.Evaluation`."""
    context_sources: list[str]
    context_passages: int | None


class Summary(TypedDict):
    """What became of several answers."""

    total_traces: int
    """Answers that were looked at, one a model call."""
    evaluated: int
    """Of these, how many have a confidence: what every rate and mean is of."""
    skipped: int
    errors: int
    passed: int
    pass_rate: float | None
    pass_rate_low: float | None
    """The 95 % interval of the rate (Wilson)."""
    pass_rate_high: float | None
    mean_confidence: float | None
    threshold: float
    preset: str
    skip_reasons: dict[str, int]
    error_types: dict[str, int]
    scorer: str
    scorer_revision: str
    results: list[Result]


def make_result(found: EvaluationRecord, *, began: datetime | None = None) -> Result:
    """Say what became of one answer.

    Args:
        found: As it is written.
        began: When the call began that it is about.
    """
    scores = {one.name: one.score for one in found.evaluations}
    evidence = [item for one in found.evaluations for item in one.evidence]
    evidence.sort(key=lambda item: (item.start, item.end))
    passed = found.passed
    return Result(
        timestamp=(began or found.timestamp).isoformat().replace("+00:00", "Z"),
        trace_id=found.trace_id or None,
        span_id=found.span_id or None,
        status=found.score_status,
        reason=found.score_reason,
        confidence=found.confidence,
        confidence_low=found.confidence_low,
        confidence_high=found.confidence_high,
        threshold=found.threshold,
        passed=passed,
        label=UNKNOWN if passed is None else "pass" if passed else "fail",
        grounding_score=scores.get("grounding"),
        semantic_score=scores.get("semantic"),
        evidence=_make_plain(evidence),
        evaluations=_make_plain(found.evaluations),
        context_sources=found.context_sources,
        context_passages=found.context_passages,
    )


def summarise(
    results: Sequence[Result], *, threshold: float, preset: str, scorer: str, revision: str
) -> Summary:
    """Count results, and say how many of those that could be judged passed."""
    known = [one["confidence"] for one in results if one["confidence"] is not None]
    passed = sum(one["passed"] is True for one in results)
    rate = wilson(passed, len(known))
    errors = _count(results, "error")
    return Summary(
        total_traces=len(results),
        evaluated=len(known),
        skipped=len(results) - len(known) - errors.total(),
        errors=errors.total(),
        passed=passed,
        pass_rate=rate.value,
        pass_rate_low=rate.low,
        pass_rate_high=rate.high,
        mean_confidence=sum(known) / len(known) if known else None,
        threshold=threshold,
        preset=preset,
        skip_reasons=dict(_count(results, "skipped", "scored").most_common()),
        error_types=dict(errors.most_common()),
        scorer=scorer,
        scorer_revision=revision,
        results=list(results),
    )


def _make_plain(structs: Sequence[Evaluation | Evidence]) -> list[dict[str, Any]]:
    """Return what the same text in JSON is read as."""
    plain: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(structs))
    return plain


def _count(results: Iterable[Result], *statuses: str) -> Counter[str]:
    return Counter(
        one["reason"] or UNKNOWN
        for one in results
        if one["status"] in statuses and one["confidence"] is None
    )
