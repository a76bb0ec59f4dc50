"""`cert score` of a journal: a model, a backlog, and the results between them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cert_otel.cli import _models
from cert_otel.cli._backlog import Limits
from cert_otel.cli._run import Run
from cert_otel.records import find_skip_reason
from cert_otel.scoring.answers import Scorer, make_answer, make_evaluation
from cert_otel.scoring.scorer import CPU_BUDGET, CUDA_BUDGET

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cert_otel.cli._backlog import Backlog, Place
    from cert_otel.records import EvaluationRecord
    from cert_otel.scoring.answers import AnswerScorer, Measured
    from cert_otel.scoring.choice import Choice
    from cert_otel.scoring.models import LoadedModel
    from cert_otel.scoring.prompts import Template

_PASSES: Final = 8
"""Of the model, in one batch: enough to sort texts by length, little to lose."""
_LIMITS: Final = {
    "cuda": Limits(records=1024, tokens=_PASSES * CUDA_BUDGET),
    "cpu": Limits(records=64, tokens=_PASSES * CPU_BUDGET),
}
_JOINED: Final = "+joined"
"""Behind the revision of results that were made without the chat template."""


def score_backlog(backlog: Backlog, model: LoadedModel, template: Template, choice: Choice) -> Run:
    """Score what has no result of this model yet.

    Raises:
        InputError: Results could not be written.
    """
    revision = model.revision + (_JOINED if template == "none" else "") + choice.mark
    run = Run(backlog, model.name, revision)
    if run.wanted:
        scorer = _models.open_scorer(model, choice)
        run.work(
            lambda batch: list(_score(batch, scorer, Scorer(run.name, run.revision), template)),
            _LIMITS["cuda" if model.device.type == "cuda" else "cpu"],
            label="scoring",
        )
    return run


def _score(
    batch: Sequence[Place], scorer: AnswerScorer, name: Scorer, template: Template
) -> Iterator[EvaluationRecord]:
    reasons = [find_skip_reason(place.record) for place in batch]
    answers = [
        make_answer(place.record, template=template)
        for place, reason in zip(batch, reasons, strict=True)
        if reason is None
    ]
    measured = iter(scorer.measure(answers) if answers else ())
    now = datetime.now(UTC)
    for place, reason in zip(batch, reasons, strict=True):
        outcome: Measured | Exception | str = next(measured) if reason is None else reason
        yield make_evaluation(place.record, outcome, scorer=name, timestamp=now)
