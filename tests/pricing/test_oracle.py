"""genai-prices is the oracle: what it would bill, we bill, but for the differences below.

Every model of the table is compared, so a new version of the source is compared too.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isclose
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest
from genai_prices import types as source
from genai_prices.data import providers as source_providers
from genai_prices.data_snapshot import get_snapshot

from cert_otel.pricing import find_model, price_call
from cert_otel.records import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cert_otel.records import Cost

DIFFERENCES: Final = {
    "no rate": "the oracle bills 0 for a model without a rate for tokens; we bill nothing (None), "
    "because the data does not tell a free model from one that is billed otherwise",
    "output without a rate": "the oracle ignores it; so do we, but the cost is marked partial",
    "fee": "the oracle adds the highest fee per request that the provider lists; we do not guess "
    "which applies, and mark the cost partial",
    "not reported": "the oracle bills 0 for a whole that was not reported; so do we, but the cost "
    "is marked partial",
    "cached modality": "the oracle refuses cached tokens of a priced modality whose number was "
    "not reported; we bill as many as can be, a lower bound, and mark the cost partial",
    "inconsistent": "the oracle refuses parts that exceed their whole; we cut them to fit and "
    "mark the cost partial",
    "mode": "the oracle bills standard prices when the model has none in that tier on that day; "
    "we bill nothing (None)",
}
"""Every intended difference, and its reason. One that does not occur any more fails."""

PROVIDERS: Final = {provider.id: provider for provider in source_providers}
KINDS: Final = {
    "cache_read_audio_tokens": "cache_audio_read_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
}
"""Our names of counts that the oracle calls otherwise."""

SHAPES: Final = {
    "plain": Usage(input_tokens=1_200, output_tokens=50),
    "no output": Usage(input_tokens=1_200, output_tokens=0),
    "prompt only": Usage(input_tokens=1_200),
    "answer only": Usage(output_tokens=50),
    "cached": Usage(input_tokens=1_200, output_tokens=50, cache_read_tokens=1_024),
    "all cached": Usage(input_tokens=1_024, output_tokens=50, cache_read_tokens=1_024),
    "cache write": Usage(
        input_tokens=10_000, output_tokens=500, cache_read_tokens=8_000, cache_write_tokens=1_000
    ),
    "cache write for an hour": Usage(
        input_tokens=10_000,
        output_tokens=500,
        cache_write_tokens=3_000,
        cache_write_1h_tokens=2_000,
    ),
    "reasoning": Usage(input_tokens=700, output_tokens=900, reasoning_tokens=640),
    "audio": Usage(
        input_tokens=900, output_tokens=300, input_audio_tokens=600, output_audio_tokens=200
    ),
    "cached audio": Usage(
        input_tokens=900,
        output_tokens=300,
        cache_read_tokens=500,
        input_audio_tokens=600,
        cache_read_audio_tokens=400,
    ),
    "audio and cache": Usage(
        input_tokens=900, output_tokens=300, cache_read_tokens=200, input_audio_tokens=600
    ),
    "images": Usage(
        input_tokens=900, output_tokens=300, input_image_tokens=400, output_image_tokens=250
    ),
    "images and cache": Usage(
        input_tokens=900, output_tokens=300, cache_read_tokens=300, input_image_tokens=400
    ),
    "more cached than read": Usage(input_tokens=100, output_tokens=5, cache_read_tokens=1_024),
}
LENGTHS: Final = {
    f"{tokens} tokens": Usage(
        input_tokens=tokens, output_tokens=4_000, cache_read_tokens=tokens // 2
    )
    for tokens in (100_000, 100_001, 128_001, 199_999, 200_000, 200_001, 272_000, 272_001, 600_000)
}
"""What only matters where prices depend on the length of the context."""
TODAY: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
DATES: Final = (
    datetime(2023, 6, 1, tzinfo=UTC),
    datetime(2025, 9, 15, 17, 45, tzinfo=UTC),
    datetime(2026, 10, 13, 0, 29, 59, tzinfo=UTC),
    datetime(2026, 11, 20, 2, tzinfo=UTC),
    datetime(2027, 3, 1, 9, 59, 59, tzinfo=UTC),
)


MODES: Final = {
    "batch": ({"processing": "batch"},),
    "flex": ({"service_tier": "flex"},),
    "priority": ({"service_tier": "priority"},),
    "fast": ({"service_tier": "fast"}, {"speed": "fast"}),
}
"""Our modes, and how the oracle is asked for them."""


class Compared(NamedTuple):
    """One question to both, and whether they agree but for the difference."""

    provider: str
    model: str
    shape: str
    at: datetime
    mode: str | None
    difference: str | None
    agree: bool


def compare(
    provider: str, ref: str, shape: str, *, at: datetime, mode: str | None = None
) -> Compared:
    """Ask both what a call costs."""
    usage = (SHAPES | LENGTHS)[shape]
    seller, model = get_snapshot().find_provider_model(ref, None, provider, None)
    context = next((c for c in MODES.get(mode or "", ()) if has_mode(model, c, at)), None)
    rates = {
        key: rate for key, rate in vars(model.get_prices(at, context)).items() if rate is not None
    }
    bill = ask(model, seller, usage, at=at, context=context)
    difference = explain(rates, usage, refused=bill is None)
    if bill is None:
        bill = ask(model, seller, usage, at=at, context=context, repair=True)
    if mode is not None and (context is None or not any(model is own for own in seller.models)):
        difference = "mode"
    cost = price_call(provider, ref, usage, at_unix_s=at.timestamp(), service_tier=mode)
    agree = is_expected(cost, bill, difference=difference)
    return Compared(provider, ref, shape, at, mode, difference, agree)


def has_mode(model: source.ModelInfo, context: dict[str, str], at: datetime) -> bool:
    """Tell whether the oracle has prices of its own for a context at that time."""
    return any(
        variant.when == context and (variant.constraint is None or variant.constraint.active(at))
        for variant in model.price_variants or ()
    )


def ask(
    model: source.ModelInfo,
    provider: source.Provider,
    usage: Usage,
    *,
    at: datetime,
    context: dict[str, str] | None,
    repair: bool = False,
) -> tuple[float, float] | None:
    """Return what the oracle bills for input and output; `None` when it refuses the usage."""
    counts = {KINDS.get(name, name): getattr(usage, name) for name in usage.__struct_fields__}
    if repair:
        read = min(usage.cache_read_tokens or 0, usage.input_tokens or 0)
        counts["cache_read_tokens"] = read
        counts["cache_audio_read_tokens"] = min(usage.input_audio_tokens or 0, read)
        counts["cache_image_read_tokens"] = min(usage.input_image_tokens or 0, read)
    try:
        priced = model.calc_price(
            source.Usage(**counts), provider, genai_request_timestamp=at, price_context=context
        )
    except ValueError:
        return None
    return float(priced.input_price), float(priced.output_price)


def explain(rates: dict[str, object], usage: Usage, *, refused: bool) -> str | None:
    """Name the difference that is to be expected."""
    if "input_mtok" not in rates:
        return "no rate"
    if (usage.cache_read_tokens or 0) > (usage.input_tokens or 0):
        return "inconsistent"
    if refused:
        return "cached modality"
    if "requests_kcount" in rates or {"audio_hours", "input_audio_hours"} & rates.keys() == {
        "audio_hours"
    }:
        return "fee"
    if "output_mtok" not in rates:
        return "output without a rate" if usage.output_tokens else None
    return "not reported" if None in (usage.input_tokens, usage.output_tokens) else None


def is_expected(
    cost: Cost | None, bill: tuple[float, float] | None, *, difference: str | None
) -> bool:
    """Compare our cost with the oracle's bill."""
    if difference in {"no rate", "mode"}:
        return cost is None
    if cost is None:
        # Only output was reported, and output has no rate.
        return difference == "output without a rate" and bill == (0.0, 0.0)
    prompt = sum(part or 0.0 for part in (cost.input, cost.cache_read, cost.cache_write))
    return (
        bill is not None
        and cost.partial == (difference is not None)
        and isclose(prompt, bill[0], rel_tol=1e-9)
        and isclose(cost.output or 0.0, bill[1], rel_tol=1e-9)
    )


def list_leaves(clause: source.MatchLogic) -> Iterator[str]:
    """List the literal texts of a rule."""
    if isinstance(clause, source.ClauseOr | source.ClauseAnd):
        for part in clause.or_ if isinstance(clause, source.ClauseOr) else clause.and_:
            yield from list_leaves(part)
    elif not isinstance(clause, source.ClauseRegex):
        [text] = vars(clause).values()
        yield text


def find_ref(provider: source.Provider, model: source.ModelInfo) -> str | None:
    """Find a name that means this model."""
    names = (model.id, *list_leaves(model.match))
    return next((name for name in names if provider.find_model(name) is model), None)


def is_tiered(model: source.ModelInfo) -> bool:
    """Tell whether some price of a model depends on the length of the context."""
    return "TieredPrices" in repr(model)


def list_changes(model: source.ModelInfo) -> list[datetime]:
    """List the moments at which a model's price may change, and the seconds before."""
    conditional = model.prices if isinstance(model.prices, list) else []
    days = {
        priced.constraint.start_date
        for priced in (*conditional, *(model.price_variants or ()))
        if isinstance(priced.constraint, source.StartDateConstraint)
    }
    starts = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in sorted(days)]
    return [moment for start in starts for moment in (start - timedelta(seconds=1), start)]


def list_dates(model: source.ModelInfo) -> list[datetime]:
    """List moments at which to ask for a model's prices: one where they never change."""
    constant = isinstance(model.prices, source.ModelPrice)
    return [DATES[0]] if constant else [*DATES, *list_changes(model)]


@pytest.fixture(scope="module")
def named() -> dict[tuple[str, str], source.ModelInfo]:
    """Every model of the oracle that a name leads to."""
    return {
        (provider.id, ref): model
        for provider in PROVIDERS.values()
        for model in provider.models
        if (ref := find_ref(provider, model)) is not None
    }


@pytest.fixture(scope="module")
def prices(named: dict[tuple[str, str], source.ModelInfo]) -> list[Compared]:
    """Every model: all shapes today, some on other days, and where its price changes."""
    return [
        compare(provider, ref, shape, at=at)
        for (provider, ref), model in named.items()
        for shapes, dates in (
            ([*SHAPES, *(LENGTHS if is_tiered(model) else ())], (TODAY,)),
            (("cached", "272001 tokens"), list_dates(model)),
        )
        for at in dates
        for shape in shapes
    ]


@pytest.fixture(scope="module")
def modes(named: dict[tuple[str, str], source.ModelInfo]) -> list[Compared]:
    """Every model that has variants, and some that have none."""
    chosen = {key: m for key, m in named.items() if m.price_variants or m.id == "gpt-3.5-turbo"}
    return [
        compare(provider, ref, shape, at=at, mode=mode)
        for (provider, ref), model in chosen.items()
        for at in (*DATES, *list_changes(model))
        for shape in ("plain", "cached", "cache write", "images", "272001 tokens")
        for mode in MODES
    ]


def show(compared: Iterable[Compared]) -> list[Compared]:
    """Return the first disagreements: enough to see what they have in common."""
    return [one for one in compared if not one.agree][:10]


class TestModels:
    """Which model a name means."""

    def test_same_model(self, named: dict[tuple[str, str], source.ModelInfo]) -> None:
        """A name means the model that it means to the oracle, however it is dated or spelled."""
        wrong = []
        for provider, ref in named:
            for name in (ref, f"{ref}-20251211".upper()):
                try:
                    _, model = get_snapshot().find_provider_model(name, None, provider, None)
                except LookupError:
                    expected = None
                else:
                    expected = model.id
                found = find_model(provider, name)
                if (found and found.model) != expected:
                    wrong.append((provider, name, expected, found))

        assert not wrong

    def test_fallback(self) -> None:
        """A provider that resells models has the prices of those that it resells."""
        assert find_model("azure", "gpt-4o") == ("openai", "gpt-4o")
        assert compare("azure", "gpt-4o", "cached", at=TODAY).agree

    def test_nearly_all_are_named(self, named: dict[tuple[str, str], source.ModelInfo]) -> None:
        """The comparison reaches the models: those left have rules that no literal text meets."""
        assert len(named) > 0.99 * sum(len(provider.models) for provider in PROVIDERS.values())


class TestPrices:
    """Standard prices."""

    def test_equal(self, prices: list[Compared]) -> None:
        """Input and output cost what the oracle bills, to 1e-9, but for the differences."""
        assert not show(prices)

    def test_differences(self, prices: list[Compared]) -> None:
        """Each difference is one that occurs."""
        assert {one.difference for one in prices} == {None, *DIFFERENCES} - {"mode"}

    def test_mostly_equal(self, prices: list[Compared]) -> None:
        """The differences are the exception."""
        plain = [one for one in prices if one.shape in {"plain", "cached"} and one.at == TODAY]
        equal = [one for one in plain if one.difference is None]

        assert len(equal) > 0.85 * len(plain)

    @pytest.mark.parametrize("model", ["deepseek-chat", "deepseek-v4-pro", "deepseek-flash"])
    def test_time_of_day(self, model: str) -> None:
        """Prices follow the time of the call in UTC, to the second."""
        midnight = datetime(2026, 11, 20, tzinfo=UTC)
        moments = [
            midnight + timedelta(minutes=n, seconds=s) for n in range(0, 1440, 30) for s in (-1, 0)
        ]

        assert not show(compare("deepseek", model, "cached", at=at) for at in moments)


class TestModes:
    """Prices of service tiers and batches."""

    def test_equal(self, modes: list[Compared]) -> None:
        """A tier costs what the oracle bills for it, and nothing is guessed where it has none."""
        assert not show(modes)

    def test_modes_occur(self, modes: list[Compared]) -> None:
        """Each mode is priced for some model, and missing for some."""
        assert {one.mode for one in modes if one.difference is None} == MODES.keys()
        assert {one.mode for one in modes if one.difference == "mode"} == MODES.keys()

    def test_batch(self) -> None:
        """`batch=True` is the batch tier, whatever the tier of the call."""
        usage, at = SHAPES["cached"], TODAY.timestamp()

        batch = price_call("openai", "gpt-5", usage, at_unix_s=at, batch=True, service_tier="flex")

        assert batch == price_call("openai", "gpt-5", usage, at_unix_s=at, service_tier="batch")
        assert batch != price_call("openai", "gpt-5", usage, at_unix_s=at)
