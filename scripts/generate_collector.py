"""Run mdatagen over the collector's components, and write or compare what it makes.

python scripts/generate_collector.py            # write
python scripts/generate_collector.py --check    # exit with 1 if a file is not up to date

`make collector` builds mdatagen. It writes beside metadata.yaml, so that is copied for a check.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

COLLECTOR: Final = Path(__file__).parents[1] / "collector"
MDATAGEN: Final = COLLECTOR / "build" / "tools" / "mdatagen"
COMPONENTS: Final = ("certscoreprocessor", "certjsonlexporter")


def generate(module: Path) -> None:
    """Write the generated files of each component of a module."""
    for component in COMPONENTS:
        subprocess.run([MDATAGEN, "metadata.yaml"], cwd=module / component, check=True)


def find_differences(module: Path) -> list[Path]:
    """Return the files of the components that are not as in another copy of the module."""
    paths = {
        path.relative_to(root)
        for root in (COLLECTOR, module)
        for component in COMPONENTS
        for path in (root / component).rglob("*")
        if path.is_file() and "testdata" not in path.parts
    }
    return sorted(path for path in paths if _read(COLLECTOR / path) != _read(module / path))


def check() -> None:
    """Exit with 1 if generating again would change a file."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "collector"
        shutil.copytree(COLLECTOR, copy, ignore=shutil.ignore_patterns("build", "testdata"))
        for component in COMPONENTS:
            for path in (copy / component).rglob("generated_*"):
                path.unlink()
        generate(copy)
        if stale := find_differences(copy):
            names = ", ".join(map(str, stale))
            sys.exit(f"not up to date: {names}; run python scripts/generate_collector.py")


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def main() -> None:
    """Write or compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    if parser.parse_args().check:
        check()
    else:
        generate(COLLECTOR)


if __name__ == "__main__":
    main()
