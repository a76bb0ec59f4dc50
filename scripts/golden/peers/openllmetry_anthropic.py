"""OpenLLMetry's instrumentor of anthropic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor

from golden.peers.sdk import start_sdk

if TYPE_CHECKING:
    from collections.abc import Callable


def set_up() -> Callable[[], object]:
    """Instrument the anthropic SDK."""
    providers = start_sdk()
    AnthropicInstrumentor().instrument(
        tracer_provider=providers.tracer_provider, logger_provider=providers.logger_provider
    )
    return providers.flush
