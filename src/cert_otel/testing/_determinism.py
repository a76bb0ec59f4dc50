"""Ids and clocks that count instead of being random."""

from __future__ import annotations

from itertools import count
from typing import Final

from opentelemetry.sdk.trace.id_generator import IdGenerator

START_NS: Final = 1_800_000_000_000_000_000
"""2027-01-15T08:00:00Z."""
_SECOND_NS: Final = 1_000_000_000


class IncrementingIds(IdGenerator):
    """Trace and span ids 1, 2, 3 …, each counted on its own.

    Example:
        >>> ids = IncrementingIds()
        >>> ids.generate_trace_id(), ids.generate_span_id(), ids.generate_span_id()
        (1, 1, 2)
    """

    def __init__(self) -> None:
        self._spans = count(1)
        self._traces = count(1)

    def generate_span_id(self) -> int:
        """Return the next span id."""
        return next(self._spans)

    def generate_trace_id(self) -> int:
        """Return the next trace id."""
        return next(self._traces)


class FixedClock:
    """A clock in nanoseconds since the epoch that stands until it is moved.

    Call it where `time.time_ns` would be called.

    Example:
        >>> clock = FixedClock(0)
        >>> clock.advance(1.5)
        >>> clock()
        1500000000
    """

    def __init__(self, now_ns: int = START_NS) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        """Move the clock on."""
        self.now_ns += round(seconds * _SECOND_NS)


class IncrementingClock:
    """A clock in nanoseconds since the epoch that moves on by one step at each look.

    Example:
        >>> clock = IncrementingClock(0, step_s=0.25)
        >>> clock(), clock()
        (0, 250000000)
    """

    def __init__(self, start_ns: int = START_NS, *, step_s: float = 1.0) -> None:
        self._ticks = count(start_ns, round(step_s * _SECOND_NS))

    def __call__(self) -> int:
        return next(self._ticks)
