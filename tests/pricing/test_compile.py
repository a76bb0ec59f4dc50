"""Compiling genai-prices' data: exact where it can be, and loud where it cannot."""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from genai_prices.data import providers as source_providers

from cert_otel.pricing import table_info
from cert_otel.pricing._genai_prices import (
    SourceModel,
    compile_match,
    compile_model,
    compile_source,
    list_undecided,
)
from cert_otel.pricing._table import Match, Model, Row

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT: Final = Path(__file__).parents[2] / "scripts" / "compile_prices.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("compile_prices", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_model(prices: Any, *variants: Any) -> SourceModel:
    """Make a model of the source."""
    content = {"id": "m", "match": {"equals": "m"}, "prices": prices, "price_variants": variants}
    return msgspec.convert(content, SourceModel)


def make(prices: Any, *variants: Any) -> Model:
    """Compile a model of the source."""
    return compile_model(make_model(prices, *variants))


class TestRows:
    """What becomes of prices."""

    def test_dates_hours_and_tiers(self) -> None:
        """One row for each stretch in which the price is another; the last that holds counts."""
        tiers = {"base": 2, "tiers": [{"start": 200_000, "price": 4}]}
        priced = [
            {"prices": {"input_mtok": tiers}},
            {"constraint": {"start_date": "2026-01-01"}, "prices": {"input_mtok": 3}},
            {
                "constraint": {"start_time": "22:00:00Z", "end_time": "02:00:00Z"},
                "prices": {"input_mtok": 1},
            },
        ]
        day = date(2026, 1, 1)

        assert make(priced).standard == (
            Row(input=1.0),
            Row(from_second=7_200, input=2.0),
            Row(from_second=7_200, above_tokens=200_000, input=4.0),
            Row(from_second=79_200, input=1.0),
            Row(since=day, input=1.0),
            Row(since=day, from_second=7_200, input=3.0),
            Row(since=day, from_second=79_200, input=1.0),
        )

    def test_mode(self) -> None:
        """A variant has the standard price where it names no other, from its day on."""
        batch = {
            "when": {"processing": "batch"},
            "prices": {"input_mtok": 1},
            "constraint": {"start_date": "2026-01-01"},
        }
        compiled = make({"input_mtok": 2, "output_mtok": 8}, batch)

        assert compiled.standard == (Row(input=2.0, output=8.0),)
        assert compiled.modes == {"batch": (Row(since=date(2026, 1, 1), input=1.0, output=8.0),)}

    def test_the_first_variant_counts(self) -> None:
        """Of two variants for one condition the first that holds has the say, price by price."""
        first, second = (
            {"when": {"service_tier": "flex"}, "prices": prices}
            for prices in ({"input_mtok": 1}, {"input_mtok": 9, "output_mtok": 4})
        )
        compiled = make({"input_mtok": 2, "output_mtok": 8}, first, second)

        assert compiled.modes == {"flex": (Row(input=1.0, output=4.0),)}

    def test_fee(self) -> None:
        """What every call is billed besides tokens is remembered; what some calls are is not."""
        prices = {"requests_kcount": True, "audio_hours": True, "web_searches_kcount": False}
        compiled = {price: make({"input_mtok": 2, price: 5}).standard[0].fee for price in prices}

        assert compiled == prices


class TestMatch:
    """What becomes of rules."""

    def test_tree(self) -> None:
        """Alternatives are sorted by kind, texts are lower case, and expressions stay."""
        both = {"and": [{"contains": "C"}, {"regex": "[D]$"}]}
        tree = {"or": [{"equals": "m"}, {"or": [{"starts_with": "A"}, both]}]}

        assert compile_match(tree) == Match(
            equals=("m",),
            starts_with=("a",),
            every=(Match(contains=("c",)), Match(regex=("[D]$",))),
        )

    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            ({"or": [{"and": []}, {"and": []}]}, "two conjunctions"),
            ({"sounds_like": "m"}, "unknown kind: sounds_like"),
        ],
    )
    def test_unknown(self, rule: dict[str, Any], message: str) -> None:
        """A rule of another form would find the wrong model, so it stops the compilation."""
        with pytest.raises(ValueError, match=message):
            compile_match(rule)


class TestUndecided:
    """What is not known is named, so that someone decides."""

    @pytest.mark.parametrize(
        ("model", "named"),
        [
            (make_model({"input_mtok": 2, "smell_mtok": 9}), "price smell_mtok"),
            (
                make_model({}, {"when": {"moon": "full"}, "prices": {}}),
                "condition moon=full",
            ),
            (
                make_model({}, {"when": {"processing": "batch", "speed": "fast"}, "prices": {}}),
                "condition processing=batch and speed=fast",
            ),
            (
                make_model(
                    {},
                    {
                        "when": {"processing": "batch"},
                        "prices": {},
                        "constraint": {"start_time": "01:00:00", "end_time": "02:00:00"},
                    },
                ),
                "condition processing=batch",
            ),
        ],
    )
    def test_each_is_named(self, model: SourceModel, named: str) -> None:
        """A price that is neither compiled nor left out; an unknown, compound, hourly condition."""
        assert list(list_undecided(model)) == [named]

    @pytest.mark.parametrize(
        "constraint",
        [{}, {"phase_of_moon": "full"}, {"start_time": "01:00:00+02:00", "end_time": "02:00:00Z"}],
    )
    def test_constraint(self, constraint: dict[str, Any]) -> None:
        """A price that holds under an unknown condition would hold always: it is refused."""
        with pytest.raises((ValueError, msgspec.ValidationError)):
            make([{"prices": {"input_mtok": 1}, "constraint": constraint}])

    def test_the_script_stops(self, script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        """A table that ships has nothing in it on which nobody decided."""
        model = {"id": "m", "match": {"equals": "m"}, "prices": {"smell_mtok": 1}}
        content = json.dumps([{"id": "p", "models": [model]}]).encode()
        monkeypatch.setattr(script, "export", lambda _: content)

        with pytest.raises(SystemExit, match="smell_mtok"):
            script.render("1", date(2026, 1, 1), [])


class TestSource:
    """The list of providers as genai-prices publishes it."""

    def test_nothing_is_undecided(self, script: ModuleType) -> None:
        """The installed version holds nothing that is not known."""
        assert compile_source(script.export(source_providers)).undecided == frozenset()

    def test_order(self) -> None:
        """Providers and models stay in order, and resellers keep what they resell."""
        models = [
            {"id": name, "match": {"contains": name}, "prices": {"input_mtok": 1}} for name in "ba"
        ]
        content = [
            {"id": "z", "models": models, "fallback_model_providers": ["a"], "later": {"x": 1}},
            {"id": "a", "models": []},
        ]
        compiled = compile_source(json.dumps(content).encode()).providers

        assert list(compiled) == ["z", "a"]
        assert [model.id for model in compiled["z"].models] == ["b", "a"]
        assert compiled["z"].fallbacks == ("a",)


class TestDate:
    """The date of the table."""

    def test_same_source(self, script: ModuleType) -> None:
        """Compiling the same source again is no news."""
        version = table_info().version.removeprefix("genai-prices-").partition("+")[0]

        assert script.choose_date(version) == table_info().date

    def test_new_source(self, script: ModuleType) -> None:
        """A new source is of the day on which it is compiled."""
        assert (datetime.now(UTC).date() - script.choose_date("999.0")).days in {0, 1}
