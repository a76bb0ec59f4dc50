"""`Evaluator`: several evaluators, one confidence, and whether that is enough.

An answer without a context, or with nothing in it that could be checked, is unknown: it has no
confidence, neither passes nor fails, and is counted with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from cert_otel.errors import ConfigError
from cert_otel.evaluation._judging import describe_failure, judge_all
from cert_otel.evaluation.combiners import GROUNDING, POOLED, CalibratedCombiner, make_combiner
from cert_otel.evaluation.confidence import Confidence
from cert_otel.evaluation.contexts import (
    EXPLICIT,
    find_answers,
    find_sources,
    get_key,
    list_sources,
    make_sample,
)
from cert_otel.evaluation.emission import emit_result
from cert_otel.evaluation.presets import get_preset
from cert_otel.evaluation.registry import make_evaluators
from cert_otel.evaluation.sample import Judgement, Sample
from cert_otel.evaluation.summary import Summary, make_result, summarise
from cert_otel.journal import decode_line, read_journal, resolve
from cert_otel.records import (
    ContextItem,
    Evaluation,
    EvaluationRecord,
    Record,
    ScoreStatus,
    find_skip_reason,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from opentelemetry._logs import LoggerProvider

    from cert_otel.evaluation.combiners import Combiner
    from cert_otel.evaluation.presets import Preset
    from cert_otel.evaluation.summary import Result

Passage = str | ContextItem | Mapping[str, Any]
"""A text, or `text` with `id` and `source`."""

CALIBRATED: Final = "calibrated"
SCORER: Final = "cert-evaluate"
"""Before the names of the evaluators: who made a result."""
BATCH: Final = 256
"""Answers at once: enough for embedders, little to lose."""
EMPTY_ANSWER: Final = "empty_answer"
NOTHING_JUDGED: Final = "nothing_judged"


class Answer(NamedTuple):
    """A recorded answer, with the records that its context may be in."""

    record: Record
    sources: Sequence[Record] = ()


class MeanCombiner:
    """The plain mean of evaluators that were asked alone, for which there is no calibration."""

    revision: Final = "mean"

    def assess(self, _sample: Sample, judgements: Sequence[Judgement]) -> Confidence | None:
        """Return the mean; `None` when nothing could be judged."""
        value = self.combine(_sample, judgements)
        return None if value is None else Confidence(value=value)

    def combine(self, _sample: Sample, judgements: Sequence[Judgement]) -> float | None:
        """Return its value alone."""
        scores = [one.score for one in judgements if one.score is not None]
        return sum(scores) / len(scores) if scores else None


class Evaluator:
    """Judges answers against the text they were given.

    Instances may be shared by threads.

    Example:
        ```python
        evaluator = Evaluator(preset="financial")
        result = evaluator.evaluate("Revenue was $89.5B.", "It was 89.5 billion dollars.")
        result["confidence"], result["passed"]
        ```
    """

    def __init__(
        self,
        preset: str = "general",
        *,
        threshold: float | None = None,
        evaluators: Sequence[str] = ("grounding",),
        combiner: str | Combiner = CALIBRATED,
        adapts: bool = False,
        logger_provider: LoggerProvider | None = None,
    ) -> None:
        """Make the evaluators.

        Args:
            preset: `general`, `financial`, `healthcare` or `legal`: whose threshold holds, and
                which findings fail an answer by themselves.
            threshold: What passes, in [0, 1], instead of the preset's.
            evaluators: Names, as `cert_otel.evaluation.registry` knows them.
            combiner: `calibrated`, which hears `grounding`, `nli` and `judge` (without any of them
                the plain mean of the others is formed); `cert`, the mean that CERT formed; or one
                of your own.
            adapts: Let term weights follow the contexts of each route (task type, function or
                service). What an answer gets depends then on those before it.
            logger_provider: Gets a `gen_ai.evaluation.result` event for each evaluation.

        Raises:
            ConfigError: One of these is unknown or cannot be used.
        """
        self.preset = preset
        chosen = get_preset(preset)
        self.threshold = chosen.threshold if threshold is None else _check(threshold)
        self._combiner = (
            _choose_combiner(combiner, evaluators, chosen)
            if isinstance(combiner, str)
            else combiner
        )
        self._adapts = adapts
        self._evaluators = make_evaluators(evaluators)
        self._provider = logger_provider
        self.scorer = f"{SCORER}:{'+'.join(one.name for one in self._evaluators)}"
        """Who made a result."""
        self.revision = self._describe()
        """Of which code, models and settings."""

    def evaluate(
        self,
        context: Passage | Sequence[Passage] | None,
        answer: str,
        question: str | None = None,
    ) -> Result:
        """Judge one answer.

        Args:
            context: The passages that it may rest on.
            answer: Is it borne out by them?
            question: What was asked, if anything was: an answer from the wrong sentence of the
                right page is wrong.
        """
        sample = Sample(answer=answer, question=question, context=tuple(_list_passages(context)))
        (found,) = self.judge_samples([sample])
        return make_result(found)

    def evaluate_log_file(self, path: Path | str) -> Summary:
        """Judge the answers of a file or directory; nothing is written.

        Raises:
            InputError: It is missing, cannot be read or holds no record.
        """
        return self._summarise(read_journal([path]).records)

    def evaluate_traces(self, traces: Iterable[Record | Mapping[str, Any]]) -> Summary:
        """Judge the answers of records.

        Args:
            traces: Records, or what a line of any readable format holds.

        Raises:
            ValueError: One of them is no record.
        """
        return self._summarise(resolve((one for trace in traces for one in _read(trace)), ()))

    def judge(self, answers: Sequence[Answer]) -> list[EvaluationRecord]:
        """Judge recorded answers: one result for each, in order, as it is written.

        Raises:
            ConfigError: On the first batch only, when a model or an endpoint is missing.
        """
        return self._judge(
            [answer.record for answer in answers],
            [self._make_sample(*answer) for answer in answers],
            [find_skip_reason(answer.record) for answer in answers],
        )

    def judge_samples(self, samples: Sequence[Sample]) -> list[EvaluationRecord]:
        """Judge texts that no record holds: one result for each, in order, without ids.

        Raises:
            ConfigError: As above.
        """
        now = datetime.now(UTC)
        records = [
            Record(kind="inference", timestamp=now, input_data=one.question, output_data=one.answer)
            for one in samples
        ]
        return self._judge(
            records, samples, [None if one.answer.strip() else EMPTY_ANSWER for one in samples]
        )

    def _judge(
        self, records: Sequence[Record], samples: Sequence[Sample], reasons: Sequence[str | None]
    ) -> list[EvaluationRecord]:
        """Judge samples; those with a reason are skipped."""
        asked = [s for s, reason in zip(samples, reasons, strict=True) if reason is None]
        judged = iter(judge_all(self._evaluators, asked))
        now = datetime.now(UTC)
        found = [
            self._conclude(record, sample, next(judged) if reason is None else reason, now)
            for record, sample, reason in zip(records, samples, reasons, strict=True)
        ]
        if self._provider is not None:
            for record, result in zip(records, found, strict=True):
                emit_result(self._provider, record, result)
        return found

    def _make_sample(self, record: Record, sources: Sequence[Record] = ()) -> Sample:
        sample = make_sample(record, sources)
        return sample if self._adapts else msgspec.structs.replace(sample, route=None)

    def _conclude(
        self, record: Record, sample: Sample, judged: Sequence[Judgement] | str, now: datetime
    ) -> EvaluationRecord:
        """Make of judgements, or the reason why there are none, what is written."""
        judgements = () if isinstance(judged, str) else judged
        status, reason = _find_outcome(judged)
        assessed = self._combiner.assess(sample, judgements) if status == "scored" else None
        confidence = assessed.value if assessed else None
        return EvaluationRecord(
            timestamp=now,
            trace_id=record.trace_id or "",
            span_id=record.span_id or "",
            scorer=self.scorer,
            scorer_revision=self.revision,
            confidence=confidence,
            confidence_low=assessed.low if assessed else None,
            confidence_high=assessed.high if assessed else None,
            threshold=None if confidence is None else self.threshold,
            passed=None if confidence is None else confidence >= self.threshold,
            evaluations=[
                _to_evaluation(self._label(sample, one), self._combiner.revision)
                for one in judgements
            ],
            context_sources=list_sources(sample.context) if judgements else [],
            context_passages=len(sample.context) if judgements else None,
            score_status=status,
            score_reason=reason,
        )

    def _label(self, sample: Sample, judgement: Judgement) -> Judgement:
        """Label grounding by whether it alone would pass, at this threshold and with these vetoes."""
        if judgement.name != GROUNDING or not isinstance(self._combiner, CalibratedCombiner):
            return judgement
        alone = self._combiner.combine(sample, [judgement])
        if alone is None:
            return judgement
        return msgspec.structs.replace(
            judgement, label="pass" if alone >= self.threshold else "fail"
        )

    def _summarise(self, records: Sequence[Record]) -> Summary:
        by_key = {key: one for one in records if (key := get_key(one)) is not None}
        sources = find_sources(records)
        answers = [
            Answer(one, [by_key[key] for key in sources.get(get_key(one) or ("", ""), ())])
            for one in find_answers(records)
        ]
        results = [
            make_result(found, began=answer.record.timestamp)
            for at in range(0, len(answers), BATCH)
            for answer, found in zip(
                answers[at : at + BATCH], self.judge(answers[at : at + BATCH]), strict=True
            )
        ]
        return self.summarise(results)

    def summarise(self, results: Sequence[Result]) -> Summary:
        """Count results of this evaluator."""
        return summarise(
            results,
            threshold=self.threshold,
            preset=self.preset,
            scorer=self.scorer,
            revision=self.revision,
        )

    def _describe(self) -> str:
        """Name everything that a result depends on; evaluators say theirs with a judgement."""
        (judgements,) = judge_all(self._evaluators, [Sample(answer="")])
        failure = describe_failure(judgements)
        if failure is not None:
            raise ConfigError("evaluators", f"{failure} on an empty answer; it cannot be used")
        parts = [f"{one.name} {one.revision or 'unknown'}" for one in judgements]
        return "; ".join([self._combiner.revision, *parts, f"threshold {self.threshold:g}"])


def _choose_combiner(name: str, evaluators: Sequence[str], preset: Preset) -> Combiner:
    """Return the combiner of a name; the calibrated one where it hears any of the evaluators."""
    if name == CALIBRATED and not {GROUNDING, *POOLED} & set(evaluators):
        return MeanCombiner()
    return make_combiner(name, preset=preset)


def _find_outcome(judged: Sequence[Judgement] | str) -> tuple[ScoreStatus, str | None]:
    if isinstance(judged, str):
        return "skipped", judged
    failure = describe_failure(judged)
    if failure is not None:
        return "error", failure
    if any(one.score is not None for one in judged):
        return "scored", None
    reasons = (one.reason for one in judged if one.reason)
    return "skipped", next(reasons, NOTHING_JUDGED)


def _to_evaluation(judgement: Judgement, calibration: str) -> Evaluation:
    return Evaluation(
        name=judgement.name,
        score=judgement.score,
        label=judgement.label,
        reason=judgement.reason,
        evidence=judgement.evidence,
        evaluator=judgement.evaluator,
        revision=judgement.revision,
        calibration=calibration,
        latency_ms=judgement.latency_ms,
    )


def _check(threshold: float) -> float:
    if not 0 <= threshold <= 1:
        raise ConfigError("threshold", f"{threshold} is not in [0, 1]")
    return threshold


def _list_passages(context: Passage | Sequence[Passage] | None) -> Iterator[ContextItem]:
    several = () if context is None else context
    if isinstance(several, str | ContextItem | Mapping):
        several = [several]
    items = (_to_item(passage) for passage in several)
    return (item for item in items if item.text)


def _to_item(passage: Passage) -> ContextItem:
    if isinstance(passage, ContextItem):
        return passage
    if isinstance(passage, Mapping):
        return msgspec.convert({"source": EXPLICIT, **passage}, ContextItem)
    return ContextItem(text=passage, source=EXPLICIT)


def _read(trace: Record | Mapping[str, Any]) -> Sequence[Record]:
    """Read what one trace is given as."""
    if isinstance(trace, Record):
        return [trace]
    line = decode_line(msgspec.json.encode(trace))
    if isinstance(line, Record):
        return [line]
    return [] if isinstance(line, EvaluationRecord) else line.records
