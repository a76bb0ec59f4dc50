"""The code in the document of evaluators runs, and what it lists is there."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from cert_otel.config import VARIABLES
from cert_otel.evaluation.prompts import load_prompt
from cert_otel.evaluation.sample import Sample, SampleEvaluator

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "evaluators.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


class TestBlocks:
    @pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
    def test_print_what_they_say(self, block: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Each `print(…)  # …` prints its comment."""
        exec(block, {"__name__": "docs"})  # noqa: S102 - our own documentation
        expected = re.findall(r"print\(.*\)  # (.*)", block)

        assert capsys.readouterr().out.splitlines() == expected
        assert expected


class TestYourOwn:
    @pytest.fixture
    def _module(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the example where Python finds it, as a package of its own would be."""
        (tmp_path / "acme_evaluators.py").write_text(BLOCKS[-1], encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))

    @pytest.mark.usefixtures("_module")
    def test_is_loaded_by_its_entry_point(self) -> None:
        """What the toml names is an evaluator after a call without arguments."""
        [block] = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
        [(group, named)] = tomllib.loads(block)["project"]["entry-points"].items()
        [(name, value)] = named.items()

        factory: Any = EntryPoint(name, value, group).load()
        evaluator = factory()

        assert group == "cert_otel_evaluator"
        assert isinstance(evaluator, SampleEvaluator)
        assert evaluator.name == name
        assert evaluator.judge([Sample(answer="No!")])[0].label == "fail"


class TestNames:
    def test_settings_are_there(self) -> None:
        """Each variable that the document names is read."""
        assert set(re.findall(r"CERT_OTEL_[A-Z_]+", TEXT)) <= set(VARIABLES)

    def test_prompts_are_there(self) -> None:
        """Each prompt that the document names can be loaded."""
        for name in re.findall(r"prompts/([a-z]+-\d+)", TEXT):
            assert load_prompt(name).user
