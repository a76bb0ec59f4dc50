"""The model hub's client as it is used here: what its cache holds, and nothing sent unasked."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from huggingface_hub import constants, try_to_load_from_cache

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIGURATION: Final = "config.json"
"""What every model has, by its name on the hub and in folders."""


def find_commit(name: str, revision: str | None = None) -> str | None:
    """Return the commit of a model that was downloaded; `None` if it was not.

    Args:
        name: On the hub; a folder has no commit.
        revision: Commit, tag or branch; else the main branch as it was when it was last fetched.
    """
    if Path(name).exists():
        return None
    path = try_to_load_from_cache(name, CONFIGURATION, revision=revision)
    return Path(path).parent.name if isinstance(path, str) else None


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Keep the client from asking the hub which tool runs it, which it does even offline (3 s)."""
    before = constants.HF_HUB_DISABLE_TELEMETRY
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = before
