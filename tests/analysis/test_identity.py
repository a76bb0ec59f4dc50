"""The identity rules in SQL are those that `cert_otel.journal` states in Python."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from cert_otel.analysis.records import load_records
from cert_otel.journal import read_journal
from cert_otel.records import EvaluationRecord, Record, Tokens, encode_line
from cert_otel.semconv import SCOPE_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

START = datetime(2026, 11, 20, 10, tzinfo=UTC)
TRACES = ["1" * 32, "2" * 32]
SPANS = ["a" * 16, "b" * 16, "c" * 16, "d" * 16]
MISSING = ["e" * 16, "f" * 16]

moments = st.integers(0, 6).map(lambda ms: START + timedelta(milliseconds=ms))
maybe_passed = st.sampled_from([None, True, False])
records = st.builds(
    Record,
    kind=st.sampled_from(["inference", "inference", "inference", "embedding", "function"]),
    timestamp=moments,
    trace_id=st.sampled_from([*TRACES, *TRACES, *TRACES, None]),
    span_id=st.sampled_from([*SPANS, *SPANS, None]),
    parent_span_id=st.sampled_from([None, *SPANS, *MISSING]),
    response_id=st.sampled_from([None, None, "r1", "r2"]),
    model=st.sampled_from([None, "gpt-4o", "gpt-4o-2024-08-06"]),
    request_model=st.sampled_from([None, "gpt-4o"]),
    tokens=st.sampled_from([None, Tokens(), Tokens(prompt=1), Tokens(completion=2)]),
    cost=st.sampled_from([None, 0.0, 1.1e-05, 0.25]),
    currency=st.just("USD"),
    latency_ms=st.sampled_from([None, 0.0, 1.0, 2.5, 4.0, 7.0]),
    status=st.sampled_from(["ok", "error", "unset"]),
    passed=maybe_passed,
    score_status=st.sampled_from([None, None, "scored", "deferred", "error"]),
    scorer=st.sampled_from([None, "s1"]),
    duplicate_of=st.sampled_from([None, None, None, None, SPANS[0]]),
    output_data=st.sampled_from([None, "four"]),
    metadata=st.sampled_from([{}, {}, {SCOPE_NAME: "other.instrumentation"}]),
)
evaluations = st.builds(
    EvaluationRecord,
    timestamp=moments,
    trace_id=st.sampled_from(TRACES),
    span_id=st.sampled_from(SPANS),
    scorer=st.sampled_from(["s1", "s2"]),
    confidence=st.sampled_from([None, 0.5]),
    passed=maybe_passed,
    score_status=st.sampled_from(["scored", "skipped", "error"]),
)
Line = Record | EvaluationRecord


def build_calls(span_id: str) -> st.SearchStrategy[Record]:
    """Calls of one trace that began and ended about together."""
    return st.builds(
        Record,
        kind=st.sampled_from(["inference", "inference", "inference", "function"]),
        timestamp=st.integers(0, 2).map(lambda ms: START + timedelta(milliseconds=ms)),
        trace_id=st.just(TRACES[0]),
        span_id=st.just(span_id),
        parent_span_id=st.sampled_from([None, *SPANS, *MISSING, *MISSING]),
        response_id=st.sampled_from([None, "r1", "r1"]),
        model=st.just("gpt-4o"),
        tokens=st.sampled_from([None, Tokens(prompt=1)]),
        latency_ms=st.sampled_from([0.0, 1.0, 2.0, 3.0]),
        metadata=st.sampled_from([{}, {}, {SCOPE_NAME: "other.instrumentation"}]),
    )


journals: st.SearchStrategy[list[Line]] = st.lists(
    st.one_of(records, records, records, evaluations), max_size=12
)


def write(path: Path, lines: Sequence[Line]) -> Path:
    first = Record(kind="function", timestamp=START - timedelta(days=1))
    path.write_bytes(b"".join(map(encode_line, [first, *lines])))
    return path


def count_in_python(paths: Sequence[Path]) -> Counter[tuple[object, ...]]:
    return Counter(
        (
            record.kind,
            record.timestamp.replace(tzinfo=None),
            record.trace_id,
            record.span_id,
            record.model,
            record.status,
            record.cost,
            record.passed,
        )
        for record in read_journal(paths).records
        if record.duplicate_of is None
    )


def count_in_sql(paths: Sequence[Path]) -> Counter[tuple[object, ...]]:
    return Counter(
        load_records(paths)
        .connection.execute(
            "SELECT kind, started, trace_id, span_id, model, status, CAST(cost AS DOUBLE), passed"
            " FROM records WHERE NOT folded"
        )
        .fetchall()
    )


class TestIdentity:
    """What counts as one call."""

    @given(journals, journals)
    @settings(deadline=None, max_examples=80)
    def test_sql_agrees_with_python(self, one: list[Line], other: list[Line]) -> None:
        """Of any two files both readers count the same records, with the same verdicts."""
        with tempfile.TemporaryDirectory() as folder:
            paths = [write(Path(folder, "a.jsonl"), one), write(Path(folder, "b.jsonl"), other)]

            assert count_in_python(paths) == count_in_sql(paths)

    def test_twins_count_once(self, tmp_path: Path) -> None:
        """Of two records of one reply that differ in nothing but the trace one counts."""
        twins = [
            Record(
                kind="inference",
                timestamp=START,
                trace_id=trace_id,
                span_id=SPANS[0],
                response_id="r1",
                latency_ms=1.0,
                metadata=metadata,
            )
            for trace_id, metadata in zip(TRACES, ({}, {SCOPE_NAME: "other"}), strict=True)
        ]
        path = write(tmp_path / "a.jsonl", twins)

        counted = count_in_sql([path])

        assert counted == count_in_python([path])
        assert [kind for kind, *_ in counted] == ["function", "inference"]

    @given(st.tuples(*map(build_calls, SPANS)))
    @settings(deadline=None, max_examples=80)
    def test_nesting_agrees_with_python(self, calls: tuple[Record, ...]) -> None:
        """Of calls within calls both readers count the same ones."""
        with tempfile.TemporaryDirectory() as folder:
            path = write(Path(folder, "a.jsonl"), calls)

            assert count_in_python([path]) == count_in_sql([path])
