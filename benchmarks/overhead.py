"""What instrumentation adds to an application: per call, per chunk, at start-up, in memory.

Calls of the openai SDK are timed with cert-otel, with three other instrumentors in their newest
versions, with one bare span of the SDK around each request, which is the least that an
instrumentor can take, and with none; the transport answers in the same process, so the SDK is all there is.
Content is off for all. cert-otel prices each call and computes its perplexity, the others do
neither. Each round starts a process per variant; these take turns, in another order each time,
and each turn begins with as many calls that do not count: other processes had the caches.
Of a round each variant's best turn counts, since what disturbs only ever adds, as difference to
that of the uninstrumented process; of all rounds, the median, shown with the quartiles.

What a call adds is what the thread that calls waits for. The export of its span comes later, for many
at once, in a thread of the SDK: with it the second figure is. cert-otel works out there what a
call cost; the exporter looks at each span's attributes, as every exporter does.

Start-up is `opentelemetry-instrument python -c pass` in an environment with OpenTelemetry and
without cert-otel, against the same with it. Environments are made in build/bench-venvs.

Example:
    python benchmarks/overhead.py --rounds 12 --format json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from _overhead_venvs import PEERS, make_venvs, python_of, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CALLER: Final = Path(__file__).with_name("_overhead_calls.py")

BASE: Final = "none"
YARDSTICK: Final = "genai-openai"
LIMIT: Final = "bare-span"
VARIANTS: Final = (BASE, LIMIT, "cert-otel", YARDSTICK, "openllmetry", "openinference")
CONTENT_OFF: Final = {
    "TRACELOOP_TRACE_CONTENT": "false",
    "OPENINFERENCE_HIDE_INPUTS": "true",
    "OPENINFERENCE_HIDE_OUTPUTS": "true",
}
CHUNKS: Final = 53
COUNTS: Final = {"chat": 40, "stream": 6}
"""Calls in a row, before it is the next process's turn: about 30 ms."""
TURNS: Final = 12
"""Of each process in a round."""

ELSEWHERE: Final = {"OTEL_PYTHON_DISTRO": "none", "OTEL_PYTHON_CONFIGURATOR": "none"}
QUIET: Final = {"CERT_OTEL_QUIET": "true"}
PROBE: Final = """
import sys
with open("/proc/self/status") as status:
    rss = next(line for line in status if line.startswith("VmRSS"))
print(rss.split()[1], "openai" in sys.modules)
"""


class Start(NamedTuple):
    """One way to start a process."""

    venv: str
    environ: Mapping[str, str]


STARTS: Final = {
    BASE: Start("bare", {}),
    "instrumentors": Start("ours", {**ELSEWHERE, **QUIET}),
    "package": Start("ours", QUIET),
}


class Spread(NamedTuple):
    """A median and its quartiles."""

    median: float
    low: float
    high: float


class Times(NamedTuple):
    """What one turn took, microseconds a call."""

    cpu: float
    wall: float
    exported: float
    """CPU with the export of the spans, which a thread of the SDK does for many at once."""


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    make_venvs()
    rounds = 3 if arguments.quick else arguments.rounds
    report = {
        "calls": measure_calls(rounds),
        "start": measure_starts(5 if arguments.quick else 3 * rounds),
        "versions": read_versions(),
    }
    if arguments.format == "json":
        print(json.dumps(report, indent=2))
    else:
        print_report(report)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10, help="processes of each variant (10)")
    parser.add_argument("--quick", action="store_true", help="three rounds: a first impression")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    return parser.parse_args()


class Caller:
    """One process that calls the SDK when it is told to."""

    def __init__(self, variant: str, *, with_metrics: bool) -> None:
        mode = "metrics" if with_metrics else "plain"
        self._process = subprocess.Popen(
            [python_of("calls"), str(CALLER), variant, mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**clean_environ(), **CONTENT_OFF},
            text=True,
        )

    def wait(self) -> None:
        """Wait until it has warmed up."""
        if self._read() != "ready":
            raise RuntimeError("a caller did not start: its error is above")

    def time(self, kind: str) -> Times:
        """Have it make some calls in a row."""
        count = COUNTS[kind]
        pipe = self._process.stdin
        assert pipe is not None  # noqa: S101 - it was asked for
        pipe.write(f"{kind} {count}\n")
        pipe.flush()
        return Times(*(int(ns) / count / 1_000 for ns in self._read().split()))

    def stop(self) -> None:
        """End it."""
        self._process.communicate(timeout=60)

    def _read(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        return self._process.stdout.readline().strip()


def measure_calls(rounds: int) -> dict[str, Any]:
    """Time chats and streams, each variant with and without a meter provider."""
    samples: dict[str, list[dict[str, Times]]] = {kind: [] for kind in COUNTS}
    for number in range(rounds):
        say(f"calls: round {number + 1} of {rounds}")
        for kind, turns in measure_round(number).items():
            samples[kind].append({name: find_best(turns, name) for name in turns[0]})
    return {
        "chat": summarise(samples["chat"], 1),
        "chunk": summarise(samples["stream"], CHUNKS),
    }


def measure_round(number: int) -> dict[str, list[dict[str, Times]]]:
    """Start a process of each variant and have them take turns, each time in another order."""
    callers = {
        f"{variant}{'+metrics' if with_metrics else ''}": Caller(variant, with_metrics=with_metrics)
        for variant in VARIANTS
        for with_metrics in (False, True)
        if variant != BASE or not with_metrics
    }
    try:
        for caller in callers.values():
            caller.wait()
        return {
            kind: [
                {name: callers[name].time(kind) for name in rotate(list(callers), number + turn)}
                for turn in range(TURNS)
            ]
            for kind in COUNTS
        }
    finally:
        for caller in callers.values():
            caller.stop()


def find_best(turns: Sequence[Mapping[str, Times]], name: str) -> Times:
    """Return the least that a variant took in any turn."""
    return Times(*map(min, zip(*(turn[name] for turn in turns), strict=True)))


def rotate(names: Sequence[str], by: int) -> list[str]:
    """Return the names in order, begun somewhere else."""
    return list(islice(cycle(names), by % len(names), by % len(names) + len(names)))


def summarise(rounds: Sequence[Mapping[str, Times]], parts: int) -> dict[str, Any]:
    """Pair each variant with the uninstrumented process of the same round.

    Args:
        rounds: What each variant took.
        parts: Of one call, of which each is to be charged with its share.
    """
    rows: dict[str, Any] = {"base_us": round(median(one[BASE].cpu for one in rounds) / parts, 1)}
    for name in rounds[0]:
        if name != BASE:
            rows[name] = {
                "cpu_us": spread([(one[name].cpu - one[BASE].cpu) / parts for one in rounds]),
                "wall_us": spread([(one[name].wall - one[BASE].wall) / parts for one in rounds]),
                "exported_us": spread(
                    [(one[name].exported - one[BASE].exported) / parts for one in rounds]
                ),
            }
    for suffix in ("", "+metrics"):
        for name in (f"{variant}{suffix}" for variant in VARIANTS if variant != BASE):
            yardstick = rows[YARDSTICK + suffix]
            for figure, ratio in (("cpu_us", "ratio"), ("exported_us", "exported_ratio")):
                rows[name][ratio] = round(rows[name][figure].median / yardstick[figure].median, 2)
    return rows


def spread(values: Sequence[float]) -> Spread:
    """Return median and quartiles."""
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return Spread(round(middle, 1), round(low, 1), round(high, 1))


def measure_starts(rounds: int) -> dict[str, Any]:
    """Start a process that does nothing, in each way, taking turns."""
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in STARTS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for name in rotate(list(STARTS), number):
                sample = measure_start(STARTS[name], folder)
                if number:  # the first one compiles and fills the caches
                    samples[name].append(sample)
    return {name: summarise_starts(taken, samples[BASE]) for name, taken in samples.items()}


def measure_start(start: Start, folder: str) -> dict[str, float]:
    """Start one process and wait for its end."""
    python = python_of(start.venv)
    command = [f"{python.removesuffix('python')}opentelemetry-instrument", python, "-c"]
    environ = {**clean_environ(), **start.environ}
    probe = subprocess.run(
        [*command, PROBE], cwd=folder, env=environ, check=True, capture_output=True, text=True
    )
    rss_kb, has_openai = probe.stdout.split()
    begin = time.perf_counter()
    process = subprocess.Popen([*command, "pass"], cwd=folder, env=environ)
    _, _, used = os.wait4(process.pid, 0)
    return {
        "wall_ms": (time.perf_counter() - begin) * 1_000,
        "cpu_ms": (used.ru_utime + used.ru_stime) * 1_000,
        "rss_mb": int(rss_kb) / 1_000,
        "imports_openai": has_openai == "True",
    }


def summarise_starts(
    samples: Sequence[Mapping[str, float]], base: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    """Pair each start with the bare one of the same turn."""
    rows: dict[str, Any] = {"imports_openai": any(sample["imports_openai"] for sample in samples)}
    for figure in ("wall_ms", "cpu_ms", "rss_mb"):
        added = [own[figure] - bare[figure] for own, bare in zip(samples, base, strict=True)]
        rows[figure] = round(median(sample[figure] for sample in samples), 1)
        rows[f"added_{figure}"] = spread(added)
    return rows


def clean_environ() -> dict[str, str]:
    """Return the environment without anybody's settings."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def read_versions() -> dict[str, str]:
    """Return what was measured."""
    command = [python_of("calls"), "-m", "pip", "list", "--format=json"]
    listed = json.loads(subprocess.check_output(command))
    wanted = ("openai", "cert-otel", "opentelemetry-sdk", *(p.split(">")[0] for p in PEERS))
    known = {package["name"]: package["version"] for package in listed}
    return {"python": sys.version.split()[0], **{name: known[name] for name in wanted}}


def print_report(report: Mapping[str, Any]) -> None:
    """Print tables."""
    for kind, title in (("chat", "a chat call"), ("chunk", f"a chunk of a {CHUNKS}-chunk stream")):
        rows = report["calls"][kind]
        print(
            f"\nadded to {title} of {rows['base_us']} µs: median [quartiles], CPU; wall;"
            f" x {YARDSTICK}; CPU with export; x {YARDSTICK}"
        )
        for name, row in rows.items():
            if name != "base_us":
                print(
                    f"  {name:24} {show(row['cpu_us'], 'µs'):30} {row['wall_us'].median:8} µs"
                    f" {row['ratio']:6} x  {row['exported_us'].median:8} µs"
                    f" {row['exported_ratio']:6} x"
                )
    print("\nadded to `opentelemetry-instrument python -c pass`: wall; CPU; resident memory")
    for name, row in report["start"].items():
        if name != BASE:
            print(
                f"  {name:24} {show(row['added_wall_ms'], 'ms'):30}"
                f" {show(row['added_cpu_ms'], 'ms'):30} {row['added_rss_mb'].median} MB"
                f"   imports openai: {row['imports_openai']}"
            )
    bare = report["start"][BASE]
    print(f"  (bare: {bare['wall_ms']} ms, {bare['cpu_ms']} ms, {bare['rss_mb']} MB)")
    print("\n" + ", ".join(f"{name} {version}" for name, version in report["versions"].items()))


def show(figures: Spread, unit: str) -> str:
    """Format a median with its quartiles."""
    return f"{figures.median:7} {unit} [{figures.low} … {figures.high}]"


if __name__ == "__main__":
    main()
