"""Which model scores when none is named: Qwen2.5 where it can be had, else the packaged one.

The packaged reference model is a few million parameters, so that a machine without a hub runs
end to end. It is not for production, and each result of it says so.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx2
from huggingface_hub import HfApi

from cert_otel.errors import HubUnreachableError, ModelNotFoundError, ModelTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cert_otel.scoring.networks import LoadedModel, Quantization

ON_CUDA: Final = "Qwen/Qwen2.5-7B-Instruct"
ON_CPU: Final = "Qwen/Qwen2.5-0.5B-Instruct"
REFERENCE: Final = "cert-otel-reference"
"""Name of the packaged model, in records and as a setting."""
REFERENCE_NOTE: Final = "reference model, not for production"

REFERENCE_FOLDER: Final = Path(__file__).parent / "reference"
HUB_PATIENCE_S: Final = 5.0
"""For the hub to say whether it has a model."""

_logger = logging.getLogger(__name__)


def is_reference(name: str | None) -> bool:
    """Tell whether a scorer is the packaged reference model."""
    return name == REFERENCE


def load(
    name: str | Path | None = None,
    *,
    device: str = "auto",
    quantization: Quantization | None = None,
    revision: str | None = None,
    offline: bool = False,
    reference: Path = REFERENCE_FOLDER,
) -> LoadedModel:
    """Load a model by name or folder, the packaged one by its name, or the default.

    Args:
        name: `None` is the default.
        device: As `load_model` takes it, like the next three.
        quantization: Not of the packaged model, which is small.
        revision: Not of the default.
        offline: Never ask the hub.
        reference: Folder of the packaged model.

    Raises:
        CertOtelError: As `models.load_model` does.
    """
    from cert_otel.scoring.models import (  # noqa: PLC0415 - seconds of torch
        find_device,
        load_model,
    )

    load_here = partial(load_model, device=device, offline=True)
    if name == REFERENCE:
        return replace(load_here(reference), name=REFERENCE)
    if name is not None:
        return load_model(
            name, device=device, quantization=quantization, revision=revision, offline=offline
        )
    wanted = (ON_CUDA, ON_CPU) if find_device(device).type == "cuda" else (ON_CPU,)
    found = _load_first(wanted, partial(load_here, quantization=quantization))
    if found is None and not offline:
        on_hub = [model for model in wanted if _is_on_hub(model)]
        found = _load_first(on_hub, partial(load_model, device=device, quantization=quantization))
    if found is not None:
        return found
    _logger.warning(
        "scoring with the %s: %s could not be had; name a model or a folder",
        REFERENCE_NOTE,
        " and ".join(wanted),
    )
    return replace(load_here(reference), name=REFERENCE)


def _load_first(
    models: Iterable[str], load_one: Callable[[str], LoadedModel]
) -> LoadedModel | None:
    for model in models:
        try:
            return load_one(model)
        except (HubUnreachableError, ModelNotFoundError, ModelTooLargeError) as problem:
            _logger.debug("%s", problem)
    return None


def _is_on_hub(model: str) -> bool:
    """Ask once: loading asks six times, which takes 23 s where there is no hub."""
    try:
        HfApi().model_info(model, timeout=HUB_PATIENCE_S)
    except (httpx2.HTTPError, OSError) as problem:
        _logger.debug("%s: %s", model, problem)
        return False
    return True
