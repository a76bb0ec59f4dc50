"""The names that the Go components spell are those of semconv.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from cert_otel import semconv

GO: Final = Path(__file__).parents[2] / "collector" / "certscoreprocessor"
CONSTANT: Final = re.compile(r'^\s+(\w+)\s+= "([^"]+)"$', re.MULTILINE)
CONSTANTS: Final = dict(CONSTANT.findall((GO / "scores.go").read_text(encoding="utf-8")))
ATTRIBUTES: Final = {name: value for name, value in CONSTANTS.items() if name.startswith("attr")}
QUOTED: Final = re.compile(r'"([a-zA-Z_.]+)"')


def read_known() -> set[str]:
    """Return every name that semconv.py has, those of other conventions included."""
    classes = [item for item in vars(semconv).values() if isinstance(item, type)]
    spaces = [vars(semconv), *(vars(item) for item in classes)]
    return {value for space in spaces for value in space.values() if isinstance(value, str)}


class TestGoNames:
    def test_attributes_are_found(self) -> None:
        """The scores of a span are a dozen attributes and more."""
        assert len(ATTRIBUTES) > 12

    @pytest.mark.parametrize("name", sorted(ATTRIBUTES))
    def test_attributes_are_those_of_semconv(self, name: str) -> None:
        """What certscore sets has a name in semconv.py."""
        assert ATTRIBUTES[name] in read_known()

    def test_evaluations_are_named_alike(self) -> None:
        """Prefix and suffixes put together are the names of semconv.py."""
        prefix = f"{CONSTANTS['evaluationPrefix']}grounding"

        assert prefix + CONSTANTS["scoreSuffix"] == semconv.name_evaluation_score("grounding")
        assert prefix + CONSTANTS["labelSuffix"] == semconv.name_evaluation_label("grounding")

    def test_marks_are_names_of_semconv(self) -> None:
        """What certscore looks for is a name that the readers know, or the beginning of some."""
        source = (GO / "marks.go").read_text(encoding="utf-8").partition("type mark")[2]
        marks = set(QUOTED.findall(source))

        unknown = {
            mark for mark in marks if not any(n.startswith(mark.rstrip(".")) for n in read_known())
        }

        assert unknown == set()
