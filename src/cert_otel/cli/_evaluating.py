"""`cert evaluate` of a journal: evaluators, a backlog, and the results between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from cert_otel.cli._backlog import Backlog, Limits
from cert_otel.cli._run import Run
from cert_otel.evaluation.contexts import FUNCTIONS, find_answers, find_sources, get_key
from cert_otel.evaluation.evaluator import BATCH, Answer
from cert_otel.journal import join_evaluations
from cert_otel.records import find_skip_reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cert_otel.cli._backlog import Place
    from cert_otel.cli._events import Events
    from cert_otel.evaluation.contexts import Key
    from cert_otel.evaluation.evaluator import Evaluator
    from cert_otel.records import EvaluationRecord, Record

_LIMITS: Final = Limits(records=BATCH, tokens=500_000)


class AnswerBacklog(Backlog):
    """The answers of some files, and where the context of each may be found."""

    kinds: ClassVar = frozenset({"inference"}) | FUNCTIONS

    def __init__(self, paths: Sequence[Path]) -> None:
        """Read the files.

        Raises:
            InputError: There is nothing at a path, or no answer.
        """
        super().__init__(paths, find_skip_reason)
        self._measured: dict[Key, list[EvaluationRecord]] = {}
        for one in self.evaluations:
            if one.trajectory is not None:
                self._measured.setdefault((one.trace_id, one.span_id), []).append(one)

    def make_answer(self, place: Place) -> Answer:
        """Return what is judged: the record with what scorers measured on it."""
        measured = self._measured.get(get_key(place.record) or ("", ""), [])
        (record,) = join_evaluations([place.record], measured)
        return Answer(record, place.sources)

    def find_results(self, scorer: str, revision: str) -> dict[Key, EvaluationRecord]:
        """Return the results of this scorer and revision.

        An answer without context is judged again once its context has been written: that of a
        function, which ends after the calls in it.
        """
        found = super().find_results(scorer, revision)
        given = set(self._sources) | {get_key(one) for one in self.calls if one.context}
        return {
            key: one
            for key, one in found.items()
            if one.score_status == "scored" or one.context_passages != 0 or key not in given
        }

    def _find_calls(self, records: Sequence[Record]) -> list[Record]:
        return find_answers(records)

    def _find_sources(self, records: Sequence[Record]) -> Mapping[Key, tuple[Key, ...]]:
        return find_sources(records)


def evaluate_backlog(
    backlog: AnswerBacklog, evaluator: Evaluator, events: Events | None = None
) -> Run:
    """Judge what this evaluator has not judged yet.

    Args:
        backlog: What there is.
        evaluator: Judges.
        events: Sends what was found, once it is written.

    Raises:
        ConfigError: A model or an endpoint is missing.
        InputError: Results could not be written.
    """
    run = Run(backlog, evaluator.scorer, evaluator.revision)

    def judge(batch: Sequence[Place]) -> list[EvaluationRecord]:
        return evaluator.judge([backlog.make_answer(place) for place in batch])

    if run.wanted:
        run.work(
            judge, _LIMITS, label="evaluating", written=None if events is None else events.send
        )
    return run
