"""Recorded calls to results: what is read of a record, and what is written about it.

An answer is measured twice: token by token by the scoring model, and step by step by the
sentence embedder. Pure: who reads records from files and writes results to them is the host.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, NamedTuple

from cert_otel.records import EvaluationRecord, Trajectory
from cert_otel.scoring.gates import Votes, vote
from cert_otel.scoring.paths import measure_paths
from cert_otel.scoring.prompts import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cert_otel.records import Record
    from cert_otel.scoring.embedding import Embedder
    from cert_otel.scoring.phase_space import PhaseTrajectory
    from cert_otel.scoring.prompts import Template
    from cert_otel.scoring.scorer import Result, TokenScorer
    from cert_otel.scoring.token_scores import AnswerScore

_logger = logging.getLogger(__name__)


class Answer(NamedTuple):
    """A completion with what came before it."""

    sample: Sample
    question: str | None
    """The text that reasoning steps are compared with: the user's last."""


class Measured(NamedTuple):
    """What was found out about one answer."""

    result: Result
    phase: PhaseTrajectory | None = None
    """`None` without a question or an embedder."""
    votes: Votes | None = None
    """`None` for what was not scored."""


def make_answer(record: Record, *, template: Template = "auto") -> Answer:
    """Take from a record what is read of it."""
    sample = Sample(
        completion=record.output_data or "",
        prompt=record.input_data,
        messages=tuple(record.input_messages or ()),
        tools=tuple(record.tools or ()),
        template=template,
    )
    return Answer(sample, record.input_data)


class AnswerScorer:
    """A scoring model and what embeds steps; not for several threads at once."""

    def __init__(self, scorer: TokenScorer, embedder: Embedder | None) -> None:
        """Set up.

        Args:
            scorer: If it embeds steps itself, its vectors are those of the path.
            embedder: Else this; without either there are no energies.
        """
        self._scorer = scorer
        self._embedder = embedder

    @property
    def budget_tokens(self) -> int:
        """Tokens of one pass of the model."""
        return self._scorer.budget

    def measure(self, answers: Sequence[Answer]) -> list[Measured | Exception]:
        """Measure answers, in order; one that makes the model fail takes no other along."""
        try:
            return list(self._measure(answers))
        except Exception as problem:  # a host boundary: one answer that fails is one error
            _logger.debug("%d answers failed together", len(answers), exc_info=True)
            if len(answers) == 1:
                return [problem]
        return [outcome for answer in answers for outcome in self.measure([answer])]

    def _measure(self, answers: Sequence[Answer]) -> list[Measured]:
        results = self._scorer.score([answer.sample for answer in answers])
        return [
            Measured(result, path, None if result.score is None else vote(result.score))
            for result, path in zip(results, self._find_paths(answers, results), strict=True)
        ]

    def _find_paths(
        self, answers: Sequence[Answer], results: Sequence[Result]
    ) -> Sequence[PhaseTrajectory | None]:
        if self._scorer.embed_steps:
            return [None if one.vectors is None else one.vectors.measure() for one in results]
        if self._embedder is None:
            return [None] * len(results)
        # What was not scored has no question to measure from.
        asked = [
            (answer.question if result.status == "scored" else None, answer.sample.completion)
            for answer, result in zip(answers, results, strict=True)
        ]
        return measure_paths(asked, self._embedder)


class Scorer(NamedTuple):
    """Who makes results, as they name it."""

    name: str
    revision: str


def make_evaluation(
    record: Record, outcome: Measured | Exception | str, *, scorer: Scorer, timestamp: datetime
) -> EvaluationRecord:
    """Make the result of one record.

    Args:
        record: With trace and span id.
        outcome: What was measured, what went wrong, or why it was skipped.
        scorer: Model and revision.
        timestamp: Now, aware.
    """
    status, reason = _describe_outcome(outcome)
    return EvaluationRecord(
        timestamp=timestamp,
        trace_id=record.trace_id or "",
        span_id=record.span_id or "",
        scorer=scorer.name,
        scorer_revision=scorer.revision,
        trajectory=_make_trajectory(outcome) if isinstance(outcome, Measured) else None,
        score_status=status,
        score_reason=reason,
    )


def _describe_outcome(
    outcome: Measured | Exception | str,
) -> tuple[Literal["scored", "deferred", "skipped", "error"], str | None]:
    if isinstance(outcome, str):
        return "skipped", outcome
    if isinstance(outcome, Exception):
        return "error", type(outcome).__name__
    result = outcome.result
    if result.status == "error":
        return "error", _leave_message_out(result.reason or "unknown")
    return result.status, result.reason


def _leave_message_out(reason: str) -> str:
    """Keep where it went wrong and the type; an exception's text may quote the answer."""
    return ": ".join(reason.split(": ")[:2])


def _make_trajectory(measured: Measured) -> Trajectory | None:
    score: AnswerScore | None = measured.result.score
    if score is None:
        return None
    phase = measured.phase
    return Trajectory(
        perplexity=score.perplexity,
        entropy_mean=score.entropy_mean,
        entropy_max=score.entropy_max,
        surprise_rate=score.surprise_rate,
        energy_mean=None if phase is None else phase.energy_mean,
        energy_max=None if phase is None else phase.energy_max,
        steps=None if phase is None else phase.steps,
        tokens=score.tokens,
        flags=() if measured.votes is None else measured.votes.flags,
    )
