"""Eight processes append to one journal: records a second, lines torn, records missing.

Four writers take turns in the same processes, each from what it would be given:

- `writer`: records through `cert_otel.journal.JSONLWriter`, a batch at a time;
- `exporter`: spans through `cert_otel.journal.JSONLSpanExporter`, a batch at a time;
- `naive`: dicts, each with `open(path, "a")` and `json.dumps`;
- `otlp-file`: spans through OpenTelemetry's own file exporter, where
  opentelemetry-exporter-otlp-json-file is installed.

After each turn the file is read back: every line must be whole and every record there. The
figures are medians over rounds; `CPU us` is what one record cost, whatever else ran.

Example:
    python benchmarks/jsonl.py --processes 8 --rounds 7 --format json
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import multiprocessing
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from cert_otel import semconv
from cert_otel.journal import JSONLSpanExporter, JSONLWriter
from cert_otel.records import encode_line
from cert_otel.wire.spans import record_from_span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

    from opentelemetry.util.types import AnyValue

START_NS: Final = 1_795_000_000_000_000_000
QUESTION: Final = "Can I send back the shoes that I ordered on Monday, and who pays for the parcel?"
ANSWER: Final = (
    "Yes. Shoes can be sent back within 30 days of delivery as long as they were worn indoors "
    "only. Print the label from your account, put it on the original box and drop the parcel at "
    "any post office: we pay for it, and the money is back within a week."
)
"""With the question, 322 characters."""
CHAT: Final[dict[str, AnyValue]] = {
    semconv.OPERATION_NAME: "chat",
    semconv.PROVIDER_NAME: "openai",
    semconv.REQUEST_MODEL: "gpt-4o",
    semconv.RESPONSE_MODEL: "gpt-4o-2024-08-06",
    semconv.USAGE_INPUT_TOKENS: 120,
    semconv.USAGE_OUTPUT_TOKENS: 61,
    semconv.COST_AMOUNT: 0.00091,
    semconv.COST_CURRENCY: "USD",
    semconv.COST_SOURCE: "table",
    semconv.COST_INPUT: 0.0003,
    semconv.COST_OUTPUT: 0.00061,
    semconv.COST_PRICING_VERSION: "2026-11-20",
    semconv.RESPONSE_FINISH_REASONS: ("stop",),
    semconv.REQUEST_TEMPERATURE: 0.2,
    semconv.SERVER_ADDRESS: "api.openai.com",
    semconv.SERVER_PORT: 443,
    semconv.INPUT_MESSAGES: json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": QUESTION}]}]
    ),
    semconv.OUTPUT_MESSAGES: json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": ANSWER}]}]
    ),
}


class Turn(NamedTuple):
    """What one process was told to do."""

    variant: str
    path: str


class Worker(NamedTuple):
    """A process that waits for turns."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection


def make_spans(worker: int, count: int) -> list[ReadableSpan]:
    """Make finished spans with ids of their own: worker and number."""
    attributes = BoundedAttributes(attributes=CHAT)
    resource = Resource({"service.name": "customer-support", "service.version": "2.1"})
    return [
        ReadableSpan(
            "chat gpt-4o",
            context=SpanContext(worker + 1, number + 1, is_remote=False, trace_flags=TraceFlags(1)),
            resource=resource,
            attributes=attributes,
            start_time=START_NS + number,
            end_time=START_NS + number + 812_345_678,
        )
        for number in range(count)
    ]


def write_naively(path: str) -> Callable[[Sequence[Any]], None]:
    """Open, dump and close for each record, as scripts do."""

    def append(batch: Sequence[Any]) -> None:
        for record in batch:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    return append


def write_records(path: str) -> Callable[[Sequence[Any]], None]:
    """Encode and append, a batch in one write."""
    writer = JSONLWriter(path)

    def append(batch: Sequence[Any]) -> None:
        if writer.append([encode_line(record) for record in batch]).lost:
            sys.exit("records were lost")

    return append


def export_spans(path: str) -> Callable[[Sequence[Any]], None]:
    """Convert, encode and append, as behind the SDK's batch processor."""
    exporter = JSONLSpanExporter(path)
    return lambda batch: None if exporter.export(batch).name == "SUCCESS" else sys.exit("lost")


def export_otlp(path: str) -> Callable[[Sequence[Any]], None]:
    """Write OTLP JSON with OpenTelemetry's own exporter, a batch a line."""
    exporter = find_otlp_exporter()(path=path)
    return lambda batch: None if exporter.export(batch).name == "SUCCESS" else sys.exit("lost")


def find_otlp_exporter() -> Any:
    """Return the class, or None where the package is not installed."""
    with suppress(ImportError):
        return importlib.import_module("opentelemetry.exporter.otlp.json.file").FileSpanExporter
    return None


def prepare(worker: int, count: int) -> dict[str, tuple[Callable[[str], Any], Sequence[Any]]]:
    """Make what each variant is given, so that only writing is timed."""
    spans = make_spans(worker, count)
    records = [record for span in spans if (record := record_from_span(span)) is not None]
    return {
        "writer": (write_records, records),
        "exporter": (export_spans, spans),
        "naive": (write_naively, [msgspec.to_builtins(record) for record in records]),
        "otlp-file": (export_otlp, spans),
    }


def work(number: int, count: int, batch: int, barrier: Any, pipe: Connection) -> None:
    """Take turns until told to stop; answer each with its begin, its end and its CPU seconds."""
    variants = prepare(number, count)
    # What was prepared is not the garbage collector's business, as little as it is in a service.
    gc.freeze()
    pipe.send("ready")
    while (turn := pipe.recv()) is not None:
        make_append, items = variants[turn.variant]
        append = make_append(turn.path)
        barrier.wait()
        begin, cpu = time.monotonic(), time.process_time()
        for start in range(0, count, batch):
            append(items[start : start + batch])
        pipe.send((begin, time.monotonic(), time.process_time() - cpu))


def check(path: Path, expected: int) -> dict[str, int]:
    """Read the file back: which lines are torn and how many records are not there."""
    torn = 0
    found: set[tuple[str, str]] = set()
    for line in path.read_bytes().splitlines():
        try:
            found.update(find_ids(msgspec.json.decode(line)))
        except (ValueError, KeyError):
            torn += 1
    return {"torn_lines": torn, "missing_records": expected - len(found)}


def find_ids(line: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield trace and span ids of a record, or of each span of an OTLP line."""
    if "resourceSpans" not in line:
        yield line["trace_id"], line["span_id"]
        return
    for resource in line["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            yield from ((span["traceId"], span["spanId"]) for span in scope["spans"])


def run_turn(workers: Sequence[Worker], variant: str, total: int) -> dict[str, float]:
    """Let all processes write to one new file at once."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "production.jsonl"
        for worker in workers:
            worker.pipe.send(Turn(variant, str(path)))
        times = [worker.pipe.recv() for worker in workers]
        seconds = max(end for _, end, _ in times) - min(begin for begin, _, _ in times)
        return {
            "records_per_s": total / seconds,
            "mb_per_s": path.stat().st_size / seconds / 1e6,
            "cpu_us": sum(cpu for _, _, cpu in times) / total * 1e6,
            **check(path, total),
        }


def start_workers(processes: int, count: int, batch: int) -> list[Worker]:
    """Start processes that have nothing in common but the file."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    workers = []
    for number in range(processes):
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(number, count, batch, barrier, theirs))
        process.start()
        workers.append(Worker(process, ours))
    for worker in workers:
        worker.pipe.recv()
    return workers


def stop_workers(workers: Sequence[Worker]) -> None:
    """End them and wait until they have."""
    for worker in workers:
        worker.pipe.send(None)
    for worker in workers:
        worker.process.join()


def time_span_to_line(repeats: int = 20_000) -> float:
    """Return the microseconds from a span with content to its line, in one process."""
    (span,) = make_spans(0, 1)
    rounds = []
    for _ in range(7):
        begin = time.perf_counter_ns()
        for _ in range(repeats // 7):
            record = record_from_span(span)
            encode_line(record)  # type: ignore[arg-type] # it is a GenAI span
        rounds.append((time.perf_counter_ns() - begin) / (repeats // 7) / 1_000)
    return median(rounds)


def summarise(turns: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Take medians of speeds, and sums of what must be zero."""
    return {
        variant: {
            "records_per_s": round(median(turn["records_per_s"] for turn in taken)),
            "slowest": round(min(turn["records_per_s"] for turn in taken)),
            "fastest": round(max(turn["records_per_s"] for turn in taken)),
            "mb_per_s": round(median(turn["mb_per_s"] for turn in taken)),
            "cpu_us": round(median(turn["cpu_us"] for turn in taken), 2),
            "torn_lines": sum(turn["torn_lines"] for turn in taken),
            "missing_records": sum(turn["missing_records"] for turn in taken),
        }
        for variant, taken in turns.items()
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Take all turns, interleaved."""
    variants = ["writer", "exporter", "naive"] + ["otlp-file"] * (find_otlp_exporter() is not None)
    workers = start_workers(arguments.processes, arguments.records, arguments.batch)
    total = arguments.processes * arguments.records
    turns: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    try:
        for number in range(arguments.rounds):
            # Each round begins with another one, so that none always follows the same.
            for variant in variants[number % len(variants) :] + variants[: number % len(variants)]:
                turns[variant].append(run_turn(workers, variant, total))
    finally:
        stop_workers(workers)
    results = summarise(turns)
    naive = results["naive"]["records_per_s"]
    (record,) = (record_from_span(span) for span in make_spans(0, 1))
    return {
        "results": results,
        "ratio_to_naive": {
            name: round(result["records_per_s"] / naive, 1) for name, result in results.items()
        },
        "span_to_line_us": round(time_span_to_line(), 2),
        "line_bytes": len(encode_line(record)),  # type: ignore[arg-type] # it is a GenAI span
        "processes": arguments.processes,
        "records_per_turn": total,
        "batch": arguments.batch,
        "rounds": arguments.rounds,
        "python": sys.version.split()[0],
    }


def print_text(report: dict[str, Any]) -> None:
    """Print the report as a table."""
    print(
        f"{'':10} {'records/s':>10} {'slowest':>9} {'fastest':>9} {'MB/s':>6} {'CPU us':>7} "
        f"{'ratio':>6} {'torn':>6} {'missing':>8}"
    )
    for name, result in report.pop("results").items():
        print(
            f"{name:10} {result['records_per_s']:10,} {result['slowest']:9,} "
            f"{result['fastest']:9,} {result['mb_per_s']:6} {result['cpu_us']:7} "
            f"{report['ratio_to_naive'][name]:6} {result['torn_lines']:6} {result['missing_records']:8}"
        )
    del report["ratio_to_naive"]
    for key, value in report.items():
        print(f"{key}: {value}")


def main() -> None:
    """Measure and print; exit with 1 when cert-otel tore or lost anything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=8, help="that write at once (8)")
    parser.add_argument("--records", type=int, default=10_000, help="of each in one turn (10000)")
    parser.add_argument("--batch", type=int, default=512, help="records or spans (512, the SDK's)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each variant (5)")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    arguments = parser.parse_args()
    report = measure(arguments)
    ours = [report["results"][name] for name in ("writer", "exporter")]
    if arguments.format == "json":
        print(json.dumps(report, indent=2))
    else:
        print_text(report)
    if any(result["torn_lines"] or result["missing_records"] for result in ours):
        sys.exit(1)


if __name__ == "__main__":
    main()
