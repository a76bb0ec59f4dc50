"""How amounts are spelled: currencies, magnitudes, units of measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cert_otel.evaluation.grounding.words import split_words

if TYPE_CHECKING:
    from collections.abc import Mapping

CURRENCIES: Final = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR"}
CURRENCY_CODES: Final = frozenset(CURRENCIES.values()) | {"CHF", "CNY"}
SIGNS: Final = {**CURRENCIES, "%": "%"}
"""What may stand behind a number."""
CURRENCY_WORDS: Final = {
    "usd": "USD", "dollar": "USD", "dollars": "USD", "buck": "USD", "bucks": "USD",
    "eur": "EUR", "euro": "EUR", "euros": "EUR", "gbp": "GBP", "pound": "GBP", "pounds": "GBP",
    "yen": "JPY", "jpy": "JPY", "rupee": "INR", "rupees": "INR", "inr": "INR",
    "chf": "CHF", "franc": "CHF", "francs": "CHF", "yuan": "CNY", "rmb": "CNY", "cny": "CNY",
}  # fmt: skip
MAGNITUDES: Final = {
    "hundred": 1e2, "thousand": 1e3, "million": 1e6, "millions": 1e6, "billion": 1e9,
    "billions": 1e9, "trillion": 1e12, "mn": 1e6, "mln": 1e6, "bn": 1e9, "bln": 1e9, "tn": 1e12,
    "trn": 1e12, "lakh": 1e5, "crore": 1e7, "dozen": 12.0,
}  # fmt: skip
GLUED_MAGNITUDES: Final = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "b": 1e9, "T": 1e12}
"""Only where the letter touches the number: "5m" is a length, unless it is money."""
MONEY_MAGNITUDES: Final = {"m": 1e6, "k": 1e3, "b": 1e9, "t": 1e12}
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
UNITS: Final = {
    spelling: (unit, float(factor))
    for unit, spellings in _SPELLINGS.items()
    for spelling, factor in spellings.items()
}
LETTER_UNITS: Final = frozenset(split_words("m g s h l w"))
"""Only where they touch the number or follow it in small letters."""
