"""docs/cli.md describes the command line as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from cert_otel.analysis import By, CostSummary
from cert_otel.cli import main
from cert_otel.cli._app import app
from cert_otel.cli._evaluation_report import Report as EvaluationReport
from cert_otel.cli._journal_report import Coverage, ModelFigures
from cert_otel.cli._validation_report import Report as ValidationReport
from cert_otel.cli.models import Machine
from cert_otel.evaluation.statistics import Bin, GroupFigures
from cert_otel.evaluation.summary import Result
from cert_otel.scoring.catalogue import ModelEntry

DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
COMMANDS = [name for name in app if not name.startswith("-")]


def read_section(command: str) -> str:
    return DOCS.partition(f"\n## cert {command}\n")[2].partition("\n## ")[0]


class TestDocs:
    """Every command and option is explained."""

    @pytest.mark.parametrize("command", COMMANDS)
    def test_each_option_is_there(self, command: str) -> None:
        """Each option of each command stands in the section of its command."""
        section = read_section(command)
        options = {
            name
            for argument in app[command].assemble_argument_collection()
            for name in argument.names
        }

        assert {name for name in options if name.startswith("--")}
        for option in options:
            named = option in section if option.startswith("-") else option[:-1] in section
            assert named

    @pytest.mark.parametrize("command", COMMANDS)
    def test_each_command_has_an_example(self, command: str) -> None:
        """With what it prints."""
        assert f"$ cert {command}" in read_section(command)

    def test_no_option_is_invented(self, capsys: pytest.CaptureFixture[str]) -> None:
        """What is written `--so` in a section is an option of its command."""
        for command in COMMANDS:
            main([command, "--help"])
            known = set(re.findall(r"--[a-z]+", capsys.readouterr().out)) | {"--help", "--version"}

            assert set(re.findall(r"(?<![\w-])--[a-z]+", read_section(command))) <= known

    def test_each_key_of_the_json_is_there(self) -> None:
        """Each key that `cert costs --format json` prints is explained."""
        section = read_section("costs")

        for key in CostSummary.__annotations__:
            assert f"`{key}`" in section
        for by in get_args(By):
            assert f"`{by}`" in section

    def test_each_key_of_the_scores_is_there(self) -> None:
        """Each key that `cert score --format json` prints of a journal is explained."""
        section = read_section("score")

        for key in Coverage.__struct_fields__:
            assert f"`{key}`" in section
        for key in ModelFigures.__struct_fields__:
            assert re.search(rf"\b{key}\b", section)

    def test_each_key_of_the_evaluations_is_there(self) -> None:
        """Each key that `cert evaluate --format json` prints is explained."""
        section = read_section("evaluate")

        for key in (*EvaluationReport.__annotations__, *Result.__annotations__):
            assert f"`{key}`" in section

    def test_each_key_of_the_validation_is_there(self) -> None:
        """Each key that `cert validate --format json` prints is explained."""
        section = read_section("validate")
        keys = {
            key
            for struct in (ValidationReport, Bin, GroupFigures)
            for key in struct.__struct_fields__
        }

        for key in keys - {"sensitivity_high", "specificity_low", "specificity_high"}:
            assert re.search(rf"\b{key}\b", section)

    def test_the_code_prints_what_it_says(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Each `print(…)  # …` of evaluating from code, here and in the README."""
        readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
        for text in (read_section("evaluate"), readme):
            (block,) = re.findall(r"```python\n(from cert_otel.evaluation.*?)```", text, re.DOTALL)
            told = [line for line in block.splitlines() if "log_file" not in line]
            exec("\n".join(told), {})  # noqa: S102 - our own documentation

            expected = re.findall(r"print\(.*\)  # (.*)", block)
            assert expected
            assert capsys.readouterr().out.splitlines() == expected

    def test_each_key_of_the_models_is_there(self) -> None:
        """Each key that `cert models --format json` prints is explained."""
        section = read_section("models")

        for key in (*Machine.__struct_fields__, *ModelEntry.__struct_fields__):
            assert re.search(rf"\b{key}\b", section)
