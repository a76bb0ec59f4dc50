"""Gates: which figures of an answer are out of the ordinary, whatever its length.

A gate passes, flags or abstains. `perplexity` has a fixed limit; `surprise_rate` and
`entropy_peak` need a calibration of the route and scorer, and abstain without one, saying so.
Energies of the phase space are no gates. CERT's own gates are here for comparison: they depend
on the length of the answer (docs/gates.md).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import numpy as np

from cert_otel.scoring.calibration import MIN_ANSWERS

if TYPE_CHECKING:
    import numpy.typing as npt

    from cert_otel.scoring.calibration import Calibration, ScoredAnswer

    Floats = npt.NDArray[np.floating]

PERPLEXITY_LIMIT: Final = 50.0
"""exp(mean nll) from which on an answer is flagged: a choice among 50 at each token."""
LEVEL: Final = 0.99
"""Percentile of usual answers of the same length beyond which one is flagged."""

CERT_PERPLEXITY_LIMIT: Final = 50.0
CERT_ENTROPY_LIMIT: Final = 2.5
"""Nats. Entropy over ten candidates is at most ln 10 = 2.303: no answer ever reaches it."""
CERT_SURPRISE_LIMIT: Final = 10.0
"""Nats, summed over the answer."""
_CERT_SURPRISING_P: Final = 0.1
_CERT_EPSILON: Final = 1e-10

Gate = Literal["perplexity", "surprise_rate", "entropy_peak"]
Outcome = Literal["passed", "flagged", "abstained"]


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate says of one answer."""

    gate: Gate
    outcome: Outcome
    value: float | None = None
    percentile: float | None = None
    """Share of usual answers of this length that stay below, in [0, 1]; of calibrated gates."""
    reason: str | None = None
    """Why it abstained."""


class Votes(msgspec.Struct, frozen=True, kw_only=True):
    """What all gates say of one answer."""

    votes: tuple[Vote, ...]
    calibration: str | None = None
    """Id of the calibration, where there was one."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Gates that flagged, for `Trajectory.flags`."""
        return tuple(vote.gate for vote in self.votes if vote.outcome == "flagged")

    @property
    def abstained(self) -> tuple[str, ...]:
        """Gates that did not vote, each with its reason."""
        return tuple(
            f"{vote.gate}: {vote.reason}" for vote in self.votes if vote.outcome == "abstained"
        )


class CertGates(msgspec.Struct, frozen=True, kw_only=True):
    """CERT's figures and verdict, under its names; for comparison only."""

    avg_perplexity: float | None
    """Mean of 1/p: one token of p = 0.0001 among 150 adds 67. Infinite ones are left out, and
    where nothing else is there it is `None`, and the verdict is no."""
    max_entropy: float | None
    """Nats, over ten candidates, not renormalised."""
    final_surprise: float | None
    """Nats, summed over tokens with p < 0.1: grows with the answer."""
    cert_passed: bool | None
    """`None` for an answer without tokens."""


def vote(
    answer: ScoredAnswer,
    calibration: Calibration | None = None,
    *,
    perplexity_limit: float = PERPLEXITY_LIMIT,
    level: float = LEVEL,
) -> Votes:
    """Ask each gate about an answer.

    Args:
        answer: Its figures; a gate whose figure is missing abstains.
        calibration: Of the answer's own route and scorer (`find_calibration`).
        perplexity_limit: Flagged from here on.
        level: Flagged beyond this percentile of usual answers, in (0, 1).
    """
    return Votes(
        votes=(
            _vote_on_perplexity(answer, perplexity_limit),
            _vote_on_surprise(answer, calibration, level),
            _vote_on_peak(answer, calibration, level),
        ),
        calibration=None if calibration is None else calibration.id,
    )


def compute_cert_gates(nll: Floats, topk_entropy: Floats, tail_mass: Floats) -> CertGates:
    """Compute what CERT would have said, from the columns of `TokenScores`.

    Args:
        nll: Nats, shape [tokens].
        topk_entropy: Of the ten likeliest, renormalised, nats, shape [tokens].
        tail_mass: Probability of all others, shape [tokens].
    """
    if not len(nll):
        return CertGates(
            avg_perplexity=None, max_entropy=None, final_surprise=None, cert_passed=None
        )
    probability = np.exp(-nll.astype(np.float64))
    inverse = 1 / probability[probability > 0]
    perplexity = float(inverse.mean()) if len(inverse) else None
    surprising = probability[probability < _CERT_SURPRISING_P]
    surprise = float(-np.log(surprising + _CERT_EPSILON).sum())
    entropy = float(_undo_renormalisation(topk_entropy, tail_mass).max())
    return CertGates(
        avg_perplexity=perplexity,
        max_entropy=entropy,
        final_surprise=surprise,
        cert_passed=perplexity is not None
        and perplexity < CERT_PERPLEXITY_LIMIT
        and entropy < CERT_ENTROPY_LIMIT
        and surprise < CERT_SURPRISE_LIMIT,
    )


def _undo_renormalisation(topk_entropy: Floats, tail_mass: Floats) -> Floats:
    """Return -sum p ln p of the candidates, of which the sum m is not 1: m H - m ln m."""
    mass = np.clip(1 - tail_mass.astype(np.float64), np.finfo(np.float64).tiny, 1)
    entropy: Floats = mass * topk_entropy - mass * np.log(mass)
    return entropy


def _vote_on_perplexity(answer: ScoredAnswer, limit: float) -> Vote:
    value = _finite(answer.perplexity)
    if value is None:
        return Vote(gate="perplexity", outcome="abstained", reason="no perplexity")
    return Vote(gate="perplexity", outcome="passed" if value < limit else "flagged", value=value)


def _vote_on_surprise(answer: ScoredAnswer, calibration: Calibration | None, level: float) -> Vote:
    value, tokens = _finite(answer.surprise_rate), answer.tokens
    if value is None or not tokens:
        return Vote(gate="surprise_rate", outcome="abstained", reason="no surprise rate")
    model = None if calibration is None else calibration.surprise
    if model is None:
        return _abstain_uncalibrated("surprise_rate", value, calibration)
    return _vote_on_tail("surprise_rate", value, model.tail(value, tokens), level)


def _vote_on_peak(answer: ScoredAnswer, calibration: Calibration | None, level: float) -> Vote:
    value, tokens = _finite(answer.entropy_max), answer.tokens
    if value is None or not tokens:
        return Vote(gate="entropy_peak", outcome="abstained", reason="no largest entropy")
    model = None if calibration is None else calibration.peak
    if model is None:
        return _abstain_uncalibrated("entropy_peak", value, calibration)
    if not model.resolves(level, tokens):
        reason = f"{model.answers} answers are too few to calibrate {tokens} tokens"
        return Vote(gate="entropy_peak", outcome="abstained", value=value, reason=reason)
    return _vote_on_tail("entropy_peak", value, model.tail(value, tokens), level)


def _vote_on_tail(gate: Gate, value: float, tail: float, level: float) -> Vote:
    outcome: Outcome = "flagged" if tail < 1 - level else "passed"
    return Vote(gate=gate, outcome=outcome, value=value, percentile=1 - tail)


def _abstain_uncalibrated(gate: Gate, value: float, calibration: Calibration | None) -> Vote:
    reason = "uncalibrated"
    if calibration is not None:
        reason = f"uncalibrated: {calibration.answers} answers, {MIN_ANSWERS} are needed"
    return Vote(gate=gate, outcome="abstained", value=value, reason=reason)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
