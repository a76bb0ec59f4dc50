"""Calls whose stream was left to the garbage collector.

A finaliser may run inside any lock, the SDK's own included. So it takes none: it appends to a
bounded deque (atomic in CPython) and returns. The next call, a flush or the exit drains it.
"""

from __future__ import annotations

import atexit
import os
import time
from collections import deque
from typing import Final, Protocol

from opentelemetry import metrics

from cert_otel import semconv
from cert_otel.capture._guard import attempt

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
fork_generation = 0
"""How many forks lie between this process and the one that loaded this module."""
_counted = 0
"""Those of them that the metric knows of."""


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
        attempt("drain", call.abandon, end_ns=end_ns)
    if dropped > _counted:
        attempt("drain", _count_dropped)


def _count_dropped() -> None:
    global _counted
    since, _counted = dropped - _counted, dropped
    metrics.get_meter("cert_otel").create_counter(
        semconv.METRIC_FINALISERS_DROPPED,
        unit="{call}",
        description="Abandoned calls that were not recorded because too many were waiting",
    ).add(since)


def drain_at_exit() -> None:
    """Have the exit of the process drain, once.

    Called by the first stream rather than at import: exit handlers run in reverse order, and
    the tracer provider's own, which closes the exporters, must come after this one.
    """
    global _registered  # noqa: PLW0603 - once in a process
    if not _registered:
        _registered = True
        atexit.register(drain)


def _start_anew() -> None:
    """What was begun or left before a fork is the parent's to end."""
    global fork_generation  # noqa: PLW0603 - one count a process
    fork_generation += 1
    _abandoned.clear()


# A count, because asking the kernel for the process id twice a call takes longer.
os.register_at_fork(after_in_child=_start_anew)
