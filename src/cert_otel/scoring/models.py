"""Loading a scoring model: from a folder, the hub's cache or the hub, by transformers.

Every way in which that fails is an error of ours that says what to do. Code that comes with a
model is never run unless its name is allowed; nothing is downloaded when offline is asked for.
"""

from __future__ import annotations

import hashlib
import re
import traceback
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import torch
import transformers
from accelerate.utils import get_max_memory
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from cert_otel.errors import (
    ConfigError,
    HubUnreachableError,
    ModelError,
    ModelNotFoundError,
    ModelTooLargeError,
    RemoteCodeError,
    TokenizerMismatchError,
    UnsupportedModelError,
)
from cert_otel.scoring._hub import find_commit, without_telemetry
from cert_otel.scoring.networks import LoadedModel, find_head, prepare
from cert_otel.scoring.quantization import (
    Quantization,
    check_quantization,
    configure,
    count_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["LoadedModel", "load_model", "prepare"]

Dtype = Literal["auto", "bfloat16", "float16", "float32", "float64"]

_DEVICE: Final = re.compile(r"cpu|mps|cuda(:\d+)?")
_GB: Final = 1e9
_SAMPLED_BYTES: Final = 1 << 20
_SAMPLES: Final = 18
"""Of a file beyond as many MiB, one MiB at as many places goes into the fingerprint."""


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
    _check_folder(name)
    arguments: dict[str, Any] = {
        "revision": revision,
        "local_files_only": offline,
        "trust_remote_code": name in allow_remote_code,
    }
    with without_telemetry(), _without_progress_bars(), _explained(name, offline=offline):
        config = AutoConfig.from_pretrained(name, **arguments)
        # The rest is of the same commit, even if the branch moves on meanwhile.
        commit = find_commit(name, revision)
        arguments["revision"] = commit or revision
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
    found = commit or _find_revision(name)
    with _explained(name, offline=offline) if quantization else nullcontext():
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


def fingerprint(folder: Path) -> str:
    """Return what identifies the files of a model folder: names, sizes and contents.

    Of files beyond 18 MiB only parts are read: weights that differ do so everywhere.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            size = path.stat().st_size
            digest.update(f"{path.name}\0{size}\0".encode())
            with path.open("rb") as file:
                for place in _sample(size):
                    file.seek(place)
                    digest.update(file.read(_SAMPLED_BYTES))
    return f"sha256:{digest.hexdigest()}"


def _sample(size: int) -> list[int]:
    if size <= _SAMPLES * _SAMPLED_BYTES:
        return list(range(0, size, _SAMPLED_BYTES))
    return [part * (size - _SAMPLED_BYTES) // (_SAMPLES - 1) for part in range(_SAMPLES)]


def _check_folder(name: str) -> None:
    folder = Path(name)
    if not folder.exists() and (name.startswith(("/", ".", "~")) or name.count("/") > 1):
        raise ModelNotFoundError(name, "no such folder")
    if folder.is_dir() and not (folder / "config.json").exists():
        raise ModelNotFoundError(name, "not the folder of a model: it has no config.json")


def _find_revision(name: str) -> str:
    folder = Path(name)
    return fingerprint(folder) if folder.is_dir() else "unknown"


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    logging = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def _explained(name: str, *, offline: bool) -> Iterator[None]:
    """Turn what transformers raises into our errors."""
    try:
        yield
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError) as problem:
        raise _explain(name, problem, offline=offline) from problem


def _explain(name: str, problem: Exception, *, offline: bool) -> ModelError:
    if "trust_remote_code" in str(problem):
        return RemoteCodeError(
            name,
            f"comes with code of its own, which was not run; read it, then pass allow_remote_code={{{name!r}}}",
        )
    if isinstance(problem, OSError):
        return _explain_missing(name, problem, offline=offline)
    if _is_of_bitsandbytes(problem):
        return ModelError(name, f"cannot be quantized here: {_first_line(problem)}")
    return UnsupportedModelError(
        name, f"transformers {transformers.__version__} cannot load it: {_first_line(problem)}"
    )


def _is_of_bitsandbytes(problem: Exception) -> bool:
    """Tell whether it was raised in there, or is about it: its own errors do not name it."""
    frames = traceback.extract_tb(problem.__traceback__)
    return "bitsandbytes" in str(problem) or any("bitsandbytes" in f.filename for f in frames)


_HUB_ANSWERS: Final = {
    # The first is a kind of the second.
    GatedRepoError: "needs access: accept its licence on the hub, then `hf auth login`",
    RepositoryNotFoundError: "no such model on the hub, or no access to it",
    RevisionNotFoundError: "the hub has no such revision of it",
}


def _explain_missing(name: str, problem: OSError, *, offline: bool) -> ModelError:
    causes = _list_causes(problem)
    for kind, answer in _HUB_ANSWERS.items():
        if any(isinstance(cause, kind) for cause in causes):
            return ModelNotFoundError(name, answer)
    if Path(name).is_dir():
        return ModelNotFoundError(name, f"files are missing: {_first_line(problem)}")
    asked = "offline was asked for" if offline else "the hub does not answer"
    return HubUnreachableError(
        name, f"not on this machine, and {asked}; download it, or name a folder that holds it"
    )


def _list_causes(problem: BaseException | None) -> list[BaseException]:
    causes = []
    while problem is not None and problem not in causes:
        causes.append(problem)
        problem = problem.__cause__ or problem.__context__
    return causes


def _first_line(problem: Exception) -> str:
    return next(iter(str(problem).splitlines()), type(problem).__name__)


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
