"""Damaged payloads: `make torture` runs this for long."""

from __future__ import annotations

import pytest
from wire_mutations import run


class TestDamage:
    @pytest.mark.parametrize("seed", range(4))
    def test_none_is_fatal(self, seed: int) -> None:
        """A damaged line or message is read, or refused with a reason; most still hold records."""
        totals = run(1000, seed)

        assert totals["payloads"] == 1000
        assert totals["with records"] > 200
