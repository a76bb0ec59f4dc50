"""Compile the prices of genai-prices into the table that cert-otel ships.

python scripts/compile_prices.py            # write the table
python scripts/compile_prices.py --check    # exit with 1 if it is not up to date
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import distribution
from typing import Any, Final

import msgspec
from genai_prices import types as source
from genai_prices.data import providers as source_providers

from cert_otel.pricing._files import SHIPPED
from cert_otel.pricing._genai_prices import compile_source
from cert_otel.pricing._install import render_table
from cert_otel.pricing._table import Table

LICENSE_PATH: Final = SHIPPED.with_name("LICENSE.genai-prices")
MARK: Final = "by scripts/compile_prices.py from genai-prices (MIT); do not edit"


def export(providers: list[source.Provider]) -> bytes:
    """Write the source's objects as the JSON that it publishes, and that this package reads."""
    return msgspec.json.encode([_to_json(provider) for provider in providers])


def _to_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    if isinstance(value, source.ModelPrice):
        return {name: _to_json(price) for name, price in vars(value).items() if price is not None}
    if dataclasses.is_dataclass(value):
        # `or_` and `and_` are keywords of Python, not of the source.
        return {
            field.name.rstrip("_"): _to_json(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.name != "extractors"
        }
    return float(value) if isinstance(value, Decimal) else value


def render(version: str, day: date, providers: list[source.Provider]) -> bytes:
    """Render the table; what nobody has decided on stops the compilation."""
    compiled, undecided = compile_source(export(providers))
    if undecided:
        sys.exit(f"decide in cert_otel.pricing._genai_prices what these are: {sorted(undecided)}")
    return render_table(compiled, source=f"genai-prices-{version}", day=day, generated=MARK)


def choose_date(version: str) -> date:
    """Return the date that the table has; a new version of the source is of today."""
    if SHIPPED.exists():
        table = msgspec.json.decode(SHIPPED.read_bytes(), type=Table)
        if table.version.startswith(f"genai-prices-{version}+"):
            return table.date
    return datetime.now(UTC).date()


def read_license() -> bytes:
    """Return the licence of genai-prices, which travels with its data."""
    text = distribution("genai-prices").read_text("licenses/LICENSE")
    if text is None:
        sys.exit("genai-prices has no licence file")
    return text.encode()


def main() -> None:
    """Write the table and the licence, or check that they are what would be written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 on a difference"
    )
    arguments = parser.parse_args()
    version = distribution("genai-prices").version
    table = render(version, choose_date(version), source_providers)
    for path, content in {SHIPPED: table, LICENSE_PATH: read_license()}.items():
        if arguments.check and path.read_bytes() != content:
            sys.exit(f"{path} is not up to date: run python scripts/compile_prices.py")
        if not arguments.check:
            path.write_bytes(content)
            print(f"{path.name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
