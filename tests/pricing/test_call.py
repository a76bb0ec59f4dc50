"""What `price_call` promises, whatever the rates are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from math import fsum, isclose, nan
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import structs

from cert_otel.pricing import _call, price_call, table_info
from cert_otel.records import Cost, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

AT: Final = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
PLAIN: Final = Usage(input_tokens=1_200, output_tokens=50)

UNTIERED: Final = (
    ("anthropic", "claude-sonnet-4-6"),
    ("aws", "amazon.nova-sonic-v1:0"),
    ("deepseek", "deepseek-chat"),
    ("google", "gemini-2.5-flash"),
    ("groq", "openai/gpt-oss-120b"),
    ("mistral", "mistral-large-latest"),
    ("openai", "gpt-4o"),
    ("openai", "gpt-realtime"),
    ("openrouter", "perplexity/sonar-deep-research"),
)
ALL: Final = (
    *UNTIERED,
    ("anthropic", "claude-sonnet-4-5"),
    ("azure", "gpt-5"),
    ("openai", "gpt-5.4"),
    ("openai", "gpt-image-1"),
    ("openai", "text-embedding-3-small"),
    ("perplexity", "sonar-pro"),
)
FIELDS: Final = Usage.__struct_fields__

models = st.sampled_from(ALL)
counts = st.none() | st.integers(min_value=-10, max_value=600_000)
usages = st.builds(Usage, **dict.fromkeys(FIELDS, counts))
"""Anything that an SDK might hand over, possible or not."""
moments = st.floats(min_value=-4e9, max_value=8e9)


@st.composite
def possible_usages(draw: st.DrawFn) -> Usage:
    """Draw counts that fit together, every one of them reported."""
    cells = {
        name: draw(st.integers(min_value=0, max_value=40_000))
        for name in ("text", "audio", "read", "read_audio", "write", "write_1h", "image")
    }
    answer = {
        name: draw(st.integers(min_value=0, max_value=40_000))
        for name in ("text", "audio", "image", "reasoning")
    }
    return Usage(
        input_tokens=sum(cells.values()),
        output_tokens=sum(answer.values()),
        cache_read_tokens=cells["read"] + cells["read_audio"],
        cache_write_tokens=cells["write"] + cells["write_1h"],
        cache_write_1h_tokens=cells["write_1h"],
        reasoning_tokens=answer["reasoning"],
        input_audio_tokens=cells["audio"] + cells["read_audio"],
        output_audio_tokens=answer["audio"],
        cache_read_audio_tokens=cells["read_audio"],
        output_image_tokens=answer["image"],
    )


def price(model: tuple[str, str], usage: Usage, *, at: float = AT) -> Cost | None:
    """Price at the standard tier, on a fixed day."""
    return price_call(*model, usage, at_unix_s=at)


def get_price(model: tuple[str, str], usage: Usage) -> Cost:
    """Price what must have a price."""
    cost = price(model, usage)
    assert cost is not None
    return cost


def list_parts(cost: Cost) -> list[float | None]:
    """List the parts of a cost."""
    return [cost.input, cost.output, cost.cache_read, cost.cache_write, cost.tools]


def add(left: Usage, right: Usage) -> Usage:
    """Add two usages in which the same fields are reported."""
    sums = {name: getattr(left, name) + getattr(right, name) for name in reported(left)}
    return Usage(**sums)


def reported(usage: Usage) -> Iterable[str]:
    """List the fields that are reported."""
    return [name for name in FIELDS if getattr(usage, name) is not None]


class TestCost:
    """A priced call."""

    def test_cached_prompt(self) -> None:
        """Cached tokens are part of the input and have their own rate."""
        usage = Usage(input_tokens=1_200, output_tokens=50, cache_read_tokens=1_024)

        assert price(("openai", "gpt-4o"), usage) == Cost(
            amount=0.00222,
            currency="USD",
            input=0.00044,
            output=0.0005,
            cache_read=0.00128,
            source="table",
            pricing_version=table_info().version,
        )

    def test_cache_write(self) -> None:
        """Cache writes are part of the input, and those kept for an hour cost more."""
        usage = Usage(
            input_tokens=10_000,
            output_tokens=500,
            cache_read_tokens=8_000,
            cache_write_tokens=1_000,
        )
        longer = structs.replace(usage, cache_write_1h_tokens=1_000)

        assert get_price(("anthropic", "claude-sonnet-4"), usage).amount == pytest.approx(0.01665)
        assert get_price(("anthropic", "claude-sonnet-4"), longer).cache_write == 0.006

    def test_tools(self) -> None:
        """What the provider ran for the call has a fee for each use, and a part of its own."""
        usage = Usage(input_tokens=1_000, output_tokens=0, web_searches=3, file_searches=2)
        cost = get_price(("openai", "gpt-5"), usage)

        assert cost.input == 0.00125
        assert cost.tools == pytest.approx(0.035)
        assert not cost.partial

    def test_video(self) -> None:
        """Video is part of the input, with a rate of its own."""
        usage = Usage(input_tokens=1_000_000, output_tokens=0, input_video_tokens=500_000)

        assert get_price(("google", "gemini-3.8-live"), usage).input == 0.875

    def test_cached_images(self) -> None:
        """Images that were read from the cache have a rate of their own, exactly where reported."""
        usage = Usage(
            input_tokens=1_000_000,
            output_tokens=0,
            cache_read_tokens=1_000_000,
            input_image_tokens=1_000_000,
            cache_read_image_tokens=1_000_000,
        )
        cost = get_price(("openai", "gpt-image-1"), usage)

        assert (cost.cache_read, cost.partial) == (2.5, False)

    def test_zero_is_a_number(self) -> None:
        """A count of zero costs zero; a count that was not reported costs nothing at all."""
        cost = get_price(("openai", "gpt-4o"), Usage(input_tokens=8, output_tokens=0))

        assert (cost.output, cost.cache_read, cost.partial) == (0.0, None, False)

    def test_price_of_the_day(self) -> None:
        """A call costs what it cost when it was made."""
        before = datetime(2025, 6, 9, 23, 59, 59, tzinfo=UTC).timestamp()
        costs = [price(("openai", "o3"), PLAIN, at=at) for at in (before, before + 1)]

        assert [cost.amount if cost else None for cost in costs] == [0.014, 0.0028]

    @given(models, usages, moments)
    def test_sum(self, model: tuple[str, str], usage: Usage, at: float) -> None:
        """No usage raises; an amount is never negative, and the sum of its parts."""
        cost = price(model, usage, at=at)

        if cost is not None:
            assert cost.amount == pytest.approx(fsum(part or 0.0 for part in list_parts(cost)))
            assert all(part is None or part >= 0 for part in list_parts(cost))

    @given(st.sampled_from(UNTIERED), possible_usages(), possible_usages())
    def test_additive(self, model: tuple[str, str], left: Usage, right: Usage) -> None:
        """Two calls cost what one call of both their tokens costs, where length is no matter."""
        split = [get_price(model, left), get_price(model, right)]
        whole = get_price(model, add(left, right))

        assert isclose(fsum(cost.amount for cost in split), whole.amount, abs_tol=1e-15)
        for parts in zip(*map(list_parts, [*split, whole]), strict=True):
            assert isclose((parts[0] or 0) + (parts[1] or 0), parts[2] or 0, abs_tol=1e-15)

    @given(
        models, usages, st.sampled_from(["input_tokens", "output_tokens"]), st.integers(0, 10**6)
    )
    def test_monotone(self, model: tuple[str, str], usage: Usage, name: str, more: int) -> None:
        """More tokens never cost less."""
        assume(getattr(usage, name) is not None)
        larger = structs.replace(usage, **{name: getattr(usage, name) + more})
        cost, larger_cost = price(model, usage), price(model, larger)

        if cost is not None:
            assert larger_cost is not None
            assert larger_cost.amount >= cost.amount * (1 - 1e-12)


class TestNone:
    """What is not known has no cost."""

    @pytest.mark.parametrize("provider", ["azure.ai.openai", "OpenAI", "litellm", "vllm", ""])
    def test_provider(self, provider: str) -> None:
        """An unknown provider never has the price of another that has such a model."""
        assert price((provider, "gpt-4o"), PLAIN) is None

    @pytest.mark.parametrize("model", ["gpt-400", "my-deployment", ""])
    def test_model(self, model: str) -> None:
        """An unknown model has no cost, and never the price of a similar one."""
        assert price(("openai", model), PLAIN) is None

    @pytest.mark.parametrize("model", ["whisper-1", "tts-1", "omni-moderation-latest"])
    def test_not_by_token(self, model: str) -> None:
        """A model that is free or billed otherwise than by token has no cost."""
        assert price(("openai", model), PLAIN) is None

    @pytest.mark.parametrize("model", ALL)
    def test_nothing_reported(self, model: tuple[str, str]) -> None:
        """No counts, no cost."""
        assert price(model, Usage()) is None

    def test_answer_of_an_embedding(self) -> None:
        """Counts without a rate are no reason for a cost."""
        assert price(("openai", "text-embedding-3-small"), Usage(output_tokens=5)) is None
        assert price(("openai", "text-embedding-3-small"), Usage(reasoning_tokens=5)) is None

    def test_no_time(self) -> None:
        """A time that is not a number is on no day."""
        assert price(("openai", "gpt-4o"), PLAIN, at=nan) is None


class TestTiers:
    """Service tiers and batches."""

    @pytest.mark.parametrize("tier", [None, "", "default", "auto", "Standard", "on_demand"])
    def test_standard(self, tier: str | None) -> None:
        """Each provider's name of the standard tier is the standard tier."""
        cost = price_call("openai", "gpt-5", PLAIN, at_unix_s=AT, service_tier=tier)

        assert cost == price(("openai", "gpt-5"), PLAIN)

    def test_tiers(self) -> None:
        """A tier of the table has its own price."""
        amounts = {
            tier: cost.amount
            for tier in ("flex", "batch", "default", "priority", "PRIORITY")
            if (cost := price_call("openai", "gpt-5", PLAIN, at_unix_s=AT, service_tier=tier))
        }

        assert amounts == {
            "flex": 0.001,
            "batch": 0.001,
            "default": 0.002,
            "priority": 0.004,
            "PRIORITY": 0.004,
        }

    def test_speed(self) -> None:
        """Anthropic's speed is asked for like a tier."""
        fast = price_call("anthropic", "claude-opus-4-8", PLAIN, at_unix_s=AT, service_tier="fast")

        assert fast is not None
        assert fast.input == 0.012

    @pytest.mark.parametrize(
        ("provider", "model", "tier"),
        [
            ("openai", "gpt-4o", "flex"),
            ("openai", "gpt-5", "scale"),
            ("groq", "openai/gpt-oss-120b", "flex"),
            ("azure", "gpt-5", "priority"),
            ("aws", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "batch"),
        ],
    )
    def test_unknown_price(self, provider: str, model: str, tier: str) -> None:
        """A tier without a price has no cost: neither the standard price nor another seller's."""
        assert price((provider, model), PLAIN) is not None
        assert price_call(provider, model, PLAIN, at_unix_s=AT, service_tier=tier) is None

    def test_before_it_is_known(self) -> None:
        """A tier whose price is known from a day on has no cost before."""
        at = datetime(2026, 10, 14, tzinfo=UTC).timestamp()

        assert price_call("openai", "gpt-5", PLAIN, at_unix_s=at, batch=True) is not None
        assert price_call("openai", "gpt-5", PLAIN, at_unix_s=at - 1, batch=True) is None


class TestPartial:
    """A cost that is a lower bound says so."""

    @pytest.mark.parametrize(
        ("model", "usage"),
        [
            (("openai", "gpt-4o"), Usage(input_tokens=10)),
            (("openai", "gpt-4o"), Usage(output_tokens=10)),
            (("openai", "text-embedding-3-small"), Usage(input_tokens=10, output_tokens=1)),
            (("perplexity", "sonar"), PLAIN),
            (("groq", "openai/gpt-oss-120b"), structs.replace(PLAIN, web_searches=1)),
            (("openai", "gpt-5"), structs.replace(PLAIN, web_searches=-1)),
            (("openai", "gpt-5"), structs.replace(PLAIN, code_executions=1)),
            (("openai", "gpt-4o"), Usage(input_tokens=-1, output_tokens=10)),
        ],
    )
    def test_partial(self, model: tuple[str, str], usage: Usage) -> None:
        """Not reported, reported without a rate or a fee, a fee besides, impossible counts."""
        assert get_price(model, usage).partial

    @pytest.mark.parametrize(
        ("model", "usage"),
        [
            (("openai", "text-embedding-3-small"), Usage(input_tokens=10)),
            (("openai", "text-embedding-3-small"), Usage(input_tokens=10, output_tokens=0)),
            (("groq", "openai/gpt-oss-120b"), structs.replace(PLAIN, web_searches=0)),
            (("openai", "gpt-5"), structs.replace(PLAIN, web_searches=2)),
            (("openai", "gpt-4o"), Usage(input_tokens=10, output_tokens=1, reasoning_tokens=1)),
        ],
    )
    def test_whole(self, model: tuple[str, str], usage: Usage) -> None:
        """An embedding has no output, and reasoning is output."""
        assert not get_price(model, usage).partial

    @pytest.mark.parametrize(
        ("reported", "priced"),
        [
            (
                Usage(input_tokens=100, output_tokens=5, cache_read_tokens=900),
                Usage(input_tokens=100, output_tokens=5, cache_read_tokens=100),
            ),
            (
                Usage(
                    input_tokens=100, output_tokens=5, cache_read_tokens=80, cache_write_tokens=90
                ),
                Usage(
                    input_tokens=100, output_tokens=5, cache_read_tokens=80, cache_write_tokens=20
                ),
            ),
            (
                Usage(input_tokens=100, output_tokens=-7),
                Usage(input_tokens=100, output_tokens=0),
            ),
            (
                Usage(input_tokens=100, output_tokens=5, reasoning_tokens=50),
                Usage(input_tokens=100, output_tokens=5),
            ),
            (
                Usage(input_tokens=100, output_tokens=5, cache_write_1h_tokens=50),
                Usage(
                    input_tokens=100,
                    output_tokens=5,
                    cache_write_tokens=50,
                    cache_write_1h_tokens=50,
                ),
            ),
        ],
    )
    def test_cut_to_fit(self, reported: Usage, priced: Usage) -> None:
        """Impossible counts cost what the nearest possible ones cost."""
        model = ("anthropic", "claude-sonnet-4-6")

        assert get_price(model, reported) == structs.replace(get_price(model, priced), partial=True)

    @pytest.mark.parametrize("cached", [0, 200, 700])
    def test_cut_audio(self, cached: int) -> None:
        """Audio is cut to the input that is not cached text."""
        usage = Usage(
            input_tokens=500,
            output_tokens=0,
            cache_read_tokens=400,
            input_audio_tokens=450,
            cache_read_audio_tokens=cached,
        )
        kept = min(cached, 400)
        possible = structs.replace(
            usage, input_audio_tokens=min(450, 100 + kept), cache_read_audio_tokens=kept
        )
        cost = get_price(("openai", "gpt-realtime"), usage)

        assert cost == structs.replace(
            get_price(("openai", "gpt-realtime"), possible), partial=cached != 400
        )

    def test_parts_without_their_whole(self) -> None:
        """Where only parts were reported, they are priced, and the rest stays unknown."""
        cost = get_price(("openai", "gpt-4o"), Usage(cache_read_tokens=1_000, output_tokens=10))
        audio = get_price(("openai", "gpt-realtime"), Usage(input_audio_tokens=1_000))

        assert (cost.input, cost.cache_read, cost.output) == (None, 0.00125, 0.0001)
        assert (audio.input, audio.output, audio.partial) == (0.032, None, True)

    @given(
        st.sampled_from(["gpt-realtime", "gpt-realtime-mini", "gpt-4o-realtime-preview"]),
        st.integers(0, 1_000),
        st.integers(0, 1_000),
        st.data(),
    )
    def test_cached_audio_unknown(
        self, model: str, audio: int, read: int, data: st.DataObject
    ) -> None:
        """How much audio was cached, unless reported, is taken so that the call cost at least it."""
        usage = Usage(
            input_tokens=2_000, output_tokens=9, input_audio_tokens=audio, cache_read_tokens=read
        )
        cached = data.draw(st.integers(0, min(audio, read)))
        exact = get_price(("openai", model), structs.replace(usage, cache_read_audio_tokens=cached))
        bound = get_price(("openai", model), usage)

        assert not exact.partial
        assert bound.partial == (min(audio, read) > 0)
        assert bound.amount <= exact.amount * (1 + 1e-12)


class TestMemo:
    """Models are looked up once, in bounded memory."""

    def test_bounded(self) -> None:
        """However many models are asked for, the memo stays small."""
        for number in range(5_000):
            price(("openai", f"unknown-{number}"), PLAIN)

        assert len(_call._memo) <= 4_096
        assert price(("openai", "gpt-4o"), PLAIN) is not None

    def test_threads(self) -> None:
        """Threads that ask at once get the same answers."""
        _call._memo.clear()
        with ThreadPoolExecutor(8) as pool:
            costs = list(pool.map(lambda n: price(ALL[n % len(ALL)], PLAIN), range(600)))

        assert costs == [price(ALL[n % len(ALL)], PLAIN) for n in range(600)]
