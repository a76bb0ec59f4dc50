"""Scoring models as commands load them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cert_otel.errors import ConfigError, HubUnreachableError

if TYPE_CHECKING:
    from cert_otel.scoring.answers import AnswerScorer
    from cert_otel.scoring.embedding import Embedder
    from cert_otel.scoring.models import LoadedModel


def open_model(name: str | None) -> LoadedModel:
    """Load the model that is named; without a name, the best that is here and fits.

    Raises:
        ModelError: It cannot be had or used; the message says what to do.
    """
    from cert_otel.scoring import catalogue  # noqa: PLC0415 - torch takes seconds
    from cert_otel.scoring.models import find_device  # noqa: PLC0415 - likewise

    chosen = name or catalogue.choose_model(has_gpu=find_device("auto").type == "cuda")
    folder = catalogue.get_folder(chosen)
    model = _load(folder, download=name is not None)
    return replace(model, name=Path(chosen).resolve().name if _is_folder(chosen) else chosen)


def open_scorer(model: LoadedModel) -> AnswerScorer:
    """Return what measures answers; without an embedder it says so, once."""
    from cert_otel.scoring.answers import AnswerScorer  # noqa: PLC0415 - torch takes seconds
    from cert_otel.scoring.engine import Engine  # noqa: PLC0415 - likewise

    return AnswerScorer(Engine(model), _open_embedder())


def _load(folder: str, *, download: bool) -> LoadedModel:
    from cert_otel.scoring.models import load_model  # noqa: PLC0415 - torch takes seconds

    try:
        # What is here is taken without asking anybody whether there is a newer one.
        return load_model(folder, offline=True)
    except HubUnreachableError:
        if not download:
            raise
    return load_model(folder)


def _is_folder(name: str) -> bool:
    return Path(name).is_dir()


def _open_embedder() -> Embedder | None:
    from cert_otel.scoring.embedding import SentenceEmbedder  # noqa: PLC0415 - likewise

    try:
        return SentenceEmbedder()
    except ConfigError as problem:
        sys.stderr.write(f"cert: no energies: {problem}\n")
        return None
