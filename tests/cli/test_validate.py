"""`cert validate`: figures of evaluators on labelled answers."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.evaluation.conftest import MODULE, write_package

from cert_otel.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONTEXT = "Returns are free for 30 days ."
GOOD, BAD = "free for 30 days", "paid for 90 weeks"


def row(label: int = 1, **fields: Any) -> dict[str, Any]:
    """Build a row that an evaluator of words can tell apart."""
    defaults: dict[str, Any] = {
        "id": "r",
        "group": "g",
        "question": "For how long?",
        "context": CONTEXT,
        "answer": GOOD if label else BAD,
        "label": label,
    }
    return defaults | fields


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    write_package(tmp_path / "site", words="Words", breaks="Breaks")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield
    sys.modules.pop(MODULE, None)


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[..., Path]:
    """Write rows, or texts as they are, one a line."""

    def write(*rows: dict[str, Any] | str) -> Path:
        path = tmp_path / "labelled.jsonl"
        lines = (one if isinstance(one, str) else json.dumps(one) for one in rows)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def validate(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Validate the evaluator of words; return what is printed as JSON."""

    def run(path: Path, *words: str, by: str = "words", code: int = 0) -> dict[str, Any]:
        argv = ["validate", str(path), "--evaluators", by, *words, "--format", "json"]
        assert main(argv) == code
        printed: dict[str, Any] = json.loads(capsys.readouterr().out)
        return printed

    return run


class TestFigures:
    def test_tells_right_from_wrong(
        self, validate: Callable[..., dict[str, Any]], dataset: Callable[..., Path]
    ) -> None:
        """Every figure of a separable set, with who made it."""
        path = dataset(*(row(at % 2, group=f"g{at % 12}") for at in range(60)))
        figures = validate(path, "--threshold", "0.6")

        assert (figures["n"], figures["skipped"], figures["positives"]) == (60, 0, 30)
        assert (figures["auc"], figures["auc_high"], figures["accuracy"]) == (1, 1, 1)
        assert (figures["sensitivity"], figures["specificity"]) == (1, 1)
        assert 0.8 < figures["auc_low"] < 1
        # "for" is in the context: a quarter of each wrong answer, an eighth of all scores off.
        assert figures["ece"] == pytest.approx(0.125)
        assert figures["ece_null_low"] <= figures["ece_null_high"]
        assert [one["n"] for one in figures["reliability"]] == [30, 30]
        assert len(figures["groups"]) == 12
        assert (figures["evaluator"], figures["threshold"]) == ("cert-evaluate:words", 0.6)
        assert figures["revision"] == "mean; words 1; threshold 0.6"
        assert "None of them is evidence about" in figures["note"]

    def test_counts_what_has_no_score(
        self, validate: Callable[..., dict[str, Any]], dataset: Callable[..., Path]
    ) -> None:
        """Rows that cannot be judged are in no figure."""
        path = dataset(row(1), row(0), row(1, context=None), row(0, answer=" "))
        figures = validate(path)

        assert (figures["n"], figures["skipped"]) == (2, 2)
        assert figures["skip_reasons"] == {"no_context": 1, "empty_answer": 1}

    def test_an_error_needs_attention(
        self, validate: Callable[..., dict[str, Any]], dataset: Callable[..., Path]
    ) -> None:
        """The exit code is 1, and the type is named."""
        figures = validate(dataset(row(1), row(0, answer="break")), by="breaks", code=1)

        assert figures["errors"] == {"breaks: RuntimeError": 1}
        assert (figures["n"], figures["auc"]) == (1, None)

    @pytest.mark.parametrize(
        "context", [CONTEXT, [CONTEXT], ["Returns are free", {"text": "for 30 days", "id": "2"}]]
    )
    def test_a_context_is_a_text_or_several(
        self, context: Any, validate: Callable[..., dict[str, Any]], dataset: Callable[..., Path]
    ) -> None:
        """Passages count together."""
        figures = validate(dataset(row(1, context=context), row(0, context=context)))

        assert figures["auc"] == 1

    def test_without_groups_each_row_is_its_own(
        self, validate: Callable[..., dict[str, Any]], dataset: Callable[..., Path]
    ) -> None:
        """Only context, answer and label must be there."""
        bare = [{"context": CONTEXT, "answer": GOOD, "label": 1} for _ in range(3)]
        figures = validate(dataset(*bare, row(0, group=None)))

        assert (figures["n"], figures["groups"]) == (4, [])


class TestBadRows:
    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            (row(2), "label: must be 1 (borne out) or 0: Invalid enum value 2"),
            (row(True), "label: must be 1 (borne out) or 0: Expected `int`"),
            ({"context": CONTEXT, "label": 1}, "Object missing required field `answer`"),
            (row(answer=7), "answer: Expected `str`, got `int`"),
            (row(context=[7]), "context[0]: Expected `str | object`, got `int`"),
            ("[]", "Expected `object`, got `array`"),
            ("{", "Input data was truncated"),
        ],
    )
    def test_are_named_by_line_and_field(
        self,
        line: dict[str, Any] | str,
        problem: str,
        dataset: Callable[..., Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Nothing is measured: figures of the other rows would be of another dataset."""
        path = dataset(row(1), "", line)

        assert main(["validate", str(path), "--evaluators", "words"]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert f"{path}:3: {problem}" in printed.err

    @pytest.mark.parametrize(("rows", "problem"), [([], "holds no row"), ([" "], "holds no row")])
    def test_an_empty_file(
        self,
        rows: list[str],
        problem: str,
        dataset: Callable[..., Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Says what a row is."""
        assert main(["validate", str(dataset(*rows)), "--evaluators", "words"]) == 2
        assert f"{problem}; a row is a line" in capsys.readouterr().err

    def test_a_missing_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Likewise; a directory is none either."""
        assert main(["validate", str(tmp_path / "none.jsonl"), "--evaluators", "words"]) == 2
        assert "none.jsonl: no such file; name one with rows" in capsys.readouterr().err
        assert main(["validate", str(tmp_path), "--evaluators", "words"]) == 2
        assert "cannot be read: Is a directory" in capsys.readouterr().err


class TestTable:
    def test_shows_figures_and_what_they_are_not(
        self, dataset: Callable[..., Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """AUC, operating point, calibration, bins, groups, and whose figures these are."""
        path = dataset(*(row(at % 2, group=f"g{at % 12}") for at in range(60)))
        assert main(["validate", str(path), "--evaluators", "words"]) == 0

        shown = capsys.readouterr().out
        assert shown.startswith("rows         60, of 60 with a confidence 30 are borne out\n")
        assert "AUC          1.000 (95% interval 0." in shown
        assert "accuracy     1.000 (95% interval 0.940 to 1.000), at confidence 0.70" in shown
        assert "ECE          0.125; perfect calibration shows " in shown
        assert "0.2 to 0.3" in shown
        assert "2 more groups; --format json has all" in shown
        assert "None of them is evidence about the system whose answers are evaluated." in shown

    def test_one_label_has_no_auc(
        self, dataset: Callable[..., Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What the rows do not tell is a dash."""
        assert main(["validate", str(dataset(row(1), row(1))), "--evaluators", "words"]) == 0

        shown = capsys.readouterr().out
        assert "AUC          -, rows drawn" in shown
        assert "specificity  -, of what is not, fails" in shown
