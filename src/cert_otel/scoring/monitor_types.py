"""What a monitor returns: an analysis, or an error that is a value, and its health.

    AnalysisError          what went wrong; the analysis never raises
    ├── InvalidInput       the request cannot be analysed
    ├── PromptTooLong      more characters or tokens than the limit
    ├── ModelNotLoaded     still loading, or failed to load
    ├── GenerationTimeout  the deadline passed, and generation was ended
    ├── GPUOutOfMemoryError
    ├── CPUFallbackFailed  the GPU was out of memory, and the CPU did not do it either
    ├── BackendUnavailable no backend could answer
    └── ScoringFailed      the figures are no numbers, or a server refused the text

Names are those that CERT users know; what they mean is what the figures of this package mean:
`avg_perplexity` is exp(mean nll), not the mean of 1/p.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec resolves the annotations at run time
from enum import StrEnum
from typing import Any, Final, Literal

import msgspec

from cert_otel.records import Trajectory
from cert_otel.scoring.phase_space import PhaseTrajectory  # noqa: TC001 - as above
from cert_otel.scoring.token_scores import AnswerScore  # noqa: TC001 - as above

MODEL_RETRY_S: Final = 5.0
"""Seconds until a model that is loading is asked for again."""
BACKEND_RETRY_S: Final = 30.0
"""Seconds for which a backend that fails is left out."""


class TokenMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """One token of the answer; natural logarithms. What a backend cannot tell is `None`."""

    step: int
    """Counted from 0."""
    token: str | None
    nll: float | None = None
    """-ln p, nats."""
    perplexity: float | None
    """1/p; `None` beyond what a double holds."""
    entropy: float | None = None
    """Over the whole vocabulary, nats."""
    top_k_entropy: float | None
    """Of the ten likeliest, renormalised, nats."""
    prob_gap: float | None
    """Between the two likeliest tokens, in [0, 1]; CERT calls this `logit_gap`."""
    logit_gap: float | None
    """Between their logits, nats."""
    rank: int | None = None
    """1 is the model's first choice."""
    cumulative_surprise: float
    """Nats of all tokens with p < 0.1 so far."""


class TrajectoryAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """One analysed answer. A figure that cannot be formed is `None`."""

    model_name: str | None
    """The scorer; of the backend `provider`, the model that answered."""
    model_revision: str | None = None
    note: str | None = None
    """`reference model, not for production`, where that one scored."""
    backend: str
    """Which backend made it: `local`, `openai-compatible`, `provider`."""
    prompt: str | None
    """As it was given; `None` where messages were."""
    generated_text: str
    """The answer: written by `analyze`, or given to `score`."""
    passed_quality_check: bool | None
    """No gate flagged it; gates that abstained are in `abstained`. `None` where all did."""
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
    generation_steps: int | None
    """Tokens of the answer."""
    score: AnswerScore | None = None
    """Every figure over the tokens, under its own name."""
    calibration: str | None = None
    """Id of the calibration that gates used."""
    phase_space: PhaseTrajectory | None = None
    phase_space_reason: str | None = None
    """Why there is none."""
    metrics: tuple[TokenMetrics, ...] = ()
    form: str | None = None
    """`chat` or `joined`: how prompt and answer were put together."""
    form_reason: str | None = None
    """Why `joined`."""
    pieces: int = 1
    """Passes; more than 1 where the text is longer than the model's window."""
    cut_tokens: int = 0
    """Of the prompt, on its left, for want of window."""
    from_cache: bool = False
    timestamp: datetime
    """When it was scored, aware."""

    @property
    def trajectory(self) -> Trajectory:
        """What goes into a record."""
        phase = self.phase_space
        return Trajectory(
            perplexity=self.avg_perplexity,
            entropy_mean=self.avg_entropy,
            entropy_max=self.max_entropy,
            surprise_rate=None if self.score is None else self.score.surprise_rate,
            energy_mean=None if phase is None else phase.energy_mean,
            energy_max=None if phase is None else phase.energy_max,
            steps=None if phase is None else phase.steps,
            tokens=self.generation_steps,
            flags=self.flags,
        )

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


class BackendUnavailable(AnalysisError, frozen=True, kw_only=True):  # noqa: N818 - no exception
    """No backend could answer."""

    recoverable: bool = True
    retry_after: float | None = BACKEND_RETRY_S


class ScoringFailed(AnalysisError, frozen=True, kw_only=True):  # noqa: N818 - no exception
    """The figures are no numbers, or a server refused the text."""


AnyError = (
    InvalidInput
    | PromptTooLong
    | ModelNotLoaded
    | GenerationTimeout
    | GPUOutOfMemoryError
    | CPUFallbackFailed
    | BackendUnavailable
    | ScoringFailed
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


class CacheInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the cache did since the monitor began, or since `clear_cache`."""

    hits: int
    misses: int
    size: int
    max_size: int

    @property
    def hit_rate(self) -> float | None:
        """Share of lookups that hit; `None` before the first."""
        lookups = self.hits + self.misses
        return self.hits / lookups if lookups else None
