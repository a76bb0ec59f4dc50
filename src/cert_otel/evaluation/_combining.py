"""temporary until confidence lands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cert_otel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

PRESETS: Final[Mapping[str, float]] = {
    "general": 0.70,
    "financial": 0.80,
    "healthcare": 0.85,
    "legal": 0.80,
}


def get_threshold(preset: str) -> float:
    """Return the threshold of a preset."""
    if preset not in PRESETS:
        raise ConfigError("preset", f"{preset!r} is unknown; there are {', '.join(PRESETS)}")
    return PRESETS[preset]


def make_combiner(name: str) -> Any:
    """Make a combiner."""
    raise ConfigError("combiner", f"{name!r} is unknown; there are calibrated, cert")
