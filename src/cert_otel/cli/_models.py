"""Scoring models as commands choose them: options first, then the settings of the environment."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cert_otel.scoring import choice as choices
from cert_otel.scoring.choice import Choice, get_quantization

if TYPE_CHECKING:
    from cert_otel.config import Config, QuantizationName
    from cert_otel.scoring.answers import AnswerScorer
    from cert_otel.scoring.networks import LoadedModel


def choose(
    settings: Config,
    *,
    model: str | None,
    device: str | None,
    quantization: QuantizationName | None,
    embedder: str,
) -> Choice:
    """Return what the options say, or else the settings."""
    return Choice(
        model or settings.scorer_model,
        device or settings.scorer_device,
        quantization=get_quantization(quantization or settings.scorer_quantization),
        embedder=embedder,
    )


def open_scorer(model: LoadedModel, choice: Choice) -> AnswerScorer:
    """Return what measures answers; without the packaged embedder it says so, once."""
    return choices.open_scorer(model, choice, warn=_warn)


def _warn(problem: str) -> None:
    sys.stderr.write(f"cert: {problem}\n")
