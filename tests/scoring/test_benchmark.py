"""The benchmark measures what it says: all variants score the same texts alike."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "scoring.py"


class TestBenchmark:
    def test_tiny(self) -> None:
        """Every variant runs on a CPU, and none is fast by scoring something else."""
        options = ["--tiny", "--texts", "6", "--rounds", "1", "--shared", "0.5", "--threads", "1"]

        output = subprocess.check_output([sys.executable, SCRIPT, *options, "--format", "json"])

        exact, narrow = json.loads(output)
        assert {"ours", "one by one", "padded"} <= set(exact["variants"])
        for row in exact["variants"].values():
            assert row["mean_nll_difference"] < 1e-5
            assert row["tokens_s"] > 0
        assert narrow["to_first_dtype"]["mean_nll_difference"] < 0.01
