"""What evaluation loads when it is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest


class TestImports:
    @pytest.mark.parametrize(
        "statement",
        [
            "import cert_otel.evaluation",
            "from cert_otel.evaluation import Evaluator",
            "import cert_otel.evaluation.registry",
            "import cert_otel.evaluation.contexts",
        ],
    )
    def test_load_nothing_heavy(self, statement: str) -> None:
        """Models and numbers come with the evaluators that need them."""
        code = (
            f"import sys; {statement}\n"
            "heavy = {'torch', 'transformers', 'sentence_transformers', 'scipy', 'numpy', 'rich'}\n"
            "print(sorted(heavy & set(sys.modules)))"
        )

        shown = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )

        assert shown.stdout == "[]\n"

    def test_the_package_itself_is_empty(self) -> None:
        """`import cert_otel.evaluation` loads none of its modules."""
        code = (
            "import sys, cert_otel.evaluation\n"
            "print([name for name in sys.modules if name.startswith('cert_otel.evaluation.')])"
        )

        shown = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )

        assert shown.stdout == "[]\n"

    def test_an_unknown_name(self) -> None:
        """As of any module."""
        import cert_otel.evaluation as package  # noqa: PLC0415 - beside its only use

        with pytest.raises(AttributeError, match="has no attribute 'Judge'"):
            package.Judge  # noqa: B018 - asking is the test
