"""`cert prices`: what a model costs on a day, and a newer table."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from tests.cli.conftest import refuse

from cert_otel import config
from cert_otel.cli import main
from cert_otel.pricing._files import SHIPPED

if TYPE_CHECKING:
    from pathlib import Path

DEEPSEEK = """\
deepseek deepseek-v4-pro (its standard prices hold at azure too)
                                            input  cache_read  output
standard, since 2026-08-17                   0.66       0.022    1.98
standard, from 01:00 UTC, since 2026-08-17   1.32       0.044    3.96
standard, from 04:00 UTC, since 2026-08-17   0.66       0.022    1.98
standard, from 06:00 UTC, since 2026-08-17   1.32       0.044    3.96
standard, from 10:00 UTC, since 2026-08-17   0.66       0.022    1.98
USD per million tokens
"""


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes into a pipe has no width."""
    monkeypatch.delenv("COLUMNS", raising=False)


def show(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Run `cert prices` and return what it printed."""
    assert main(["prices", *argv]) == 0
    return capsys.readouterr().out


def show_json(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    """Run `cert prices` for machines."""
    return json.loads(show(capsys, *argv, "--format", "json"))


class TestModel:
    """What a model costs."""

    def test_hours(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Rows by tier and condition, what the units are, and who else sells it."""
        shown = show(capsys, "deepseek-v4-pro", "--at", "2026-09-01")

        assert shown.startswith(DEEPSEEK)

    def test_day(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Only the rows that hold on the day."""
        inputs = [
            show_json(capsys, "o3", "--provider", "openai", "--at", day)["prices"][0]["rows"][0]
            for day in ("2025-06-09", "2025-06-10")
        ]

        assert [row["rates"]["input"] for row in inputs] == [10, 2]
        assert inputs[1]["since"] == "2025-06-10"

    def test_lengths_and_tiers(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Long contexts and tiers are rows of their own."""
        shown = show(capsys, "gemini-2.5-pro", "--provider", "google", "--at", "2026-11-20")

        assert "standard, above 200,000 tokens" in shown
        assert "batch, above 200,000 tokens, since 2026-10-14" in shown
        assert "web_searches per thousand" in shown

    def test_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Everything that the table shows, with every digit."""
        shown = show_json(
            capsys, "GPT-4o-mini", "--provider", "azure.ai.openai", "--at", "2026-09-01"
        )

        assert shown["model"] == "GPT-4o-mini"
        assert shown["at"] == "2026-09-01"
        assert shown["table"]["path"] == str(SHIPPED)
        assert (
            shown["table"]["age_days"]
            == (
                datetime.now(UTC).date() - datetime.fromisoformat(shown["table"]["date"]).date()
            ).days
        )
        [listing] = shown["prices"]
        assert (listing["provider"], listing["model"]) == ("openai", "gpt-4o-mini")
        assert (listing["source"], listing["currency"]) == ("table", "USD")
        assert listing["pricing_version"] == shown["table"]["version"]
        assert listing["sellers"] == ["azure"]
        assert listing["rows"][0] == {
            "tier": "standard",
            "since": None,
            "from_second": 0,
            "above_tokens": None,
            "rates": {
                "input": 0.15,
                "cache_read": 0.075,
                "output": 0.6,
                "web_searches": 10,
                "file_searches": 2.5,
            },
            "fee": False,
        }

    def test_where_a_name_leads(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A name that means a model of another name says so."""
        arn = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0"
        shown = show(capsys, arn, "--provider", "aws")

        assert shown.startswith(f"aws amazon.nova-pro-v1:0 (is what {arn} means)")

    @pytest.mark.parametrize(
        ("model", "at", "said"),
        [
            ("whisper-1", "2026-11-20", "no price: it is free, or billed by something"),
            ("sonar-pro", "2026-11-20", "each call has a fee besides"),
        ],
    )
    def test_without_or_besides(
        self, model: str, at: str, said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What has no price, or another one besides, says so."""
        assert said in show(capsys, model, "--at", at)


class TestUnknown:
    """What cannot be shown."""

    def test_model(self, capsys: pytest.CaptureFixture[str]) -> None:
        """An unknown model is told its nearest, in the price list that was asked for."""
        assert "gpt-44o: no such model in any price list; did you mean gpt-4o" in refuse(
            capsys, "prices", "gpt-44o"
        )
        assert "in the price list of groq" in refuse(
            capsys, "prices", "gpt-4o", "--provider", "groq"
        )

    def test_nothing_is_near(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Where nothing looks like it, nothing is guessed."""
        assert refuse(capsys, "prices", "§§§§") == "cert: §§§§: no such model in any price list\n"

    def test_provider(self, capsys: pytest.CaptureFixture[str]) -> None:
        """An unknown provider is told the known ones."""
        message = refuse(capsys, "prices", "gpt-4o", "--provider", "vllm")

        assert "--provider: 'vllm' has no price list; known are anthropic, " in message

    def test_date(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A date that is none is told the form."""
        assert "--at: 'May' is no date; write it as 2026-11-20" in refuse(
            capsys, "prices", "gpt-4o", "--at", "May"
        )


class TestAbout:
    """Without a model."""

    def test_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Which table it is, how old, and where."""
        shown = show(capsys)

        assert "days old: 2,330 models of 47 providers" in shown
        assert f"read from {SHIPPED}" in shown
        assert show_json(capsys)["overrides"] is None


class TestOwnPrices:
    """The file that `CERT_OTEL_PRICES` names."""

    @pytest.fixture
    def path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The file, with a model of openai and a host."""
        path = tmp_path / "own.json"
        rates = {"currency": "EUR", "input": 1, "output": 2}
        models = {"openai": {"gpt-4o": rates}, "localhost:8000": {"*": rates}}
        path.write_text(json.dumps({"providers": models}))
        monkeypatch.setenv("CERT_OTEL_PRICES", str(path))
        config.reset()
        return path

    @pytest.mark.usefixtures("path")
    def test_first(self, capsys: pytest.CaptureFixture[str]) -> None:
        """They come before the table's, with their currency."""
        shown = show(capsys, "gpt-4o", "--provider", "openai")

        assert shown.startswith("openai gpt-4o (your own prices, own.json+")
        assert shown.index("EUR per million tokens") < shown.index("USD per million tokens")

    @pytest.mark.usefixtures("path")
    def test_host(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A host is a price list as well."""
        [listing] = show_json(capsys, "qwen", "--provider", "localhost:8000")["prices"]

        assert (listing["source"], listing["model"]) == ("override", "*")

    @pytest.mark.usefixtures("path")
    def test_about(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without a model, they are named with how many there are."""
        assert ": openai (1), localhost:8000 (1)" in show(capsys)
        assert show_json(capsys)["overrides"]["models"] == {"openai": 1, "localhost:8000": 1}

    @pytest.mark.parametrize("command", [["prices"], ["prices", "gpt-4o"], ["costs", "x.jsonl"]])
    def test_unusable(
        self, path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A file that cannot be used is an error of the commands that price or read prices."""
        path.write_text('{"providers": {"openai": {"gpt-4o": {"input": "1"}}}}')

        assert main(command) == 2
        assert "own.json: openai gpt-4o: input: Expected" in capsys.readouterr().err

    def test_doctor(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """`cert doctor` looks at it too."""
        path.write_text("{")
        main(["doctor", "--format", "json"])
        [check] = [
            check
            for check in json.loads(capsys.readouterr().out)["checks"]
            if check["name"] == "prices"
        ]

        assert check["status"] == "attention"
        assert "own.json: is no JSON" in check["finding"]


class TestUpdate:
    """`cert prices update`."""

    @pytest.fixture
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Where the user's table will be."""
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
        config.reset()
        return tmp_path / "share" / "cert-otel" / "prices.json"

    def write(self, tmp_path: Path, content: Any) -> str:
        """Write a newer table."""
        path = tmp_path / "new.json"
        path.write_text(json.dumps(content))
        return str(path)

    def test_installs(self, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """What is other is said, and the next command uses it."""
        entry = {"litellm_provider": "openai", "input_cost_per_token": 1e-06}
        file = self.write(tmp_path, {"gpt-4o": entry, "gpt-7": entry})
        shown = show(capsys, "update", file)

        assert "1 model added\n  + openai gpt-7\n" in shown
        assert "2,329 models removed" in shown
        assert "  - … --format json names all" in shown
        assert "~ openai gpt-4o: input 2.5 -> 1, cache_read 1.25 -> -, output 10 -> -" in shown
        assert f"installed as {home}\n" in shown
        assert show_json(capsys, "gpt-7")["table"]["path"] == str(home)

    def test_json(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The same for machines."""
        shown = show_json(capsys, "update", str(SHIPPED))

        assert shown["path"] == str(home)
        assert shown["in_use"] is True
        assert shown["from"] == shown["to"]
        assert shown["added"] == shown["removed"] == shown["changed"] == shown["left_out"] == []

    def test_older(self, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A table that is older than the one that ships is installed, and said not to be used."""
        content = json.loads(SHIPPED.read_text()) | {"date": "2020-01-01"}
        shown = show(capsys, "update", self.write(tmp_path, content))

        assert "not used: the table that ships is newer" in shown
        assert f"CERT_OTEL_PRICES_TABLE={home} makes this the one" in shown

    def test_not_known(
        self, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Prices that this version does not know are named."""
        model = {"id": "m", "match": {"equals": "m"}, "prices": {"input_mtok": 1, "mood_mtok": 2}}
        shown = show(capsys, "update", self.write(tmp_path, [{"id": "p", "models": [model]}]))

        assert "not known to this version, and left out: price mood_mtok" in shown
        assert home.exists()

    def test_repairs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A table that cannot be used is an error of the others, and replaced by this."""
        path = tmp_path / "broken.json"
        path.write_text("{")
        monkeypatch.setenv("CERT_OTEL_PRICES_TABLE", str(path))
        config.reset()
        assert "broken.json: is no price table" in refuse(capsys, "prices", "gpt-4o")

        show(capsys, "update", str(SHIPPED))
        assert path.read_bytes() == SHIPPED.read_bytes()

    @pytest.mark.parametrize("content", [{"a": 1}, [], 3])
    def test_no_table(
        self, home: Path, tmp_path: Path, content: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What is no table is refused, and nothing is installed."""
        assert "new.json: " in refuse(capsys, "prices", "update", self.write(tmp_path, content))
        assert not home.exists()
