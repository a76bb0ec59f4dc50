"""Numbers with what they count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.evaluation.grounding.quantities import Quantity, find_quantities
from cert_otel.evaluation.grounding.tokens import tokenize


def read(text: str) -> list[Quantity]:
    """Find the quantities of a text."""
    return find_quantities(text, tokenize(text))


def read_one(text: str) -> Quantity:
    """Find the only quantity of a text."""
    (quantity,) = read(text)
    return quantity


class TestValues:
    @pytest.mark.parametrize(
        ("text", "value", "unit"),
        [
            ("$89.5B", 89.5e9, "USD"),
            ("89.5 billion dollars", 89.5e9, "USD"),
            ("USD 89.5 billion", 89.5e9, "USD"),
            ("€5m", 5e6, "EUR"),
            ("5 m", 5, "m"),
            ("30 per cent", 30, "%"),
            ("30%", 30, "%"),
            ("1,234.50 kg", 1234500, "g"),
            ("-5 °C", -5, "°C"),
            ("twenty-five", 25, None),
            ("two hundred and five", 205, None),
            ("three hundred thousand", 300000, None),
            ("half a million", 5e5, None),
            ("a million dollars", 1e6, "USD"),
            ("a 10-year plan", 120, "month"),
            ("3rd place", 3, None),
            ("the first", 1, None),
            ("two square kilometres", 2e6, "m2"),
        ],
    )
    def test_spellings(self, text: str, value: float, unit: str | None) -> None:
        """Signs, magnitudes, units and words are read as they are meant."""
        quantity = read_one(text)

        assert quantity.value == pytest.approx(value)
        assert quantity.unit == unit

    @pytest.mark.parametrize("text", ["$10-12 billion", "10 to 12 billion dollars"])
    def test_ranges_share_their_unit(self, text: str) -> None:
        """What stands behind or before a range belongs to both of its ends."""
        assert [(q.value, q.unit) for q in read(text)] == [(10e9, "USD"), (12e9, "USD")]

    @pytest.mark.parametrize("text", ["version 1.2.3", "no numbers at all", "everyone", ""])
    def test_no_quantity(self, text: str) -> None:
        """A version is no number, and neither is a pronoun."""
        assert read(text) == []

    @given(st.text(alphabet="0123456789 .,$€%-abkmst°"))
    def test_any_text(self, text: str) -> None:
        """Offsets lie within the text, whatever stands around a number."""
        assert all(0 <= q.start < q.end <= len(text) for q in read(text))

    @given(st.integers(0, 10**12))
    def test_integers(self, number: int) -> None:
        """Separators of thousands make no difference."""
        assert read_one(f"{number:,}").value == read_one(str(number)).value == number


class TestAgreement:
    @pytest.mark.parametrize(
        ("said", "source"),
        [
            ("$89.5B", "89.5 billion dollars"),
            ("$89.5 billion", "$89,463,000,000"),
            ("about 90 people", "88 people"),
            ("12 people", "twelve people"),
            ("8 km", "5 miles"),
            ("2 hours", "120 minutes"),
            ("30", "30%"),
            ("one million", "1,000,000"),
        ],
    )
    def test_the_same_value(self, said: str, source: str) -> None:
        """Other spellings, roundings of the source and converted units are borne out."""
        assert read_one(said).agrees(read_one(source))

    @pytest.mark.parametrize(
        ("said", "source"),
        [
            ("$89.5 billion", "$90 billion"),
            ("$450B", "$89.5B"),
            ("30 km", "30 kg"),
            ("90 people", "88 people"),
            ("25", "26"),
            ("3rd place", "3 places"),
        ],
    )
    def test_another_value(self, said: str, source: str) -> None:
        """More digits than the source has, other values and other units are not."""
        assert not read_one(said).agrees(read_one(source))

    def test_denial_needs_the_same_thing(self) -> None:
        """Other values contradict each other only where they count the same."""
        assert read_one("26 phones").denies(read_one("25 phones"))
        assert read_one("30%").denies(read_one("40%"))
        assert not read_one("26 phones").denies(read_one("25 cars"))
        assert not read_one("30%").denies(read_one("$40"))
