"""The demonstration where there is no collector: it builds one, or goes on without."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from answers import ANSWERS, WRONG_ANSWERS, read_wrong_answers
from chain import COLLECTOR, Programs, build_collector
from checks import check
from run import make_environment, run_application
from shown import describe

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MAKEFILE = """\
collector: {collector}
{collector}: source
\t{recipe}
"""


def make_project(folder: Path, *, recipe: str, has_go: bool = True) -> Path:
    """Return a repository whose collector is made by a recipe."""
    (folder / "scripts").mkdir()
    text = "" if has_go else "raise SystemExit('no Go')"
    (folder / "scripts" / "find_go.py").write_text(text, encoding="utf-8")
    (folder / "source").touch()
    (folder / COLLECTOR).parent.mkdir(parents=True)
    makefile = MAKEFILE.format(collector=COLLECTOR, recipe=recipe)
    (folder / "Makefile").write_text(makefile, encoding="utf-8")
    return folder


class TestBuild:
    def test_builds_it_once(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """It says that this takes its time; the next run has nothing to say."""
        project = make_project(tmp_path, recipe="touch $@")

        first = build_collector(tmp_path / "log", project)
        said = capsys.readouterr().out
        second = build_collector(tmp_path / "log", project)

        assert first == second == project / COLLECTOR
        assert "Building the collector, two minutes the first time" in said
        assert capsys.readouterr().out == ""

    def test_goes_on_without_go(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """One line says so."""
        project = make_project(tmp_path, recipe="touch $@", has_go=False)

        assert build_collector(tmp_path / "log", project) is None
        *_, said = capsys.readouterr().out.split("\n\n", 1)
        assert said == (
            "There is no Go 1.26 here, and none to be had from PyPI: "
            "the application sends straight to `cert serve`.\n\n"
        )

    def test_goes_on_where_it_cannot_be_built(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It shows how the build ended."""
        project = make_project(tmp_path, recipe="@echo no such module; false")

        assert build_collector(tmp_path / "log", project) is None
        said = capsys.readouterr().out
        assert "The collector cannot be built" in said
        assert "  | no such module\n" in said


class TestServiceAlone:
    def test_takes_the_application_and_tells_the_backend(self, tmp_path: Path) -> None:
        """The application sends straight to it, and it sends scores straight to the backend."""
        wrong = read_wrong_answers(WRONG_ANSWERS, ANSWERS)
        environment = make_environment(os.environ)

        outcome = run_application(tmp_path, Programs(None, None), environment, wrong)

        assert [text for text, holds in check(outcome, wrong) if not holds] == []
        assert (outcome.received, outcome.measured) == (None, None)
        assert "apt-get install prometheus" in "\n".join(describe(outcome, wrong))
