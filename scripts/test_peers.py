"""Software by others beside ours: instrumentors in one process with ours, agents and backends around the service.

Instrumentors are installed into `.venv-peers`; scripts/peer_programs.py has the others. A peer that
cannot be had is a failure.

    python scripts/test_peers.py                               # all
    python scripts/test_peers.py instrumentors jaeger          # these
    python scripts/test_peers.py rotel --pytest="-k refused"
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import peer_programs
import peer_versions
from _environments import ROOT, TEST_TOOLS, make_environment, run_pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

INSTRUMENTORS: Final = "instrumentors"


def test_instrumentors(arguments: Sequence[str]) -> int:
    """Make `.venv-peers`, run the tests in it, and return pytest's exit code."""
    programs = make_environment("peers", [*peer_versions.INSTRUMENTORS, *TEST_TOOLS])
    return run_pytest(programs, ["tests/peers/instrumentors", *arguments])


def test_programs(names: Sequence[str], arguments: Sequence[str]) -> int:
    """Install what is missing of these programs, run their tests, and return the exit code."""
    if peer_programs.install(names):
        return 1
    files = [f"tests/peers/service/test_{name}.py" for name in names]
    command = [sys.executable, "-m", "pytest", *files, *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main() -> int:
    """Run the tests of the peers that are named, or of all; 0 if all passed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = (INSTRUMENTORS, *peer_programs.PEERS)
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(known)}")
    parser.add_argument("--pytest", default="", help="further arguments for pytest, in one string")
    options = parser.parse_args()
    if unknown := set(options.peers) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    arguments = shlex.split(options.pytest)
    names = options.peers or known
    programs = [name for name in names if name != INSTRUMENTORS]
    codes = [test_instrumentors(arguments)] if INSTRUMENTORS in names else []
    if programs:
        codes.append(test_programs(programs, arguments))
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
