"""Results that the scorer sent, read back: events and child spans of one judgement each.

The service says what it found of a span in several messages; those that are about one span, of one
scorer and time, are one result again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cert_otel import semconv
from cert_otel.records import Evaluation, EvaluationRecord
from cert_otel.wire._scores import CONFIDENCE, OUTCOMES, find_trajectory
from cert_otel.wire._values import find_number, find_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cert_otel.wire.span import Batch

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _About(NamedTuple):
    """What the messages of one result have in common."""

    trace_id: str
    span_id: str
    time_ns: int
    scorer: str
    revision: str | None


def read_results(batch: Batch) -> list[EvaluationRecord]:
    """Return the results that a batch tells of, in the order of their first messages."""
    groups: dict[_About, list[Mapping[str, Any]]] = {}
    for about, attributes in _list_messages(batch):
        groups.setdefault(about, []).append(attributes)
    return [_make_result(about, group) for about, group in groups.items()]


def _list_messages(batch: Batch) -> Iterator[tuple[_About, Mapping[str, Any]]]:
    for log in batch.logs:
        if log.name == semconv.EVENT_EVALUATION_RESULT and log.trace_id and log.span_id:
            about = _find_about(log.trace_id, log.span_id, log.time_ns, log.attributes)
            if about is not None:
                yield about, log.attributes
    for span in batch.spans:
        if span.scope == semconv.Scope.SCORER and span.trace_id and span.parent_span_id:
            about = _find_about(span.trace_id, span.parent_span_id, span.start_ns, span.attributes)
            if about is not None:
                yield about, span.attributes


def _find_about(
    trace_id: str, span_id: str, time_ns: int | None, attributes: Mapping[str, Any]
) -> _About | None:
    """Return what a message is about; `None` for one of another's, whose scale is not known."""
    scorer = find_text(attributes.get(semconv.SCORER_MODEL))
    if scorer is None or find_text(attributes.get(semconv.EVALUATION_NAME)) is None:
        return None
    revision = find_text(attributes.get(semconv.SCORER_REVISION))
    return _About(trace_id, span_id, time_ns or 0, scorer, revision)


def _make_result(about: _About, messages: Sequence[Mapping[str, Any]]) -> EvaluationRecord:
    fields: dict[str, Any] = {}
    evaluations = []
    errors = []
    for one in messages:
        score = find_number(one.get(semconv.EVALUATION_SCORE_VALUE))
        label = find_text(one.get(semconv.EVALUATION_SCORE_LABEL))
        error = find_text(one.get(semconv.ERROR_TYPE))
        name = find_text(one.get(semconv.EVALUATION_NAME)) or ""
        trajectory = find_trajectory(one)
        if error is not None:
            errors.append(error)
        elif trajectory is not None:
            fields["trajectory"] = trajectory
        elif name == CONFIDENCE:
            fields |= {"confidence": score, "passed": OUTCOMES.get(label or "")}
        else:
            evaluations.append(Evaluation(name=name, score=score, label=label))
    if errors and not fields and not evaluations:
        fields |= {"score_status": "error", "score_reason": errors[0]}
    return EvaluationRecord(
        timestamp=_EPOCH + timedelta(microseconds=about.time_ns // 1000),
        trace_id=about.trace_id,
        span_id=about.span_id,
        scorer=about.scorer,
        scorer_revision=about.revision,
        evaluations=evaluations,
        **fields,
    )
