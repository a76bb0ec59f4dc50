"""Build the wheel whose readers of spans are compiled, test it and measure it.

Needs a C compiler. What is tested is what is installed: the tests of `wire/` and `journal/` run
in an environment that has the wheel and not the source.

Example:
    python scripts/test_compiled.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from _environments import ROOT, TEST_TOOLS, make_python, run_pytest

if TYPE_CHECKING:
    from pathlib import Path

WHEELS: Final = ROOT / "build" / "wheels"
REQUIREMENTS: Final = (
    "hatchling>=1.27,<2",
    f"{ROOT}[analysis]",
    "jsonschema>=4.25,<5",
    "openai>=3.51,<4",
    *TEST_TOOLS,
)
"""The project itself for what it depends on; the wheel then takes its place."""


def build_wheel(python: Path) -> Path:
    """Build the compiled wheel and return it."""
    for old in WHEELS.glob("*.whl"):
        old.unlink()
    subprocess.run(
        [python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", WHEELS, ROOT],
        check=True,
        env={**os.environ, "HATCH_BUILD_HOOK_ENABLE_CUSTOM": "true"},
    )
    (wheel,) = WHEELS.glob("*.whl")
    if wheel.name.endswith("-any.whl"):
        sys.exit(f"{wheel.name} is pure Python: nothing was compiled")
    return wheel


def main() -> None:
    """Build, install, test, measure."""
    python = make_python(ROOT / ".venv-compiled", REQUIREMENTS)
    wheel = build_wheel(python)
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB", flush=True)
    options = ("--quiet", "--no-deps", "--force-reinstall")
    subprocess.run([str(python), "-m", "pip", "install", *options, str(wheel)], check=True)
    code = run_pytest(python.parent, ["-q", "-n", "2", "tests/wire", "tests/journal"])
    if code:
        sys.exit(code)
    subprocess.run([python, ROOT / "benchmarks" / "wire.py"], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
