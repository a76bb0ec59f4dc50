"""From what an evaluator finds to judgements: skips, labels, shares of the time, bad samples."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from cert_otel.evaluation.sample import Judgement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cert_otel.evaluation.sample import Evidence, Label, Sample

EMPTY_ANSWER: Final = "empty_answer"
NO_CONTEXT: Final = "no_context"

_logger = logging.getLogger(__name__)


class Verdict(NamedTuple):
    """What was found about one sample: a score, or why there is none."""

    score: float | None = None
    reason: str | None = None
    evidence: tuple[Evidence, ...] = ()
    calibration: str | None = None
    """What the score depends on besides the evaluator's revision, and is named with it."""


class Identity(NamedTuple):
    """Who judges, as judgements name it, and from which score on an answer passes."""

    name: str
    evaluator: str
    revision: str
    threshold: float


def find_skip_reason(sample: Sample) -> str | None:
    """Return why there is nothing to compare; `None` if there is."""
    if not sample.answer.strip():
        return EMPTY_ANSWER
    return None if any(item.text.strip() for item in sample.context) else NO_CONTEXT


def judge_batch(
    samples: Sequence[Sample],
    measure: Callable[[Sequence[Sample]], Sequence[Verdict]],
    identity: Identity,
    *,
    find_skip: Callable[[Sample], str | None] = find_skip_reason,
) -> list[Judgement]:
    """Judge samples: one judgement each, in order; a sample that fails takes no other along.

    Args:
        samples: The batch.
        measure: Gets those that are not skipped, together.
        identity: What the judgements say of their maker.
        find_skip: Why a sample is not measured.
    """
    begin = time.perf_counter()
    verdicts = _measure_all(samples, measure, find_skip)
    share_ms = (time.perf_counter() - begin) * 1000 / max(len(samples), 1)
    return [_make_judgement(verdict, identity, share_ms) for verdict in verdicts]


def _measure_all(
    samples: Sequence[Sample],
    measure: Callable[[Sequence[Sample]], Sequence[Verdict]],
    find_skip: Callable[[Sample], str | None],
) -> list[Verdict]:
    reasons = [_find_skip_safely(sample, find_skip) for sample in samples]
    chosen = [sample for sample, reason in zip(samples, reasons, strict=True) if reason is None]
    measured = iter(measure_safely(chosen, measure) if chosen else ())
    return [next(measured) if reason is None else Verdict(reason=reason) for reason in reasons]


def _find_skip_safely(sample: Sample, find_skip: Callable[[Sample], str | None]) -> str | None:
    try:
        return find_skip(sample)
    except Exception as problem:  # noqa: BLE001 - a host boundary: see `judge_batch`
        return _describe(problem)


def measure_safely(
    samples: Sequence[Sample], measure: Callable[[Sequence[Sample]], Sequence[Verdict]]
) -> Sequence[Verdict]:
    """Measure samples together; if that fails, one by one, so that one alone is an error."""
    try:
        return measure(samples)
    except Exception as problem:  # noqa: BLE001 - a host boundary: see `judge_batch`
        if len(samples) == 1:
            return [Verdict(reason=_describe(problem))]
    return [verdict for sample in samples for verdict in measure_safely([sample], measure)]


def _describe(problem: Exception) -> str:
    """Return the type alone: the text of an exception may quote the answer."""
    _logger.debug("a sample could not be judged: %s", type(problem).__name__)
    return f"error: {type(problem).__name__}"


def _make_judgement(verdict: Verdict, identity: Identity, latency_ms: float) -> Judgement:
    label: Label | None = None
    if verdict.score is not None:
        label = "pass" if verdict.score >= identity.threshold else "fail"
    return Judgement(
        name=identity.name,
        score=verdict.score,
        label=label,
        reason=verdict.reason,
        evidence=verdict.evidence,
        evaluator=identity.evaluator,
        revision=" ".join(filter(None, (identity.revision, verdict.calibration))),
        latency_ms=latency_ms,
    )
