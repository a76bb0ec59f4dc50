"""Numbers with what they count: "$89.5B" and "89.5 billion dollars" are one quantity."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

import msgspec

from cert_otel.evaluation.grounding.units import (
    CURRENCIES,
    CURRENCY_CODES,
    CURRENCY_WORDS,
    GLUED_MAGNITUDES,
    LETTER_UNITS,
    MAGNITUDES,
    MONEY_MAGNITUDES,
    SIGNS,
    UNITS,
)
from cert_otel.evaluation.grounding.words import NUMBER_WORDS, ORDINAL_WORDS, split_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.evaluation.grounding.tokens import Token

_MINUS: Final = ("-", "\u2212")
_GAPS: Final = ("", " ", "-", "\u00a0")
"""Between a number and its unit."""
_ORDINAL_SUFFIX: Final = re.compile(r"(?:st|nd|rd|th)\b")
_DECADE: Final = re.compile(r"[12]\d\d0")
_RANGE: Final = re.compile(r"\s*(?:[-–—]|to|and|or)\s*(?:[$€£¥₹]\s?)?")  # noqa: RUF001
_LOOSE: Final = frozenset(
    split_words("about around approximately approx roughly nearly almost circa over some")
)
_EXACT: Final = 1e-9
_CONVERSION: Final = 0.006
"""Relative difference that two units of one dimension may show: 5 miles are 8.05 km."""
_NOUN_WORDS: Final = 3
"""Words behind a number among which the thing counted is looked for."""


class Quantity(msgspec.Struct, frozen=True, gc=False):
    """A number, what it is a number of, and where it stands."""

    value: float
    """In the base unit of its dimension; magnitudes multiplied out."""
    tolerance: float
    """Half of the last place that was written."""
    unit: str | None
    noun: str | None
    """Key of the thing counted, where there is no unit."""
    start: int
    end: int
    first: int
    """Index of its first token."""
    last: int
    """Behind its last token."""
    is_ordinal: bool = False
    scale: float = 1.0
    """What its digits were multiplied by."""
    factor: float = 1.0
    """What one of its unit is in the base unit of the dimension."""

    @property
    def slack(self) -> float:
        """By how much a source that agrees may differ."""
        return max(self.tolerance, _CONVERSION * abs(self.value))

    def agrees(self, source: Quantity) -> bool:
        """Whether a source that says `source` bears this out, rounding allowed."""
        if not _share_unit(self.unit, source.unit) or (
            self.is_ordinal != source.is_ordinal and self.unit is None and source.unit is None
        ):
            return False
        allowed = max(self.tolerance, _EXACT * abs(self.value))
        if self.tolerance < source.tolerance:
            allowed = _EXACT * abs(self.value)  # the answer says more digits than its source
        if _is_conversion(self.factor / source.factor):
            allowed = max(allowed, _CONVERSION * abs(self.value))
        return abs(self.value - source.value) <= allowed

    def denies(self, source: Quantity) -> bool:
        """Whether both are of the same thing, with other values."""
        if self.is_ordinal != source.is_ordinal or self.agrees(source):
            return False
        if self.unit is not None or source.unit is not None:
            return self.unit == source.unit
        return self.noun is not None and self.noun == source.noun


def _is_conversion(ratio: float) -> bool:
    """Whether one unit is no power of ten of the other, so that converted values are rounded."""
    exponent = math.log10(ratio)
    return abs(exponent - round(exponent)) > _EXACT


def _share_unit(unit: str | None, other: str | None) -> bool:
    return unit == other or unit is None or other is None


def find_quantities(text: str, tokens: Sequence[Token]) -> list[Quantity]:
    """Return the quantities of a text in order."""
    found: list[Quantity] = []
    i = 0
    while i < len(tokens):
        token = tokens[i]
        if token.kind == "number" or _is_one(tokens, i):
            quantity, i = _read(text, tokens, i)
            if quantity is not None:
                found.append(quantity)
        elif token.surface.lower() in ORDINAL_WORDS:
            value = float(ORDINAL_WORDS[token.surface.lower()])
            noun = _find_noun(tokens, i + 1)
            found.append(
                Quantity(value, 0.0, None, noun, token.start, token.end, i, i + 1, is_ordinal=True)
            )
            i += 1
        else:
            i += 1
    return _share_ranges(text, found)


def _read(text: str, tokens: Sequence[Token], i: int) -> tuple[Quantity | None, int]:
    first = i
    mantissa, step, i = _read_mantissa(text, tokens, i)
    if mantissa is None:
        return None, i
    end = tokens[i - 1].end
    start, currency, sign = _look_before(text, tokens, first)
    if tokens[i - 1].surface[-1].isdigit() and _ORDINAL_SUFFIX.match(text, end):
        noun = _find_noun(tokens, i + 1)
        return Quantity(
            mantissa, 0.0, None, noun, start, end + 2, first, i + 1, is_ordinal=True
        ), i + 1
    factor, end, i = _read_magnitude(text, tokens, i, end, currency)
    unit, unit_factor, end, i = _read_unit(text, tokens, i, end)
    scale = factor * unit_factor
    loose = first > 0 and tokens[first - 1].surface.lower() in _LOOSE
    if factor == 1 and not loose and step >= 1:
        step = 0.0  # a whole number is meant as it stands
    unit = currency or unit
    return Quantity(
        sign * mantissa * scale,
        step * scale / 2,
        unit,
        None if unit else _find_noun(tokens, i),
        start,
        end,
        first,
        i,
        scale=scale,
        factor=unit_factor,
    ), i


def _is_one(tokens: Sequence[Token], i: int) -> bool:
    """Whether "one", "a" or "half a" multiplies the magnitude behind it."""
    words = [token.surface.lower() for token in tokens[i : i + 3]]
    if words[0] == "half":
        words = words[1:]
    return len(words) > 1 and words[0] in ("a", "one") and words[1] in MAGNITUDES


def _read_mantissa(text: str, tokens: Sequence[Token], i: int) -> tuple[float | None, float, int]:
    surface = tokens[i].surface
    if surface[0].isdigit():
        value = _read_digits(tokens[i].key)
        return value, _last_place(tokens[i].key), i + 1
    if surface.lower() == "half":
        return 0.5, 1.0, i + 2
    total, i = float(NUMBER_WORDS.get(surface.lower(), 1)), i + 1
    while i < len(tokens) and text[tokens[i - 1].end : tokens[i].start] in (" ", "-"):
        word = tokens[i].surface.lower()
        value = 1 if word == "one" else NUMBER_WORDS.get(word)
        if value is not None and _adds_up(total, value):
            total += value
        elif word == "hundred" and total < 100:  # noqa: PLR2004 - "hundred" itself
            total *= 100
        elif not (word == "and" and _continues(tokens, i)):
            break
        i += 1
    return total, 1.0, i


def _adds_up(total: float, value: int) -> bool:
    """Whether a number word goes on with the one before: "twenty five", "hundred twelve"."""
    tens = total % 100
    return tens == 0 or (tens >= 20 and tens % 10 == 0 and value < 10)  # noqa: PLR2004 - digits


def _continues(tokens: Sequence[Token], i: int) -> bool:
    return (
        i + 1 < len(tokens)
        and tokens[i - 1].surface.lower() == "hundred"
        and tokens[i + 1].surface.lower() in NUMBER_WORDS
    )


def _read_digits(key: str) -> float | None:
    try:
        return float(key)
    except ValueError:
        return None  # "1.2.3" is a version, no number


def _last_place(key: str) -> float:
    _, point, decimals = key.partition(".")
    if point:
        return float(10 ** -len(decimals))
    return float(10 ** (len(key) - len(key.rstrip("0")))) if key.strip("0") else 1.0


def _look_before(text: str, tokens: Sequence[Token], i: int) -> tuple[int, str | None, int]:
    """Return where the quantity begins, its currency, and its sign."""
    start = tokens[i].start
    before = text[max(0, start - 2) : start].rstrip()
    currency = None
    if before and before[-1] in CURRENCIES:
        currency = CURRENCIES[before[-1]]
        start = text.rindex(before[-1], 0, start)
    elif i and tokens[i - 1].surface in CURRENCY_CODES:
        currency, start = tokens[i - 1].surface, tokens[i - 1].start
    if text[max(0, start - 1) : start] in _MINUS and not text[max(0, start - 2)].isalnum():
        return start - 1, currency, -1
    return start, currency, 1


def _read_magnitude(
    text: str, tokens: Sequence[Token], i: int, end: int, currency: str | None
) -> tuple[float, int, int]:
    factor = 1.0
    while i < len(tokens):
        surface, gap = tokens[i].surface, text[end : tokens[i].start]
        if gap not in _GAPS:
            break
        step = MAGNITUDES.get(surface.lower())
        if step is None and currency:
            step = MONEY_MAGNITUDES.get(surface.lower())
        if step is None and not gap:
            step = GLUED_MAGNITUDES.get(surface)
        if step is None:
            break
        factor, end, i = factor * step, tokens[i].end, i + 1
    return factor, end, i


def _read_unit(
    text: str, tokens: Sequence[Token], i: int, end: int
) -> tuple[str | None, float, int, int]:
    sign = text[end : end + 2].lstrip()[:1]
    if sign in SIGNS:
        return SIGNS[sign], 1.0, text.index(sign, end) + 1, i
    if i >= len(tokens):
        return None, 1.0, end, i
    token, gap = tokens[i], text[end : tokens[i].start]
    if sign == "°" and token.surface in ("C", "F"):
        return f"°{token.surface}", 1.0, token.end, i + 1
    if gap not in _GAPS:
        return None, 1.0, end, i
    if token.surface.lower() == "per" and text[token.end : token.end + 5].lower() == " cent":
        return "%", 1.0, token.end + 5, i + 2
    return _read_word(tokens, i, end)


def _read_word(tokens: Sequence[Token], i: int, end: int) -> tuple[str | None, float, int, int]:
    j = i + (tokens[i].surface == "US" and i + 1 < len(tokens))
    currency = CURRENCY_WORDS.get(tokens[j].surface.lower())
    if currency:
        return currency, 1.0, tokens[j].end, j + 1
    return _read_measure(tokens, i, end)


def _read_measure(tokens: Sequence[Token], i: int, end: int) -> tuple[str | None, float, int, int]:
    power = {"square": 2, "sq": 2, "cubic": 3}.get(tokens[i].surface.lower(), 1)
    if power > 1 and i + 1 < len(tokens):
        i += 1
    token = tokens[i]
    lowered = token.surface.lower()
    if lowered == "s" and _DECADE.fullmatch(tokens[i - 1].surface):
        return None, 1.0, end, i
    if lowered not in UNITS or (lowered in LETTER_UNITS and token.surface != lowered):
        return None, 1.0, end, i
    unit, factor = UNITS[lowered]
    return (unit if power == 1 else f"{unit}{power}"), factor**power, token.end, i + 1


def _find_noun(tokens: Sequence[Token], i: int) -> str | None:
    """Return the last of the words behind a number that belong to the same noun phrase."""
    noun = None
    for token in tokens[i : i + _NOUN_WORDS]:
        if token.kind != "word" or not token.is_content:
            break
        noun = token.key
        if token.surface.endswith("s"):
            break
    return noun


def _share_ranges(text: str, found: list[Quantity]) -> list[Quantity]:
    """Give both numbers of "10 to 12 billion dollars" and "$10-12 billion" the same unit."""
    for j in range(len(found) - 1):
        low, high = found[j], found[j + 1]
        if _are_range(low, high) and _RANGE.fullmatch(text, low.end, high.start):
            unit = high.unit or low.unit
            found[j + 1] = msgspec.structs.replace(high, unit=unit)
            found[j] = msgspec.structs.replace(
                low,
                value=low.value * high.scale,
                tolerance=low.tolerance * high.scale,
                scale=high.scale,
                unit=unit,
                noun=low.noun or high.noun,
                factor=high.factor,
            )
    return found


def _are_range(low: Quantity, high: Quantity) -> bool:
    return (
        low.scale == 1
        and (low.unit is None or high.unit in (None, low.unit))
        and not (low.is_ordinal or high.is_ordinal)
        and low.value <= high.value / high.scale
    )
