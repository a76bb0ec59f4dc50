"""The code in the documents of scoring runs and prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import stamina
from tests.scoring.reference import build_network, build_tokenizer

DOCS = Path(__file__).parents[2] / "docs"


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
