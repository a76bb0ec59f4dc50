"""Scores on a span: the attributes that `certscore` sets, to the fields of a record and back.

Evaluations have attributes of their own names; what an evaluation knows beside score and label has
no place on a span.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from cert_otel import semconv
from cert_otel.records import Evaluation, Trajectory
from cert_otel.wire._values import clean, find_count, find_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cert_otel.records import Record

CONFIDENCE: Final = "confidence"
"""Name of the evaluation that all others come to."""
PASS: Final = "pass"  # noqa: S105 - a label, no secret
FAIL: Final = "fail"
NUMBERS: Final = (
    (semconv.TRAJECTORY_PERPLEXITY, "perplexity"),
    (semconv.TRAJECTORY_ENTROPY_MEAN, "entropy_mean"),
    (semconv.TRAJECTORY_ENTROPY_MAX, "entropy_max"),
    (semconv.TRAJECTORY_SURPRISE_RATE, "surprise_rate"),
    (semconv.HAMILTONIAN_ENERGY, "energy_mean"),
    (semconv.TRAJECTORY_ENERGY_MAX, "energy_max"),
)
COUNTS: Final = ((semconv.TRAJECTORY_STEPS, "steps"), (semconv.TRAJECTORY_TOKENS, "tokens"))
NAMES: Final = frozenset({name for name, _ in (*NUMBERS, *COUNTS)} | {semconv.TRAJECTORY_FLAGS})
"""Attributes of a trajectory."""
_EVALUATION: Final = re.compile(
    re.escape(semconv.Prefix.EVALUATION) + r"(?P<name>.+)\.(?P<part>score|label)", re.DOTALL
)
OUTCOMES: Final = {PASS: True, FAIL: False}


def find_trajectory(given: Mapping[str, Any]) -> Trajectory | None:
    """Return the trajectory that these attributes tell of; `None` where they hold no figure."""
    fields: dict[str, Any] = {field: find_number(given.get(name)) for name, field in NUMBERS}
    fields |= {field: find_count(given.get(name)) for name, field in COUNTS}
    flags = given.get(semconv.TRAJECTORY_FLAGS)
    if isinstance(flags, list | tuple):
        fields["flags"] = tuple(clean(flag) for flag in flags if isinstance(flag, str))
    found = Trajectory(**fields)
    return None if found == Trajectory() else found


def take_evaluations(metadata: dict[str, Any]) -> dict[str, Any]:
    """Take the evaluations out of a scored span's other attributes, as fields of a record."""
    parts: dict[str, dict[str, Any]] = {}
    for attribute in list(metadata):
        found = _EVALUATION.fullmatch(attribute)
        if found is not None and _fits(found["part"], metadata[attribute]):
            parts.setdefault(found["name"], {})[found["part"]] = metadata.pop(attribute)
    fields: dict[str, Any] = {}
    overall = parts.pop(CONFIDENCE, None)
    if overall is not None:
        fields["confidence"] = find_number(overall.get("score"))
        fields["passed"] = OUTCOMES.get(overall.get("label", ""))
    if parts:
        fields["evaluations"] = [
            Evaluation(name=name, score=find_number(one.get("score")), label=one.get("label"))
            for name, one in parts.items()
        ]
    return fields


def list_scores(record: Record) -> Iterator[tuple[str, Any]]:
    """Yield the attributes that say what was found out about a record."""
    found = record.trajectory
    if found is not None:
        for name, field in (*NUMBERS, *COUNTS):
            if (value := getattr(found, field)) is not None:
                yield name, value
        if found.flags:
            yield semconv.TRAJECTORY_FLAGS, list(found.flags)
    overall = () if record.confidence is None else (_describe_confidence(record),)
    for one in (*record.evaluations, *overall):
        if one.score is not None:
            yield semconv.name_evaluation_score(one.name), one.score
        if one.label is not None:
            yield semconv.name_evaluation_label(one.name), one.label


def _fits(part: str, value: Any) -> bool:
    return isinstance(value, str) if part == "label" else find_number(value) is not None


def _describe_confidence(record: Record) -> Evaluation:
    label = None if record.passed is None else PASS if record.passed else FAIL
    return Evaluation(name=CONFIDENCE, score=record.confidence, label=label)
