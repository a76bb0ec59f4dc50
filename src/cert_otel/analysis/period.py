"""The stretch of time that an analysis looks at."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from cert_otel.errors import ConfigError

_LENGTH: Final = re.compile(r"([1-9][0-9]{0,8})([hdw])", re.ASCII)
_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


class Period(NamedTuple):
    """From `since` up to, and without, `until`; `None` is open."""

    since: datetime | None
    until: datetime | None


def parse_period(length: str | None, until: str | datetime | None, *, now: datetime) -> Period:
    """Read what the user asked for.

    Args:
        length: A whole number and `h`, `d` or `w`, counted back from `until`.
        until: ISO 8601; without an offset it is UTC, a date is its first moment. `None`
            is `now` where there is a length, else open.
        now: Aware.

    Raises:
        ConfigError: When either is malformed, or the period starts before year 1.
    """
    end = _parse_until(until)
    if length is None:
        return Period(None, end)
    end = end or now.astimezone(UTC)
    try:
        return Period(end - _parse_length(length), end)
    except OverflowError:
        raise ConfigError("--period", f"{length!r} reaches back before the year 1") from None


def _parse_length(text: str) -> timedelta:
    match = _LENGTH.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            "--period",
            f"{text!r} is not a length of time; write a number and h, d or w, for instance 30d",
        )
    return int(match[1]) * _UNITS[match[2]]


def _parse_until(until: str | datetime | None) -> datetime | None:
    if until is None:
        return None
    try:
        moment = datetime.fromisoformat(until.strip()) if isinstance(until, str) else until
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return aware.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigError(
            "--until",
            f"{until!r} is not a date or time; write ISO 8601, for instance 2026-11-30 or"
            " 2026-11-30T12:00:00+01:00",
        ) from None
