"""The transparency tests with the oldest, two middle and the newest versions of openai.

Example: python scripts/test_sdks.py --versions 1.40.8 3.52.0
"""

from __future__ import annotations

import argparse
import sys
from typing import Final

from _environments import TEST_TOOLS, make_environment, run_pytest

VERSIONS: Final = ("1.40.8", "1.109.1", "2.54.0", "3.52.0")
_OLD_HTTPX: Final = "httpx<0.28"
"""openai before 1.55.3 passes `proxies`, which httpx 0.28 no longer takes."""
_OLD: Final = ("1.40",)


def main() -> int:
    """Run the tests for each version; return 0 when all pass."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--versions", nargs="+", default=VERSIONS, metavar="VERSION")
    arguments = parser.parse_args()
    failed = [version for version in arguments.versions if _test(version) != 0]
    for version in arguments.versions:
        print(f"openai {version}: {'failed' if version in failed else 'passed'}")
    return 1 if failed else 0


def _test(version: str) -> int:
    requirements = [f"openai=={version}", "httpx2>=2,<3", *TEST_TOOLS]
    if version.startswith(_OLD):
        requirements.append(_OLD_HTTPX)
    print(f"openai {version}", flush=True)
    programs = make_environment(f"openai-{version}", requirements)
    return run_pytest(programs, ["tests/transparency", "--numprocesses", "2", "--quiet"])


if __name__ == "__main__":
    sys.exit(main())
