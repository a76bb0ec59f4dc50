"""Payloads of all dialects, damaged at random: none may be fatal.

`make torture` runs a long campaign, the tests a short one. What is checked of each payload: it is
read, or refused with a ValueError; and what was read survives its own line and the identity rules.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from wire_samples import SAMPLES, make_line

from cert_otel.journal import Line, decode_line, resolve
from cert_otel.journal.translation import list_records
from cert_otel.records import Record, encode_line
from cert_otel.wire import otlp_write
from cert_otel.wire.otlp_json import read_line
from cert_otel.wire.otlp_proto import read_logs, read_traces
from cert_otel.wire.reading import read_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

JUNK: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**70,
    1e400,
    "",
    "\ud800",
    "NaN",
    "[" * 50,
    "9" * 30,
    [],
    {},
    [[]],
    {"stringValue": 7},
    {"kvlistValue": {"values": [{"key": "a"}]}},
    "-5",
    "x" * 2000,
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    7,
    -1,
    1.5,
    float("nan"),
    "",
    "text",
    "[1, null, {}]",
    '[{"role": 7, "content": [null, "a", {"type": ["x"]}], "tool_calls": [{"function": 3}]}]',
    '{"messages": [[{"kwargs": {}}]], "id": {}, "usage": [], "choices": {}}',
    "{",
    b"\0\xff",
    [],
    ["a", 1, None, [b"x"]],
    {},
    {"type": "text", "text": {"a": []}},
    [{"role": {}, "parts": "none", "content": {"a": 1}}],
)
SCOPES = ("", "openlit.instrumentation.openai", "opentelemetry.instrumentation.openai.v1", "ai")
TOKENS = (b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"\\", b"\xff", b"\0", b"1e999", b"-")
_GOLDEN = Path(__file__).parent / "golden"


def load_lines() -> list[bytes]:
    """Return the lines that are damaged: ours of each dialect, and those that peers recorded."""
    ours = [make_line(attributes) for attributes in SAMPLES.values()]
    recorded = [
        line
        for path in sorted(_GOLDEN.glob("*/*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
    return ours + recorded


def load_messages() -> list[bytes]:
    """Return the protobuf messages that are damaged."""
    read = [read_batch(read_line(make_line(attributes))) for attributes in SAMPLES.values()]
    ours = [otlp_write.encode_traces(reading.records) for reading in read]
    return ours + [path.read_bytes() for path in sorted(_GOLDEN.glob("*/*.pb"))]


def damage_bytes(chance: random.Random, payload: bytes) -> bytes:
    """Flip, cut, repeat or insert bytes."""
    damaged = bytearray(payload)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(damaged) or 1)
        size = chance.choice((1, 1, 2, 8, 64))
        how = chance.randrange(5)
        if how == 0 and damaged:
            damaged[at] = chance.randrange(256)
        elif how == 1:
            del damaged[at : at + size]
        elif how == 2:
            damaged[at:at] = damaged[at : at + size]
        elif how == 3:
            damaged[at:at] = chance.choice(TOKENS)
        else:
            del damaged[chance.randrange(len(damaged) or 1) + 1 :]
    return bytes(damaged)


def damage_shape(chance: random.Random, line: bytes) -> bytes:
    """Put something else where something is expected, anywhere in the document."""
    document = json.loads(line)
    for _ in range(chance.randint(1, 3)):
        node, key = _pick(chance, document)
        if node is None:
            continue
        how = chance.randrange(4)
        if how == 0 and isinstance(node, dict):
            node[chance.choice(("key", "value", "spans", "name", "x"))] = node.pop(key)
        elif how == 1:
            del node[key]
        elif how == 2 and isinstance(node, list):
            node.append(node[key])
        else:
            node[key] = chance.choice(JUNK)
    return json.dumps(document).encode()


def damage_values(chance: random.Random, line: bytes) -> bytes:
    """Give attributes other values, of any kind that OTLP knows; and other names."""
    del line
    attributes = dict(chance.choice(list(SAMPLES.values())))
    others = chance.choice(list(SAMPLES.values()))
    for name in chance.sample(sorted(attributes), k=min(4, len(attributes))):
        attributes[name] = chance.choice(VALUES)
        attributes[chance.choice(sorted(others))] = chance.choice((*VALUES, attributes[name]))
    return make_line(attributes, scope=chance.choice(SCOPES))


def _pick(chance: random.Random, document: Any) -> tuple[Any, Any]:
    places = []
    pending = [document]
    while pending:
        node = pending.pop()
        keys: Any = node if isinstance(node, dict) else range(len(node))
        for key in keys:
            places.append((node, key))
            if isinstance(node[key], dict | list):
                pending.append(node[key])
    return chance.choice(places) if places else (None, None)


def check_line(line: bytes) -> int:
    """Read a line; return how many records it held."""
    try:
        content = decode_line(line)
    except ValueError:
        return 0
    records = [one for one in list_records(Line(1, content)) if isinstance(one, Record)]
    _check(records)
    return len(records)


def check_message(message: bytes) -> int:
    """Read a protobuf message as spans and as log records; return how many records it held."""
    count = 0
    for read in (read_traces, read_logs):
        try:
            reading = read_batch(read(message))
        except ValueError:
            continue
        _check(reading.records)
        count += len(reading.records)
    return count


def _check(records: Sequence[Record]) -> None:
    for record in records:
        if msgspec.json.decode(encode_line(record), type=Record) != record:
            raise AssertionError(f"does not survive its line: {record}")
    resolve(records, [])


def run(count: int, seed: int) -> dict[str, int]:
    """Damage and read `count` payloads, two thirds JSON; raise at the first that is fatal."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    lines, messages = load_lines(), load_messages()
    totals = {"payloads": 0, "with records": 0, "records": 0}
    for number in range(count):
        check: Callable[[bytes], int]
        if number % 3 == 2:
            payload = damage_bytes(chance, chance.choice(messages))
            check = check_message
        else:
            damage = chance.choice((damage_bytes, damage_shape, damage_values))
            payload = damage(chance, chance.choice(lines))
            check = check_line
        try:
            found = check(payload)
        except Exception as error:
            error.add_note(f"seed {seed}, payload {number}: {payload!r}")
            raise
        totals["payloads"] += 1
        totals["with records"] += bool(found)
        totals["records"] += found
    return totals


if __name__ == "__main__":
    print(run(int(sys.argv[1]), int(sys.argv[2])))  # noqa: T201 - run by `make torture`
