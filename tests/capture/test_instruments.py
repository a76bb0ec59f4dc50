"""Metrics: names and units by profile, and nothing recorded that was not measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from dirty_equals import IsFloat, IsPartialDict
from opentelemetry.metrics import NoOpMeterProvider

from cert_otel import config
from cert_otel.capture import Target, Telemetry
from cert_otel.records import Usage
from cert_otel.testing import MetricCapture

if TYPE_CHECKING:
    from pathlib import Path

    from tests.capture.conftest import Bench

    from cert_otel.capture import Call
    from cert_otel.semconv import ProfileName

COMMON = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "server.address": "api.openai.com",
}
FULL = Usage(
    input_tokens=12,
    output_tokens=5,
    cache_read_tokens=4,
    cache_write_tokens=2,
    reasoning_tokens=1,
)
EUROS = {"currency": "EUR", "providers": {"openai": {"gpt-4o": {"input": 1}}}}
OLD = {
    ("gen_ai.client.operation.duration", "s"),
    ("gen_ai.client.token.usage", "{token}"),
    ("gen_ai.client.operation.time_to_first_chunk", "s"),
    ("gen_ai.client.operation.time_per_output_chunk", "s"),
}
NEW = {
    ("gen_ai.client.inference.duration", "s"),
    ("gen_ai.client.inference.time_to_first_chunk", "s"),
    ("gen_ai.client.inference.time_per_output_chunk", "s"),
    ("gen_ai.client.inference.operation.input_tokens", "{token}"),
    ("gen_ai.client.inference.operation.output_tokens", "{token}"),
    ("gen_ai.client.inference.usage.input_tokens", "{token}"),
    ("gen_ai.client.inference.usage.output_tokens", "{token}"),
    ("gen_ai.client.inference.usage.cache_read.input_tokens", "{token}"),
    ("gen_ai.client.inference.usage.cache_write.input_tokens", "{token}"),
    ("gen_ai.client.inference.usage.reasoning.output_tokens", "{token}"),
}
OURS = {("cert.gen_ai.client.cost", "USD"), ("cert.gen_ai.client.perplexity", "1")}


def fill_all(call: Call) -> None:
    """Answer with everything that is measured."""
    call.response_model = "gpt-4o-2024-08-06"
    call.usage = FULL
    call.logprobs = [-1.0]


def stream(bench: Bench) -> None:
    """Make a streamed call of two chunks."""
    call = bench.begin(stream=True)
    call.open_stream()
    call.read_chunk(fill_all)
    call.read_chunk(fill_all)
    call.succeed()


def named(bench: Bench) -> set[tuple[str, str]]:
    """Return names and units of what was recorded."""
    return {(point["name"], point["unit"]) for point in bench.metrics.points()}


def values(bench: Bench, name: str) -> list[Any]:
    """Return attributes and figures of a metric."""
    return [
        (
            {key: value for key, value in point["attributes"].items() if key not in COMMON},
            point.get("value", point.get("sum")),
        )
        for point in bench.metrics.points()
        if point["name"] == name
    ]


class TestProfiles:
    @pytest.mark.parametrize(
        ("profile", "expected"),
        [("compat", OLD | OURS), ("latest", NEW | OURS), ("both", OLD | NEW | OURS)],
    )
    def test_names_and_units(
        self, bench: Bench, profile: ProfileName, expected: set[tuple[str, str]]
    ) -> None:
        """A streamed call with all there is leaves exactly the metrics of the profile."""
        config.configure(semconv=profile)
        stream(bench)

        assert named(bench) == expected

    def test_compat_values(self, bench: Bench) -> None:
        """Tokens are one histogram, told apart by their type."""
        stream(bench)

        assert values(bench, "gen_ai.client.token.usage") == [
            ({"gen_ai.token.type": "input"}, 12),
            ({"gen_ai.token.type": "output"}, 5),
        ]
        for name in (
            "gen_ai.client.operation.duration",
            "gen_ai.client.operation.time_to_first_chunk",
            "gen_ai.client.operation.time_per_output_chunk",
        ):
            point = bench.point(name)
            assert point == IsPartialDict(attributes=COMMON, count=1, sum=IsFloat(ge=0, lt=5))

    def test_latest_values(self, bench: Bench) -> None:
        """Each kind of token has a counter, input and output a histogram as well."""
        config.configure(semconv="latest")
        stream(bench)

        tokens = {
            point["name"].removeprefix("gen_ai.client.inference."): point.get(
                "value", point.get("sum")
            )
            for point in bench.metrics.points()
            if point["unit"] == "{token}"
        }
        assert tokens == {
            "operation.input_tokens": 12,
            "operation.output_tokens": 5,
            "usage.input_tokens": 12,
            "usage.output_tokens": 5,
            "usage.cache_read.input_tokens": 4,
            "usage.cache_write.input_tokens": 2,
            "usage.reasoning.output_tokens": 1,
        }
        assert values(bench, "gen_ai.client.inference.usage.input_tokens") == [
            ({"gen_ai.token.modality": "unknown"}, 12)
        ]


class TestTokens:
    @pytest.mark.parametrize("profile", ["compat", "latest", "both"])
    def test_no_usage_is_nothing(self, bench: Bench, profile: ProfileName) -> None:
        """A reply without usage leaves its duration alone: no zero in any sum."""
        config.configure(semconv=profile)
        bench.begin().succeed()

        assert {name.rsplit(".", maxsplit=1)[-1] for name, _ in named(bench)} == {"duration"}

    def test_a_count_that_was_not_reported(self, bench: Bench) -> None:
        """Embeddings have no output: it is absent, not zero."""

        def fill(call: Call) -> None:
            call.usage = Usage(input_tokens=8)

        bench.begin(operation="embeddings", model="text-embedding-3-small").succeed(fill)

        assert [row[1] for row in values(bench, "gen_ai.client.token.usage")] == [8]

    def test_a_reported_zero_counts(self, bench: Bench) -> None:
        """The provider's zero is a measurement."""

        def fill(call: Call) -> None:
            call.usage = Usage(input_tokens=8, output_tokens=0)

        bench.begin().succeed(fill)

        assert [row[1] for row in values(bench, "gen_ai.client.token.usage")] == [8, 0]


class TestCost:
    def test_it_adds_up(self, bench: Bench) -> None:
        """A counter over calls, by provider and model."""

        def fill(call: Call) -> None:
            call.usage = Usage(input_tokens=12, output_tokens=5)

        for _ in range(3):
            bench.begin().succeed(fill)

        point = bench.point("cert.gen_ai.client.cost")
        assert point["value"] == pytest.approx(0.00024)
        assert point["attributes"] == {
            name: value for name, value in COMMON.items() if name != "gen_ai.response.model"
        }

    def test_usage_without_a_price_is_counted(self, bench: Bench) -> None:
        """Coverage is a number: what could not be priced is known."""

        def fill(call: Call) -> None:
            call.usage = Usage(input_tokens=12, output_tokens=5)

        for model in ("no-such-model", "no-such-model", "gpt-4o"):
            bench.begin(model=model).succeed(fill)

        point = bench.point("cert.gen_ai.client.unpriced")
        assert (point["value"], point["unit"]) == (2, "{call}")
        assert point["attributes"]["gen_ai.request.model"] == "no-such-model"

    def test_another_currency_is_not_added(self, bench: Bench, tmp_path: Path) -> None:
        """The counter is in USD; a call priced in euros is neither in it nor unpriced."""
        prices = tmp_path / "prices.json"
        prices.write_text(json.dumps(EUROS))
        config.configure(prices=str(prices))

        def fill(call: Call) -> None:
            call.usage = Usage(input_tokens=1_000_000)

        bench.begin(model="gpt-4o").succeed(fill)

        assert bench.attributes["cert.cost.currency"] == "EUR"
        assert {name for name, _ in named(bench)}.isdisjoint(
            {"cert.gen_ai.client.cost", "cert.gen_ai.client.unpriced"}
        )

    def test_attribute_sets_are_bounded(self, bench: Bench) -> None:
        """Beyond 2,000 sets, the SDK's own limit, amounts go into one that says so."""
        instruments = bench.telemetry.instruments
        assert instruments is not None
        for number in range(2_010):
            instruments.record_cost(1.0, {"model": number})

        sums = {
            tuple(point["attributes"].items()): point["value"]
            for point in bench.metrics.points()
            if point["name"] == "cert.gen_ai.client.cost"
        }
        assert sums[(("otel.metric.overflow", True),)] == 10
        assert sum(sums.values()) == 2_010

    def test_no_usage_is_not_unpriced(self, bench: Bench) -> None:
        """A call that used nothing, as far as anybody said, lacks no price."""
        bench.begin(model="no-such-model").succeed()

        assert "cert.gen_ai.client.unpriced" not in {name for name, _ in named(bench)}


class TestDuration:
    def test_it_is_the_spans(self, bench: Bench) -> None:
        """Metric and span agree to the nanosecond."""
        bench.begin().succeed()

        [span] = bench.spans.finished
        seconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e9
        assert bench.point("gen_ai.client.operation.duration")["sum"] == pytest.approx(seconds)

    def test_failures_are_told_apart(self, bench: Bench) -> None:
        """An error has its type on the duration, and on nothing else."""
        bench.begin().fail(LookupError())
        bench.begin().succeed()

        kinds = [
            row[0].get("error.type") for row in values(bench, "gen_ai.client.operation.duration")
        ]
        assert sorted(kinds, key=str) == ["LookupError", None]

    def test_an_error_in_the_reply(self, bench: Bench) -> None:
        """A reply that reports a failure is one, and what it used counts all the same."""

        def fill(call: Call) -> None:
            call.error_type = "server_error"
            call.usage = Usage(input_tokens=12, output_tokens=5)

        bench.begin().succeed(fill)

        assert values(bench, "gen_ai.client.operation.duration")[0][0] == {
            "error.type": "server_error"
        }
        assert len(values(bench, "gen_ai.client.token.usage")) == 2

    def test_chunks_of_a_single_one(self, bench: Bench) -> None:
        """One chunk has a first, and no interval."""
        call = bench.begin(stream=True)
        call.open_stream()
        call.read_chunk(fill_all)
        call.succeed()

        names = {name for name, _ in named(bench)}
        assert "gen_ai.client.operation.time_to_first_chunk" in names
        assert "gen_ai.client.operation.time_per_output_chunk" not in names


class TestPerplexity:
    def test_it_is_recorded(self, bench: Bench) -> None:
        """exp(-mean logprob), once a call."""

        def fill(call: Call) -> None:
            call.logprobs = [0.0, 0.0]

        bench.begin().succeed(fill)

        assert bench.point("cert.gen_ai.client.perplexity") == IsPartialDict(count=1, sum=1.0)

    @pytest.mark.parametrize("logprobs", [[], [None], [-9999.0], [-5000.0]])
    def test_none_is_nothing(self, bench: Bench, logprobs: list[float | None]) -> None:
        """Where there is no perplexity, the histogram stays as it was."""

        def fill(call: Call) -> None:
            call.logprobs = logprobs

        bench.begin().succeed(fill)

        assert "cert.gen_ai.client.perplexity" not in {name for name, _ in named(bench)}


class TestProviders:
    def test_attributes(self, bench: Bench) -> None:
        """Server and port tell deployments apart."""
        target = Target("openai", None, "localhost", 8000)
        bench.begin(target=target, model=None).succeed()

        assert bench.point("gen_ai.client.operation.duration")["attributes"] == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "server.address": "localhost",
            "server.port": 8000,
        }

    def test_nobody_collects(self) -> None:
        """Without a meter provider there are no instruments to record with."""
        telemetry = Telemetry("bench", "1", meter_provider=NoOpMeterProvider())

        assert telemetry.instruments is None
        assert Telemetry("bench", "1").instruments is None

    def test_they_are_made_once(self) -> None:
        """Instruments are kept for as long as the provider is the same."""
        with MetricCapture() as capture:
            telemetry = Telemetry("bench", "1", meter_provider=capture.meter_provider)

            assert telemetry.instruments is telemetry.instruments
            assert telemetry.instruments is not None
