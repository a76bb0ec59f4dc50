"""Where the service keeps what: paths that follow from the settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cert_otel.errors import ConfigError

if TYPE_CHECKING:
    from cert_otel.service.settings import Settings

_SOCKET_BYTES: Final = 107
"""Linux has room for 108, the last of them 0; others for a few less."""


def get_trail(settings: Settings, part: int = 0, parts: int = 1) -> Path:
    """Return the directory of a worker's trail: each of several has its own stream."""
    directory = Path(settings.trail.path)
    return directory if parts == 1 else directory / f"stream-{part}"


def get_seen(settings: Settings) -> Path:
    """Return the file in which the workers know spans again; all share it."""
    return Path(settings.inbox.path) / "seen.db"


def get_socket(settings: Settings, part: int = 0) -> Path:
    """Return where a worker answers the JSON API."""
    return Path(settings.inbox.path) / f"scorer-{part}.sock"


def check_socket(path: Path) -> None:
    """Refuse what no socket can be bound to.

    Raises:
        ConfigError: Its name is too long.
    """
    size = len(os.fsencode(path))
    if size > _SOCKET_BYTES:
        raise ConfigError(
            "inbox.path",
            f"{path} has {size} bytes, and the name of a socket at most {_SOCKET_BYTES};"
            " name a shorter path, or one relative to the working directory",
        )
