"""Days, months and years in their many spellings, as one value with what was left out."""

from __future__ import annotations

import re
from typing import Final

import msgspec

_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "january jan", "february feb", "march mar", "april apr", "may", "june jun",
            "july jul", "august aug", "september sept sep", "october oct", "november nov",
            "december dec",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_MONTH: Final = "|".join(sorted((name.capitalize() for name in _MONTHS), key=len, reverse=True))
_DATE: Final = re.compile(
    rf"\b(?:(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s(?:of\s)?)?(?P<month>(?:{_MONTH})\b)\.?"
    r"(?:\s(?P<day2>\d{1,2})(?:st|nd|rd|th)?\b(?![:\d]))?(?:(?:,\s?|\sof\s|\s)(?P<year>\d{4}))?\b"
    r"|\b(?P<iso>(?P<y>\d{4})-(?P<m>\d{2})(?:-(?P<d>\d{2}))?)\b"
    r"|\b(?P<slash>(?P<a>\d{1,2})[/.](?P<b>\d{1,2})[/.](?P<c>\d{4}))\b"
    r"|\b(?P<decade>\d{3}0)['’]?s\b"  # noqa: RUF001 - what is written
    r"|(?<![\d.,$€£-])\b(?P<bare>1\d{3}|20\d{2})\b(?![.,]\d|[%\d])"
)
_PREPOSITION: Final = re.compile(r"(?:in|of|since|by|during|until|till|from|to|on|last|this)\s$")
_MONTHS_MAX: Final = 12
_DAYS_MAX: Final = 31


class Date(msgspec.Struct, frozen=True, gc=False):
    """A point in the calendar; what was not written is `None`."""

    year: int | None
    month: int | None
    day: int | None
    start: int
    end: int
    is_decade: bool = False
    is_swappable: bool = False
    """Day and month may be meant the other way round, as in 03/04/2020."""

    @property
    def is_bare_year(self) -> bool:
        """Four digits alone, which may be a number of something."""
        return self.month is None and not self.is_decade

    def agreement(self, source: Date) -> float | None:
        """Return the share of this date that a source bears out, `None` where they differ."""
        same = _compare(self, source)
        if same is None and (self.is_swappable or source.is_swappable):
            same = _compare(msgspec.structs.replace(self, month=self.day, day=self.month), source)
        return same


def _compare(date: Date, source: Date) -> float | None:
    span = 10 if date.is_decade or source.is_decade else 1
    pairs = (
        (_divide(date.year, span), _divide(source.year, span)),
        (date.month, source.month),
        (date.day, source.day),
    )
    if any(a is not None and b is not None and a != b for a, b in pairs):
        return None
    stated = [b is not None for a, b in pairs if a is not None]
    return sum(stated) / len(stated) if any(stated) else None


def _divide(year: int | None, span: int) -> int | None:
    return None if year is None else year // span


def find_dates(text: str) -> list[Date]:
    """Return the dates of a text in order, years that stand alone among them."""
    dates = (_read(text, match) for match in _DATE.finditer(text))
    return [date for date in dates if date is not None]


def _read(text: str, match: re.Match[str]) -> Date | None:
    start, end = match.span()
    if match["month"]:
        return _read_named(text, match)
    if match["iso"]:
        day = int(match["d"]) if match["d"] else None
        return _check(Date(int(match["y"]), int(match["m"]), day, start, end))
    if match["slash"]:
        return _read_slashed(match)
    if match["decade"]:
        return Date(int(match["decade"]), None, None, start, end, is_decade=True)
    return Date(int(match["bare"]), None, None, start, end)


def _read_named(text: str, match: re.Match[str]) -> Date | None:
    day = match["day"] or match["day2"]
    year = match["year"]
    if not (day or year or _PREPOSITION.search(text, max(0, match.start() - 8), match.start())):
        return None  # "May I", "March on"
    return _check(
        Date(
            int(year) if year else None,
            _MONTHS[match["month"].lower()],
            int(day) if day else None,
            match.start(),
            match.end(),
        )
    )


def _read_slashed(match: re.Match[str]) -> Date | None:
    first, second, year = int(match["a"]), int(match["b"]), int(match["c"])
    day, month = (first, second) if second <= _MONTHS_MAX else (second, first)
    both = first <= _MONTHS_MAX and second <= _MONTHS_MAX
    return _check(Date(year, month, day, *match.span(), is_swappable=both))


def _check(date: Date) -> Date | None:
    month_fits = date.month is None or 1 <= date.month <= _MONTHS_MAX
    day_fits = date.day is None or 1 <= date.day <= _DAYS_MAX
    return date if month_fits and day_fits else None
