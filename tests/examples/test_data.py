"""The recorded answers that the demonstration replays."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

_HEAD = "model_name\tdata_source\tknowledge\tmessage\tresponse\tbegin_label\n"
_PASSAGE = "A cardigan is a type of knitted garment that has an open front, of wool or cotton."


@pytest.fixture
def rows(root: Path) -> list[dict[str, str]]:
    """Read the file that ships."""
    path = root / "examples" / "data" / "support_dialogues.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def make(load: Callable[[str], ModuleType], tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Run the script over rows of (model, passage, question, answer, label)."""
    script = load("scripts/make_demo_data.py")

    def run(*rows: tuple[str, str, str, str, str]) -> list[dict[str, Any]]:
        lines = ["\t".join((row[0], "wow", *row[1:])) + "\n" for row in rows]
        (tmp_path / "begin_dev_wow.tsv").write_text(_HEAD + "".join(lines), encoding="utf-8")
        (tmp_path / "begin_test_wow.tsv").write_text(_HEAD, encoding="utf-8")
        output = tmp_path / "out.jsonl"
        assert script.main([str(tmp_path), str(output)]) == 0
        return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]

    return run


class TestFile:
    def test_is_balanced_and_complete(self, rows: list[dict[str, str]]) -> None:
        """As many attributable answers as others, by four models, each question once."""
        labels = Counter(row["label"] for row in rows)

        assert labels == {"Fully attributable": 44, "Not fully attributable": 44}
        assert {row["answered_by"] for row in rows} == {"gpt2", "t5", "ctrl", "doha"}
        assert len({row["question"].lower() for row in rows}) == len(rows)
        assert len({row["id"] for row in rows}) == len(rows)
        assert all(row["context"] and row["answer"] for row in rows)

    def test_is_small_and_attributed(self, root: Path) -> None:
        """Under 200 kB in all, with notice, licence text and the changes that were made."""
        folder = root / "examples" / "data"
        readme = (folder / "README.md").read_text(encoding="utf-8")
        licence = (folder / "LICENSE-CC-BY-4.0.txt").read_text(encoding="utf-8")

        assert sum(path.stat().st_size for path in folder.iterdir()) < 200_000
        assert "Copyright (c) 2021 Facebook, Inc" in readme
        assert "Nouha Dziri, Hannah Rashkin, Tal Linzen, David Reitter" in readme
        assert "Changes made here" in readme
        assert licence.startswith("Attribution 4.0 International")
        assert "Section 8 -- Interpretation." in licence


class TestScript:
    def test_takes_questions_on_our_topics(self, make: Callable[..., list[dict[str, Any]]]) -> None:
        """Statements, other topics and short answers are left out."""
        question, answer = "what are cardigans made of?", "they are made of wool or cotton"
        label = "Fully attributable"
        lines = make(
            ("t5", _PASSAGE, question, answer, label),
            ("t5", _PASSAGE, "i like cardigans very much.", answer, label),
            ("t5", _PASSAGE, "what are they made of then?", "wool", label),
            (
                "t5",
                _PASSAGE.replace("cardigan", "novel").replace("knitted", "long"),
                question,
                answer,
                label,
            ),
            ("gpt2", _PASSAGE, question.upper(), answer, label),
        )

        assert len(lines) == 1
        assert lines[0]["context"] == _PASSAGE
        assert lines[0]["label"] == label
        assert lines[0]["source"] == "google/BEGIN-dataset wow/begin_dev_wow.tsv"

    def test_keeps_a_passage_from_dominating(
        self, make: Callable[..., list[dict[str, Any]]]
    ) -> None:
        """Four dialogues of one passage at most."""
        rows = [
            (
                "t5",
                _PASSAGE,
                f"what are cardigans made of, part {n}?",
                "they are made of wool, yes",
                "x",
            )
            for n in range(9)
        ]

        assert len(make(*rows)) == 4

    def test_gives_the_same_whatever_the_order(
        self, make: Callable[..., list[dict[str, Any]]]
    ) -> None:
        """The choice depends on the texts alone."""
        rows = [
            (
                "t5",
                _PASSAGE,
                f"what are cardigans made of, part {n}?",
                "they are made of wool, yes",
                "x",
            )
            for n in range(9)
        ]

        assert make(*rows) == make(*reversed(rows))

    def test_undoes_the_tokenisers_spaces(self, load: Callable[[str], ModuleType]) -> None:
        """Before punctuation and in contractions, nowhere else."""
        tidy = load("scripts/make_demo_data.py").tidy

        assert tidy(" I do n't know , but it 's 9-pin ! ") == "I don't know, but it's 9-pin!"
        assert tidy("ten-pin - 9 - pin") == "ten-pin - 9 - pin"

    @pytest.mark.parametrize("arguments", [[], ["a", "b", "c"]])
    def test_explains_itself(
        self,
        load: Callable[[str], ModuleType],
        capsys: pytest.CaptureFixture[str],
        arguments: list[str],
    ) -> None:
        """Called wrongly, it says how to call it."""
        assert load("scripts/make_demo_data.py").main(arguments) == 2
        assert "PATH_TO_BEGIN" in capsys.readouterr().err
