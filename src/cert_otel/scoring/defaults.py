"""Which model scores: the one that is named, else the best of those that are on this machine.

Nobody is asked over the network for a model that is here, nor for one that nobody named. The
packaged reference model is a few million parameters, so that a machine without a hub runs end
to end. It is not for production, and each result of it says so.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from cert_otel.errors import HubUnreachableError, ModelTooLargeError
from cert_otel.scoring._hub import find_commit

if TYPE_CHECKING:
    from collections.abc import Collection

    from cert_otel.scoring.models import Dtype
    from cert_otel.scoring.networks import LoadedModel
    from cert_otel.scoring.quantization import Quantization

ON_CUDA: Final = "Qwen/Qwen2.5-7B-Instruct"
ON_CPU: Final = "Qwen/Qwen2.5-0.5B-Instruct"
REFERENCE: Final = "cert-otel-reference"
"""Name of the packaged model, in records and as a setting."""
REFERENCE_NOTE: Final = "reference model, not for production"

REFERENCE_FOLDER: Final = Path(__file__).parent / "reference"

_logger = logging.getLogger(__name__)


def is_reference(name: str | None) -> bool:
    """Tell whether a scorer is the packaged reference model."""
    return name == REFERENCE


def list_candidates(*, has_gpu: bool) -> list[str]:
    """Return the models for who names none, best first: the packaged one is the last.

    None of them has to be downloaded; whether it fits the memory is another question.
    """
    wanted = (ON_CUDA, ON_CPU) if has_gpu else (ON_CPU,)
    return [*(name for name in wanted if find_commit(name)), REFERENCE]


class _How(NamedTuple):
    """How a model is loaded, whichever it is."""

    device: str
    dtype: Dtype
    quantization: Quantization | None


def load(
    name: str | Path | None = None,
    *,
    device: str = "auto",
    dtype: Dtype = "auto",
    quantization: Quantization | None = None,
    revision: str | None = None,
    offline: bool = False,
    allow_remote_code: Collection[str] = (),
    reference: Path = REFERENCE_FOLDER,
) -> LoadedModel:
    """Load a model by name or folder, the packaged one by its name, or the best that is here.

    Args:
        name: `None` is the first of `list_candidates` that fits. A model that is named and not
            here is downloaded; a folder is called by its own name, without those above it.
        device: As `load_model` takes it, like the next five.
        dtype: Of whichever model it is.
        quantization: Likewise.
        revision: Not of a model that nobody named.
        offline: Never ask the hub.
        allow_remote_code: Names of models whose own code may run.
        reference: Folder of the packaged model.

    Raises:
        CertOtelError: As `models.load_model` does.
    """
    how = _How(device, dtype, quantization)
    if name is None:
        return _load_best(how, reference)
    if name == REFERENCE:
        return _load_reference(how, reference)
    model = _load_named(
        str(name), how, offline=offline, revision=revision, allow_remote_code=allow_remote_code
    )
    folder = Path(name)
    return replace(model, name=folder.resolve().name) if folder.is_dir() else model


def _load_best(how: _How, reference: Path) -> LoadedModel:
    from cert_otel.scoring.models import find_device  # noqa: PLC0415 - seconds of torch

    candidates = list_candidates(has_gpu=find_device(how.device).type == "cuda")
    for candidate in candidates[:-1]:
        try:
            return _load_named(candidate, how, offline=True)
        except (HubUnreachableError, ModelTooLargeError) as problem:
            _logger.debug("%s", problem)
    _logger.warning(
        "scoring with the %s: no other is here and fits; name a model, and it is downloaded",
        REFERENCE_NOTE,
    )
    return _load_reference(how, reference)


def _load_reference(how: _How, folder: Path) -> LoadedModel:
    model = _load_named(str(folder), how, offline=True)
    return replace(model, name=REFERENCE)


def _load_named(
    name: str,
    how: _How,
    *,
    offline: bool,
    revision: str | None = None,
    allow_remote_code: Collection[str] = (),
) -> LoadedModel:
    from cert_otel.scoring.models import load_model  # noqa: PLC0415 - seconds of torch

    def load_from(*, offline: bool) -> LoadedModel:
        return load_model(
            name,
            device=how.device,
            dtype=how.dtype,
            quantization=how.quantization,
            revision=revision,
            offline=offline,
            allow_remote_code=allow_remote_code,
        )

    try:
        # What is here is taken without asking anybody whether there is a newer one.
        return load_from(offline=True)
    except HubUnreachableError:
        if offline:
            raise
    return load_from(offline=False)
