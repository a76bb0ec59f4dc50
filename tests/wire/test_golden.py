"""What other instrumentations emit, read by us: golden/README.md explains the files.

Each fact of `sent` is in the record as the provider sent it, or `expected.json` says that the
instrumentation leaves it out, and then the record has none. What is said to be left out and is
there after all fails as well, so that the lists stay true.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from cert_otel.wire.details import Details
from cert_otel.wire.otlp_json import read_line
from cert_otel.wire.otlp_proto import read_logs, read_traces
from cert_otel.wire.reading import read_batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cert_otel.records import Record

GOLDEN: Final = Path(__file__).parent / "golden"
PEERS: Final = sorted(folder.name for folder in GOLDEN.iterdir() if folder.is_dir())
LOGS: Final = "logs.jsonl"
CALLED: Final = frozenset({"inference", "embedding"})
REASONS: Final[Mapping[str, str]] = {
    "tool_call": "tool_calls",
    "tool-calls": "tool_calls",
    "tool_use": "tool_calls",
    "completed": "stop",
    "end_turn": "stop",
}
"""Finish reasons that are one in the words of providers, SDKs and instrumentations."""


@cache
def read_expected(peer: str) -> dict[str, Any]:
    """Return what a peer's golden file says."""
    text = (GOLDEN / peer / "expected.json").read_text(encoding="utf-8")
    expected: dict[str, Any] = json.loads(text)
    return expected


@cache
def read_records(peer: str) -> list[list[Record]]:
    """Return the records of each line of a peer's spans, without its events."""
    lines = (GOLDEN / peer / "spans.jsonl").read_bytes().splitlines()
    readings = [read_batch(read_line(line)) for line in lines]
    assert not any(reading.problems for reading in readings)
    return [reading.records for reading in readings]


@cache
def read_completed(peer: str) -> list[list[Record]]:
    """Return the records of each line, completed by the peer's events."""
    details = Details()
    logs = GOLDEN / peer / LOGS
    for line in logs.read_bytes().splitlines() if logs.exists() else ():
        details.add(read_batch(read_line(line)).details)
    return [[details.complete(record) for record in line] for line in read_records(peer)]


def list_calls() -> list[Any]:
    """Return every call of every peer, as a parameter of a test."""
    return [
        pytest.param(peer, number, id=f"{peer} {number + 1} {call['scenario']}")
        for peer in PEERS
        for number, call in enumerate(read_expected(peer)["calls"])
    ]


def list_steps() -> list[Any]:
    """Return every step of every peer, likewise."""
    return [
        pytest.param(peer, step, id=f"{peer} {step['kind']} {step['name']}")
        for peer in PEERS
        for step in read_expected(peer)["steps"]
    ]


def find_record(peer: str, number: int, lines: list[list[Record]]) -> Record:
    """Return the record of a call: calls that share a line are there in their order."""
    calls = read_expected(peer)["calls"]
    line: int = calls[number]["line"]
    before: int = sum(call["line"] == line for call in calls[:number])
    called = [record for record in lines[line - 1] if record.kind in CALLED]
    return sorted(called, key=lambda record: record.timestamp)[before]


def find_tool_calls(record: Record) -> list[dict[str, Any]] | None:
    """Return the tool calls that the first answer asks for."""
    parts = [part for message in record.output_messages or () for part in message["parts"]]
    return [
        {name: part.get(name) for name in ("id", "name", "arguments")}
        for part in parts
        if part.get("type") == "tool_call"
    ] or None


def to_common(reasons: list[str]) -> list[str]:
    """Return finish reasons in the words of OpenAI's chat."""
    return [REASONS.get(reason, reason) for reason in reasons]


def describe(record: Record) -> dict[str, Any]:
    """Return a record in the words of `sent`."""
    tokens, reasons, error = record.tokens, record.finish_reasons, record.error_type
    return {
        "response_id": record.response_id,
        "model": record.model,
        "request_model": record.request_model,
        "prompt_tokens": tokens and tokens.prompt,
        "completion_tokens": tokens and tokens.completion,
        "cached_tokens": tokens and tokens.cache_read,
        "cache_write_tokens": tokens and tokens.cache_write,
        "reasoning_tokens": tokens and tokens.reasoning,
        "finish_reasons": reasons and to_common(reasons),
        "input_data": record.input_data,
        "output_data": record.output_data,
        "tool_calls": find_tool_calls(record),
        "error_type": error and error.rpartition(".")[2],
        "perplexity": record.perplexity,
    }


def find_allowed(call: Mapping[str, Any], name: str, *, with_logs: bool) -> list[Any]:
    """Return what a record may say of a fact: usually one thing."""
    sent = call["sent"][name]
    if name == "finish_reasons" and sent:
        sent = to_common(sent)
    if name in call["altered"]:
        return [call["altered"][name]]
    if name in call["partly"]:
        return [sent[:length] for length in range(1, len(sent) + 1)]
    allowed = [sent]
    if name in call["invented"]:
        allowed = [None, call["invented"][name]]
    elif name in call["left_out"] or (name in call["in_logs"] and not with_logs):
        allowed = [None]
    elif name in call["in_raw_body"]:
        allowed = [None, sent]
    if name == "model" and None in allowed:
        # A record names the model that was asked where nothing says which one answered.
        allowed.append(call["sent"]["request_model"])
    return allowed


def check(call: Mapping[str, Any], record: Record, *, with_logs: bool) -> None:
    """Compare every fact of a call with its record."""
    found = describe(record)
    wrong = {
        name: (found[name], allowed)
        for name in call["sent"]
        if found[name] not in (allowed := find_allowed(call, name, with_logs=with_logs))
    }
    assert wrong == {}
    assert record.kind == call["kind"]
    assert record.status == ("error" if call["sent"]["error_type"] else "ok")


class TestCalls:
    """One call, one record, with what the provider sent."""

    @pytest.mark.parametrize(("peer", "number"), list_calls())
    def test_spans_alone(self, peer: str, number: int) -> None:
        """Without its events a call has what its span has."""
        call = read_expected(peer)["calls"][number]
        if call["line"] is None:
            assert call["left_out"] == [name for name in call["sent"] if call["sent"][name]]
            return
        check(call, find_record(peer, number, read_records(peer)), with_logs=False)

    @pytest.mark.parametrize(("peer", "number"), list_calls())
    def test_with_events(self, peer: str, number: int) -> None:
        """With its events it has what they add."""
        call = read_expected(peer)["calls"][number]
        if call["line"] is None:
            assert call["in_logs"] == []
            return
        check(call, find_record(peer, number, read_completed(peer)), with_logs=True)

    @pytest.mark.parametrize("peer", PEERS)
    def test_each_counts_once(self, peer: str) -> None:
        """There are as many calls as requests that the peer recorded, and no more."""
        calls = [call for call in read_expected(peer)["calls"] if call["line"] is not None]
        called = [
            record
            for line in read_records(peer)
            for record in line
            if record.kind in CALLED and record.duplicate_of is None
        ]

        assert len(called) == len(calls)

    @pytest.mark.parametrize("peer", PEERS)
    def test_identity(self, peer: str) -> None:
        """Every record has its ids, its service and its latency."""
        for record in (record for line in read_records(peer) for record in line):
            assert record.trace_id is not None
            assert record.span_id is not None
            assert (record.service, record.service_version) == ("golden", "1.0")
            assert record.latency_ms is not None
            assert record.latency_ms > 0


class TestSteps:
    """What an application did around its calls."""

    @pytest.mark.parametrize(("peer", "step"), list_steps())
    def test_step(self, peer: str, step: Mapping[str, Any]) -> None:
        """A step is a record of its kind, with its texts and passages, and no usage."""
        records = [record for record in read_records(peer)[0] if record.kind == step["kind"]]
        matching = [record for record in records if is_step(record, step)]

        assert matching
        assert all(record.tokens is None and record.cost is None for record in matching)


def is_step(record: Record, step: Mapping[str, Any]) -> bool:
    """Tell whether a record holds the texts of a step."""
    asked, answered = step["input_data"], step["output_data"]
    passages = [(item.id, item.text) for item in record.context or ()]
    return (
        asked in (record.input_data or "")
        and (answered is None or answered in (record.output_data or ""))
        and [text for _, text in passages] == [text for _, text in step["passages"]]
    )


class TestEncodings:
    """The same spans in OTLP's two encodings."""

    @pytest.mark.parametrize("peer", PEERS)
    def test_protobuf_and_json_give_the_same_records(self, peer: str) -> None:
        """JSON lines and protobuf are one thing."""
        message = (GOLDEN / peer / "spans.pb").read_bytes()

        from_json = [record for line in read_records(peer) for record in line]
        assert read_batch(read_traces(message)).records == from_json

    @pytest.mark.parametrize("peer", [peer for peer in PEERS if (GOLDEN / peer / LOGS).exists()])
    def test_events_in_both_are_the_same(self, peer: str) -> None:
        """Log records in JSON lines and in protobuf are one thing."""
        lines = (GOLDEN / peer / LOGS).read_bytes().splitlines()
        message = (GOLDEN / peer / LOGS).with_suffix(".pb").read_bytes()

        from_json = [log for line in lines for log in read_batch(read_line(line)).details]
        assert from_json
        assert read_batch(read_logs(message)).details == from_json


class TestGoldenFiles:
    """The golden files themselves."""

    @pytest.mark.parametrize("peer", PEERS)
    def test_what_is_left_out_is_not_there(self, peer: str) -> None:
        """No value that is said to be left out, or only in events, stands in the call's spans."""
        spans = (GOLDEN / peer / "spans.jsonl").read_text(encoding="utf-8").splitlines()
        for call in read_expected(peer)["calls"]:
            absent = [call["sent"][name] for name in (*call["left_out"], *call["in_logs"])]
            line = spans[call["line"] - 1] if call["line"] else ""
            texts = [str(value) for value in absent if isinstance(value, str | int)]
            assert not [text for text in texts if f'"{text}"' in line]
