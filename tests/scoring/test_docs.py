"""The code in the documents of scoring runs and prints what it says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest
import stamina
from tests.scoring.reference import build_network, build_tokenizer

from cert_otel.scoring.monitor import HamiltonianMonitor
from cert_otel.scoring.monitor_types import AnyError

DOCS = Path(__file__).parents[2] / "docs"


class TestMonitor:
    def test_each_setting_is_there(self) -> None:
        """Each argument of the monitor has its row."""
        text = (DOCS / "monitor.md").read_text(encoding="utf-8")
        settings = text.partition("\n## Settings\n")[2].partition("\n## ")[0]
        names = set(inspect.signature(HamiltonianMonitor).parameters)

        rows = [line.split("|")[1] for line in settings.splitlines() if line.startswith("| `")]

        assert set(re.findall(r"`(\w+)`", " ".join(rows))) == names

    def test_each_error_is_there(self) -> None:
        """Each error has its row."""
        text = (DOCS / "monitor.md").read_text(encoding="utf-8")

        for error in get_args(AnyError):
            assert f"| `{error.__name__}` |" in text


@pytest.fixture
def _model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a model into the folder `model`, where the examples look for it."""
    build_network("qwen2").save_pretrained(tmp_path / "model")
    build_tokenizer().save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_model")
class TestBlocks:
    @pytest.mark.parametrize("name", ["phase-space.md", "gates.md", "monitor.md"])
    def test_print_what_they_say(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Each `print(…)  # …` prints its comment."""
        text = (DOCS / name).read_text(encoding="utf-8")
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            with stamina.set_testing(True, attempts=1):
                exec(block, {})  # noqa: S102 - our own documentation
            expected = re.findall(r"print\(.*\)  # (.*)", block)

            assert capsys.readouterr().out.splitlines() == expected
            assert expected
