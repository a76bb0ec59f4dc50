"""docs/pricing.md: every block of code runs, and prints what it says."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from cert_otel.cli import main
from cert_otel.pricing import find_server, price_call
from cert_otel.pricing._files import SHIPPED
from cert_otel.pricing._overrides import read_overrides
from cert_otel.pricing._table import Row
from cert_otel.records import Cost, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
TEXT: Final = (ROOT / "docs" / "pricing.md").read_text(encoding="utf-8")
CLI_TEXT: Final = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes into a pipe has no width."""
    monkeypatch.delenv("COLUMNS", raising=False)


def list_blocks(language: str) -> list[str]:
    """List the blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def forget_versions(text: str) -> str:
    """Take out what another release of the table changes."""
    text = re.sub(r"genai-prices(-[\d.]+)?\+[0-9a-f]{8}( of [\d-]+)?", "TABLE", text)
    return re.sub(r"\d+ days old: [\d,]+ models of \d+", "AGE", text).strip()


def run(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a `cert` command and return what it printed, on either stream."""
    main(command.removeprefix("cert ").split())
    printed = capsys.readouterr()
    return printed.out + printed.err


class TestPython:
    """Blocks of Python."""

    @pytest.mark.parametrize("code", list_blocks("python"))
    def test_prints_what_it_says(self, code: str) -> None:
        """What stands behind a print is what it prints."""
        said = re.findall(r"print\(.*\)  # (.*)", code)
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(code, {"__name__": "docs"})  # noqa: S102 - our own documentation

        assert said
        assert printed.getvalue().splitlines() == said


class TestJSON:
    """The file of prices of one's own."""

    def test_is_read(self, tmp_path: Path) -> None:
        """The example is such a file, and its models are found."""
        [block] = list_blocks("json")
        path = tmp_path / "contract.json"
        path.write_text(block)
        providers = read_overrides(path).providers

        assert {name: len(of.models) for name, of in providers.items()} == {
            "openai": 2,
            "localhost:8000": 1,
            "aws": 1,
        }

    def test_fields(self) -> None:
        """Each field of a row is explained."""
        section = TEXT.partition("## Your own prices")[2].partition("\n## ")[0]

        for field in Row.__struct_fields__:
            assert f"`{field}`" in section or f'"{field}"' in section


class TestConsole:
    """Commands and what they print."""

    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A folder with the files that the examples name."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
        rates = {"input": 1, "outputs": 2}
        contract = {"providers": {"openai": {"gpt-4o": rates}}}
        (tmp_path / "contract.json").write_text(json.dumps(contract))
        (tmp_path / "data.json").write_text(json.dumps(list(self.make_data())))
        os.utime(tmp_path / "data.json", (1_796_083_200, 1_796_083_200))  # 2026-12-01
        return tmp_path

    def make_data(self) -> Iterator[dict[str, Any]]:
        """Make genai-prices' data with one model more, one less and one cheaper."""
        code = (
            "import sys; sys.path.insert(0, 'scripts'); import compile_prices as c\n"
            "sys.stdout.buffer.write(c.export(c.source_providers))"
        )
        exported = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT)
        for provider in json.loads(exported):
            if provider["id"] == "openai":
                models = [model for model in provider["models"] if model["id"] != "davinci-002"]
                [cheaper] = [model for model in models if model["id"] == "gpt-4o"]
                cheaper["prices"] |= {"input_mtok": 2, "output_mtok": 8}
                newer = {"id": "gpt-7", "match": {"equals": "gpt-7"}, "prices": {"input_mtok": 9}}
                provider["models"] = [*models, newer]
            yield provider

    def test_each(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each example prints what it shows."""
        blocks = list_blocks("console")
        for block in blocks:
            line, _, shown = block.partition("\n")
            setting = re.match(r"\$ (?:([A-Z_]+)=(\S+) )?(cert .*)", line)
            assert setting is not None
            if setting[1]:
                monkeypatch.setenv(setting[1], setting[2])
            printed = run(setting[3], capsys).replace(
                str(folder / "share"), "/home/me/.local/share"
            )
            if setting[1]:
                monkeypatch.delenv(setting[1])

            assert forget_versions(printed) == forget_versions(shown)
        assert len(blocks) == 2

    @pytest.mark.parametrize(
        "block", re.findall(r"```console\n(\$ cert prices.*?)```", CLI_TEXT, re.DOTALL)
    )
    def test_of_the_command_line(self, block: str, capsys: pytest.CaptureFixture[str]) -> None:
        """The examples of `cert prices` in docs/cli.md as well."""
        line, _, shown = block.partition("\n")

        assert forget_versions(run(line.removeprefix("$ "), capsys)) == forget_versions(shown)


class TestShell:
    """Commands of the development environment."""

    def test_each_is_there(self) -> None:
        """The scripts exist, and the check passes."""
        [block] = list_blocks("sh")
        commands = [line.partition("#")[0].split() for line in block.splitlines()]
        scripts = [words[1:] for words in commands if words[0] == "python"]

        assert scripts == [["scripts/compile_prices.py"], ["scripts/compile_prices.py", "--check"]]
        assert subprocess.run([sys.executable, *scripts[1]], cwd=ROOT, check=False).returncode == 0

    def test_make(self) -> None:
        """The target that the text names is in the Makefile."""
        assert "\ncheck-prices: " in (ROOT / "Makefile").read_text()


class TestText:
    """Tables of the page."""

    def test_counts(self) -> None:
        """Each count of a usage and each part of a cost is named."""
        for name in (*Usage.__struct_fields__, *Cost.__struct_fields__):
            assert f"`{name}`" in TEXT or f"`cost.{name}`" in TEXT

    def test_hosts(self) -> None:
        """Each host of the table has the price list that stands beside it."""
        section = TEXT.partition("| host | price list |")[2].partition("\n\n")[0]
        wrong = []
        for row in section.splitlines()[2:]:
            hosts, lists = (re.findall(r"`([^`]+)`", cell) for cell in row.split("|")[1:3])
            for host in hosts:
                if host.startswith(".") or "/" in host:
                    continue
                server = find_server(host.replace("*", "x1" if host[1:2] != "." else "x"))
                if server is None or server.price_id not in lists:
                    wrong.append(host)

        assert not wrong

    def test_figures(self) -> None:
        """The size of the table is as it is said to be."""
        content = json.loads(SHIPPED.read_text())
        models = sum(len(provider["models"]) for provider in content["providers"].values())

        assert f"{len(content['providers'])} providers, {models:,} models" in TEXT
        assert f"({SHIPPED.stat().st_size / 1e6:.1f} MB)" in TEXT

    def test_fine_tuned(self) -> None:
        """A fine-tuned model costs more than the one it was made from, as the page says."""
        usage = Usage(input_tokens=1_000, output_tokens=0)
        tuned, plain = (
            price_call("openai", name, usage, at_unix_s=1.79e9)
            for name in ("ft:gpt-4o-mini-2024-07-18:org::id", "gpt-4o-mini-2024-07-18")
        )

        assert tuned is not None
        assert plain is not None
        assert tuned.amount > plain.amount
