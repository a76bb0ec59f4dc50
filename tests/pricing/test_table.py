"""The table: what is in the file, when it is read, and how names find their model."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Final

import msgspec
import pytest

from cert_otel.pricing import ModelRef, find_model, table_info
from cert_otel.pricing._files import SHIPPED as PATH

ROOT: Final = Path(__file__).parents[2]


def run(code: str) -> str:
    """Run code in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestFile:
    """The compiled table."""

    def test_is_up_to_date(self) -> None:
        """Compiling again changes nothing."""
        done = subprocess.run(
            [sys.executable, "scripts/compile_prices.py", "--check"],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )

        assert (done.returncode, done.stderr) == (0, "")

    def test_says_that_it_is_generated(self) -> None:
        """The first line names the script that wrote it."""
        with PATH.open() as file:
            assert "by scripts/compile_prices.py" in file.readline()

    def test_size(self) -> None:
        """It is small enough to ship with every installation."""
        assert PATH.stat().st_size < 2_000_000

    def test_licence(self) -> None:
        """The licence of the source travels with its data, and NOTICE names it."""
        licence = PATH.with_name("LICENSE.genai-prices").read_text()

        assert "Pydantic Services Inc." in licence
        assert licence.strip() in (ROOT / "NOTICE").read_text()

    def test_info(self) -> None:
        """What it is can be told in reports."""
        info = table_info()
        content = msgspec.json.decode(PATH.read_bytes())

        assert info.version.startswith("genai-prices-")
        assert isinstance(info.date, date)
        assert info.provider_count == len(content["providers"]) >= 40
        assert info.model_count == sum(len(p["models"]) for p in content["providers"].values())


class TestLoading:
    """The table costs nothing until a call is priced."""

    def test_import(self) -> None:
        """Importing reads no file."""
        code = (
            "from cert_otel.pricing import _files, table_info\n"
            "print(_files._get_source.cache_info().currsize)\n"
            "table_info()\n"
            "print(_files._get_source.cache_info().currsize)"
        )

        assert run(code).split() == ["0", "1"]

    def test_one_provider(self) -> None:
        """Only the providers that are asked for are decoded."""
        code = (
            "from cert_otel.pricing import _files, find_model\n"
            "find_model('openai', 'gpt-4o'), find_model('nobody', 'gpt-4o')\n"
            "print(_files.find_provider.cache_info().currsize)"
        )

        assert run(code) == "2"

    def test_source_is_not_needed(self) -> None:
        """At run time there is no genai-prices, and nothing else that is heavy."""
        code = (
            "import sys\n"
            "sys.modules['genai_prices'] = None\n"
            "from cert_otel.pricing import price_call\n"
            "from cert_otel.records import Usage\n"
            "usage = Usage(input_tokens=1000, output_tokens=0)\n"
            "print(price_call('openai', 'gpt-4o', usage, at_unix_s=1.79e9).amount)\n"
            "print({'pydantic', 'httpx2', 'opentelemetry'} & sys.modules.keys())"
        )

        assert run(code).splitlines() == ["0.0025", "set()"]


class TestNames:
    """How a name finds its model."""

    @pytest.mark.parametrize(
        ("provider", "name", "found"),
        [
            ("openai", "gpt-4o-2024-08-06", ModelRef("openai", "gpt-4o")),
            ("openai", "GPT-4o", ModelRef("openai", "gpt-4o")),
            ("openai", "gpt-4o-2024-05-13", ModelRef("openai", "gpt-4o-2024-05-13")),
            ("openai", "gpt-4o-20240513", ModelRef("openai", "gpt-4o-2024-05-13")),
            ("azure", "gpt-4o-2024-05-13", ModelRef("openai", "gpt-4o-2024-05-13")),
            ("google", "claude-sonnet-4@20250514", ModelRef("google", "claude-4-sonnet")),
            ("google", "claude-2.1", ModelRef("anthropic", "claude-2")),
            ("google", "gemini-2.5-pro-preview-05-06", ModelRef("google", "gemini-2.5-pro")),
            ("google", "gemini-2.5-pro-preview-tts", ModelRef("google", "gemini-2.5-pro-tts")),
            ("azure.ai.openai", "gpt-4o", None),
            ("openai", "claude-sonnet-4-0", None),
        ],
    )
    def test_find(self, provider: str, name: str, found: ModelRef | None) -> None:
        """By prefix, date and exclusion, in any case, at the provider or those it resells."""
        assert find_model(provider, name) == found

    def test_regional(self) -> None:
        """A Bedrock profile keeps its region: it is part of the price."""
        name = "anthropic.claude-sonnet-4-5-20250929-v1:0"
        found = {find_model("aws", f"{region}.{name}") for region in ("global", "us", "eu")}

        assert None not in found
        assert len(found) == 2
