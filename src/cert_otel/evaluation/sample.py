"""What evaluators take and give: a sample, and a judgement with its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import msgspec

from cert_otel.records import (
    ContextItem,
    Evidence,
    EvidenceKind,
    Finding,
    Trajectory,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Evidence",
    "EvidenceKind",
    "Finding",
    "Judgement",
    "Label",
    "Sample",
    "SampleEvaluator",
]

Label = Literal["pass", "fail"]


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, with what it is judged against."""

    answer: str
    context: tuple[ContextItem, ...] = ()
    question: str | None = None
    route: str | None = None
    """What weights and calibration adapt to: a service, a function, a task type."""
    trajectory: Trajectory | None = None
    """What the scorer measured on the answer, where it was scored."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What one evaluator makes of one sample."""

    name: str
    """Goes into `gen_ai.evaluation.name`; never reused for another question."""
    score: float | None
    """In [0, 1], 1 is borne out; `None` when the sample could not be judged."""
    label: Label | None = None
    reason: str | None = None
    """Why there is no score, for instance `no_context`."""
    evidence: tuple[Evidence, ...] = ()
    evaluator: str
    """The code or the model that judged."""
    revision: str | None = None
    latency_ms: float | None = None
    """Wall time; of a batch, its share."""


@runtime_checkable
class SampleEvaluator(Protocol):
    """Judges answers against the text they were given.

    Its host decides when it runs and where the result goes. Instances may be shared by threads.
    Third parties name a factory without arguments under the entry point group
    `cert_otel_evaluator`.
    """

    @property
    def name(self) -> str:
        """The question that is answered, as in `Judgement.name`."""

    def judge(self, samples: Sequence[Sample]) -> list[Judgement]:
        """Judge a batch: one judgement per sample, in order.

        A sample that cannot be judged gets a judgement without score and with a reason; one bad
        sample never raises.

        Raises:
            ConfigError: On the first batch only, when a model or an endpoint is missing.
        """
