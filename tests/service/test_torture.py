"""Ten kills at random under load; `make torture` does two hundred."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.service.torture import torture

if TYPE_CHECKING:
    from pathlib import Path


class TestTorture:
    def test_ten_kills(self, tmp_path: Path) -> None:
        """What was acknowledged is in the trail once, whole, whoever was killed."""
        outcome = torture(tmp_path, kills=10, spans=20_000)

        assert outcome.kills == 10
        assert outcome.acknowledged >= 20_000
        assert outcome.sent_again > 0
        assert (outcome.missing, outcome.duplicated, outcome.unparsable) == (0, 0, 0)
