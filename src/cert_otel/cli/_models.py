"""Scoring models as commands load them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cert_otel.errors import ConfigError

if TYPE_CHECKING:
    from cert_otel.scoring.answers import AnswerScorer
    from cert_otel.scoring.embedding import Embedder
    from cert_otel.scoring.models import LoadedModel


def open_model(name: str | None) -> LoadedModel:
    """Load the model that is named; without a name, the best that is here and fits.

    Raises:
        ModelError: It cannot be had or used; the message says what to do.
    """
    from cert_otel.scoring import defaults  # noqa: PLC0415 - torch takes seconds

    return defaults.load(name)


def open_scorer(model: LoadedModel) -> AnswerScorer:
    """Return what measures answers; without an embedder it says so, once."""
    from cert_otel.scoring.answers import AnswerScorer  # noqa: PLC0415 - torch takes seconds
    from cert_otel.scoring.scorer import TokenScorer  # noqa: PLC0415 - likewise

    return AnswerScorer(TokenScorer(model), _open_embedder())


def _open_embedder() -> Embedder | None:
    from cert_otel.scoring.embedding import SentenceEmbedder  # noqa: PLC0415 - likewise

    try:
        return SentenceEmbedder()
    except ConfigError as problem:
        sys.stderr.write(f"cert: no energies: {problem}\n")
        return None
