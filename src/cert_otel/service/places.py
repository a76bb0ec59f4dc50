"""Where the service keeps what: paths that follow from the settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cert_otel.service.settings import Settings


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
