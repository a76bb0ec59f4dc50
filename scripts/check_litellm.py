"""LiteLLM's price map as a second opinion on the table: what is the same, and what is not.

The map is taken out of LiteLLM's wheel, which pip downloads without installing it or what it
depends on. Every entry whose provider has a price list here is asked for by its own name, and the
rates of each tier are compared one by one. A disagreement is no error of either side: two people
read a page on two days. It is where to look when prices are doubted.

Example: python scripts/check_litellm.py --list > disagreements.txt
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import zipfile
from collections import Counter
from datetime import UTC, date, datetime
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from cert_otel.pricing import table_info
from cert_otel.pricing._files import find_provider
from cert_otel.pricing._find import find_priced
from cert_otel.pricing._litellm import read_litellm
from cert_otel.pricing._show import select_rows
from cert_otel.pricing._table import RATES, STANDARD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cert_otel.pricing._table import Model, Provider, Row

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / ".venv-litellm"
REQUIREMENT: Final = "litellm>=1.110,<2"
MAP: Final = "litellm/model_prices_and_context_window_backup.json"

Verdict = Literal["same", "other", "only here", "only there"]


class Compared(NamedTuple):
    """One rate of one model in both."""

    provider: str
    model: str
    """LiteLLM's name, without the provider."""
    tier: str
    above_tokens: int | None
    rate: str
    ours: float | None
    theirs: float | None

    @property
    def verdict(self) -> Verdict:
        """What became of it; to a thousandth, because one of the two may be rounded."""
        if self.ours is None:
            return "only there"
        if self.theirs is None:
            return "only here"
        return "same" if isclose(self.ours, self.theirs, rel_tol=1e-3) else "other"


def download_map() -> tuple[str, bytes]:
    """Download the wheel, unless it is there, and return its version and the map."""
    FOLDER.mkdir(exist_ok=True)
    if not list(FOLDER.glob("litellm-*.whl")):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", str(FOLDER), REQUIREMENT], check=True)
    wheel = max(FOLDER.glob("litellm-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        return f"litellm {wheel.name.split('-')[1]}", archive.read(MAP)


def compare(
    theirs: Mapping[str, Provider], at: date
) -> tuple[Counter[tuple[str, str]], list[Compared]]:
    """Compare everything that both have.

    Returns:
        Models by provider and by whether they are here, and each rate that one of the two has.
    """
    models: Counter[tuple[str, str]] = Counter()
    rates: list[Compared] = []
    for provider, listed in theirs.items():
        for model in listed.models:
            found = find_priced(provider, model.id)
            # A reseller's rows are those of the maker here; its tiers are its own.
            is_own = found is not None and found.provider == provider
            rows = {} if found is None else _list_rows(found.model, at, with_modes=is_own)
            models[provider, "both" if rows else "only there"] += 1
            if rows:
                rates.extend(_compare_rows(provider, model, rows, at))
    return models, rates


def _list_rows(model: Model, at: date, *, with_modes: bool) -> dict[tuple[str, int | None], Row]:
    """Return the rows that hold from midnight on, by tier and length."""
    tiers = {STANDARD: model.standard, **(model.modes if with_modes else {})}
    return {
        (tier, row.above_tokens): row
        for tier, rows in tiers.items()
        for row in select_rows(rows, at)
        if row.from_second == 0 and row.input is not None
    }


def _compare_rows(
    provider: str, model: Model, ours: Mapping[tuple[str, int | None], Row], at: date
) -> Iterator[Compared]:
    theirs = _list_rows(model, at, with_modes=True)
    for tier, above in ours.keys() & theirs.keys():
        mine, other = ours[tier, above], theirs[tier, above]
        for rate in RATES:
            pair = getattr(mine, rate), getattr(other, rate)
            if pair != (None, None):
                yield Compared(provider, model.id, tier, above, rate, *pair)


def print_summary(models: Counter[tuple[str, str]], rates: list[Compared]) -> None:
    """Print how many models and rates there are, and how they compare."""
    both = sum(count for (_, where), count in models.items() if where == "both")
    print(f"models: {both:,} in both, {models.total() - both:,} only there")
    agreeing = {(one.provider, one.model) for one in rates} - {
        (one.provider, one.model) for one in rates if one.verdict == "other"
    }
    print(f"of those in both, {len(agreeing):,} have no rate that is another\n")
    _print_counts("rate", Counter((one.rate, one.verdict) for one in rates))
    _print_counts("provider", Counter((one.provider, one.verdict) for one in rates))
    _print_counts("tier", Counter((one.tier, one.verdict) for one in rates))


def _print_counts(title: str, counts: Counter[tuple[str, Verdict]]) -> None:
    verdicts: tuple[Verdict, ...] = ("same", "other", "only here", "only there")
    print(f"{title:18}" + "".join(f"{verdict:>12}" for verdict in verdicts))
    for name in sorted({name for name, _ in counts}):
        print(f"{name:18}" + "".join(f"{counts[name, verdict]:12,}" for verdict in verdicts))
    totals = (sum(counts[name, v] for name in {n for n, _ in counts}) for v in verdicts)
    print(f"{'':18}" + "".join(f"{total:12,}" for total in totals) + "\n")


def main() -> None:
    """Compare and print; the exit code is 0 whatever was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", type=Path, help="a map to use instead of downloading one")
    parser.add_argument("--list", action="store_true", help="name every rate that is another")
    arguments = parser.parse_args()
    if arguments.map is None:
        source, content = download_map()
    else:
        source, content = arguments.map.name, arguments.map.read_bytes()
    theirs = read_litellm(msgspec.json.decode(content), Path(source))
    listed = {provider: of for provider, of in theirs.items() if find_provider(provider)}
    models, rates = compare(listed, datetime.now(UTC).date())
    print(f"{source} and {table_info().version}\n")
    print_summary(models, rates)
    if arguments.list:
        for one in rates:
            if one.verdict == "other":
                length = "" if one.above_tokens is None else f" above {one.above_tokens:,}"
                print(
                    f"{one.provider} {one.model} {one.tier}{length} {one.rate}: "
                    f"{one.ours:g} here, {one.theirs:g} there"
                )


if __name__ == "__main__":
    main()
