"""Answers that are changed lose; answers that are put in other words do not fail."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from metamorphic import change_sentences, draw_cases, judge

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "metamorphic.py"
CASES = list(draw_cases(30))


class TestMetamorphic:
    def test_enough_of_every_kind(self) -> None:
        """There are 500 changes and 500 other wordings, of each kind a good number."""
        kinds = Counter(case.kind for case in CASES)
        changes = sum(case.is_change for case in CASES)

        assert changes >= 480
        assert len(CASES) - changes >= 500
        assert min(kinds.values()) >= 25
        assert len(kinds) == 8

    @pytest.mark.parametrize("measure", ["score", "confidence"])
    @pytest.mark.parametrize("kind", ["number", "date", "name", "negation"])
    def test_changes_fall(self, kind: str, measure: str) -> None:
        """One number, date, name or negation changed lowers both, in 99 of 100 answers; none passes."""
        figures, missed = judge((case for case in CASES if case.kind == kind), measure)

        assert figures.changes_followed >= 0.99 * figures.changes, missed[:3]
        assert measure == "score" or figures.changes_passed == 0

    @pytest.mark.parametrize("measure", ["score", "confidence"])
    @pytest.mark.parametrize("kind", ["order", "case", "spelling", "contraction"])
    def test_other_wordings_pass(self, kind: str, measure: str) -> None:
        """Order, case, spelling and contractions keep 99 of 100 answers at the threshold or above."""
        figures, missed = judge((case for case in CASES if case.kind == kind), measure)

        assert figures.wordings_followed >= 0.99 * figures.wordings, missed[:3]

    def test_exchanges_within_a_context(self) -> None:
        """A number or name of another sentence of the same context lowers the score too."""
        text = (
            "The port of Oslo shipped 410 cars in May. Bergen shipped 95 boats, and it was calm. "
            "Maria Beck counted them for 12 weeks."
        )
        import random  # noqa: PLC0415 - of this test alone

        cases = list(change_sentences(text, random.Random(0)))  # noqa: S311 - a sample
        figures, missed = judge(cases, "score")

        assert figures.changes >= 5
        assert missed == []

    def test_the_script_prints_the_rate(self) -> None:
        """The command of the documentation gives the same figures."""
        output = subprocess.check_output(
            [sys.executable, SCRIPT, "--stories", "2", "--format", "json"]
        )
        figures = json.loads(output)

        assert figures.keys() == {"score", "confidence"}
        for one in figures.values():
            assert 0 < one["changes_followed"] <= one["changes"]
