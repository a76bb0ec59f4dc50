"""Which scoring models there are: the packaged one, folders, and what the hub's cache holds.

Only files of this machine are read, and of weights only their headers: no network, no torch.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from huggingface_hub import scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from cert_otel.scoring._hub import CONFIGURATION
from cert_otel.scoring.defaults import ON_CPU, ON_CUDA, REFERENCE, REFERENCE_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Source = Literal["packaged", "folder", "cache", "hub"]

SUGGESTED: Final = {
    ON_CPU: (494_032_768, 136_134_656),
    ON_CUDA: (7_615_616_512, 1_089_994_752),
}
"""Names on the hub and their parameters, as their model cards have them: all, and those of
embeddings and head (vocabulary times width; of the first one matrix is both)."""

_CAUSAL: Final = ("ForCausalLM", "LMHeadModel")
"""How transformers ends the names of what predicts the next token."""
_WEIGHTS: Final = ("*.safetensors", "pytorch_model*.bin")
_HEADER_LENGTH_BYTES: Final = 8


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One model, here or on the hub."""

    name: str
    """What `--model` takes."""
    source: Source
    path: str | None = None
    revision: str | None = None
    """Commit, of a model in the hub's cache."""
    parameters: int | None = None
    """`None` where the weights have no header that says it."""
    embedding_parameters: int | None = None
    """Those of embeddings and head, which are never quantized."""
    disk_bytes: int | None = None
    """Of the weights."""
    problem: str | None = None
    """Why it cannot be used as it is."""


def list_models(folders: list[Path]) -> list[ModelEntry]:
    """List the packaged model, the folders, what is cached, and what is suggested besides."""
    here = [
        describe_folder(REFERENCE, REFERENCE_FOLDER, source="packaged"),
        *(describe_folder(str(folder), folder, source="folder") for folder in folders),
        *_list_cached(),
    ]
    names = {entry.name for entry in here}
    return here + [
        ModelEntry(name=name, source="hub", parameters=parameters, embedding_parameters=embedding)
        for name, (parameters, embedding) in SUGGESTED.items()
        if name not in names
    ]


def describe_folder(
    name: str, folder: Path, *, source: Source, revision: str | None = None
) -> ModelEntry:
    """Describe the model of a folder that transformers wrote; a problem is part of it."""
    weights = [path for pattern in _WEIGHTS for path in sorted(folder.glob(pattern))]
    parameters, embedding_parameters = _count_parameters(folder, weights)
    return ModelEntry(
        name=name,
        source=source,
        path=str(folder),
        revision=revision,
        parameters=parameters,
        embedding_parameters=embedding_parameters,
        disk_bytes=sum(path.stat().st_size for path in weights) or None,
        problem=_find_problem(folder, weights),
    )


def _list_cached() -> Iterator[ModelEntry]:
    try:
        cache = scan_cache_dir()
    except CacheNotFound:
        return
    for repository in sorted(cache.repos, key=lambda repository: repository.repo_id):
        if repository.repo_type != "model":
            continue
        for revision in sorted(repository.revisions, key=lambda revision: revision.commit_hash):
            if _is_causal(_read_json(revision.snapshot_path / CONFIGURATION)):
                yield describe_folder(
                    repository.repo_id,
                    revision.snapshot_path,
                    source="cache",
                    revision=revision.commit_hash,
                )


def _find_problem(folder: Path, weights: list[Path]) -> str | None:
    if not folder.is_dir():
        return "no such folder"
    configuration = _read_json(folder / CONFIGURATION)
    if configuration is None:
        return f"no {CONFIGURATION}: not a folder of a model"
    if not _is_causal(configuration):
        return "not a causal language model"
    shards = set(_read_shards(folder)) - {path.name for path in weights}
    if shards:
        return f"incomplete: {len(shards)} files of weights are missing"
    return None if weights else "no weights"


def _is_causal(configuration: dict[str, Any] | None) -> bool:
    architectures = (configuration or {}).get("architectures") or ()
    return any(str(name).endswith(_CAUSAL) for name in architectures)


def _read_shards(folder: Path) -> Iterator[str]:
    """Yield the names of the files that the weights are split into."""
    for index in folder.glob("*.index.json"):
        yield from ((_read_json(index) or {}).get("weight_map") or {}).values()


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _count_parameters(folder: Path, weights: list[Path]) -> tuple[int | None, int | None]:
    """Return how many parameters there are, and how many in matrices of a row a token."""
    try:
        shapes = [shape for path in weights for shape in _read_shapes(path)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None, None
    vocabulary = (_read_json(folder / CONFIGURATION) or {}).get("vocab_size")
    embedding = sum(math.prod(shape) for shape in shapes if shape[:1] == [vocabulary])
    return sum(map(math.prod, shapes)) or None, embedding or None


def _read_shapes(path: Path) -> list[list[int]]:
    """Return the shapes of a file's tensors, from its header of JSON behind its length."""
    if path.suffix != ".safetensors":
        raise ValueError(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_HEADER_LENGTH_BYTES), "little")
        if length > path.stat().st_size:
            raise ValueError(path)
        header: dict[str, dict[str, Any]] = json.loads(file.read(length))
    return [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]
