"""The anthropic SDK alone: from version 2 on it records its calls itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace

from golden.peers.sdk import start_sdk

if TYPE_CHECKING:
    from collections.abc import Callable


def set_up() -> Callable[[], object]:
    """Set the global tracer provider, which the SDK looks for."""
    providers = start_sdk()
    trace.set_tracer_provider(providers.tracer_provider)
    return providers.flush
