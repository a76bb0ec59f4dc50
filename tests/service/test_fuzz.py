"""Five hundred damaged requests to a whole service; `make torture` sends a hundred thousand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.service.fuzz import ANSWERS, Requests, fuzz

if TYPE_CHECKING:
    from pathlib import Path


class TestFuzz:
    def test_five_hundred(self, tmp_path: Path) -> None:
        """Each is answered OK, what nobody can read is put aside, and the service lives on."""
        outcome = fuzz(tmp_path, requests=500)

        assert {answer.split()[-1] for answer in outcome.answers} <= ANSWERS
        assert outcome.answers.total() == 500
        assert outcome.unanswered == []
        assert 0 < outcome.quarantined < outcome.accepted
        assert outcome.records > 0
        assert outcome.alive

    def test_a_request_is_always_the_same(self) -> None:
        """Whoever has seed and number has the request that broke something."""
        first, second = (Requests(7) for _ in range(2))

        assert [first.make(n) for n in range(30)] == [second.make(n) for n in range(30)]
        assert len({first.make(n).protocol for n in range(30)}) == 3
