"""The held-out figures, from the bits of each document."""

from __future__ import annotations

import pytest
from corpus import Document
from measure import compare, figures, report
from scores import Bits

HELD_OUT = [
    Document("a", "peps/pep-0591.rst", "final"),
    Document("b", "x.md", "other"),
    Document("b", "y.md", "слово"),
]
RESULTS = {
    "reference": [Bits(5, 5, 2), Bits(10, 5, 3), Bits(90, 10, 9)],
    "token_5gram": [Bits(10, 5, 2), Bits(9, 5, 3), Bits(80, 10, 9)],
    "byte_5gram": [Bits(15, 5, 5), Bits(15, 5, 5), Bits(60, 10, 10)],
}


class TestReport:
    def test_judges_english_by_bytes(self) -> None:
        """The figure is of all English bytes together; other languages stand apart."""
        found = report(HELD_OUT, RESULTS)

        assert (found["documents"], found["bytes"]) == (2, 10)
        assert found["models"]["reference"]["bits_per_byte"] == 1.5
        assert found["other_languages"]["reference"] == 9.0
        assert found["against_token_5gram"]["documents_better"] == 1
        assert found["by_source"]["b"] == {
            "documents": 1, "bytes": 5, "reference": 2.0, "token_5gram": 1.8, "byte_5gram": 3.0,
        }  # fmt: skip

    def test_sample_is_named(self) -> None:
        """The sample's figure is of the documents that the tests carry."""
        sample = report(HELD_OUT, RESULTS)["sample"]

        assert "peps/pep-0591.rst" in sample["files"]
        assert (sample["documents"], sample["reference"], sample["token_5gram"]) == (1, 1.0, 2.0)


class TestCompare:
    def test_pairs_documents(self) -> None:
        """A model that always needs half has half the bits, and the interval leaves no doubt."""
        theirs = [Bits(float(i), 1, 1) for i in range(2, 20)]
        ours = [Bits(one.bits / 2, 1, 1) for one in theirs]

        assert compare(ours, theirs) == {
            "ratio": 0.5, "ratio_low": 0.5, "ratio_high": 0.5, "documents_better": 18,
        }  # fmt: skip


class TestFigures:
    def test_interval_holds_the_figure(self) -> None:
        """Resampled documents give an interval around the figure, and the same one each time."""
        documents = [Bits(float(i), 1, 1) for i in range(1, 20)]
        found = figures(documents)

        assert found["bits_per_byte_low"] < found["bits_per_byte"] < found["bits_per_byte_high"]
        assert found == figures(documents)

    def test_equal_documents_leave_no_doubt(self) -> None:
        """Documents that all need the same have an interval of no width."""
        found = figures([Bits(2.0, 1, 1)] * 5)

        assert found["bits_per_byte_low"] == found["bits_per_byte_high"] == 2
        assert found["perplexity_per_byte"] == pytest.approx(4)
