"""What of a record goes back: a name, a score and a label for each judgement of it. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from cert_otel import semconv
from cert_otel.config import get_config
from cert_otel.evaluation.emission import CONFIDENCE, explain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cert_otel.records import Evaluation, Record, Trajectory

PERPLEXITY: Final = "perplexity"
"""Name of the result of a scoring model; its other figures are attributes."""
SCORING: Final = "scoring"
"""Name of the result where nothing could be judged at all."""
_UID_BYTES: Final = 16
_DELIVERED: Final = frozenset({"scored", "error"})
_FIGURES: Final = (
    (semconv.TRAJECTORY_PERPLEXITY, "perplexity"),
    (semconv.TRAJECTORY_ENTROPY_MEAN, "entropy_mean"),
    (semconv.TRAJECTORY_ENTROPY_MAX, "entropy_max"),
    (semconv.TRAJECTORY_SURPRISE_RATE, "surprise_rate"),
    (semconv.HAMILTONIAN_ENERGY, "energy_mean"),
    (semconv.TRAJECTORY_ENERGY_MAX, "energy_max"),
    (semconv.TRAJECTORY_STEPS, "steps"),
    (semconv.TRAJECTORY_TOKENS, "tokens"),
)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One judgement of one span."""

    trace_id: str
    span_id: str
    name: str
    score: float | None = None
    label: Literal["pass", "fail"] | str | None = None  # noqa: PYI051 - what it usually is
    explanation: str | None = None
    error_type: str | None = None
    at_ns: int
    """End of the call that was judged, since 1970; its start where no end is known."""
    attributes: dict[str, Any] = {}
    resource: dict[str, Any] = {}
    """Of the judged span."""

    @property
    def uid(self) -> str:
        """32 hexadecimal digits; equal for copies of this result, and for nothing else."""
        revision = self.attributes.get(semconv.SCORER_REVISION) or ""
        text = f"{self.trace_id} {self.span_id} {self.at_ns} {self.name} {revision}"
        return hashlib.blake2b(text.encode(), digest_size=_UID_BYTES).hexdigest()


def list_results(
    record: Record, resource: Mapping[str, Any] | None, *, quoting: bool | None = None
) -> list[Result]:
    """List what is sent about a record: nothing of one that was skipped.

    Args:
        record: Of the trail.
        resource: Attributes of the span's resource; without them what the record knows of it.
        quoting: Whether explanations may quote the answer; as content is captured if `None`.
    """
    if record.score_status not in _DELIVERED or not record.trace_id or not record.span_id:
        return []
    quotes = get_config().capture_content if quoting is None else quoting
    start_ns = int(record.timestamp.timestamp() * 1_000_000) * 1_000
    common: dict[str, Any] = {
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "at_ns": start_ns + round((record.latency_ms or 0) * 1e6),
        "resource": dict(resource) if resource is not None else _make_resource(record),
    }
    return [
        Result(**common, **fields, attributes=_describe_scorer(record) | more)
        for fields, more in _list(record, quotes=quotes)
    ]


def _list(record: Record, *, quotes: bool) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    if record.trajectory is not None:
        yield _describe_trajectory(record.trajectory)
    for one in record.evaluations:
        if one.score is not None:
            yield _describe_evaluation(one, record.output_data or "", quotes=quotes), {}
    if record.confidence is not None:
        label = "pass" if record.passed else "fail"
        yield {"name": CONFIDENCE, "score": record.confidence, "label": label}, {}
    if record.score_status == "error":
        yield {"name": SCORING, "error_type": record.score_reason or "unknown"}, {}


def _describe_trajectory(found: Trajectory) -> tuple[dict[str, Any], dict[str, Any]]:
    figures = {
        name: value for name, field in _FIGURES if (value := getattr(found, field)) is not None
    }
    if found.flags:
        figures[semconv.TRAJECTORY_FLAGS] = list(found.flags)
    label = "fail" if found.flags else "pass"
    return {"name": PERPLEXITY, "score": found.perplexity, "label": label}, figures


def _describe_evaluation(one: Evaluation, answer: str, *, quotes: bool) -> dict[str, Any]:
    explanation = explain(answer, one.evidence) if quotes else None
    return {"name": one.name, "score": one.score, "label": one.label, "explanation": explanation}


def _describe_scorer(record: Record) -> dict[str, Any]:
    named = (
        (semconv.SCORER_MODEL, record.scorer),
        (semconv.SCORER_REVISION, record.scorer_revision),
        (semconv.RESPONSE_ID, record.response_id),
    )
    return {name: value for name, value in named if value is not None}


def _make_resource(record: Record) -> dict[str, Any]:
    named = (
        (semconv.SERVICE_NAME, record.service),
        (semconv.SERVICE_VERSION, record.service_version),
    )
    return {name: value for name, value in named if value is not None}


def list_all(
    records: Iterable[tuple[Record, str | None]],
    find_resource: Callable[[str], dict[str, Any] | None],
) -> list[Result]:
    """List the results of records that come with the id of their resource."""
    return [
        result
        for record, resource in records
        for result in list_results(record, None if resource is None else find_resource(resource))
    ]
