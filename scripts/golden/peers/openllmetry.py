"""OpenLLMetry's instrumentor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.instrumentation.openai import OpenAIInstrumentor

from golden.peers.sdk import start_sdk

if TYPE_CHECKING:
    from collections.abc import Callable


def set_up() -> Callable[[], object]:
    """Instrument the openai SDK."""
    providers = start_sdk()
    OpenAIInstrumentor().instrument(
        tracer_provider=providers.tracer_provider, logger_provider=providers.logger_provider
    )
    return providers.flush
