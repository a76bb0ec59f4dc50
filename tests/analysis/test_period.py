"""Periods, from what users write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.analysis.period import parse_period
from cert_otel.errors import ConfigError

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOURS = {"h": 1, "d": 24, "w": 168}


class TestLength:
    """`--period`."""

    @given(st.integers(1, 9_999), st.sampled_from("hdw"))
    def test_reaches_back_from_now(self, number: int, unit: str) -> None:
        """A number and a unit are so many hours, days or weeks before now."""
        period = parse_period(f"{number}{unit}", None, now=NOW)

        assert period.until == NOW
        assert period.until - (period.since or NOW) == timedelta(hours=number * HOURS[unit])

    def test_reaches_back_from_until(self) -> None:
        """With an end, it counts from there."""
        period = parse_period("30d", "2026-12-01", now=NOW)

        assert period.since == datetime(2026, 11, 1, tzinfo=UTC)
        assert period.until == datetime(2026, 12, 1, tzinfo=UTC)

    @pytest.mark.parametrize(
        "text", ["", "30", "d", "0d", "-3d", "+3d", "3x", "3 d", "3m", "1.5d", "3dd", "٣d", "3D"]
    )
    def test_says_how_to_write_it(self, text: str) -> None:
        """Anything else is refused, with an example."""
        with pytest.raises(ConfigError, match=r"--period: .*for instance 30d") as caught:
            parse_period(text, None, now=NOW)

        assert caught.value.setting == "--period"

    @pytest.mark.parametrize("text", ["999999999w", "999999d"])
    def test_ends_at_the_year_1(self, text: str) -> None:
        """What no calendar has is refused."""
        with pytest.raises(ConfigError, match="before the year 1"):
            parse_period(text, None, now=NOW)


class TestUntil:
    """`--until`."""

    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2026-11-30", datetime(2026, 11, 30, tzinfo=UTC)),
            (" 2026-11-30T12:30 ", datetime(2026, 11, 30, 12, 30, tzinfo=UTC)),
            ("2026-11-30T12:00:00Z", datetime(2026, 11, 30, 12, tzinfo=UTC)),
            ("2026-11-30T01:00:00+02:00", datetime(2026, 11, 29, 23, tzinfo=UTC)),
        ],
    )
    def test_is_utc_unless_it_says_otherwise(self, text: str, moment: datetime) -> None:
        """Dates are their first moment; offsets are applied."""
        period = parse_period(None, text, now=NOW)

        assert (period.since, period.until) == (None, moment)
        assert period.until is not None
        assert period.until.tzinfo is UTC

    def test_takes_a_datetime(self) -> None:
        """From code, a datetime does as well."""
        east = datetime(2026, 11, 30, 2, tzinfo=timezone(timedelta(hours=2)))

        assert parse_period(None, east, now=NOW).until == datetime(2026, 11, 30, tzinfo=UTC)

    @pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "30.11.2026"])
    def test_says_how_to_write_it(self, text: str) -> None:
        """Anything else is refused, with an example."""
        with pytest.raises(ConfigError, match=r"--until: .*for instance 2026-11-30"):
            parse_period(None, text, now=NOW)

    def test_left_out(self) -> None:
        """Without both, everything is meant."""
        assert parse_period(None, None, now=NOW) == (None, None)

    @pytest.mark.parametrize("text", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00"])
    def test_ends_where_the_calendar_does(self, text: str) -> None:
        """A moment that UTC cannot say is refused."""
        with pytest.raises(ConfigError, match="--until"):
            parse_period(None, text, now=NOW)
