"""The virtual environments of benchmarks/overhead.py: made with plain pip, kept for the next run."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parent.parent
VENVS: Final = ROOT / "build" / "bench-venvs"

OPENTELEMETRY: Final = (
    "opentelemetry-sdk",
    "opentelemetry-instrumentation",
    "opentelemetry-exporter-otlp",
    "wrapt",
    "msgspec",
    "openai",
)
"""What cert-otel depends on, and the SDK: there to be imported, if anybody does."""
PEERS: Final = (
    "opentelemetry-instrumentation-genai-openai>=1.3b0",  # a pre-release bound: it has no others
    "opentelemetry-instrumentation-openai",
    "openinference-instrumentation-openai",
)


def make_venvs() -> None:
    """Make the environments that are missing, and install the project as it is now."""
    make_venv("bare", OPENTELEMETRY)
    for name, packages in {"ours": OPENTELEMETRY, "calls": (*OPENTELEMETRY, *PEERS)}.items():
        make_venv(name, packages)
        install(name, "--no-deps", "--force-reinstall", str(ROOT))


def make_venv(name: str, packages: Sequence[str]) -> None:
    """Make an environment with plain pip, unless it is there."""
    if (VENVS / name / "complete").exists():
        return
    say(f"making {VENVS / name}")
    venv.create(VENVS / name, with_pip=True, clear=True)
    install(name, "--upgrade", "pip")
    install(name, *packages)
    (VENVS / name / "complete").touch()


def install(name: str, *arguments: str) -> None:
    """Run pip in an environment."""
    command = [python_of(name), "-m", "pip", "install", "--quiet", *arguments]
    subprocess.run(command, check=True, stdout=sys.stderr)


def python_of(name: str) -> str:
    """Return the interpreter of an environment."""
    return str(VENVS / name / "bin" / "python")


def say(text: str) -> None:
    """Report progress, beside the result."""
    print(text, file=sys.stderr, flush=True)
