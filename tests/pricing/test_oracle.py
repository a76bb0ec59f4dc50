"""genai-prices is the oracle: what it would bill, we bill, but for the differences below.

Every model of the table, every shape of usage, every date: `list_cases` has more than 300,000.
A new version of the source is compared likewise.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from itertools import product
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest
from genai_prices import types as source
from genai_prices.data import providers as source_providers
from genai_prices.data_snapshot import get_snapshot

from cert_otel.pricing import find_model, price_call
from cert_otel.records import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    "tool without a rate": "the oracle bills 0 for it; so do we, but the cost is marked partial",
    "mode": "the oracle bills standard prices when the model has none in that tier on that day; "
    "we bill nothing (None)",
}
"""Every intended difference, and its reason. One that does not occur any more fails."""

DOCS: Final = Path(__file__).parents[2] / "docs" / "pricing.md"
PROVIDERS: Final = {provider.id: provider for provider in source_providers}
KINDS: Final = {
    "cache_read_audio_tokens": "cache_audio_read_tokens",
    "cache_read_image_tokens": "cache_image_read_tokens",
    "file_searches": "storage_searches",
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
    "cached images": Usage(
        input_tokens=900,
        output_tokens=300,
        cache_read_tokens=500,
        input_image_tokens=600,
        cache_read_image_tokens=400,
    ),
    "video": Usage(
        input_tokens=900, output_tokens=300, input_video_tokens=400, output_video_tokens=250
    ),
    "video and cache": Usage(
        input_tokens=900, output_tokens=300, cache_read_tokens=300, input_video_tokens=400
    ),
    "web searches": Usage(input_tokens=1_200, output_tokens=50, web_searches=3),
    "file searches": Usage(input_tokens=1_200, output_tokens=50, file_searches=2),
    "code": Usage(input_tokens=1_200, output_tokens=50, code_executions=1),
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
    TODAY,
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

MODE_SHAPES: Final = ("plain", "cached", "cache write", "images", "272001 tokens", "web searches")
TOOLS: Final = {
    "web_searches": "web_searches_kcount",
    "file_searches": "storage_searches_kcount",
    "code_executions": "code_executions_kcount",
}


class Case(NamedTuple):
    """One question to both."""

    provider: str
    model: str
    """The name that is asked for."""
    shape: str
    at: datetime
    mode: str | None = None


class Priced(NamedTuple):
    """What the oracle knows of a model at a time and in a mode."""

    seller: source.Provider
    model: source.ModelInfo
    context: dict[str, str] | None
    rates: frozenset[str]
    """Names of its prices."""
    has_mode: bool


@lru_cache(maxsize=4096)
def find_priced(provider: str, ref: str, at: datetime, mode: str | None) -> Priced:
    """Ask the oracle for a model, once for all shapes."""
    seller, model = get_snapshot().find_provider_model(ref, None, provider, None)
    context = next((c for c in MODES.get(mode or "", ()) if has_mode(model, c, at)), None)
    prices = vars(model.get_prices(at, context))
    own = any(model is one for one in seller.models)
    return Priced(
        seller,
        model,
        context,
        frozenset(key for key, rate in prices.items() if rate is not None),
        has_mode=mode is None or (context is not None and own),
    )


def find_difference(case: Case) -> str | None:
    """Ask both what a call costs; return the difference that is to be expected.

    Raises:
        AssertionError: They differ otherwise.
    """
    usage = (SHAPES | LENGTHS)[case.shape]
    priced = find_priced(case.provider, case.model, case.at, case.mode)
    bill = ask(priced, usage, at=case.at)
    difference = explain(priced, usage, refused=bill is None)
    if bill is None:
        bill = ask(priced, usage, at=case.at, repair=True)
    cost = price_call(
        case.provider, case.model, usage, at_unix_s=case.at.timestamp(), service_tier=case.mode
    )
    if bill is not None and cost is not None and has_fee(priced.rates):
        bill = (*bill[:2], cost.tools or 0.0)
    assert is_expected(cost, bill, difference=difference), (case, cost, bill, difference)
    return difference


def has_mode(model: source.ModelInfo, context: dict[str, str], at: datetime) -> bool:
    """Tell whether the oracle has prices of its own for a context at that time."""
    return any(
        variant.when == context and (variant.constraint is None or variant.constraint.active(at))
        for variant in model.price_variants or ()
    )


def ask(
    priced: Priced, usage: Usage, *, at: datetime, repair: bool = False
) -> tuple[float, float, float] | None:
    """Return what the oracle bills for input, output and tools; `None` when it refuses."""
    counts = {KINDS.get(name, name): getattr(usage, name) for name in usage.__struct_fields__}
    if repair:
        read = min(usage.cache_read_tokens or 0, usage.input_tokens or 0)
        counts["cache_read_tokens"] = read
        for kind in ("audio", "image", "video"):
            counts[f"cache_{kind}_read_tokens"] = min(counts[f"input_{kind}_tokens"] or 0, read)
    try:
        answer = priced.model.calc_price(
            source.Usage(**counts),
            priced.seller,
            genai_request_timestamp=at,
            price_context=priced.context,
        )
    except ValueError:
        return None
    tools = answer.total_price - answer.input_price - answer.output_price
    return float(answer.input_price), float(answer.output_price), float(tools)


def explain(priced: Priced, usage: Usage, *, refused: bool) -> str | None:
    """Name the difference that is to be expected."""
    if not priced.has_mode:
        return "mode"
    if "input_mtok" not in priced.rates:
        return "no rate"
    if (usage.cache_read_tokens or 0) > (usage.input_tokens or 0):
        return "inconsistent"
    if refused:
        return "cached modality"
    return explain_partial(priced.rates, usage)


def explain_partial(rates: frozenset[str], usage: Usage) -> str | None:
    """Name the difference in what a cost says of itself."""
    if has_fee(rates):
        return "fee"
    if any(getattr(usage, count) and rate not in rates for count, rate in TOOLS.items()):
        return "tool without a rate"
    if "output_mtok" not in rates:
        return "output without a rate" if usage.output_tokens else None
    return "not reported" if None in (usage.input_tokens, usage.output_tokens) else None


def has_fee(rates: frozenset[str]) -> bool:
    """Tell whether each call is billed for something that is neither a token nor a tool's use."""
    return "requests_kcount" in rates or (
        "audio_hours" in rates and "input_audio_hours" not in rates
    )


def is_expected(
    cost: Cost | None, bill: tuple[float, float, float] | None, *, difference: str | None
) -> bool:
    """Compare our cost with the oracle's bill."""
    if difference in {"no rate", "mode"}:
        return cost is None
    if cost is None:
        # Only output was reported, and output has no rate.
        return difference == "output without a rate" and bill == (0.0, 0.0, 0.0)
    if bill is None or cost.partial != (difference is not None):
        return False
    prompt = sum(part or 0.0 for part in (cost.input, cost.cache_read, cost.cache_write))
    return (
        isclose(prompt, bill[0], rel_tol=1e-9)
        and isclose(cost.output or 0.0, bill[1], rel_tol=1e-9)
        and isclose(cost.tools or 0.0, bill[2], rel_tol=1e-9)
        and isclose(cost.amount, sum(bill), rel_tol=1e-9)
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


@cache
def list_named(provider: str) -> dict[str, source.ModelInfo]:
    """List the models of a provider that a name leads to."""
    return {
        ref: model
        for model in PROVIDERS[provider].models
        if (ref := find_ref(PROVIDERS[provider], model)) is not None
    }


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


def list_cases(provider: str) -> Iterator[Case]:
    """List every model, date and shape of a provider, modes where a model has any."""
    for ref, model in list_named(provider).items():
        lengths = LENGTHS if "TieredPrices" in repr(model) else ()
        moments = (*DATES, *list_changes(model))
        for at, shape in product(moments, (*SHAPES, *lengths)):
            yield Case(provider, ref, shape, at)
        if model.price_variants or model.id == "gpt-3.5-turbo":
            for mode, at, shape in product(MODES, moments, MODE_SHAPES):
                yield Case(provider, ref, shape, at, mode)


EXAMPLES: Final = {
    "no rate": Case("openai", "whisper-1", "plain", TODAY),
    "output without a rate": Case("aws", "amazon.titan-embed-text-v1", "plain", TODAY),
    "fee": Case("perplexity", "sonar", "plain", TODAY),
    "not reported": Case("openai", "gpt-4o", "prompt only", TODAY),
    "cached modality": Case("google", "gemini-2.0-flash", "audio and cache", TODAY),
    "inconsistent": Case("openai", "gpt-4o", "more cached than read", TODAY),
    "tool without a rate": Case("anthropic", "claude-2", "web searches", TODAY),
    "mode": Case("anthropic", "claude-3-haiku", "plain", TODAY, "flex"),
}


class TestModels:
    """Which model a name means."""

    @pytest.mark.parametrize("provider", PROVIDERS)
    def test_same_model(self, provider: str) -> None:
        """A name means the model that it means to the oracle, however it is dated or spelled."""
        wrong = []
        for ref in list_named(provider):
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

    @pytest.mark.parametrize(
        ("provider", "name", "model"),
        [
            ("aws", "arn:aws:bedrock:us-east-1::foundation-model/{}", "amazon.nova-pro-v1:0"),
            ("google", "models/{}", "gemini-2.5-pro"),
            ("google", "publishers/google/models/{}", "gemini-2.5-pro"),
            ("openai", "openai/{}", "gpt-4o"),
        ],
    )
    def test_more_names(self, provider: str, name: str, model: str) -> None:
        """Names that the oracle does not know mean the model that they contain."""
        if provider != "aws":
            with pytest.raises(LookupError):
                get_snapshot().find_provider_model(name.format(model), None, provider, None)

        assert find_model(provider, name.format(model)) == find_model(provider, model)

    def test_fallback(self) -> None:
        """A provider that resells models has the prices of those that it resells."""
        assert find_model("azure", "gpt-4o") == ("openai", "gpt-4o")
        assert find_difference(Case("azure", "gpt-4o", "cached", TODAY)) is None

    def test_nearly_all_are_named(self) -> None:
        """The comparison reaches the models: those left have rules that no literal text meets."""
        named = sum(len(list_named(provider)) for provider in PROVIDERS)

        assert named > 0.99 * sum(len(provider.models) for provider in PROVIDERS.values())


class TestPrices:
    """What a call costs."""

    @pytest.mark.parametrize("provider", PROVIDERS)
    def test_equal(self, provider: str) -> None:
        """Each part costs what the oracle bills, to 1e-9, but for the differences."""
        assert {find_difference(case) for case in list_cases(provider)} <= {None, *DIFFERENCES}

    def test_how_many(self) -> None:
        """As many questions are put to both as docs/pricing.md says: more than 300,000."""
        count = sum(1 for provider in PROVIDERS for _ in list_cases(provider))

        assert count > 300_000
        assert f"{count:,} combinations" in DOCS.read_text(encoding="utf-8")

    @pytest.mark.parametrize("difference", DIFFERENCES)
    def test_differences(self, difference: str) -> None:
        """Each difference is one that occurs."""
        assert find_difference(EXAMPLES[difference]) == difference

    def test_mostly_equal(self) -> None:
        """The differences are the exception."""
        cases = [
            Case(provider, ref, shape, TODAY)
            for provider in PROVIDERS
            for ref in list_named(provider)
            for shape in ("plain", "cached")
        ]
        equal = [case for case in cases if find_difference(case) is None]

        assert len(equal) > 0.85 * len(cases)

    @pytest.mark.parametrize("model", ["deepseek-chat", "deepseek-v4-pro", "deepseek-flash"])
    def test_time_of_day(self, model: str) -> None:
        """Prices follow the time of the call in UTC, to the second."""
        midnight = datetime(2026, 11, 20, tzinfo=UTC)
        moments = [
            midnight + timedelta(minutes=n, seconds=s) for n in range(0, 1440, 30) for s in (-1, 0)
        ]

        for at in moments:
            assert find_difference(Case("deepseek", model, "cached", at)) is None


class TestModes:
    """Prices of service tiers and batches."""

    @pytest.mark.parametrize("mode", MODES)
    def test_modes_occur(self, mode: str) -> None:
        """Each mode is priced for some model, and missing for some."""
        names = {"fast": ("anthropic", "claude-opus-4-8", "claude-3-haiku")}
        provider, has, has_not = names.get(mode, ("openai", "gpt-5", "gpt-realtime"))

        assert find_difference(Case(provider, has, "plain", TODAY, mode)) is None
        assert find_difference(Case(provider, has_not, "plain", TODAY, mode)) == "mode"

    def test_batch(self) -> None:
        """`batch=True` is the batch tier, whatever the tier of the call."""
        usage, at = SHAPES["cached"], TODAY.timestamp()

        batch = price_call("openai", "gpt-5", usage, at_unix_s=at, batch=True, service_tier="flex")

        assert batch == price_call("openai", "gpt-5", usage, at_unix_s=at, service_tier="batch")
        assert batch != price_call("openai", "gpt-5", usage, at_unix_s=at)
