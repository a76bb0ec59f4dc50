"""What came of the run, in a few lines."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from outcome import list_ids

from cert_otel import semconv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from answers import WrongAnswer
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from outcome import Outcome, Rows

SHOWN: Final = (
    semconv.EVALUATION_NAME,
    semconv.EVALUATION_SCORE_VALUE,
    semconv.EVALUATION_SCORE_LABEL,
    semconv.EVALUATION_EXPLANATION,
)
"""Attributes of the one event that is printed."""


def describe(outcome: Outcome, wrong: Sequence[WrongAnswer]) -> Iterator[str]:
    """Yield lines that say what became of the spans."""
    yield f"What became of the {len(outcome.sent)} spans that it sent:"
    if outcome.received is not None:
        spans = Counter(list_ids(outcome.received))
        copies = spans.total() - len(spans)
        yield f"backend     {len(spans)} spans received{f', copies: {copies}' if copies else ''}"
    yield f"trail       {describe_trail(outcome.trail)}"
    about = len(set(list_ids(outcome.events)))
    said = f"{len(outcome.events)} events at the backend, about {about} spans"
    if outcome.events:
        yield f"scores      {said}; one of them:"
        yield from (f"            {line}" for line in describe_event(choose_event(outcome, wrong)))
    else:
        yield f"scores      {said}"
    yield from describe_metrics(outcome)


def describe_trail(trail: Rows) -> str:
    """Say how many records there are of each status, and why calls were skipped."""
    statuses = Counter(row["score_status"] for row in trail)
    reasons = Counter(row["score_reason"] for row in trail if row["score_status"] == "skipped")
    why = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    return (
        f"{len(trail)} records: {statuses['scored']} scored, {statuses['skipped']} skipped"
        f"{f' ({why})' if why else ''}, {statuses['error']} errors"
    )


def choose_event(outcome: Outcome, wrong: Sequence[WrongAnswer]) -> LogRecord:
    """Return one that explains itself, about an answer that was changed on purpose if there is one."""
    changed = {one.answer for one in wrong}
    spans = {row["span_id"] for row in outcome.trail if row["output_data"] in changed}

    def rank(event: LogRecord) -> tuple[bool, bool]:
        explained = semconv.EVALUATION_EXPLANATION in get_attributes(event)
        return explained, event.span_id.hex() in spans

    return max(outcome.events, key=rank)


def describe_event(event: LogRecord) -> Iterator[str]:
    """Yield its name, its ids, and what it says."""
    attributes = get_attributes(event)
    said: dict[str, str | float] = {
        "event": event.event_name,
        "trace_id": event.trace_id.hex(),
        "span_id": event.span_id.hex(),
        **{name: attributes[name] for name in SHOWN if name in attributes},
    }
    yield from (f"{name:29}  {value}" for name, value in said.items())


def get_attributes(event: LogRecord) -> dict[str, str | float]:
    """Return the attributes of an event that are texts or numbers."""
    return {
        pair.key: pair.value.string_value or pair.value.double_value for pair in event.attributes
    }


def describe_metrics(outcome: Outcome) -> Iterator[str]:
    """Yield what Prometheus says, or the service itself."""
    if outcome.measured is None:
        yield "Prometheus  is not here (`apt-get install prometheus`); the service's own /metrics:"
        counts = sorted(line for line in outcome.exposed if line.startswith("cert_records_total"))
        yield from (f"            {line}" for line in counts)
        return
    for promql, values in outcome.measured.items():
        yield f"Prometheus  {promql}"
        yield from (
            f"            {labels:29}  {value:g}" for labels, value in sorted(values.items())
        )


def describe_labels(trail: Rows, labels: Mapping[str, str]) -> Iterator[str]:
    """Yield how often answers passed, by what people said of them.

    Args:
        trail: With its judgements.
        labels: What people said, by answer.
    """
    judged = [row for row in trail if row["passed"] is not None and row["output_data"] in labels]
    yield "Beside what people said of these answers:"
    for label in dict.fromkeys(labels.values()):
        passed = [row["passed"] for row in judged if labels[row["output_data"]] == label]
        yield f"  {label:28} {sum(passed):2} of {len(passed):2} passed"
