"""Scoring models as commands load them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from cert_otel.errors import ConfigError

if TYPE_CHECKING:
    from cert_otel.config import Config, QuantizationName
    from cert_otel.scoring.answers import AnswerScorer
    from cert_otel.scoring.embedding import Embedder
    from cert_otel.scoring.models import LoadedModel
    from cert_otel.scoring.quantization import Quantization

MINILM: Final = "minilm"
HIDDEN: Final = "hidden"


class Choice(NamedTuple):
    """What scores, and on what: as options and settings name it."""

    model: str | None
    device: str = "auto"
    quantization: Quantization | None = None
    embedder: str = MINILM
    """`minilm`, `hidden` or a model of sentence-transformers."""

    @property
    def mark(self) -> str:
        """What the revision of results ends in: energies of two embedders are not comparable."""
        return "" if self.embedder == MINILM else f"+{self.embedder}"


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
        get_quantization(quantization or settings.scorer_quantization),
        embedder,
    )


def get_quantization(name: QuantizationName) -> Quantization | None:
    """Return what the library takes for the name of an option or setting."""
    return None if name == "none" else name


def open_model(choice: Choice) -> LoadedModel:
    """Load the model that is named; without a name, the best that is here and fits.

    Raises:
        ModelError: It cannot be had or used; the message says what to do.
    """
    from cert_otel.scoring import defaults  # noqa: PLC0415 - torch takes seconds

    return defaults.load(choice.model, device=choice.device, quantization=choice.quantization)


def open_scorer(model: LoadedModel, embedder: str) -> AnswerScorer:
    """Return what measures answers; without the packaged embedder it says so, once."""
    from cert_otel.scoring.answers import AnswerScorer  # noqa: PLC0415 - torch takes seconds
    from cert_otel.scoring.scorer import TokenScorer  # noqa: PLC0415 - likewise

    if embedder == HIDDEN:
        return AnswerScorer(TokenScorer(model, embed_steps=True), None)
    return AnswerScorer(TokenScorer(model), _open_embedder(embedder))


def _open_embedder(name: str) -> Embedder | None:
    from cert_otel.scoring.embedding import SentenceEmbedder  # noqa: PLC0415 - likewise

    if name != MINILM:
        return SentenceEmbedder(name)
    try:
        return SentenceEmbedder()
    except ConfigError as problem:
        sys.stderr.write(f"cert: no energies: {problem}\n")
        return None
