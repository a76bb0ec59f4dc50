"""What forms one confidence of the judgements on an answer."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from cert_otel.errors import ConfigError
from cert_otel.evaluation.cert_mean import CertCombiner
from cert_otel.evaluation.confidence import (
    Confidence,
    calibrate,
    find_answer_type,
    load_weights,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cert_otel.evaluation.confidence import Weights
    from cert_otel.evaluation.presets import Preset
    from cert_otel.evaluation.sample import Judgement, Sample

GROUNDING: Final = "grounding"
"""Name of the judgement whose score is what `weigh` gives."""
POOLED: Final[Mapping[str, float]] = MappingProxyType({"nli": 1.0, "judge": 1.0})
"""Evaluators that have a say beside grounding's 1. An equal one: none was measured here."""
VETOED: Final = 0.05
"""Highest confidence of an answer with a finding that its preset does not tolerate."""
_NEAREST: Final = 0.01
"""Scores are taken as at least so far from 0 and 1: no evaluator decides by being sure."""


class Combiner(Protocol):
    """Forms one confidence of what evaluators say."""

    @property
    def revision(self) -> str:
        """Which code and weights."""

    def assess(self, sample: Sample, judgements: Sequence[Judgement]) -> Confidence | None:
        """Return the confidence in an answer; `None` when nothing could be judged."""

    def combine(self, sample: Sample, judgements: Sequence[Judgement]) -> float | None:
        """Return its value alone."""


def pool(own: float | None, scores: Mapping[str, float | None]) -> float | None:
    """Average log-odds by weight; what is unknown, or has no weight, changes nothing."""
    voices = [(POOLED[name], s) for name, s in scores.items() if name in POOLED and s is not None]
    if not voices:
        return own
    if own is not None:
        voices.append((1.0, own))
    total = sum(weight for weight, _ in voices)
    return _to_share(sum(weight * _to_log_odds(score) for weight, score in voices) / total)


def _to_log_odds(share: float) -> float:
    kept = min(max(share, _NEAREST), 1 - _NEAREST)
    return math.log(kept / (1 - kept))


def _to_share(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))


class CalibratedCombiner:
    """Calibrates grounding's score, pools what else there is, and heeds a preset's vetoes."""

    def __init__(self, preset: Preset | None = None, *, weights: Weights | None = None) -> None:
        self._vetoes = preset.vetoes if preset else ()
        self._weights = weights or load_weights()

    @property
    def revision(self) -> str:
        """The hash of the weights."""
        return f"calibrated {self._weights.revision}"

    def assess(self, sample: Sample, judgements: Sequence[Judgement]) -> Confidence | None:
        """Return the confidence in an answer; `None` when nothing could be judged."""
        scores = {one.name: one.score for one in judgements}
        grounded = scores.pop(GROUNDING, None)
        own = (
            None
            if grounded is None
            else calibrate(grounded, find_answer_type(sample), self._weights)
        )
        value = pool(own.value if own else None, scores)
        if value is None:
            return None
        confidence = Confidence(
            value=value,
            low=pool(own.low, scores) if own else None,
            high=pool(own.high, scores) if own else None,
            answer_type=own.answer_type if own else None,
        )
        return _veto(confidence) if self._is_vetoed(judgements) else confidence

    def combine(self, sample: Sample, judgements: Sequence[Judgement]) -> float | None:
        """Return its value alone."""
        confidence = self.assess(sample, judgements)
        return confidence.value if confidence else None

    def _is_vetoed(self, judgements: Iterable[Judgement]) -> bool:
        return any(
            (found.kind, found.finding) in self._vetoes
            for judgement in judgements
            for found in judgement.evidence
        )


def _veto(confidence: Confidence) -> Confidence:
    return msgspec.structs.replace(
        confidence,
        value=min(confidence.value, VETOED),
        low=None if confidence.low is None else min(confidence.low, VETOED),
        vetoed=True,
    )


def make_combiner(name: str = "calibrated", *, preset: Preset | None = None) -> Combiner:
    """Make the combiner of this name.

    Args:
        name: `calibrated`, or `cert` for the mean that CERT formed.
        preset: Whose vetoes the calibrated one heeds.

    Raises:
        ConfigError: There is none, or it needs what is not installed.
    """
    if name == "calibrated":
        return CalibratedCombiner(preset)
    if name == "cert":
        return CertCombiner()
    raise ConfigError("combiner", f"{name!r} is unknown; there are calibrated and cert")
