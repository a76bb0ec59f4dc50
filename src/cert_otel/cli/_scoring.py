"""A run over a backlog: batch by batch, each written before the next is read."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cert_otel.cli import _models
from cert_otel.cli._backlog import NO_IDS, Limits, get_key, write_results
from cert_otel.scoring.answers import Scorer, find_skip_reason, make_answer, make_evaluation
from cert_otel.scoring.scorer import CPU_BUDGET, CUDA_BUDGET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cert_otel.cli._backlog import Backlog, Key, Place
    from cert_otel.cli._models import Choice
    from cert_otel.records import EvaluationRecord
    from cert_otel.scoring.answers import AnswerScorer, Measured
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


class Run:
    """One scorer at work on one backlog."""

    def __init__(
        self, backlog: Backlog, model: LoadedModel, template: Template, choice: Choice
    ) -> None:
        """Find out what is to be done."""
        self.backlog = backlog
        self.model = model
        revision = model.revision + (_JOINED if template == "none" else "") + choice.mark
        self.scorer = Scorer(model.name, revision)
        self._template = template
        self._embedder = choice.embedder
        self.results: dict[Key, EvaluationRecord] = backlog.find_results(model.name, revision)
        """The newest of each record, of this scorer."""
        calls = [key for call in backlog.calls if (key := get_key(call)) is not None]
        self._wanted = [key for key in calls if key not in self.results]
        self.passed_over = len(calls) - len(self._wanted)
        self.without_ids = sum(backlog.get_reason(c) == NO_IDS for c in backlog.calls)

    def work(self) -> None:
        """Score what is left, and write each batch of results as it is there.

        Raises:
            InputError: Results could not be written.
        """
        if not self._wanted:
            return
        scorer = _models.open_scorer(self.model, self._embedder)
        limits = _LIMITS["cuda" if self.model.device.type == "cuda" else "cpu"]
        with _show_progress(len(self._wanted)) as advance:
            for batch in self.backlog.read_batches(self._wanted, limits):
                written = list(self._score(scorer, batch))
                write_results(
                    (place.scores, result) for place, result in zip(batch, written, strict=True)
                )
                self.results |= {(one.trace_id, one.span_id): one for one in written}
                advance(len(batch))

    def _score(self, scorer: AnswerScorer, batch: Sequence[Place]) -> Iterator[EvaluationRecord]:
        reasons = [find_skip_reason(place.record) for place in batch]
        answers = [
            make_answer(place.record, template=self._template)
            for place, reason in zip(batch, reasons, strict=True)
            if reason is None
        ]
        measured = iter(scorer.measure(answers) if answers else ())
        now = datetime.now(UTC)
        for place, reason in zip(batch, reasons, strict=True):
            outcome: Measured | Exception | str = next(measured) if reason is None else reason
            yield make_evaluation(place.record, outcome, scorer=self.scorer, timestamp=now)


@contextmanager
def _show_progress(calls: int) -> Iterator[Callable[[int], None]]:
    """Draw a bar on stderr, if that is a terminal; yield what moves it on."""
    progress = Progress(
        TextColumn("scoring"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with progress:
        task = progress.add_task("scoring", total=calls)
        yield lambda count: progress.advance(task, count)
