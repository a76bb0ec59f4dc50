"""What the modules of scoring load when they are imported."""

from __future__ import annotations

import subprocess
import sys

import pytest


class TestImports:
    @pytest.mark.parametrize(
        "module", ["steps", "phase_space", "embedding", "calibration", "gates"]
    )
    def test_load_no_torch(self, module: str) -> None:
        """Without a model to run, neither torch nor anything built on it is loaded."""
        code = (
            f"import sys, cert_otel.scoring.{module};"
            "heavy = {'torch', 'transformers', 'sentence_transformers', 'scipy', 'opentelemetry'};"
            "print(sorted(heavy & set(sys.modules)))"
        )

        shown = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )

        assert shown.stdout == "[]\n"
