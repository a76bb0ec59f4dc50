"""docs/evaluation-grounding.md names every figure, and its code prints what it says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from cert_otel.evaluation.grounding import GroundingFeatures

TEXT = (Path(__file__).parents[3] / "docs" / "evaluation-grounding.md").read_text("utf-8")


class TestPage:
    def test_each_figure_is_there(self) -> None:
        """The table names the figures that there are, and no other."""
        rows = [line.split("|")[1] for line in TEXT.splitlines() if line.startswith("| `")]

        assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(
            GroundingFeatures.__struct_fields__
        )

    def test_the_code_prints_what_it_says(self) -> None:
        """The block runs, and its last comments are its output."""
        (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
        expected = re.findall(r"^# (.*)$", code, re.MULTILINE)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, "evaluation-grounding.md", "exec"), {})  # noqa: S102 - our own page

        assert output.getvalue().splitlines() == expected
