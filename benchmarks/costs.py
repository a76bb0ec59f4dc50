"""Time `cert costs` on a large journal against a plain loop over its lines with msgspec.

Both find the cost of each model; the loop folds nothing, joins nothing and counts no task. Each
turn runs in an interpreter of its own, the two in alternation; the figures are the fastest turn,
in seconds, imports apart. The journal is written to a temporary file first.

Example:
    python benchmarks/costs.py --records 1000000 --rounds 3 --format json
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import msgspec

from cert_otel.records import CostDetail, Record, Tokens, encode_line

if TYPE_CHECKING:
    from collections.abc import Iterator

START: Final = datetime(2026, 11, 1, tzinfo=UTC)
MODELS: Final = (
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-mini"),
    ("anthropic", "claude-sonnet-4-5"),
)
TASK_CALLS: Final = 2
UNPRICED_EVERY: Final = 100

ANALYZER: Final = """
import sys, time
from cert_otel.analysis import CostAnalyzer
begin, cpu = time.perf_counter(), time.process_time()
summary = CostAnalyzer(sys.argv[1]).summary()
answer = {row["model"]: row["cost"] for row in summary["by_model"]}
"""
LOOP: Final = """
import sys, time
from collections import Counter
import msgspec
from cert_otel.records import Record
decode = msgspec.json.Decoder(Record).decode
begin, cpu = time.perf_counter(), time.process_time()
answer = Counter()
with open(sys.argv[1], "rb") as journal:
    for line in journal:
        record = decode(line)
        if record.kind == "inference" and record.cost is not None:
            answer[record.model] += record.cost
answer = dict(answer)
"""
REPORT: Final = """
import json, resource
print(json.dumps({
    "wall_s": time.perf_counter() - begin,
    "cpu_s": time.process_time() - cpu,
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "answer": answer,
}))
"""


def make_records(count: int) -> Iterator[Record]:
    """Yield calls without content, two a task, one of a hundred unpriced."""
    chance = random.Random(1)  # noqa: S311 - reproducible, no secret
    for number in range(count):
        platform, model = chance.choice(MODELS)
        prompt, completion = chance.randint(10, 2_000), chance.randint(1, 500)
        parts = (prompt * 2.5e-6, completion * 1e-5)
        priced = number % UNPRICED_EVERY != 0
        yield Record(
            kind="inference",
            timestamp=START + timedelta(seconds=number),
            trace_id=f"{number // TASK_CALLS:032x}",
            span_id=f"{number:016x}",
            response_id=f"chatcmpl-{number:016x}",
            service="support",
            operation="chat",
            platform=platform,
            model=model,
            request_model=model,
            tokens=Tokens(prompt=prompt, completion=completion, cache_read=0),
            cost=sum(parts) if priced else None,
            currency="USD" if priced else None,
            cost_detail=CostDetail(input=parts[0], output=parts[1]) if priced else None,
            latency_ms=chance.uniform(100, 3_000),
            finish_reasons=["stop"],
        )


def write_journal(path: Path, count: int) -> None:
    """Write `count` records."""
    with path.open("wb") as journal:
        journal.writelines(map(encode_line, make_records(count)))


def time_once(program: str, journal: Path) -> dict[str, float]:
    """Run one side in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", program + REPORT, str(journal)],
        check=True,
        capture_output=True,
        text=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def measure(journal: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Time both sides in alternation and keep the fastest turn of each.

    Raises:
        SystemExit: When the two sides do not agree on what the calls cost.
    """
    programs = {"analyzer": ANALYZER, "loop": LOOP}
    fastest: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        turns = {side: time_once(program, journal) for side, program in programs.items()}
        ours, theirs = (turn.pop("answer") for turn in turns.values())
        if not agree(ours, theirs):
            raise SystemExit(f"the sides differ: {ours} and {theirs}")
        for side, turn in turns.items():
            fastest[side] = min(turn, fastest.get(side, turn), key=lambda one: one["wall_s"])
    return fastest


def agree(one: object, other: object) -> bool:
    """Whether both sides found the same costs, but for what adding floats in a row loses."""
    if not isinstance(one, dict) or not isinstance(other, dict) or one.keys() != other.keys():
        return False
    return all(abs(one[model] - other[model]) <= 1e-9 * other[model] for model in one)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1_000_000, help="lines (1000000)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (3)")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder, "production.jsonl")
        write_journal(journal, arguments.records)
        megabytes = journal.stat().st_size / 1e6
        fastest = measure(journal, arguments.rounds)
    report = {
        "records": arguments.records,
        "megabytes": round(megabytes),
        "sides": {
            side: {name: round(value, 2) for name, value in figures.items()}
            for side, figures in fastest.items()
        },
        "loop_over_analyzer": round(fastest["loop"]["wall_s"] / fastest["analyzer"]["wall_s"], 2),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "duckdb": duckdb.__version__,
        "msgspec": msgspec.__version__,
        "python": sys.version.split()[0],
    }
    if arguments.format == "json":
        print(json.dumps(report, indent=2))
    else:
        print("\n".join(f"{name}: {value}" for name, value in report.items()))


if __name__ == "__main__":
    main()
