"""The user's own prices: what is read, what goes before what, and what is said about mistakes."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import httpx2
import openai
import pytest

from cert_otel import config, semconv
from cert_otel.capture import resolve_target
from cert_otel.errors import InputError
from cert_otel.pricing import check_files, find_price_id, price_call, price_record
from cert_otel.pricing._overrides import read_overrides
from cert_otel.records import Record, Tokens, Usage
from cert_otel.testing import SpanCapture
from cert_otel_instrumentations.openai import OpenAIInstrumentor

if TYPE_CHECKING:
    from pathlib import Path

    from cert_otel.records import Cost

MILLION: Final = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
AT: Final = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file of prices is."""
    return tmp_path / "own.json"


def use(path: Path, content: Any) -> None:
    """Write a file of prices and name it in the settings."""
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    config.configure(prices=str(path))


def providers(**models: Any) -> dict[str, Any]:
    """Make a file with models of openai."""
    return {"providers": {"openai": {name.replace("_", "-"): of for name, of in models.items()}}}


def price(model: str, provider: str = "openai", usage: Usage = MILLION, **call: Any) -> Cost | None:
    """Price a call of today."""
    return price_call(provider, model, usage, **{"at_unix_s": AT, **call})


def amount(model: str, provider: str = "openai", **call: Any) -> float | None:
    """Return what a million tokens each way cost."""
    cost = price(model, provider, **call)
    return None if cost is None else cost.amount


class TestPrecedence:
    """What goes before what."""

    def test_before_the_table(self, path: Path) -> None:
        """A model that is named has this price, and says so."""
        use(path, {"providers": {"OpenAI": {"GPT-4o": {"input": 1, "output": 2}}}})
        cost = price("gpt-4o")

        assert cost is not None
        assert (cost.amount, cost.source, cost.currency) == (3.0, "override", "USD")
        assert cost.pricing_version is not None
        assert cost.pricing_version.startswith("own.json+")

    def test_the_rest_is_the_tables(self, path: Path) -> None:
        """What is not named, or not in that tier or on that day, has the price of the table."""
        before = {name: amount(name) for name in ("gpt-4o", "gpt-4o-mini")}
        batch = amount("gpt-4o", batch=True)
        use(path, providers(gpt_4o={"since": "2026-12-01", "input": 1, "output": 1}))

        assert {name: amount(name) for name in before} == before
        assert amount("gpt-4o", batch=True) == batch
        assert amount("gpt-4o", at_unix_s=AT + 11 * 86_400) == 2.0

    def test_not_for_a_reseller(self, path: Path) -> None:
        """A contract with one provider says nothing about another."""
        before = amount("gpt-4o", "azure")
        use(path, providers(gpt_4o={"input": 1, "output": 1}))

        assert amount("gpt-4o", "azure") == before

    def test_whole_names_first(self, path: Path) -> None:
        """A whole name goes before a beginning, a longer beginning before a shorter one."""
        rates = {"*": 1, "gpt-4*": 2, "gpt-4o*": 3, "gpt-4o": 4}
        models = {name: {"input": rate} for name, rate in rates.items()}
        use(path, {"providers": {"openai": models}})
        usage = Usage(input_tokens=1_000_000)
        costs = [price(m, usage=usage) for m in ("o9", "gpt-4.1", "gpt-4o-mini", "GPT-4o")]

        assert [cost.amount if cost else None for cost in costs] == [1.0, 2.0, 3.0, 4.0]

    def test_conditions(self, path: Path) -> None:
        """Tiers, days and lengths, in whatever order they are written."""
        use(
            path,
            providers(
                m=[
                    {"since": "2026-11-01", "above_tokens": 200_000, "input": 8, "output": 1},
                    {"tier": "flex", "input": 3, "output": 1},
                    {"since": "2026-11-01", "input": 4, "output": 1},
                    {"tier": "default", "input": 2, "output": 1},
                ]
            ),
        )
        short = Usage(input_tokens=100_000, output_tokens=0)

        assert amount("m", at_unix_s=AT - 40 * 86_400) == 3.0
        assert amount("m", usage=short) == 0.4
        assert amount("m") == 9.0
        assert amount("m", service_tier="flex") == 4.0
        assert amount("m", service_tier="priority") is None

    def test_changes_hold_at_once(self, path: Path) -> None:
        """Settings that change in code hold from the next call on."""
        before = amount("gpt-4o")
        use(path, providers(gpt_4o={"input": 1, "output": 1}))
        assert amount("gpt-4o") == 2.0

        config.configure(prices=None)
        assert amount("gpt-4o") == before


class TestCurrency:
    """Prices in other money."""

    def test_of_the_file_and_of_a_model(self, path: Path) -> None:
        """A model's own goes before the file's, be it the dollar."""
        content = providers(m={"input": 1}, n={"currency": "USD", "input": 1})
        use(path, {"currency": "EUR", **content})
        currencies = [cost.currency for name in "mn" if (cost := price(name))]

        assert currencies == ["EUR", "USD"]


class TestHosts:
    """Servers that only the file knows."""

    FILE: Final = {
        "providers": {
            "localhost:8000": {"*": {"input": 1, "output": 1}},
            "llm.corp": {"mine": {"input": 2, "output": 2}},
            "vllm": {"*": {"input": 3, "output": 3}},
        }
    }

    @pytest.mark.parametrize(
        ("host", "port", "price_id"),
        [
            ("localhost", 8000, "localhost:8000"),
            ("LOCALHOST", 8000, "localhost:8000"),
            ("localhost", 8001, None),
            ("llm.corp", None, "llm.corp"),
            ("llm.corp", 9, "llm.corp"),
            ("other.corp", None, None),
            ("api.openai.com", None, "openai"),
        ],
    )
    def test_capture(self, path: Path, host: str, port: int | None, price_id: str | None) -> None:
        """A client of such a host has its price list; without one there is none."""
        use(path, self.FILE)
        target = resolve_target(openai.OpenAI, scheme="http", host=host, port=port)

        assert target.price_id == price_id
        assert target.provider == "openai"

    def test_a_call(self, path: Path) -> None:
        """A call of the SDK to such a host is a span with that cost."""
        use(path, self.FILE)
        reply = {
            "id": "x",
            "object": "chat.completion",
            "model": "qwen",
            "choices": [],
            "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0},
        }
        transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=reply))
        instrumentor = OpenAIInstrumentor()
        with SpanCapture() as spans:
            instrumentor.instrument(skip_dep_check=True, tracer_provider=spans.tracer_provider)
            openai.OpenAI(
                api_key="test",
                base_url="http://localhost:8000/v1",
                http_client=httpx2.Client(transport=transport),
            ).chat.completions.create(model="qwen", messages=[{"role": "user", "content": "Hi"}])
            instrumentor.uninstrument()
            [span] = spans.spans()

        assert span["attributes"][semconv.COST_AMOUNT] == 1.0
        assert span["attributes"][semconv.COST_SOURCE] == "override"

    def test_no_file(self) -> None:
        """Without the file the same host has no price."""
        target = resolve_target(openai.OpenAI, scheme="http", host="localhost", port=8000)

        assert target.price_id is None

    def test_records(self, path: Path) -> None:
        """What was recorded of such a host is priced likewise, address and port apart."""
        use(path, self.FILE)
        record = Record(
            kind="inference",
            timestamp=datetime.fromtimestamp(AT, UTC),
            platform="openai",
            model="qwen",
            tokens=Tokens(prompt=1_000_000, completion=0),
            metadata={semconv.SERVER_ADDRESS: "localhost", semconv.SERVER_PORT: 8000},
        )
        priced = price_record(record)

        assert priced.cost == 1.0
        assert priced.cost_detail is not None
        assert priced.cost_detail.source == "override"

    def test_platform(self, path: Path) -> None:
        """A platform of the user's own is a price list as well; a protocol's name is none."""
        use(path, {**self.FILE, "providers": {**self.FILE["providers"], "openai": {}}})

        assert find_price_id("vLLM") == "vllm"
        assert find_price_id("openai", "localhost:9") is None

    def test_an_arn(self, path: Path) -> None:
        """An application inference profile has the price that the user gives it."""
        arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
        use(path, {"providers": {"aws": {arn: {"input": 1, "output": 1}}}})

        assert amount(arn, "aws") == 2.0


MISTAKES: Final = {
    "openai gpt-4o: outputs: is no field; did you mean output?": {"input": 1, "outputs": 2},
    "openai gpt-4o: cost: is no field; known are above_tokens": {"input": 1, "cost": 2},
    "openai gpt-4o: input: Expected `float` >= 0.0": {"input": -1},
    "openai gpt-4o: output: Expected `float | null`, got `str`": {"input": 1, "output": "2"},
    "openai gpt-4o: input: is missing": {"output": 1},
    "openai gpt-4o: since: Invalid": {"input": 1, "since": "May"},
    "openai gpt-4o: currency: Expected `str` matching": {"input": 1, "currency": "euro"},
    "openai gpt-4o: tier: 7 is no name": {"input": 1, "tier": 7},
    "openai gpt-4o: is neither an object of rates nor a list of them": [],
}
UNUSABLE: Final = {
    "is no JSON": "{",
    "is neither": "[]",
    "nor LiteLLM's model_prices_and_context_window.json": '{"a": 1}',
    "providers: Expected `object`, got `array`": '{"providers": []}',
    "http://localhost: is no price list": '{"providers": {"http://localhost": {}}}',
    "unknown field `version`": '{"providers": {}, "version": 1}',
}


class TestMistakes:
    """A file that cannot be used."""

    @pytest.mark.parametrize(("message", "model"), MISTAKES.items())
    def test_model_and_field(self, path: Path, message: str, model: Any) -> None:
        """The message names the file, the model and the field."""
        path.write_text(json.dumps(providers(gpt_4o=model)))

        with pytest.raises(InputError) as raised:
            read_overrides(path)
        assert str(raised.value).startswith(f"{path}: {message}")

    @pytest.mark.parametrize(("message", "content"), UNUSABLE.items())
    def test_no_such_file(self, path: Path, message: str, content: str) -> None:
        """What is in another form is told the two forms."""
        path.write_text(content)

        with pytest.raises(InputError) as raised:
            read_overrides(path)
        assert message in str(raised.value)

    def test_is_no_text(self, path: Path) -> None:
        """Bytes of something else are no JSON."""
        path.write_bytes(b'"\xff"')

        with pytest.raises(InputError, match="is no JSON"):
            read_overrides(path)

    def test_is_not_there(self, path: Path) -> None:
        """A file that is not there is an error for commands."""
        with pytest.raises(InputError, match="No such file"):
            check_files(config.Config(prices=str(path)))

    def test_one_warning(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """The application is warned once, and goes on with the table."""
        before = amount("gpt-4o")
        with caplog.at_level(logging.WARNING):
            use(path, providers(gpt_4o={"input": -1}))
            after = [amount(name) for name in ("gpt-4o", "gpt-4o-mini", "gpt-4o")]

        assert after[0] == after[2] == before
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert f"{path}: openai gpt-4o: input" in caplog.text
