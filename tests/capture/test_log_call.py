"""`log_call`: a record for a call that nobody else sees, whatever it is given."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cert_otel
from cert_otel import config, log_call, set_context, trace
from cert_otel.wire.spans import record_from_span

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    from cert_otel.testing import SpanCapture

TOKENS = {"prompt": 12, "completion": 5}


def only(spans: SpanCapture) -> dict[str, Any]:
    """Return the attributes of the one span."""
    [span] = spans.spans()
    attributes: dict[str, Any] = span["attributes"]
    return attributes


class TestSpan:
    def test_all_of_it(self, spans: SpanCapture) -> None:
        """One span, as an instrumentor would have left it."""
        config.configure(hash_key="first")

        log_call(
            platform="openai",
            model="gpt-4o",
            input_data="What is 2+2?",
            output_data="4",
            tokens={**TOKENS, "cache_read": 0, "cache_write": 0, "reasoning": 0},
            context="Two and two is four.",
            metadata={"team": "support"},
        )

        [span] = spans.spans()
        fingerprint = span["attributes"].pop("cert.prompt.fingerprint")
        version = span["attributes"].pop("cert.cost.pricing_version")
        assert (len(fingerprint), bool(version)) == (32, True)
        assert span == {
            "name": "chat gpt-4o",
            "id": 1,
            "parent": None,
            "kind": "CLIENT",
            "status": "UNSET",
            "attributes": {
                "cert.context": ('[{"text":"Two and two is four.","id":null,"source":"explicit"}]'),
                "cert.cost.amount": 0.00008,
                "cert.cost.currency": "USD",
                "cert.cost.input": 0.00003,
                "cert.cost.output": 0.00005,
                "cert.cost.cache_read": 0.0,
                "cert.cost.cache_write": 0.0,
                "cert.cost.partial": False,
                "cert.cost.source": "table",
                "cert.metadata": '{"team":"support"}',
                "cert.record.kind": "inference",
                "gen_ai.input.messages": (
                    '[{"role":"user","parts":[{"type":"text","content":"What is 2+2?"}]}]'
                ),
                "gen_ai.operation.name": "chat",
                "gen_ai.output.messages": (
                    '[{"role":"assistant","parts":[{"type":"text","content":"4"}]}]'
                ),
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.response.model": "gpt-4o",
                "gen_ai.usage.cache_creation.input_tokens": 0,
                "gen_ai.usage.cache_read.input_tokens": 0,
                "gen_ai.usage.input_tokens": 12,
                "gen_ai.usage.output_tokens": 5,
                "gen_ai.usage.reasoning.output_tokens": 0,
            },
            "events": [],
        }

    def test_as_little_as_that(self, spans: SpanCapture) -> None:
        """What was not said is not there: no tokens, no cost, no text."""
        log_call(platform="openai", model="gpt-4o")

        assert only(spans) == {
            "cert.record.kind": "inference",
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o",
        }

    def test_it_becomes_a_record(self, spans: SpanCapture) -> None:
        """The line has the figures under the names that CERT users know."""
        log_call(platform="openai", model="gpt-4o", input_data="Q", output_data="A", tokens=TOKENS)

        [span] = spans.finished
        record = record_from_span(span)
        assert record is not None
        assert (record.kind, record.input_data, record.output_data) == ("inference", "Q", "A")
        assert (record.tokens.prompt, record.tokens.completion) == (12, 5)  # type: ignore[union-attr]
        assert record.cost == 0.00008

    def test_it_is_public(self) -> None:
        """Applications reach it on the package itself."""
        assert cert_otel.log_call is log_call

    def test_inside_a_function(self, spans: SpanCapture) -> None:
        """It is a call of that function, in its surroundings."""
        with set_context(tenant="acme"):
            trace(lambda: log_call(platform="openai", model="gpt-4o"))()

        function, call = spans.spans()
        assert call["parent"] == function["id"]
        assert call["attributes"]["cert.tenant"] == "acme"


class TestCost:
    def test_given(self, spans: SpanCapture) -> None:
        """What the application knows wins over the table, zero included."""
        log_call(platform="openai", model="gpt-4o", tokens=TOKENS, cost=0)

        attributes = only(spans)
        assert (attributes["cert.cost.amount"], attributes["cert.cost.source"]) == (0.0, "override")
        assert "cert.cost.pricing_version" not in attributes

    @pytest.mark.parametrize(
        ("platform", "model", "amount"),
        [
            ("OpenAI", "gpt-4o", 0.00008),
            ("azure", "gpt-4o", 0.00008),
            ("azure.ai.openai", "gpt-4o", 0.00008),
            ("anthropic", "claude-sonnet-4-0", 0.000111),
            ("mistral", "mistral-large-latest", 5.4e-05),
        ],
    )
    def test_from_the_table(
        self, spans: SpanCapture, platform: str, model: str, amount: float
    ) -> None:
        """The platform's common names find its price list."""
        log_call(platform=platform, model=model, tokens=TOKENS)

        assert only(spans)["cert.cost.amount"] == pytest.approx(amount)

    @pytest.mark.parametrize(
        ("platform", "model", "tokens"),
        [
            ("openai", "no-such-model", TOKENS),
            ("my-own-cluster", "gpt-4o", TOKENS),
            ("openai", "gpt-4o", None),
            ("openai", "gpt-4o", {}),
            ("openai", "gpt-4o", {"unknown": 3}),
        ],
    )
    def test_unknown_is_absent(
        self, spans: SpanCapture, platform: str, model: str, tokens: Any
    ) -> None:
        """Without a price or without tokens there is no cost: not zero."""
        log_call(platform=platform, model=model, tokens=tokens)

        assert not any(name.startswith("cert.cost") for name in only(spans))

    def test_aliases(self, spans: SpanCapture) -> None:
        """Other tools find the cost under the names they read."""
        config.configure(cost_aliases=("gen_ai.usage.cost", "operation.cost"))
        log_call(platform="openai", model="gpt-4o", cost=0.5)

        assert (only(spans)["gen_ai.usage.cost"], only(spans)["operation.cost"]) == (0.5, 0.5)

    def test_the_profile(self, spans: SpanCapture) -> None:
        """Cache writes go under the name of the profile."""
        config.configure(semconv="latest")
        log_call(platform="openai", model="gpt-4o", tokens={"prompt": 9, "cache_write": 4})

        assert only(spans)["gen_ai.usage.cache_write.input_tokens"] == 4
        assert "gen_ai.usage.cache_creation.input_tokens" not in only(spans)


class TestLatency:
    def test_it_ended_now(self, spans: SpanCapture) -> None:
        """The span is as long as the call was."""
        log_call(platform="openai", model="gpt-4o", latency_ms=234.5)

        [span] = spans.finished
        assert (span.end_time or 0) - (span.start_time or 0) == 234_500_000

    @pytest.mark.parametrize("latency_ms", [None, 0])
    def test_unknown_is_an_instant(self, spans: SpanCapture, latency_ms: float | None) -> None:
        """A call whose duration nobody measured has none."""
        log_call(platform="openai", model="gpt-4o", latency_ms=latency_ms)

        [span] = spans.finished
        assert span.end_time == span.start_time


class TestContent:
    def test_an_explicit_opt_in(self, spans: SpanCapture) -> None:
        """Recorded with content off elsewhere, redacted and capped."""
        config.configure(redact="secret", content_max_chars=12)
        log_call(
            platform="openai",
            model="gpt-4o",
            input_data="a secret text",
            output_data={"text": "secret"},
            context=["secret"],
        )

        attributes = only(spans)
        assert json.loads(attributes["gen_ai.input.messages"])[0]["parts"] == [
            {"type": "text", "content": "a [REDACTED]… [5 more characters]"}
        ]
        assert json.loads(attributes["gen_ai.output.messages"])[0]["parts"] == [
            {"type": "text", "content": '{"text":"[RE… [9 more characters]'}
        ]
        assert "secret" not in repr(attributes)

    def test_equal_prompts_are_found(self, spans: SpanCapture) -> None:
        """The fingerprint is that of the text, not of what redaction left of it."""
        config.configure(redact=".+")
        for text in ("one", "one", "two"):
            log_call(platform="openai", model="gpt-4o", input_data=text)

        first, second, third = (
            span["attributes"]["cert.prompt.fingerprint"] for span in spans.spans()
        )
        assert first == second != third


class TestFailOpen:
    """It never raises, and what can be recorded is."""

    @pytest.mark.parametrize(
        ("tokens", "recorded"),
        [
            ({"prompt": "12", "completion": 5}, {"output": 5}),
            ({"prompt": 12.0, "completion": 5}, {"output": 5}),
            ({"prompt": None, "completion": 5}, {"output": 5}),
            ({"prompt": -1, "completion": 5}, {"output": 5}),
            ({"prompt": True, "completion": 5}, {"output": 5}),
            ({"prompt": [1], "completion": math.nan}, {}),
            ([12, 5], {}),
            (17, {}),
            ("12", {}),
        ],
    )
    def test_tokens_of_any_shape(
        self,
        spans: SpanCapture,
        swallowed: Counter[str],
        tokens: Any,
        recorded: dict[str, int],
    ) -> None:
        """A count that is none is absent; the rest of the record stands."""
        log_call(platform="openai", model="gpt-4o", input_data="Q", tokens=tokens)

        attributes = only(spans)
        assert {
            name.removeprefix("gen_ai.usage.").removesuffix("_tokens"): value
            for name, value in attributes.items()
            if name.startswith("gen_ai.usage")
        } == recorded
        assert "gen_ai.input.messages" in attributes
        swallowed.clear()

    @pytest.mark.parametrize("cost", ["a lot", math.nan, math.inf, [1], object()])
    def test_a_cost_that_is_none(
        self, spans: SpanCapture, swallowed: Counter[str], cost: Any
    ) -> None:
        """It is left out, and the table is asked instead."""
        log_call(platform="openai", model="gpt-4o", tokens=TOKENS, cost=cost)

        assert only(spans)["cert.cost.amount"] == 0.00008
        assert swallowed == {"log_call": 1}
        swallowed.clear()

    @pytest.mark.parametrize(
        "arguments",
        [
            {"latency_ms": "soon"},
            {"latency_ms": math.nan},
            {"latency_ms": math.inf},
            {"latency_ms": -5},
            {"context": 17},
            {"metadata": 17},
            {"metadata": {("a", 1): object()}},
            {"input_data": object()},
            {"input_data": {1: "\ud800"}},
            {"input_data": "\ud800"},
            {"platform": "\ud800"},
            {"platform": None},
            {"platform": 17},
            {"model": "\ud800"},
            {"model": None},
        ],
    )
    def test_one_wrong_argument_costs_no_record(
        self, spans: SpanCapture, swallowed: Counter[str], arguments: dict[str, Any]
    ) -> None:
        """The span is there, with the tokens, and an exporter can send it."""
        log_call(**{"platform": "openai", "model": "gpt-4o", "tokens": TOKENS, **arguments})

        [span] = spans.spans()
        assert span["attributes"]["gen_ai.usage.input_tokens"] == 12
        assert span["name"].encode()
        assert all(
            value.encode() for value in span["attributes"].values() if isinstance(value, str)
        )
        swallowed.clear()

    @given(
        arguments=st.dictionaries(
            st.sampled_from(
                ["input_data", "output_data", "tokens", "cost", "context", "metadata", "latency_ms"]
            ),
            st.recursive(
                st.none() | st.integers() | st.floats() | st.text() | st.binary() | st.booleans(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
                max_leaves=6,
            ),
        )
    )
    @settings(
        max_examples=100,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_anything(
        self, spans: SpanCapture, swallowed: Counter[str], arguments: dict[str, Any]
    ) -> None:
        """Whatever it is given: no exception, and a record."""
        spans.clear()

        log_call(platform="openai", model="gpt-4o", **arguments)

        assert only(spans)["gen_ai.request.model"] == "gpt-4o"
        swallowed.clear()

    def test_a_failing_redactor(self, spans: SpanCapture, swallowed: Counter[str]) -> None:
        """The text is withheld, the figures stand."""

        def fail(text: str) -> str:
            raise ValueError(text)

        config.configure(redactor=fail)
        log_call(platform="openai", model="gpt-4o", input_data="secret", tokens=TOKENS)

        assert "secret" not in repr(only(spans))
        assert "[withheld: the redactor failed]" in only(spans)["gen_ai.input.messages"]
        assert only(spans)["gen_ai.usage.input_tokens"] == 12
        swallowed.clear()

    def test_disabled(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """With everything off, nothing is written."""
        monkeypatch.chdir(tmp_path)
        config.configure(disabled=True)

        log_call(platform="openai", model="gpt-4o")

        assert list(tmp_path.iterdir()) == []
