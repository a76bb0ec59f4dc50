"""Files of other formats in SQL, and identity over all of them."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from wire_samples import SAMPLES, make_line
from wire_traces import START, make_details, make_stack

from cert_otel.analysis import CostAnalyzer
from cert_otel.analysis.records import load_records
from cert_otel.journal import read_journal
from cert_otel.journal.translation import Translation, list_records
from cert_otel.records import Record, Tokens, encode_line

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS = Record(
    kind="inference",
    timestamp=START,
    trace_id="a" * 32,
    span_id="b" * 16,
    model="gpt-4o",
    tokens=Tokens(prompt=1),
    cost=0.5,
    currency="USD",
)


def write(path: Path, lines: Sequence[bytes]) -> Path:
    path.write_bytes(b"".join(lines))
    return path


class TestCosts:
    def test_foreign_files(self, tmp_path: Path) -> None:
        """Calls, tokens and costs of spans that others wrote."""
        path = write(tmp_path / "a.jsonl", [make_line(SAMPLES["openlit"])])

        summary = CostAnalyzer(path).summary()

        assert (summary["records"], summary["total"], summary["unpriced"]) == (1, 0.00008, 0)
        assert summary["tokens"]["prompt"] == 12
        assert [(one["path"], one["formats"]) for one in summary["files"]] == [
            (str(path), {"otlp": 1})
        ]

    def test_a_file_of_several_formats(self, tmp_path: Path) -> None:
        """Ours first, theirs later: every line counts, and bad ones are named where they are."""
        path = write(
            tmp_path / "a.jsonl",
            [encode_line(OURS), b"bad\n", make_line(SAMPLES["logfire"]), b"{\n"],
        )

        summary = CostAnalyzer(path).summary()

        assert summary["total"] == 0.50008
        assert [(one["line"]) for one in summary["unreadable"]["lines"]] == [2, 4]
        assert summary["unreadable"]["count"] == 2
        assert summary["files"][0]["formats"] == {"record": 1, "otlp": 1}

    def test_beside_files_of_ours(self, tmp_path: Path) -> None:
        """A file of our own is scanned where it is."""
        ours = write(tmp_path / "a.jsonl", [encode_line(OURS)])
        theirs = write(tmp_path / "b.jsonl", [make_line(SAMPLES["openlit"])])

        database = load_records([ours, theirs])

        assert [file.scanned == file.path for file in database.files] == [True, False]
        assert [file.records for file in database.files] == [1, 1]

    def test_log_events_in_a_file_of_their_own(self, tmp_path: Path) -> None:
        """They complete spans of other files and are no calls."""
        spans = write(tmp_path / "a.jsonl", [make_line(SAMPLES["genai"])])
        logs = write(tmp_path / "b.jsonl", [make_details(SAMPLES["genai"])])

        assert CostAnalyzer([logs, spans]).summary()["records"] == 1


def count(paths: Sequence[Path]) -> tuple[Counter[Any], Counter[Any]]:
    """Return the calls that count, by trace, as Python and as SQL find them."""
    in_python = Counter(
        (record.trace_id, record.span_id)
        for record in read_journal(paths).records
        if record.duplicate_of is None and record.kind == "inference"
    )
    in_sql = Counter(
        load_records(paths)
        .connection.execute(
            "SELECT trace_id, span_id FROM records WHERE NOT folded AND kind = 'inference'"
        )
        .fetchall()
    )
    return in_python, in_sql


def as_our_records(line: bytes) -> bytes:
    """Return a line of OTLP as lines of our journal."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder, "a.jsonl"), [line])
        lines = list(Translation([path]).read(path))
        return b"".join(encode_line(record) for one in lines for record in list_records(one))


CALLS = 3
STACKS = [make_stack(call, trace=call // 2 + 1) for call in range(1, CALLS + 1)]
LINES = [line for stack in STACKS for line in stack]
AS_RECORDS = [as_our_records(line) for line in LINES]


class TestIdentity:
    """Stacked instrumentors, in files of several formats, in any order."""

    def test_a_stack_is_one_call(self, tmp_path: Path) -> None:
        """Four instrumentors on top of each other: one call of twelve tokens."""
        summary = CostAnalyzer(write(tmp_path / "a.jsonl", LINES)).summary()

        assert (summary["records"], summary["tokens"]["prompt"]) == (CALLS, CALLS * 12)

    @given(
        st.permutations(range(len(LINES))), st.lists(st.integers(0, 2), min_size=12, max_size=12)
    )
    @settings(deadline=None, max_examples=25)
    def test_order_and_format_change_nothing(self, order: list[int], written: list[int]) -> None:
        """Spans as OTLP, as records, or as both, in any order, over two files: the same calls."""
        with tempfile.TemporaryDirectory() as folder:
            files: tuple[list[bytes], list[bytes]] = ([encode_line(OURS)], [])
            for at, number in enumerate(order):
                here = files[at % 2]
                if written[number] != 1:
                    here.append(LINES[number])
                if written[number] != 0:
                    here.append(AS_RECORDS[number])
            paths = [
                write(Path(folder, name), lines)
                for name, lines in zip(("a.jsonl", "b.jsonl"), files, strict=True)
            ]
            in_python, in_sql = count(paths)

        assert in_python == in_sql
        assert in_python.total() == CALLS + 1
        assert max(in_python.values()) == 1

    @given(st.lists(st.sampled_from(range(len(LINES))), min_size=1, max_size=20))
    @settings(deadline=None, max_examples=25)
    def test_partial_traces_and_retries(self, chosen: list[int]) -> None:
        """Whatever arrived, however often: one call for each stack that something is known of."""
        with tempfile.TemporaryDirectory() as folder:
            path = write(Path(folder, "a.jsonl"), [LINES[number] for number in chosen])
            in_python, in_sql = count([path])

        assert in_python == in_sql
        assert in_python.total() == len({number // 4 for number in chosen})
