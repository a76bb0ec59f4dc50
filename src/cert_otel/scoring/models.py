"""Loading a scoring model: from a folder, the hub's cache or the hub, by transformers.

Every way in which that fails is an error of ours that says what to do. Code that comes with a
model is never run unless its name is allowed; nothing is downloaded when offline is asked for.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import torch
from accelerate.utils import get_max_memory
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from cert_otel.errors import (
    ConfigError,
    ModelTooLargeError,
    TokenizerMismatchError,
)
from cert_otel.scoring._hub import find_commit, without_telemetry
from cert_otel.scoring.loading import (
    check_folder,
    explained,
    find_revision,
    without_progress_bars,
)
from cert_otel.scoring.networks import LoadedModel, find_head, prepare
from cert_otel.scoring.quantization import (
    Quantization,
    check_quantization,
    configure,
    count_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["LoadedModel", "load_model", "prepare"]

Dtype = Literal["auto", "bfloat16", "float16", "float32", "float64"]

_DEVICE: Final = re.compile(r"cpu|mps|cuda(:\d+)?")
_GB: Final = 1e9


def load_model(
    name_or_folder: str | Path,
    *,
    device: str = "auto",
    dtype: Dtype = "auto",
    revision: str | None = None,
    quantization: Quantization | None = None,
    offline: bool = False,
    allow_remote_code: Collection[str] = (),
) -> LoadedModel:
    """Load a causal language model with its tokenizer, and check that it can score.

    Args:
        name_or_folder: A name of the hub, or a folder that transformers wrote.
        device: `auto` (CUDA, else Apple's, else the CPU), `cpu`, `cuda`, `cuda:N` or `mps`.
        dtype: `auto` is bfloat16 where the device computes in it, else float32.
        revision: Of the hub: a commit, tag or branch; else the newest.
        quantization: Weights of 8 or 4 bits, to save memory; not faster. The figures are others,
            so that it is part of the revision.
        offline: Read what is on this machine and ask nobody.
        allow_remote_code: Names of models whose own code may run.

    Raises:
        ConfigError: A device, dtype or quantization that is not there.
        MissingExtraError: Quantization without its package.
        ModelError: One of its kinds, which say what to do.
    """
    name = str(name_or_folder)
    target = find_device(device)
    chosen = find_dtype(dtype, target)
    check_quantization(quantization)
    check_folder(name)
    arguments: dict[str, Any] = {
        "revision": revision,
        "local_files_only": offline,
        "trust_remote_code": name in allow_remote_code,
    }
    with without_telemetry(), without_progress_bars(), explained(name, offline=offline):
        config = AutoConfig.from_pretrained(name, **arguments)
        # The rest is of the same commit, even if the branch moves on meanwhile.
        arguments["revision"] = find_commit(name, revision) or revision
        _check_memory(name, config, target, chosen, quantization)
        tokenizer = AutoTokenizer.from_pretrained(name, **arguments)
        network = AutoModelForCausalLM.from_pretrained(
            name,
            config=config,
            dtype=chosen,
            device_map={"": str(target)},
            quantization_config=configure(quantization, chosen),
            **arguments,
        )
    _check_tokenizer(name, tokenizer, network)
    found = find_revision(name, arguments["revision"])
    with explained(name, offline=offline) if quantization else nullcontext():
        return prepare(
            network,
            tokenizer,
            name=name,
            revision=f"{found}+{quantization}" if quantization else found,
            quantization=quantization,
        )


def find_device(device: str) -> torch.device:
    """Return the device that a setting names."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda:0")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if not _DEVICE.fullmatch(device):
        raise ConfigError("device", f"{device!r} is none of auto, cpu, cuda, cuda:N, mps")
    found = torch.device(device)
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ConfigError(
            "device", f"{device!r}: this machine has {count} CUDA devices; use 'auto'"
        )
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device", "'mps': this machine has no Apple GPU; use 'auto'")
    return torch.device("cuda:0") if device == "cuda" else found


def find_dtype(dtype: Dtype, device: torch.device) -> torch.dtype:
    """Return the dtype that a setting names, or that suits the device."""
    if dtype not in get_args(Dtype):
        raise ConfigError("dtype", f"{dtype!r} is none of {', '.join(get_args(Dtype))}")
    if dtype != "auto":
        found: torch.dtype = getattr(torch, dtype)
        return found
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    able = torch.cpu.get_capabilities()
    has_bfloat16 = any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if device.type == "cpu" and has_bfloat16 else torch.float32


def _check_memory(
    name: str,
    config: PreTrainedConfig,
    device: torch.device,
    dtype: torch.dtype,
    quantization: str | None,
) -> None:
    layers, others = _count_weights(config)
    needed = count_bytes(layers, others, dtype.itemsize, quantization)
    free = count_free_bytes(device)
    if needed <= free:
        return
    fitting = [
        label
        for label, way in (("dtype='bfloat16'", None), ("8bit", "8bit"), ("4bit", "4bit"))
        if count_bytes(layers, others, torch.bfloat16.itemsize, way) <= free
    ]
    advice = f"would fit: {', '.join(fitting)}" if fitting else "choose a smaller model"
    raise ModelTooLargeError(
        name,
        f"needs {needed / _GB:.1f} GB on {device}, where {free / _GB:.1f} GB are free; {advice}",
        needed_bytes=needed,
        free_bytes=free,
    )


def _count_weights(config: PreTrainedConfig) -> tuple[int, int]:
    """Return how many weights the layers have, and embeddings and head."""
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    total = sum(weight.numel() for weight in network.parameters())
    ends = {
        id(layer.weight): layer.weight.numel()
        for layer in (network.get_input_embeddings(), network.get_output_embeddings())
        if layer is not None
    }
    return total - sum(ends.values()), sum(ends.values())


def count_free_bytes(device: torch.device) -> int:
    """Return how much memory a model may take."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free: int = get_max_memory()["cpu"]
    return free


def _check_tokenizer(
    name: str, tokenizer: PreTrainedTokenizerBase, network: PreTrainedModel
) -> None:
    largest = max(tokenizer.get_vocab().values(), default=-1)
    rows = find_head(network, name).weight.shape[0]
    if largest < 0:
        raise TokenizerMismatchError(name, "its tokenizer is empty; its files are incomplete")
    if largest >= rows:
        raise TokenizerMismatchError(
            name, f"its tokenizer has token {largest}, the model {rows}: the files of two models"
        )
