"""The code in the documents of scoring runs and prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


class TestBlocks:
    @pytest.mark.parametrize("name", ["phase-space.md", "gates.md"])
    def test_print_what_they_say(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Each `print(…)  # …` prints its comment."""
        text = (DOCS / name).read_text(encoding="utf-8")
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            exec(block, {})  # noqa: S102 - our own documentation
            expected = re.findall(r"print\(.*\)  # (.*)", block)

            assert capsys.readouterr().out.splitlines() == expected
            assert expected
