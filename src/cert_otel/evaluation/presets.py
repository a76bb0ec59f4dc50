"""Presets: what passes in a field, and what no confidence makes good.

Thresholds are CERT's. docs/evaluation.md has what each lets through and holds back on the
development data, by command; a threshold of your own goes before them.
"""

from __future__ import annotations

import difflib
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from cert_otel.errors import ConfigError
from cert_otel.evaluation.sample import (  # noqa: TC001 - msgspec resolves the annotations
    EvidenceKind,
    Finding,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTING: Final = "preset"


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer needs to pass."""

    threshold: float
    """Confidence that passes, in [0, 1]."""
    vetoes: frozenset[tuple[EvidenceKind, Finding]] = frozenset()
    """Findings that fail an answer, whatever the rest of it is worth."""


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "general": Preset(threshold=0.70),
        # A figure that the source gives otherwise is wrong by itself.
        "financial": Preset(
            threshold=0.80,
            vetoes=frozenset({("number", "contradicted"), ("date", "contradicted")}),
        ),
        # As well a dose that stands nowhere, and "is" for "is not".
        "healthcare": Preset(
            threshold=0.85,
            vetoes=frozenset(
                {
                    ("number", "contradicted"),
                    ("number", "missing"),
                    ("date", "contradicted"),
                    ("negation", "contradicted"),
                }
            ),
        ),
        # A quotation, a date or a party that the documents do not have.
        "legal": Preset(
            threshold=0.80,
            vetoes=frozenset(
                {
                    ("quote", "missing"),
                    ("quote", "contradicted"),
                    ("date", "contradicted"),
                    ("name", "contradicted"),
                    ("negation", "contradicted"),
                }
            ),
        ),
    }
)


def get_preset(name: str) -> Preset:
    """Return the preset of this name.

    Raises:
        ConfigError: There is none.
    """
    if name in PRESETS:
        return PRESETS[name]
    close = difflib.get_close_matches(name, PRESETS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ConfigError(SETTING, f"{name!r} is unknown; {hint}there are {', '.join(PRESETS)}")
