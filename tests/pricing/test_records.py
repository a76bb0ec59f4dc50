"""`price_record`: what others recorded gets a price when it is read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import pytest
from msgspec import structs

from cert_otel import semconv
from cert_otel.pricing import price_call, price_record, table_info
from cert_otel.records import CostDetail, Record, Tokens, Usage

AT: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
TOKENS: Final = Tokens(prompt=1_200, completion=50, cache_read=1_024)


def make(**fields: Any) -> Record:
    """Make a record of a foreign span: tokens, and no cost."""
    known: dict[str, Any] = {
        "kind": "inference",
        "timestamp": AT,
        "platform": "openai",
        "model": "gpt-4o-2024-08-06",
        "request_model": "gpt-4o",
        "tokens": TOKENS,
    }
    return Record(**(known | fields))


class TestPriced:
    """A call of a model with tokens and without a cost."""

    def test_all_of_it(self) -> None:
        """Cost, currency and detail are those of the table; nothing else changes."""
        record = make(metadata={"x": 1})

        assert price_record(record) == structs.replace(
            record,
            cost=0.00222,
            currency="USD",
            cost_detail=CostDetail(
                input=0.00044,
                output=0.0005,
                cache_read=0.00128,
                source="table",
                pricing_version=table_info().version,
            ),
        )

    @pytest.mark.parametrize(
        ("platform", "model"),
        [
            ("openai.chat", "gpt-4o"),
            ("Azure", "gpt-4o-2024-08-06"),
            ("AWS", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
            ("google.vertex.chat", "gemini-2.5-pro"),
            ("anthropic.messages", "claude-sonnet-4-6"),
        ],
    )
    def test_each_dialect(self, platform: str, model: str) -> None:
        """A provider is known under the names of all dialects."""
        assert price_record(make(platform=platform, model=model)).cost is not None

    def test_embedding(self) -> None:
        """Embeddings cost money too."""
        record = make(
            kind="embedding", model="text-embedding-3-small", tokens=Tokens(prompt=1_000_000)
        )

        assert price_record(record).cost == 0.02

    def test_the_day(self) -> None:
        """It costs what it cost when it was made."""
        days = [datetime(2025, 6, 9, tzinfo=UTC), datetime(2025, 6, 10, tzinfo=UTC)]
        tokens = Tokens(prompt=1_200, completion=50)
        records = [make(model="o3", timestamp=day, tokens=tokens) for day in days]

        assert [price_record(record).cost for record in records] == [0.014, 0.0028]

    def test_tier(self) -> None:
        """The tier that the provider reported counts."""
        plain = make(model="gpt-5")
        flex = make(model="gpt-5", metadata={semconv.OPENAI_RESPONSE_SERVICE_TIER: "flex"})

        assert price_record(flex).cost == pytest.approx((price_record(plain).cost or 0) / 2)

    def test_modalities(self) -> None:
        """Audio and image tokens are read from the metadata."""
        metadata = {
            semconv.USAGE_AUDIO_INPUT_TOKENS: 600,
            semconv.USAGE_AUDIO_CACHE_READ_TOKENS: 400,
            semconv.USAGE_AUDIO_OUTPUT_TOKENS: 20,
            semconv.USAGE_IMAGE_INPUT_TOKENS: True,
        }
        usage = Usage(
            input_tokens=1_200,
            output_tokens=50,
            cache_read_tokens=1_024,
            input_audio_tokens=600,
            cache_read_audio_tokens=400,
            output_audio_tokens=20,
        )
        cost = price_call("openai", "gpt-realtime", usage, at_unix_s=AT.timestamp())

        assert cost is not None
        assert price_record(make(model="gpt-realtime", metadata=metadata)).cost == cost.amount

    @pytest.mark.parametrize(
        ("outcome", "partial"),
        [(None, False), ("completed", False), ("abandoned", True), ("error", True)],
    )
    def test_a_stream_that_ended_early(self, outcome: Any, partial: bool) -> None:
        """Its cost is a lower bound."""
        detail = price_record(make(stream_outcome=outcome)).cost_detail

        assert detail is not None
        assert detail.partial is partial

    def test_the_model_that_was_asked_for(self) -> None:
        """It is priced where the one that answered is not known."""
        assert price_record(make(model="router-17")).cost == price_record(make()).cost


class TestUnchanged:
    """What stays as it is."""

    @pytest.mark.parametrize(
        "record",
        [
            make(cost=1.0, currency="EUR"),
            make(cost=0.0),
            make(kind="agent"),
            make(tokens=None),
            make(tokens=Tokens()),
            make(platform=None),
            make(platform="ollama"),
            make(model=None, request_model=None),
            make(model="mine", request_model=None),
            make(metadata={semconv.SERVER_ADDRESS: "localhost", semconv.SERVER_PORT: 8000}),
            make(metadata={semconv.SERVER_ADDRESS: "http://10.0.0.7:8000/v1"}),
            make(metadata={semconv.OPENAI_RESPONSE_SERVICE_TIER: "scale"}),
            make(
                platform="aws.bedrock",
                model="arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
            ),
        ],
    )
    def test_same_record(self, record: Record) -> None:
        """It has a cost, is no call of a model, or nobody's price is known."""
        assert price_record(record) is record

    @pytest.mark.parametrize("model", ["gpt-4o", None])
    def test_a_deployment(self, model: str | None) -> None:
        """On Azure the model that was asked for is a deployment, called what anybody likes."""
        record = make(platform="azure.ai.openai", model=model, request_model="gpt-4o")

        assert price_record(record) is record

    def test_odd_metadata(self) -> None:
        """What is no host or tier is passed over."""
        odd = {semconv.SERVER_ADDRESS: 17, semconv.OPENAI_RESPONSE_SERVICE_TIER: ["flex"]}

        assert price_record(make(metadata=odd)).cost == price_record(make()).cost
