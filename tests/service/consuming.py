"""Scorers for tests: one that dies of what it reads, one that never starts."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from cert_otel.errors import ModelNotFoundError
from cert_otel.service.inbox import Inbox

if TYPE_CHECKING:
    from cert_otel.service.settings import Settings

POISON = b"poison"
DEATHS = 3


def die_of_poison(settings: Settings, *, part: int, parts: int) -> None:
    """Kill the process for each payload that says so, and put it aside after three deaths."""
    with Inbox.attach(settings.inbox.path, part=part, parts=parts) as inbox:
        while True:
            for row in inbox.read(0, 1):
                if row.attempts >= DEATHS:
                    inbox.quarantine(row.id, "killed the scorer three times")
                else:
                    inbox.begin([row.id])
                    if POISON in row.payload.body:
                        os.kill(os.getpid(), signal.SIGKILL)
                inbox.finish(row.id)
            signal.sigtimedwait([signal.SIGUSR1], 0.02)


def have_no_model(settings: Settings, *, part: int, parts: int) -> None:
    """Fail as a scorer whose model is not there."""
    Path(settings.inbox.path).with_name(f"tried-{part}-of-{parts}").touch()
    raise ModelNotFoundError("nobody/nothing", "there is no such model")
