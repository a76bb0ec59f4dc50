"""What judges records, seen from the worker: a batch of cases in, results of each out.

Over `scoring/` (how surprising is the answer?), over `evaluation/` (is it borne out?), both in
turn, or nothing. Models are loaded by `open_judges_of`, and only then.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from cert_otel.journal import join_evaluations
from cert_otel.records import EvaluationRecord, Record, find_skip_reason
from cert_otel.scoring.choice import Choice, get_quantization, open_model, open_scorer
from cert_otel.service.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.evaluation import Evaluator
    from cert_otel.scoring.answers import AnswerScorer, Scorer
    from cert_otel.service.settings import Evaluation as EvaluationSettings
    from cert_otel.service.settings import Scorer as ScorerSettings
    from cert_otel.service.settings import Settings

_PASSES: Final = 8
"""Of the model, in one batch: enough to sort texts by length, little to lose."""
_CUDA_RECORDS: Final = 1024
_CPU_RECORDS: Final = 64

_logger = logging.getLogger(__name__)


class Case(NamedTuple):
    """One answer to be judged."""

    record: Record
    """With trace and span id, and an answer."""
    sources: Sequence[Record] = ()
    """Records of the same trace that its context may be in."""


class Judge(Protocol):
    """Judges answers; not for several threads at once."""

    @property
    def name(self) -> str:
        """Who judges."""

    @property
    def revision(self) -> str:
        """Of which model, code and settings."""

    def judge(self, cases: Sequence[Case]) -> list[list[EvaluationRecord]]:
        """Judge a batch: the results of each case, in order; empty where nobody judged."""


class NullJudge:
    """Judges nothing: records go to the trail as they came."""

    name = ""
    revision = ""

    def judge(self, cases: Sequence[Case]) -> list[list[EvaluationRecord]]:
        """Return no result for any case."""
        return [[] for _ in cases]


class ScoringJudge:
    """A scoring model as a judge."""

    def __init__(self, scorer: AnswerScorer, identity: Scorer) -> None:
        """Set up with what measures, and how it names itself."""
        self._scorer = scorer
        self._identity = identity

    @property
    def name(self) -> str:
        """The model."""
        return self._identity.name

    @property
    def revision(self) -> str:
        """Its commit, or the hash of its files."""
        return self._identity.revision

    def judge(self, cases: Sequence[Case]) -> list[list[EvaluationRecord]]:
        """Measure the answers; one that makes the model fail takes no other along."""
        from cert_otel.scoring.answers import (  # noqa: PLC0415 - torch takes seconds
            make_answer,
            make_evaluation,
        )

        measured = self._scorer.measure([make_answer(case.record) for case in cases])
        now = datetime.now(UTC)
        return [
            [make_evaluation(case.record, outcome, scorer=self._identity, timestamp=now)]
            for case, outcome in zip(cases, measured, strict=True)
        ]


class EvaluationJudge:
    """Evaluators as a judge."""

    def __init__(self, evaluator: Evaluator) -> None:
        """Set up with what evaluates."""
        self._evaluator = evaluator

    @property
    def name(self) -> str:
        """The names of the evaluators."""
        return self._evaluator.scorer

    @property
    def revision(self) -> str:
        """Of all that a confidence depends on."""
        return self._evaluator.revision

    def judge(self, cases: Sequence[Case]) -> list[list[EvaluationRecord]]:
        """Evaluate the answers against their contexts."""
        from cert_otel.evaluation.evaluator import Answer  # noqa: PLC0415 - only who asks pays

        answers = [Answer(case.record, case.sources) for case in cases]
        return [[found] for found in self._evaluator.judge(answers)]


class SequenceJudge:
    """Several judges one after the other; each sees what those before it found."""

    def __init__(self, judges: Sequence[Judge]) -> None:
        """Set up with judges in their order."""
        self._judges = tuple(judges)

    @property
    def name(self) -> str:
        """The names of all."""
        return "+".join(judge.name for judge in self._judges)

    @property
    def revision(self) -> str:
        """The revisions of all."""
        return "+".join(judge.revision for judge in self._judges)

    def judge(self, cases: Sequence[Case]) -> list[list[EvaluationRecord]]:
        """Judge a batch by each of them."""
        found: list[list[EvaluationRecord]] = [[] for _ in cases]
        for judge in self._judges:
            for own, new in zip(found, judge.judge(cases), strict=True):
                own.extend(new)
            cases = [
                case._replace(record=_join(case.record, own))
                for case, own in zip(cases, found, strict=True)
            ]
        return found


class GuardedJudge:
    """A judge that never raises: a batch that breaks it is judged one by one."""

    def __init__(self, judge: Judge) -> None:
        """Guard this judge."""
        self._judge = judge

    @property
    def name(self) -> str:
        """That of the judge."""
        return self._judge.name

    @property
    def revision(self) -> str:
        """That of the judge."""
        return self._judge.revision

    def judge(self, cases: Sequence[Case]) -> list[list[EvaluationRecord]]:
        """Judge a batch; what cannot be judged alone gets an error with the exception's type."""
        try:
            return self._judge.judge(cases)
        except Exception as problem:  # noqa: BLE001 - a host boundary: one record, one error
            _logger.warning("judging %d records failed: %s", len(cases), type(problem).__name__)
            if len(cases) == 1:
                return [[self._describe(cases[0].record, problem)]]
        return [found for case in cases for found in self.judge([case])]

    def _describe(self, record: Record, problem: Exception) -> EvaluationRecord:
        return EvaluationRecord(
            timestamp=datetime.now(UTC),
            trace_id=record.trace_id or "",
            span_id=record.span_id or "",
            scorer=self.name or "cert-otel",
            scorer_revision=self.revision or None,
            score_status="error",
            # The type alone: a message may quote the answer.
            score_reason=type(problem).__name__,
        )


class Judges(NamedTuple):
    """The judges of a worker; either may be missing."""

    scoring: Judge | None = None
    evaluation: Judge | None = None
    limits: Limits = Limits()
    """Of a batch, by what they run on."""

    def combine(self) -> Judge:
        """Return both in turn, as one that never raises; a null judge where there is none."""
        judges = [judge for judge in (self.scoring, self.evaluation) if judge is not None]
        return GuardedJudge(SequenceJudge(judges)) if judges else NullJudge()


def open_judges_of(settings: Settings) -> Judges:
    """Load what judges by these settings; nothing where scoring is off.

    Raises:
        CertOtelError: A model cannot be had, or an evaluator is unknown.
    """
    if not settings.scorer.enabled:
        return Judges()
    scoring, limits = _open_scoring(make_choice(settings.scorer))
    return Judges(scoring, _open_evaluation(settings.evaluation), limits)


def make_choice(scorer: ScorerSettings) -> Choice:
    """Return what the settings say about the model, as `cert score` has it."""
    return Choice(
        scorer.model,
        scorer.device,
        scorer.dtype,
        get_quantization(scorer.quantization),
        scorer.embedder,
        scorer.window_tokens,
        scorer.revision,
        scorer.offline,
        scorer.allow_remote_code,
    )


def find_reason(record: Record) -> str | None:
    """Return why a record is not judged; `None` if it is.

    Model calls alone are. By trace and span id a result would be sent back, so both are needed.
    """
    if record.kind != "inference":
        return "no_model_call"
    if not record.trace_id or not record.span_id:
        return "no_ids"
    return find_skip_reason(record)


def _open_scoring(choice: Choice) -> tuple[Judge, Limits]:
    from cert_otel.scoring.answers import Scorer  # noqa: PLC0415 - torch takes seconds

    loaded = open_model(choice)
    scorer = open_scorer(loaded, choice, warn=_logger.warning)
    limits = Limits(
        records=_CUDA_RECORDS if loaded.device.type == "cuda" else _CPU_RECORDS,
        tokens=_PASSES * scorer.budget_tokens,
    )
    return ScoringJudge(scorer, Scorer(loaded.name, loaded.revision + choice.mark)), limits


def _open_evaluation(settings: EvaluationSettings) -> Judge | None:
    if not settings.evaluators:
        return None
    from cert_otel.evaluation import Evaluator  # noqa: PLC0415 - only who asks pays

    return EvaluationJudge(
        Evaluator(settings.preset, threshold=settings.threshold, evaluators=settings.evaluators)
    )


def _join(record: Record, results: Sequence[EvaluationRecord]) -> Record:
    (joined,) = join_evaluations([record], results)
    return joined
