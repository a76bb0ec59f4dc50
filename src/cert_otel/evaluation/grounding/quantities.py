"""Numbers with what they count: "$89.5B" and "89.5 billion dollars" are one quantity."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from cert_otel.evaluation.grounding.tokens import NUMBER_WORDS, ORDINAL_WORDS, Token, split_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CURRENCIES: Final = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR"}
_CURRENCY_CODES: Final = frozenset(_CURRENCIES.values()) | {"CHF", "CNY"}
_SIGNS: Final = {**_CURRENCIES, "%": "%"}
"""What may stand behind a number."""
_MINUS: Final = ("-", "\u2212")
_GAPS: Final = ("", " ", "-", "\u00a0")
"""Between a number and its unit."""
_CURRENCY_WORDS: Final = {
    "usd": "USD", "dollar": "USD", "dollars": "USD", "buck": "USD", "bucks": "USD",
    "eur": "EUR", "euro": "EUR", "euros": "EUR", "gbp": "GBP", "pound": "GBP", "pounds": "GBP",
    "yen": "JPY", "jpy": "JPY", "rupee": "INR", "rupees": "INR", "inr": "INR",
    "chf": "CHF", "franc": "CHF", "francs": "CHF", "yuan": "CNY", "rmb": "CNY", "cny": "CNY",
}  # fmt: skip
_MAGNITUDES: Final = {
    "hundred": 1e2, "thousand": 1e3, "million": 1e6, "millions": 1e6, "billion": 1e9,
    "billions": 1e9, "trillion": 1e12, "mn": 1e6, "mln": 1e6, "bn": 1e9, "bln": 1e9, "tn": 1e12,
    "trn": 1e12, "lakh": 1e5, "crore": 1e7, "dozen": 12.0,
}  # fmt: skip
_GLUED_MAGNITUDES: Final = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "b": 1e9, "T": 1e12}
"""Only where the letter touches the number: "5m" is a length, unless it is money."""
_MONEY_MAGNITUDES: Final = {"m": 1e6, "k": 1e3, "b": 1e9, "t": 1e12}
_SPELLINGS: Final[Mapping[str, Mapping[str, float]]] = {
    "%": {"percent": 1, "pct": 1, "percentage": 1},
    "m": {
        "m": 1, "metre": 1, "metres": 1, "meter": 1, "meters": 1,
        "km": 1e3, "kilometre": 1e3, "kilometres": 1e3, "kilometer": 1e3, "kilometers": 1e3,
        "cm": 1e-2, "centimetre": 1e-2, "centimetres": 1e-2, "centimeter": 1e-2,
        "centimeters": 1e-2, "mm": 1e-3, "millimetre": 1e-3, "millimetres": 1e-3,
        "millimeter": 1e-3, "millimeters": 1e-3, "mile": 1609.344, "miles": 1609.344,
        "mi": 1609.344, "ft": 0.3048, "foot": 0.3048, "feet": 0.3048, "inch": 0.0254,
        "inches": 0.0254, "yard": 0.9144, "yards": 0.9144, "yd": 0.9144,
    },
    "g": {
        "g": 1, "gram": 1, "grams": 1, "kg": 1e3, "kgs": 1e3, "kilogram": 1e3,
        "kilograms": 1e3, "kilo": 1e3, "kilos": 1e3, "mg": 1e-3, "milligram": 1e-3,
        "milligrams": 1e-3, "tonne": 1e6, "tonnes": 1e6, "ton": 1e6, "tons": 1e6,
        "lb": 453.592, "lbs": 453.592, "oz": 28.3495, "ounce": 28.3495, "ounces": 28.3495,
    },
    "s": {
        "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1, "ms": 1e-3,
        "millisecond": 1e-3, "milliseconds": 1e-3, "min": 60, "mins": 60, "minute": 60,
        "minutes": 60, "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600, "hours": 3600,
        "day": 86400, "days": 86400, "week": 604800, "weeks": 604800,
    },
    "month": {"month": 1, "months": 1, "year": 12, "years": 12, "yr": 12, "yrs": 12},
    "l": {
        "l": 1, "litre": 1, "litres": 1, "liter": 1, "liters": 1, "ml": 1e-3,
        "millilitre": 1e-3, "millilitres": 1e-3, "milliliter": 1e-3, "milliliters": 1e-3,
    },
    "B": {
        "byte": 1, "bytes": 1, "kb": 1e3, "kilobytes": 1e3, "mb": 1e6, "megabyte": 1e6,
        "megabytes": 1e6, "gb": 1e9, "gigabyte": 1e9, "gigabytes": 1e9, "tb": 1e12,
        "terabyte": 1e12, "terabytes": 1e12,
    },
    "W": {"w": 1, "watt": 1, "watts": 1, "kw": 1e3, "kilowatt": 1e3, "kilowatts": 1e3,
          "mw": 1e6, "megawatt": 1e6, "megawatts": 1e6, "gw": 1e9, "gigawatts": 1e9},
    "Hz": {"hz": 1, "hertz": 1, "khz": 1e3, "kilohertz": 1e3, "mhz": 1e6, "megahertz": 1e6,
           "ghz": 1e9, "gigahertz": 1e9},
    "ha": {"ha": 1, "hectare": 1, "hectares": 1, "acre": 0.404686, "acres": 0.404686},
    "°C": {"celsius": 1, "centigrade": 1},
    "°F": {"fahrenheit": 1},
}  # fmt: skip
_UNITS: Final = {
    spelling: (unit, float(factor))
    for unit, spellings in _SPELLINGS.items()
    for spelling, factor in spellings.items()
}
_LETTER_UNITS: Final = frozenset(split_words("m g s h l w"))
"""Only where they touch the number or follow it in small letters."""
_ORDINAL_SUFFIX: Final = re.compile(r"(?:st|nd|rd|th)\b")
_RANGE: Final = re.compile(r"\s*(?:[-–—]|to|and|or)\s*(?:[$€£¥₹]\s?)?")  # noqa: RUF001
_LOOSE: Final = frozenset(
    split_words("about around approximately approx roughly nearly almost circa over some")
)
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
    is_converted: bool = False
    """Written in another unit than the base unit."""

    def agrees(self, source: Quantity) -> bool:
        """Whether a source that says `source` bears this out, rounding allowed."""
        if not _share_unit(self.unit, source.unit) or (
            self.is_ordinal != source.is_ordinal and self.unit is None and source.unit is None
        ):
            return False
        allowed = max(self.tolerance, 1e-9 * abs(self.value))
        if self.tolerance < source.tolerance:
            allowed = 1e-9 * abs(self.value)  # the answer says more digits than its source
        if self.is_converted != source.is_converted:
            allowed = max(allowed, _CONVERSION * abs(self.value))
        return abs(self.value - source.value) <= allowed

    def denies(self, source: Quantity) -> bool:
        """Whether both are of the same thing, with other values."""
        if self.is_ordinal != source.is_ordinal or self.agrees(source):
            return False
        if self.unit is not None or source.unit is not None:
            return self.unit == source.unit
        return self.noun is not None and self.noun == source.noun


def _share_unit(unit: str | None, other: str | None) -> bool:
    return unit == other or unit is None or other is None


def find_quantities(text: str, tokens: Sequence[Token]) -> list[Quantity]:
    """Return the quantities of a text in order."""
    found: list[Quantity] = []
    i = 0
    while i < len(tokens):
        token = tokens[i]
        if token.kind == "number":
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
        is_converted=unit_factor != 1,
    ), i


def _read_mantissa(text: str, tokens: Sequence[Token], i: int) -> tuple[float | None, float, int]:
    surface = tokens[i].surface
    if surface[0].isdigit():
        value = _read_digits(tokens[i].key)
        return value, _last_place(tokens[i].key), i + 1
    total, i = float(tokens[i].key), i + 1
    while i < len(tokens) and text[tokens[i - 1].end : tokens[i].start] in (" ", "-"):
        word = tokens[i].surface.lower()
        if word in NUMBER_WORDS or word == "one":
            total += NUMBER_WORDS.get(word, 1)
        elif word == "hundred":
            total *= 100
        elif not (word == "and" and _continues(tokens, i)):
            break
        i += 1
    return total, 1.0, i


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
    if before and before[-1] in _CURRENCIES:
        currency = _CURRENCIES[before[-1]]
        start = text.rindex(before[-1], 0, start)
    elif i and tokens[i - 1].surface in _CURRENCY_CODES:
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
        step = _MAGNITUDES.get(surface.lower())
        if step is None and currency:
            step = _MONEY_MAGNITUDES.get(surface.lower())
        if step is None and not gap:
            step = _GLUED_MAGNITUDES.get(surface)
        if step is None:
            break
        factor, end, i = factor * step, tokens[i].end, i + 1
    return factor, end, i


def _read_unit(
    text: str, tokens: Sequence[Token], i: int, end: int
) -> tuple[str | None, float, int, int]:
    sign = text[end : end + 2].lstrip()[:1]
    if sign in _SIGNS:
        return _SIGNS[sign], 1.0, text.index(sign, end) + 1, i
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
    currency = _CURRENCY_WORDS.get(tokens[j].surface.lower())
    if currency:
        return currency, 1.0, tokens[j].end, j + 1
    return _read_measure(tokens, i, end)


def _read_measure(tokens: Sequence[Token], i: int, end: int) -> tuple[str | None, float, int, int]:
    power = {"square": 2, "sq": 2, "cubic": 3}.get(tokens[i].surface.lower(), 1)
    if power > 1 and i + 1 < len(tokens):
        i += 1
    token = tokens[i]
    lowered = token.surface.lower()
    if lowered not in _UNITS or (lowered in _LETTER_UNITS and token.surface != lowered):
        return None, 1.0, end, i
    unit, factor = _UNITS[lowered]
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
    """Give the first number of "10 to 12 billion dollars" the unit of the second."""
    for j in range(len(found) - 1):
        low, high = found[j], found[j + 1]
        if _lacks_unit(low, high) and _RANGE.fullmatch(text, low.end, high.start):
            found[j] = msgspec.structs.replace(
                low,
                value=low.value * high.scale,
                tolerance=low.tolerance * high.scale,
                scale=high.scale,
                unit=high.unit,
                noun=low.noun or high.noun,
                is_converted=high.is_converted,
            )
    return found


def _lacks_unit(low: Quantity, high: Quantity) -> bool:
    return (
        low.scale == 1
        and low.unit in (None, high.unit)
        and not (low.is_ordinal or high.is_ordinal)
        and low.value <= high.value / high.scale
    )
