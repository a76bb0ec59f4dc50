"""Shares of a count with their interval; needs nothing but Python."""

from __future__ import annotations

import math
from typing import Final

import msgspec

_Z95: Final = 1.959963984540054


class Share(msgspec.Struct, frozen=True):
    """A share of rows with its Wilson interval."""

    value: float | None
    low: float | None
    high: float | None


def wilson(successes: int, n: int) -> Share:
    """Return a share with its 95 % interval (Wilson 1927); nothing of nothing is `None`."""
    return Share(*measure_share(successes, n)) if n else Share(None, None, None)


def measure_share(successes: int, n: int) -> tuple[float, float, float]:
    """Return the same of a count that is not 0: share, low, high."""
    share, z2 = successes / n, _Z95 * _Z95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # Rounding may leave the share outside when it is 0 or 1.
    return share, min(max(0.0, middle - half), share), max(min(1.0, middle + half), share)
