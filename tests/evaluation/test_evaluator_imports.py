"""What evaluators load when they are imported, and what they say when an extra is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> str:
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return shown.stdout.strip()


class TestImports:
    @pytest.mark.parametrize(
        "module", ["exact", "grounding", "semantic", "nli", "p_supported", "trajectory", "judge"]
    )
    def test_load_no_torch(self, module: str) -> None:
        """An evaluator that is imported and not used loads neither torch nor what needs it."""
        code = (
            f"import sys, cert_otel.evaluation.{module};"
            "heavy = {'torch', 'transformers', 'sentence_transformers', 'scipy'};"
            "print(sorted(heavy & set(sys.modules)))"
        )

        assert run(code) == "[]"

    def test_exact_needs_no_extra(self) -> None:
        """It runs where nothing but the core is installed."""
        code = (
            "import sys; sys.modules.update(numpy=None, cachetools=None, httpx2=None);"
            "from cert_otel.evaluation.exact import ExactEvaluator as E; print(E().judge([]))"
        )

        assert run(code) == "[]"

    def test_nli_names_the_extra(self) -> None:
        """Without transformers the first batch says what to install."""
        code = (
            "import sys; sys.modules.update(torch=None)\n"
            "from cert_otel.evaluation.nli import NLIEvaluator as E\n"
            "try: E('a/b').judge([])\n"
            "except Exception as problem: print(problem)"
        )

        assert run(code).startswith("CERT_OTEL_NLI_MODEL: ")
        assert run(code).endswith("is not installed: pip install 'cert-otel[score]'")
