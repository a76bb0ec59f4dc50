"""What a monitor's health check makes of a short text that was scored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cert_otel.scoring._assembly import to_error
from cert_otel.scoring.backends.scored import MODEL_NOT_LOADED, Request
from cert_otel.scoring.defaults import REFERENCE_NOTE
from cert_otel.scoring.monitor_types import HealthCheck, HealthStatus
from cert_otel.scoring.prompts import Sample

if TYPE_CHECKING:
    from cert_otel.scoring.backends.chain import BackendChain
    from cert_otel.scoring.backends.scored import Scored

PROBE: Final = Request(sample=Sample(prompt="What is 2 + 2?", completion="2 + 2 is 4."))


def check_model(chain: BackendChain, scored: Scored) -> HealthCheck:
    """Tell whether the model that was asked for is there."""
    first = chain.backends[0].name
    left_out = chain.find_left_out()
    if scored.reason == MODEL_NOT_LOADED or (scored.status != "scored" and left_out):
        return HealthCheck(status=HealthStatus.UNHEALTHY, message=scored.detail)
    if scored.status == "scored" and scored.backend != first:
        reason = left_out.get(first, "which did not score")
        message = f"{scored.backend} stands in for {first}: {reason}"
        return HealthCheck(status=HealthStatus.DEGRADED, message=message)
    if scored.reference_model:
        message = f"{scored.scorer}: {REFERENCE_NOTE}"
        return HealthCheck(status=HealthStatus.DEGRADED, message=message)
    return HealthCheck(status=HealthStatus.HEALTHY, message=scored.scorer)


def check_inference(scored: Scored, spent_ms: float, timeout_s: float) -> HealthCheck:
    """Tell whether a text could be scored, and how long that took."""
    if scored.status == "scored":
        return HealthCheck(
            status=HealthStatus.HEALTHY, message=f"by {scored.backend}", latency_ms=spent_ms
        )
    error = to_error(scored, timeout_s)
    message = f"{error.error_type}: {error.message}"
    return HealthCheck(status=HealthStatus.UNHEALTHY, message=message, latency_ms=spent_ms)
