"""The kernel for CUDA: run by Triton's interpreter, and compiled, neither of which needs a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from cert_otel.scoring.folding import BLOCK, FLOOR
from cert_otel.scoring.fused import STEP, fold_rows

CASES = Path(__file__).with_name("interpreted.py")


class TestFused:
    @pytest.mark.parametrize("capability", [80, 90, 100])
    def test_compiles(
        self, capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There is machine code for A100, H100 and B200, with nothing spilled to memory."""
        monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
        constants: dict[str, Any] = {"BLOCK": BLOCK, "STEP": STEP, "FLOOR": FLOOR}
        pointers = list(fold_rows.arg_names[:-5])
        signature = {
            **dict.fromkeys(pointers, "*fp32"),
            "width": "i32",
            "blocks": "i32",
            **dict.fromkeys(constants, "constexpr"),
        }

        compiled = triton.compile(
            ASTSource(fn=fold_rows, signature=signature, constexprs=constants),
            target=GPUTarget("cuda", capability, 32),
            options={"num_warps": 8, "enable_fp_fusion": True},
        )

        assert compiled.asm["cubin"]
        assert ".local" not in compiled.asm["ptx"]

    def test_interpreted(self) -> None:
        """What interpreted.py asks of the kernel holds."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]

        run = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TRITON_INTERPRET": "1"},
        )

        assert run.returncode == 0, run.stdout
        assert " passed" in run.stdout
