"""Other vendors' instrumentors installed beside ours: one call stays one call.

Example: python scripts/test_peers.py
"""

from __future__ import annotations

import argparse
import sys
from typing import Final

from _environments import TEST_TOOLS, make_environment, run_pytest

PEERS: Final = (
    "opentelemetry-instrumentation-genai-openai>=1.3b0,<2",
    "opentelemetry-instrumentation-openai>=0.62,<1",
    "openinference-instrumentation-openai>=0.1.66,<1",
    "opentelemetry-distro>=0.66b0,<1",
    "openai>=3.51,<4",
)


def main() -> int:
    """Make `.venv-peers`, run `tests/peers` in it, and return pytest's exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pytest", nargs="*", help="further arguments for pytest")
    arguments = parser.parse_args()
    programs = make_environment("peers", [*PEERS, *TEST_TOOLS])
    return run_pytest(programs, ["tests/peers", *arguments.pytest])


if __name__ == "__main__":
    sys.exit(main())
