"""Calls whose stream was left to the garbage collector.

A finaliser may run inside any lock, the SDK's own included. So it takes none: it appends to a
bounded deque (atomic in CPython) and returns. The next call, a flush or the exit drains it.
"""

from __future__ import annotations

import atexit
import time
from collections import deque
from typing import Final, Protocol

CAPACITY: Final = 10_000
"""Abandoned calls that are held until somebody drains; more are counted and let go."""


class Abandonable(Protocol):
    """What can be ended after its owner let go of it."""

    def abandon(self, *, end_ns: int | None = None) -> None:
        """End it; `end_ns` is when it was let go of, Unix time."""
        ...


_abandoned: Final[deque[tuple[Abandonable, int]]] = deque()
_registered = False
dropped = 0
"""Abandoned calls that were not recorded because the deque was full."""


def leave(call: Abandonable) -> None:
    """Remember a call that nobody will finish; safe inside a finaliser."""
    global dropped  # noqa: PLW0603 - a lock-free count
    if len(_abandoned) < CAPACITY:
        _abandoned.append((call, time.time_ns()))
    else:
        dropped += 1


def drain() -> None:
    """Finish what finalisers left; runs in an ordinary frame, outside every lock."""
    while _abandoned:
        try:
            call, end_ns = _abandoned.popleft()
        except IndexError:  # another thread was faster
            return
        call.abandon(end_ns=end_ns)


def drain_at_exit() -> None:
    """Have the exit of the process drain, once.

    Called by the first stream rather than at import: exit handlers run in reverse order, and
    the tracer provider's own, which closes the exporters, must come after this one.
    """
    global _registered  # noqa: PLW0603 - once in a process
    if not _registered:
        _registered = True
        atexit.register(drain)
