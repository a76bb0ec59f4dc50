"""How much is judged at once."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """Of a batch; it is written before the next one is judged."""

    records: int = 256
    tokens: int = 131_072
