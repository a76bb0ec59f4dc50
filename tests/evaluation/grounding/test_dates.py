"""Days, months and years in their many spellings."""

from __future__ import annotations

import pytest

from cert_otel.evaluation.grounding.dates import Date, find_dates


def read_one(text: str) -> Date:
    """Find the only date of a text."""
    (date,) = find_dates(text)
    return date


class TestFindDates:
    @pytest.mark.parametrize(
        "text",
        [
            "March 12, 2014",
            "12 March 2014",
            "the 12th of March, 2014",
            "Mar. 12 2014",
            "2014-03-12",
            "03/12/2014",
            "12.3.2014",
        ],
    )
    def test_one_day(self, text: str) -> None:
        """All spellings of a day bear each other out in full."""
        assert read_one(text).agreement(read_one("12 March 2014")) == 1

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("in March", (None, 3, None)),
            ("Sept 5", (None, 9, 5)),
            ("March 2014", (2014, 3, None)),
            ("born in 1999", (1999, None, None)),
            ("2014-03", (2014, 3, None)),
        ],
    )
    def test_parts(self, text: str, parts: tuple[int | None, int | None, int | None]) -> None:
        """What was not written is not there."""
        date = read_one(text)

        assert (date.year, date.month, date.day) == parts

    @pytest.mark.parametrize("text", ["You May go", "March on!", "32/13/2014", "$1999", "1999.5"])
    def test_no_date(self, text: str) -> None:
        """A verb, an impossible day and a price are no dates."""
        assert find_dates(text) == []


class TestAgreement:
    def test_partial_dates(self) -> None:
        """Less than the source says is borne out; of more, the part that it says."""
        assert read_one("2014").agreement(read_one("12 March 2014")) == 1
        assert read_one("12 March").agreement(read_one("12 March 2014")) == 1
        assert read_one("March 2014").agreement(read_one("2014")) == 0.5

    def test_other_dates(self) -> None:
        """Dates that differ, or have nothing in common, do not agree."""
        assert read_one("March 2014").agreement(read_one("April 2014")) is None
        assert read_one("12 March").agreement(read_one("2014")) is None

    def test_decades(self) -> None:
        """A year bears out its decade and no other one."""
        assert read_one("the 1990s").agreement(read_one("1994")) == 1
        assert read_one("the 1990s").agreement(read_one("2004")) is None
