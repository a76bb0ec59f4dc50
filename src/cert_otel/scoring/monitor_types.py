"""What a monitor returns: an analysis, or an error that is a value, and its health.

    AnalysisError          what went wrong; the analysis never raises
    ├── InvalidInput       the request cannot be analysed
    ├── PromptTooLong      more characters or tokens than the limit
    ├── ModelNotLoaded     still loading, or failed to load
    ├── GenerationTimeout  the deadline passed, and generation was ended
    ├── GPUOutOfMemoryError
    └── CPUFallbackFailed  the GPU was out of memory, and the CPU did not do it either

Names are those that CERT users know; what they mean is what the figures of this package mean:
`avg_perplexity` is exp(mean nll), not the mean of 1/p.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec resolves the annotations at run time
from enum import StrEnum
from typing import Any, Final, Literal

import msgspec

from cert_otel.scoring.phase_space import PhaseTrajectory  # noqa: TC001 - as above

MODEL_RETRY_S: Final = 5.0
"""Seconds until a model that is loading is asked for again."""


class TokenMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """One generated token; natural logarithms."""

    step: int
    """Counted from 0."""
    token: str
    perplexity: float | None
    """1/p; `None` beyond what a double holds."""
    top_k_entropy: float
    """Of the ten likeliest, renormalised, nats."""
    prob_gap: float
    """Between the two likeliest tokens, in [0, 1]; CERT calls this `logit_gap`."""
    logit_gap: float
    """Between their logits, nats."""
    cumulative_surprise: float
    """Nats of all tokens with p < 0.1 so far."""


class TrajectoryAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """One analysed generation. A figure that cannot be formed is `None`."""

    model_name: str
    model_revision: str | None = None
    backend: str
    """Which backend made it."""
    prompt: str
    generated_text: str
    passed_quality_check: bool
    """No gate flagged it; gates that abstained are in `abstained`."""
    flags: tuple[str, ...] = ()
    abstained: tuple[str, ...] = ()
    cert_passed: bool | None = None
    """What CERT's gates would have said; for comparison only."""
    avg_perplexity: float | None = None
    """exp(mean nll)."""
    max_perplexity: float | None = None
    """1/p of the least likely token."""
    avg_entropy: float | None = None
    """Nats, over the whole vocabulary."""
    max_entropy: float | None = None
    final_surprise: float | None = None
    """Nats of all tokens with p < 0.1: grows with the answer, and is no gate."""
    generation_steps: int
    """Generated tokens."""
    phase_space: PhaseTrajectory | None = None
    metrics: tuple[TokenMetrics, ...] = ()
    timestamp: datetime
    """Aware."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, for JSON."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


class AnalysisError(msgspec.Struct, frozen=True, kw_only=True, tag_field="error_type", tag=str):
    """Why there is no analysis."""

    message: str
    recoverable: bool = False
    """The same request may succeed later."""
    retry_after: float | None = None
    """Seconds."""
    passed_quality_check: Literal[False] = False
    """So that who asks only this need not ask what came back."""

    @property
    def error_type(self) -> str:
        """Name of the class, as in JSON."""
        return type(self).__name__

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, for JSON."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


class InvalidInput(AnalysisError, frozen=True, kw_only=True):  # noqa: N818 - no exception
    """The request cannot be analysed: an empty prompt, a wrong type, a bad argument."""


class PromptTooLong(AnalysisError, frozen=True, kw_only=True):  # noqa: N818 - no exception
    """The prompt is longer than the limit."""

    length: int
    limit: int
    unit: Literal["characters", "tokens"] = "characters"


class ModelNotLoaded(AnalysisError, frozen=True, kw_only=True):  # noqa: N818 - no exception
    """The model is loading, or could not be loaded."""

    recoverable: bool = True
    retry_after: float | None = MODEL_RETRY_S


class GenerationTimeout(AnalysisError, frozen=True, kw_only=True):  # noqa: N818 - no exception
    """The deadline passed."""

    recoverable: bool = True
    timeout_s: float


class GPUOutOfMemoryError(AnalysisError, frozen=True, kw_only=True):
    """The GPU had no memory left, also with a smaller batch."""

    recoverable: bool = True


class CPUFallbackFailed(AnalysisError, frozen=True, kw_only=True):  # noqa: N818 - no exception
    """Neither GPU nor CPU did it."""


AnyError = (
    InvalidInput
    | PromptTooLong
    | ModelNotLoaded
    | GenerationTimeout
    | GPUOutOfMemoryError
    | CPUFallbackFailed
)
"""For decoding: `error_type` tells which."""


class HealthStatus(StrEnum):
    """How a monitor is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """It works, slower or with less than was asked for."""
    UNHEALTHY = "unhealthy"


_ORDER: Final = tuple(HealthStatus)


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried."""

    status: HealthStatus
    message: str | None = None
    latency_ms: float | None = None


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried, and what follows."""

    checks: dict[str, HealthCheck]
    """By name: `model` is loaded, `inference` scores a token."""
    timestamp: datetime
    """Aware."""

    @property
    def status(self) -> HealthStatus:
        """The worst of the checks; unhealthy where nothing was checked."""
        found = [check.status for check in self.checks.values()]
        return max(found, key=_ORDER.index, default=HealthStatus.UNHEALTHY)
