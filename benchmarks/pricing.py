"""Time `price_call` against genai-prices on the same calls, interleaved in one run.

Both are warm: each has seen the model before. The figures are medians over rounds, in
microseconds a call; the first call is timed in fresh interpreters, import apart.

Example:
    python benchmarks/pricing.py --rounds 50 --format json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Final

import genai_prices

from cert_otel.pricing import price_call, table_info
from cert_otel.pricing._files import SHIPPED
from cert_otel.records import Usage

if TYPE_CHECKING:
    from collections.abc import Callable

AT: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
CALLS: Final = 200
"""In a row, before it is the other's turn: about 10 ms of genai-prices."""
FRESH: Final = 7
"""Fresh interpreters a side."""

MODELS: Final = (
    ("openai", "gpt-4o"),
    ("azure", "gpt-5"),
    ("anthropic", "claude-sonnet-4-5"),
    ("aws", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("google", "gemini-2.5-flash"),
    ("deepseek", "deepseek-chat"),
    ("groq", "openai/gpt-oss-120b"),
    ("mistral", "mistral-large-latest"),
)
USAGES: Final = {
    "plain": {"input_tokens": 1_200, "output_tokens": 50},
    "cached": {"input_tokens": 1_200, "output_tokens": 50, "cache_read_tokens": 1_024},
    "cache write": {
        "input_tokens": 10_000,
        "output_tokens": 500,
        "cache_read_tokens": 8_000,
        "cache_write_tokens": 1_000,
    },
    "web searches": {"input_tokens": 1_200, "output_tokens": 50, "web_searches": 3},
}

OURS: Final = """
import time
begin = time.perf_counter()
from cert_otel.pricing import price_call
from cert_otel.records import Usage
usage = Usage(input_tokens=1200, output_tokens=50)
imported = time.perf_counter()
price_call("openai", "gpt-4o", usage, at_unix_s=1.79e9)
print(imported - begin, time.perf_counter() - imported)
"""
THEIRS: Final = """
import time
begin = time.perf_counter()
import genai_prices
imported = time.perf_counter()
usage = genai_prices.Usage(input_tokens=1200, output_tokens=50)
genai_prices.calc_price(usage, "gpt-4o", provider_id="openai")
print(imported - begin, time.perf_counter() - imported)
"""


def time_calls(call: Callable[[], object]) -> float:
    """Return the microseconds of one call, from a row of them."""
    begin = time.perf_counter_ns()
    for _ in range(CALLS):
        call()
    return (time.perf_counter_ns() - begin) / CALLS / 1_000


def make_calls(
    provider: str, model: str, tokens: dict[str, int]
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Make the same call for both; everything but the pricing itself is made beforehand."""
    ours, theirs, at_unix_s = Usage(**tokens), genai_prices.Usage(**tokens), AT.timestamp()
    return (
        lambda: price_call(provider, model, ours, at_unix_s=at_unix_s),
        lambda: genai_prices.calc_price(
            theirs, model, provider_id=provider, genai_request_timestamp=AT
        ),
    )


def measure_warm(rounds: int) -> list[dict[str, str | float]]:
    """Time each model and usage, taking turns."""
    rows: list[dict[str, str | float]] = []
    for provider, model in MODELS:
        for name, tokens in USAGES.items():
            ours, theirs = make_calls(provider, model, tokens)
            ours(), theirs()
            times = [(time_calls(ours), time_calls(theirs)) for _ in range(rounds)]
            ours_us, theirs_us = (median(side) for side in zip(*times, strict=True))
            rows.append(
                {
                    "model": f"{provider}/{model}",
                    "usage": name,
                    "ours_us": round(ours_us, 3),
                    "genai_prices_us": round(theirs_us, 2),
                    "ratio": round(theirs_us / ours_us, 1),
                }
            )
    return rows


def measure_first(code: str) -> dict[str, float]:
    """Time the import and the first call in fresh interpreters, in milliseconds."""
    runs = [
        [
            float(seconds)
            for seconds in subprocess.check_output([sys.executable, "-c", code]).split()
        ]
        for _ in range(FRESH)
    ]
    imported, first = (median(side) * 1_000 for side in zip(*runs, strict=True))
    return {"import_ms": round(imported, 1), "first_call_ms": round(first, 2)}


def summarise(warm: list[dict[str, str | float]]) -> dict[str, float]:
    """Take the medians over models and usages."""
    return {
        key: round(median(float(row[key]) for row in warm), 2)
        for key in ("ours_us", "genai_prices_us", "ratio")
    }


def print_text(report: dict[str, object], warm: list[dict[str, str | float]]) -> None:
    """Print the report as a table."""
    print(f"{'model':55} {'usage':12} {'ours':>8} {'genai-prices':>13} {'ratio':>7}")
    for row in warm:
        print(
            f"{row['model']:55} {row['usage']:12} {row['ours_us']:8} "
            f"{row['genai_prices_us']:13} {row['ratio']:7}"
        )
    for key, value in report.items():
        if key != "warm":
            print(f"{key}: {value}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30, help="turns of each side (30)")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    arguments = parser.parse_args()
    warm = measure_warm(arguments.rounds)
    report = {
        "median": summarise(warm),
        "fresh": {"ours": measure_first(OURS), "genai_prices": measure_first(THEIRS)},
        "table": {"bytes": SHIPPED.stat().st_size, "version": table_info().version},
        "python": sys.version.split()[0],
        "warm": warm,
    }
    if arguments.format == "json":
        print(json.dumps(report, indent=2))
    else:
        print_text(report, warm)


if __name__ == "__main__":
    main()
