"""Evaluations as telemetry: one `gen_ai.evaluation.result` event each, beside the judged span.

The event is a log record that carries the trace and span id of what was judged, so that backends
show it there, whenever it comes. Who emits owns the logger provider, its exporters and its end.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from opentelemetry._logs import LogRecord
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

from cert_otel import semconv
from cert_otel.config import get_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry._logs import LoggerProvider
    from opentelemetry.context import Context

    from cert_otel.records import Evaluation, EvaluationRecord, Evidence, Record

CONFIDENCE: Final = "confidence"
"""Name of the event for what the evaluators come to together."""
MAX_QUOTES: Final = 5
"""Stretches of the answer that an explanation quotes."""
_NS_PER_S: Final = 1_000_000_000
_SCOPE: Final = "cert_otel.evaluation"


def emit_result(
    provider: LoggerProvider,
    record: Record,
    found: EvaluationRecord,
    *,
    with_content: bool | None = None,
) -> int:
    """Emit an event for each evaluation that has a score or an error, and for the confidence.

    Args:
        provider: Of the host.
        record: What was judged. Without trace and span id the event belongs to the span that is
            current, if any is.
        found: What was found.
        with_content: Whether explanations may quote the answer; as content is captured if `None`.

    Returns:
        How many events.
    """
    quoting = get_config().capture_content if with_content is None else with_content
    logger = provider.get_logger(_SCOPE)
    context = _make_context(record)
    at_ns = int(found.timestamp.timestamp() * _NS_PER_S)
    count = 0
    for attributes in _list_attributes(record, found, quoting=quoting):
        logger.emit(
            LogRecord(
                event_name=semconv.EVENT_EVALUATION_RESULT,
                timestamp=at_ns,
                observed_timestamp=time.time_ns(),
                attributes=attributes,
                context=context,
            )
        )
        count += 1
    return count


def explain(answer: str, evidence: tuple[Evidence, ...]) -> str | None:
    """Say what is not borne out, quoting the answer; `None` where there is nothing to say."""
    quotes = [
        f'"{answer[item.start : item.end]}" ({item.kind}) {FINDINGS[item.finding]}'
        for item in evidence[:MAX_QUOTES]
    ]
    more = len(evidence) - len(quotes)
    return "; ".join([*quotes, *([f"{more} more"] if more else [])]) or None


def _list_attributes(
    record: Record, found: EvaluationRecord, *, quoting: bool
) -> Iterator[dict[str, Any]]:
    common: dict[str, Any] = {semconv.SCORER_MODEL: found.scorer}
    if found.scorer_revision is not None:
        common[semconv.SCORER_REVISION] = found.scorer_revision
    if record.response_id is not None:
        common[semconv.RESPONSE_ID] = record.response_id
    failed = found.score_status == "error"
    for one in found.evaluations:
        if one.score is not None:
            yield common | _describe(one, record.output_data or "", quoting=quoting)
        elif failed and found.score_reason is not None:
            name, _, error_type = found.score_reason.partition(": ")
            if name == one.name:
                yield common | {
                    semconv.EVALUATION_NAME: one.name,
                    semconv.ERROR_TYPE: error_type,
                }
    if found.confidence is not None:
        yield common | {
            semconv.EVALUATION_NAME: CONFIDENCE,
            semconv.EVALUATION_SCORE_VALUE: found.confidence,
            semconv.EVALUATION_SCORE_LABEL: "pass" if found.passed else "fail",
        }


def _describe(one: Evaluation, answer: str, *, quoting: bool) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        semconv.EVALUATION_NAME: one.name,
        semconv.EVALUATION_SCORE_VALUE: one.score,
    }
    if one.label is not None:
        attributes[semconv.EVALUATION_SCORE_LABEL] = one.label
    if quoting and (explanation := explain(answer, one.evidence)) is not None:
        attributes[semconv.EVALUATION_EXPLANATION] = explanation
    return attributes


def _make_context(record: Record) -> Context | None:
    """Return the context of the judged span; `None` is the current one."""
    if not record.trace_id or not record.span_id:
        return None
    try:
        judged = SpanContext(
            trace_id=int(record.trace_id, 16),
            span_id=int(record.span_id, 16),
            is_remote=True,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )
    except ValueError:  # ids of another system
        return None
    return set_span_in_context(NonRecordingSpan(judged) if judged.is_valid else INVALID_SPAN)


FINDINGS: Final = {
    "missing": "is not in the context",
    "contradicted": "is contradicted by the context",
}
