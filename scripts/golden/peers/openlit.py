"""OpenLIT, which looks for providers that are global."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import openlit
from opentelemetry import _logs, trace

from golden.peers.sdk import start_sdk

if TYPE_CHECKING:
    from collections.abc import Callable

PRICES: Final = Path(__file__).with_name("openlit_prices.json")
"""USD for 1,000 tokens; without a file OpenLIT asks the network."""


def set_up() -> Callable[[], object]:
    """Let OpenLIT instrument what it finds, but for HTTP clients."""
    providers = start_sdk()
    trace.set_tracer_provider(providers.tracer_provider)
    _logs.set_logger_provider(providers.logger_provider)
    openlit.init(
        disable_metrics=True,
        disabled_instrumentors=["httpx", "requests", "urllib"],
        pricing_json=str(PRICES),
    )
    return providers.flush
