"""A scorer that finishes whatever is in the inbox: what remains is the receiver."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from cert_otel.service.inbox import Inbox

if TYPE_CHECKING:
    from cert_otel.service.settings import Settings

_WINDOW_BYTES = 8 * 2**20


def run(settings: Settings, *, part: int, parts: int) -> None:
    """Finish payloads until told to stop."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with Inbox.attach(settings.inbox.path, part=part, parts=parts) as inbox:
        while not stopping.is_set():
            rows = inbox.read(0, _WINDOW_BYTES)
            if rows:
                inbox.begin([row.id for row in rows])
                inbox.finish(rows[-1].id)
            else:
                stopping.wait(0.05)
