"""The script that compiles the table: exact where it can be, and loud where it cannot."""

from __future__ import annotations

import importlib.util
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from genai_prices import types as source

from cert_otel.pricing._table import Match, Row, table_info

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT: Final = Path(__file__).parents[2] / "scripts" / "compile_prices.py"
RULE: Final = source.ClauseEquals("m")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("compile_prices", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def price(**rates: Any) -> source.ModelPrice:
    """Make a price of the source from numbers."""
    return source.ModelPrice(
        **{key: Decimal(str(n)) if isinstance(n, int | float) else n for key, n in rates.items()}
    )


def model(prices: Any, *variants: source.PriceVariant) -> source.ModelInfo:
    """Make a model of the source."""
    return source.ModelInfo(id="m", match=RULE, prices=prices, price_variants=list(variants))


class TestRows:
    """What becomes of prices."""

    def test_dates_hours_and_tiers(self, script: ModuleType) -> None:
        """One row for each stretch in which the price is another; the last that holds counts."""
        tiers = source.TieredPrices(
            base=Decimal(2), tiers=[source.Tier(start=200_000, price=Decimal(4))]
        )
        priced = [
            source.ConditionalPrice(prices=price(input_mtok=tiers)),
            source.ConditionalPrice(
                source.StartDateConstraint(date(2026, 1, 1)), prices=price(input_mtok=3)
            ),
            source.ConditionalPrice(
                source.TimeOfDateConstraint(time(22, tzinfo=UTC), time(2, tzinfo=UTC)),
                prices=price(input_mtok=1),
            ),
        ]
        day = date(2026, 1, 1)

        assert script.compile_model(model(priced)).standard == (
            Row(input=1.0),
            Row(from_second=7_200, input=2.0),
            Row(from_second=7_200, above_tokens=200_000, input=4.0),
            Row(from_second=79_200, input=1.0),
            Row(since=day, input=1.0),
            Row(since=day, from_second=7_200, input=3.0),
            Row(since=day, from_second=79_200, input=1.0),
        )

    def test_mode(self, script: ModuleType) -> None:
        """A variant has the standard price where it names no other, from its day on."""
        batch = source.PriceVariant(
            when={"processing": "batch"},
            prices=price(input_mtok=1),
            constraint=source.StartDateConstraint(date(2026, 1, 1)),
        )
        compiled = script.compile_model(model(price(input_mtok=2, output_mtok=8), batch))

        assert compiled.standard == (Row(input=2.0, output=8.0),)
        assert compiled.modes == {"batch": (Row(since=date(2026, 1, 1), input=1.0, output=8.0),)}

    def test_fee(self, script: ModuleType) -> None:
        """What every call is billed besides tokens is remembered; what some calls are is not."""
        prices = {"requests_kcount": True, "audio_hours": True, "web_searches_kcount": False}
        compiled = {
            key: script.compile_model(model(price(input_mtok=2, **{key: 5}))).standard[0].fee
            for key in prices
        }

        assert compiled == prices


class TestMatch:
    """What becomes of rules."""

    def test_tree(self, script: ModuleType) -> None:
        """Alternatives are sorted by kind, texts are lower case, and expressions stay."""
        both = source.ClauseAnd([source.ClauseContains("C"), source.ClauseRegex("[D]$")])
        tree = source.ClauseOr([RULE, source.ClauseOr([source.ClauseStartsWith("A"), both])])

        assert script.compile_match(tree) == Match(
            equals=("m",),
            starts_with=("a",),
            every=(Match(contains=("c",)), Match(regex=("[D]$",))),
        )


class TestUndecided:
    """What the script does not know stops it, so that someone decides."""

    def test_price(self, script: ModuleType) -> None:
        """A kind of price that is neither compiled nor left out."""
        with pytest.raises(SystemExit, match="smell_mtok"):
            script.compile_model(model(price(input_mtok=2, smell_mtok=9)))

    @pytest.mark.parametrize(
        "variant",
        [
            source.PriceVariant(when={"moon": "full"}, prices=price()),
            source.PriceVariant(when={"processing": "batch", "speed": "fast"}, prices=price()),
            source.PriceVariant(
                when={"processing": "batch"},
                prices=price(),
                constraint=source.TimeOfDateConstraint(time(1), time(2)),
            ),
        ],
    )
    def test_variant(self, script: ModuleType, variant: source.PriceVariant) -> None:
        """A variant of an unknown, a compound or an hourly condition."""
        with pytest.raises(SystemExit, match="decide what the variant"):
            script.compile_model(model(price(input_mtok=2), variant))

    def test_rule(self, script: ModuleType) -> None:
        """A rule with two conjunctions."""
        both = source.ClauseAnd([RULE, RULE])

        with pytest.raises(SystemExit, match="two conjunctions"):
            script.compile_match(source.ClauseOr([both, both]))


class TestDate:
    """The date of the table."""

    def test_same_source(self, script: ModuleType) -> None:
        """Compiling the same source again is no news."""
        version = table_info().version.removeprefix("genai-prices-").partition("+")[0]

        assert script.choose_date(version) == table_info().date

    def test_new_source(self, script: ModuleType) -> None:
        """A new source is of the day on which it is compiled."""
        assert (datetime.now(UTC).date() - script.choose_date("999.0")).days in {0, 1}
