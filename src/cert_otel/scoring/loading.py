"""What loading has in common, whatever the model is for: folders, revisions, and what went wrong.

transformers fails in many ways; each becomes an error of ours that says what to do.
"""

from __future__ import annotations

import hashlib
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import transformers
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from cert_otel.errors import (
    HubUnreachableError,
    ModelError,
    ModelNotFoundError,
    RemoteCodeError,
    UnsupportedModelError,
)
from cert_otel.scoring._hub import find_commit

if TYPE_CHECKING:
    from collections.abc import Iterator

_SAMPLED_BYTES: Final = 1 << 20
_SAMPLES: Final = 18
"""Of a file beyond as many MiB, one MiB at as many places goes into the fingerprint."""


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


def check_folder(name: str) -> None:
    """Refuse what looks like a folder and is not the folder of a model.

    Raises:
        ModelNotFoundError: Says what is missing.
    """
    folder = Path(name)
    if not folder.exists() and (name.startswith(("/", ".", "~")) or name.count("/") > 1):
        raise ModelNotFoundError(name, "no such folder")
    if folder.is_dir() and not (folder / "config.json").exists():
        raise ModelNotFoundError(name, "not the folder of a model: it has no config.json")


def find_revision(name: str, revision: str | None = None) -> str:
    """Return the commit of a model that was loaded from the hub, or the fingerprint of a folder.

    Args:
        name: On the hub, or a folder.
        revision: Commit, tag or branch that was asked for.
    """
    folder = Path(name)
    if folder.is_dir():
        return fingerprint(folder)
    return find_commit(name, revision) or "unknown"


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing on standard error while it loads."""
    logging = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def explained(name: str, *, offline: bool) -> Iterator[None]:
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
