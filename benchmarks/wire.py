"""From OTLP to records: spans a second on one core, with and without content.

Three variants read the same export requests of 512 spans, which differ in ids, times, token counts,
costs and (with content) in what was asked and answered:

- `protobuf`: `cert_otel.wire`, from the bytes of a request to records;
- `json`: the same spans as OTLP JSON lines;
- `naive`: the protobuf library and a dict for each span, which is what comes before any record.

The wheel whose readers are compiled is measured by `make test-compiled`, by this same script. The
figures are of CPU time, medians over rounds in which the variants take turns; `ratio` is to
`naive`. Exit code 1 when a record is missing.

Example:
    python benchmarks/wire.py --rounds 15 --format json
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.trace.v1 import trace_pb2

from cert_otel.records import CostDetail, Record, Tokens
from cert_otel.wire import otlp_proto, otlp_write
from cert_otel.wire.otlp_json import read_line
from cert_otel.wire.otlp_proto import read_traces
from cert_otel.wire.reading import read_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

START: Final = datetime(2026, 11, 20, 10, tzinfo=UTC)
WORDS: Final = [
    "shoes",
    "order",
    "Monday",
    "parcel",
    "label",
    "account",
    "box",
    "post",
    "office",
    "money",
    "week",
    "indoors",
    "delivery",
    "return",
]
MODELS: Final = ("gpt-4o", "gpt-4o-mini", "o4-mini", "claude-sonnet-4-5")


def make_text(chance: random.Random, words: int) -> str:
    """Make a text that no other span has."""
    return " ".join(chance.choices(WORDS, k=words)) + f" {chance.random()}"


def make_record(chance: random.Random, number: int, *, content: bool) -> Record:
    """Make one call; with content about 330 characters of it."""
    tokens = Tokens(prompt=chance.randint(20, 3000), completion=chance.randint(5, 500))
    cost = (tokens.prompt or 0) * 2.5e-6 + (tokens.completion or 0) * 1e-5
    model = chance.choice(MODELS)
    asked, answered = make_text(chance, 12), make_text(chance, 36)
    return Record(
        kind="inference",
        timestamp=START + timedelta(milliseconds=number * 37),
        trace_id=f"{chance.getrandbits(127) + 1:032x}",
        span_id=f"{chance.getrandbits(63) + 1:016x}",
        parent_span_id=f"{chance.getrandbits(63) + 1:016x}",
        response_id=f"chatcmpl-{chance.getrandbits(64):x}",
        service="customer-support",
        service_version="2.1",
        operation="chat",
        platform="openai",
        model=f"{model}-2026-08-06",
        request_model=model,
        input_messages=make_messages("user", asked) if content else None,
        output_messages=make_messages("assistant", answered) if content else None,
        tokens=tokens,
        cost=cost,
        currency="USD",
        cost_detail=CostDetail(source="table", pricing_version="2026-11-20"),
        latency_ms=chance.randint(200_000_000, 3_000_000_000) / 1e6,
        finish_reasons=["stop"],
        metadata={},
    )


def make_messages(role: str, text: str) -> list[dict[str, Any]]:
    """Make the messages of one side."""
    return [{"role": role, "parts": [{"type": "text", "content": text}]}]


def make_request(records: Sequence[Record]) -> bytes:
    """Encode a batch as an exporter does: one resource, one scope."""
    message = trace_pb2.TracesData.FromString(otlp_write.encode_traces(records))
    merged = trace_pb2.TracesData()
    group = merged.resource_spans.add()
    group.resource.CopyFrom(message.resource_spans[0].resource)
    scoped = group.scope_spans.add()
    for one in message.resource_spans:
        span = scoped.spans.add()
        span.CopyFrom(one.scope_spans[0].spans[0])
        for name, value in (("server.address", "api.openai.com"), ("gen_ai.output.type", "text")):
            span.attributes.add(key=name).value.string_value = value
        span.attributes.add(key="server.port").value.int_value = 443
        span.attributes.add(key="gen_ai.request.temperature").value.double_value = 0.2
    return merged.SerializeToString()


def read_protobuf(requests: Sequence[bytes]) -> int:
    """Read requests to records."""
    return sum(len(read_batch(read_traces(request)).records) for request in requests)


def read_json(lines: Sequence[bytes]) -> int:
    """Read lines to records."""
    return sum(len(read_batch(read_line(line)).records) for line in lines)


def read_naively(requests: Sequence[bytes]) -> int:
    """Read requests with the protobuf library into dicts, and stop there."""
    found = []
    for request in requests:
        for group in trace_pb2.TracesData.FromString(request).resource_spans:
            resource = {pair.key: get_value(pair.value) for pair in group.resource.attributes}
            for scoped in group.scope_spans:
                found += [
                    {
                        "trace_id": span.trace_id.hex(),
                        "span_id": span.span_id.hex(),
                        "parent_span_id": span.parent_span_id.hex(),
                        "name": span.name,
                        "start": span.start_time_unix_nano,
                        "end": span.end_time_unix_nano,
                        "status": span.status.code,
                        "attributes": {p.key: get_value(p.value) for p in span.attributes},
                        "resource": resource,
                    }
                    for span in scoped.spans
                ]
    return len(found)


def get_value(value: Any) -> Any:
    """Return what an `AnyValue` holds."""
    field = value.WhichOneof("value")
    if field == "array_value":
        return [get_value(item) for item in value.array_value.values]
    return getattr(value, field)


def measure(arguments: argparse.Namespace, *, content: bool) -> dict[str, Any]:
    """Let the variants take turns on the same spans."""
    chance = random.Random(7)  # noqa: S311 - no secret
    records = [
        make_record(chance, number, content=content)
        for number in range(arguments.requests * arguments.batch)
    ]
    batches = [
        records[start : start + arguments.batch]
        for start in range(0, len(records), arguments.batch)
    ]
    requests = [make_request(batch) for batch in batches]
    lines = [otlp_write.encode_line(record) for record in records]
    variants: dict[str, tuple[Callable[[Any], int], Sequence[bytes]]] = {
        "protobuf": (read_protobuf, requests),
        "json": (read_json, lines),
        "naive": (read_naively, requests),
    }
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    # What was prepared is not the garbage collector's business, as little as it is in a service.
    gc.collect()
    gc.freeze()
    for _ in range(arguments.rounds):
        for name, (read, payloads) in variants.items():
            begin = time.process_time()
            if read(payloads) != len(records):
                sys.exit(f"{name}: records are missing")
            seconds[name].append(time.process_time() - begin)
    medians = {name: median(taken) for name, taken in seconds.items()}
    return {
        "bytes_per_span": sum(map(len, requests)) // len(records),
        "results": {
            name: {
                "spans_per_s": round(len(records) / taken),
                "us_per_span": round(taken / len(records) * 1e6, 2),
                "ratio": round(medians["naive"] / taken, 2),
            }
            for name, taken in medians.items()
        },
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=20, help="in one turn (20)")
    parser.add_argument("--batch", type=int, default=512, help="spans of a request (512)")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each variant (9)")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    arguments = parser.parse_args()
    report = {
        "with content": measure(arguments, content=True),
        "without content": measure(arguments, content=False),
        "python": sys.version.split()[0],
        "compiled": not str(otlp_proto.__file__).endswith(".py"),
    }
    if arguments.format == "json":
        print(json.dumps(report, indent=2))
        return
    print("readers compiled by mypyc" if report["compiled"] else "readers in pure Python")
    for title in ("with content", "without content"):
        part: Any = report[title]
        print(f"{title}, {part['bytes_per_span']} bytes a span")
        for name, result in part["results"].items():
            print(
                f"  {name:9} {result['spans_per_s']:9,} spans/s {result['us_per_span']:7} us"
                f" {result['ratio']:6} x naive"
            )


if __name__ == "__main__":
    main()
