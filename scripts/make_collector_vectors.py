"""Write collector/testdata/from_wire.jsonl: records of every golden peer, as `wire` writes them.

python scripts/make_collector_vectors.py            # write
python scripts/make_collector_vectors.py --check    # exit with 1 if it is not up to date

certjsonl's tests read the file and hold what they write to from_certjsonl.jsonl beside it
(UPDATE_VECTORS=1 go test ./certjsonlexporter writes that one), which `wire` reads in turn.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from cert_otel.wire.otlp_json import read_line
from cert_otel.wire.otlp_write import encode_line
from cert_otel.wire.reading import read_batch

ROOT: Final = Path(__file__).parents[1]
PATH: Final = ROOT / "collector" / "testdata" / "from_wire.jsonl"


def render() -> bytes:
    """Return the lines, one for each record."""
    files = sorted((ROOT / "tests" / "wire" / "golden").glob("*/spans.jsonl"))
    lines = (line for path in files for line in path.read_bytes().splitlines()[:3])
    records = (record for line in lines for record in read_batch(read_line(line)).records)
    return b"".join(encode_line(record).rstrip(b"\n") + b"\n" for record in records)


def main() -> None:
    """Write or check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    if not parser.parse_args().check:
        PATH.write_bytes(render())
    elif PATH.read_bytes() != render():
        sys.exit(f"{PATH} is not up to date: run python scripts/make_collector_vectors.py")


if __name__ == "__main__":
    main()
