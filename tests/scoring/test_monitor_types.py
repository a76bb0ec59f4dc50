"""What a monitor returns."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from cert_otel.scoring.monitor_types import (
    AnalysisError,
    AnyError,
    BackendUnavailable,
    CPUFallbackFailed,
    GenerationTimeout,
    GPUOutOfMemoryError,
    HealthCheck,
    HealthReport,
    HealthStatus,
    InvalidInput,
    ModelNotLoaded,
    PromptTooLong,
    ScoringFailed,
    TokenMetrics,
    TrajectoryAnalysis,
)
from cert_otel.scoring.phase_space import PhaseTrajectory

NOW = datetime(2026, 11, 20, tzinfo=UTC)
ERRORS: list[AnalysisError] = [
    InvalidInput(message="the prompt is empty"),
    PromptTooLong(message="too long", length=10_001, limit=10_000),
    ModelNotLoaded(message="loading"),
    GenerationTimeout(message="after 30 s", timeout_s=30.0),
    GPUOutOfMemoryError(message="no memory"),
    CPUFallbackFailed(message="no memory here either"),
    BackendUnavailable(message="the server does not answer"),
    ScoringFailed(message="not a number"),
]


class TestAnalysisError:
    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.error_type)
    def test_is_a_value(self, error: AnalysisError) -> None:
        """It is no exception, did not pass, and names its type."""
        assert not isinstance(error, BaseException)
        assert error.passed_quality_check is False
        assert error.error_type == type(error).__name__
        assert error.message

    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.error_type)
    def test_comes_back_from_json(self, error: AnalysisError) -> None:
        """`error_type` tells a decoder which it was."""
        data = msgspec.json.encode(error)

        assert error.to_dict()["error_type"] == error.error_type
        assert msgspec.json.decode(data, type=AnyError) == error

    def test_says_whether_to_try_again(self) -> None:
        """A request that is wrong stays wrong; a model that loads is asked again after 5 s."""
        again = {error.error_type for error in ERRORS if error.recoverable}

        assert again == {
            "ModelNotLoaded",
            "GenerationTimeout",
            "GPUOutOfMemoryError",
            "BackendUnavailable",
        }
        assert [error.retry_after for error in ERRORS if error.retry_after] == [5.0, 30.0]


class TestTrajectoryAnalysis:
    def test_becomes_plain_values(self) -> None:
        """`to_dict` holds dicts, lists, texts and numbers only, under CERT's names."""
        token = TokenMetrics(
            step=0,
            token="4",
            perplexity=1.1,
            top_k_entropy=0.3,
            prob_gap=0.8,
            logit_gap=2.5,
            cumulative_surprise=0.0,
        )
        analysis = TrajectoryAnalysis(
            model_name="tiny",
            backend="local",
            prompt="What is 2+2?",
            generated_text="4",
            passed_quality_check=True,
            abstained=("surprise_rate: uncalibrated",),
            avg_perplexity=1.1,
            generation_steps=1,
            phase_space=PhaseTrajectory(steps=1, energy_mean=0.2),
            metrics=(token,),
            timestamp=NOW,
        )

        plain = analysis.to_dict()

        assert plain["passed_quality_check"] is True
        assert plain["avg_perplexity"] == 1.1
        assert plain["max_entropy"] is None
        assert plain["timestamp"] == "2026-11-20T00:00:00Z"
        assert plain["phase_space"]["energy_mean"] == 0.2
        assert plain["metrics"][0]["token"] == "4"
        assert msgspec.convert(plain, TrajectoryAnalysis) == analysis


class TestHealthReport:
    @pytest.mark.parametrize(
        ("model", "inference", "whole"),
        [
            ("healthy", "healthy", "healthy"),
            ("healthy", "degraded", "degraded"),
            ("unhealthy", "degraded", "unhealthy"),
        ],
    )
    def test_is_as_well_as_the_worst(self, model: str, inference: str, whole: str) -> None:
        """The status is that of the worst check, and compares with its text."""
        report = HealthReport(
            checks={
                "model": HealthCheck(status=HealthStatus(model)),
                "inference": HealthCheck(status=HealthStatus(inference), latency_ms=3.0),
            },
            timestamp=NOW,
        )

        assert report.status == whole
        assert report.checks["inference"].status == inference

    def test_of_nothing_is_unhealthy(self) -> None:
        """What was not checked is not called healthy."""
        assert HealthReport(checks={}, timestamp=NOW).status is HealthStatus.UNHEALTHY
