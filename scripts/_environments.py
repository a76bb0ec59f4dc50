"""Environments of their own for tests that need other packages than `.venv` has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).resolve().parent.parent
TEST_TOOLS: Final = (
    "pytest>=9,<10",
    "pytest-xdist>=3.8,<4",
    "hypothesis>=6.170,<7",
    "inline-snapshot>=0.36,<1",
    "dirty-equals>=0.11,<1",
)


def make_environment(name: str, requirements: Sequence[str]) -> Path:
    """Make `.venv-NAME` in the root, with the project and `requirements`.

    Args:
        name: Of the environment; one that is there with the same requirements is used again.
        requirements: As pip takes them.

    Returns:
        Its folder of programs.
    """
    return make_python(
        ROOT / f".venv-{name}", ["--editable", f"{ROOT}[analysis]", *requirements]
    ).parent


def make_python(folder: Path, requirements: Sequence[str]) -> Path:
    """Make an environment in `folder` with `requirements` alone, unless it is there.

    Returns:
        Its interpreter.
    """
    python = folder / "bin" / "python"
    stamp = folder / ".requirements"
    wanted = "\n".join(requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"{folder.name}: installing {', '.join(requirements)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)
        subprocess.run([*pip, *requirements], check=True)
        stamp.write_text(wanted)
    return python


def run_pytest(programs: Path, arguments: Sequence[str]) -> int:
    """Run pytest of an environment in the root and return its exit code."""
    command = [str(programs / "python"), "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode
