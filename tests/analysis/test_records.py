"""Journal files into DuckDB: which lines, and what is said of the others."""

from __future__ import annotations

import gc
import os
import tempfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cert_otel.analysis.records import NAMED_LINES, load_records
from cert_otel.errors import InputError
from cert_otel.journal import read_journal
from cert_otel.records import EvaluationRecord, Record, encode_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Call = Callable[..., Record]
    Journal = Callable[..., Path]

START = datetime(2026, 11, 20, 10, tzinfo=UTC)


def select(paths: Sequence[Path], what: str) -> list[tuple[Any, ...]]:
    return load_records(paths).connection.sql("FROM records").order("line").project(what).fetchall()


class TestLines:
    """One line, one record, or a named exception."""

    def test_reads_what_the_journal_writes(self, call: Call, journal: Journal) -> None:
        """Ids, times and amounts arrive with every digit."""
        path = journal("a.jsonl", call(0, cost=0.1), call(1, cost=1.2345678901234568e-05))

        rows = select([path], "trace_id, CAST(started AS VARCHAR), CAST(cost AS VARCHAR)")

        assert rows == [
            (f"{1:032x}", "2026-11-20 10:00:00", "0.100000000000000000000000000"),
            (f"{2:032x}", "2026-11-20 11:00:00", "0.000012345678901234568000000"),
        ]

    @pytest.mark.parametrize(
        "line",
        [
            b"hello",
            b'{"v":1,"kind":"inference","timest',
            b"[1]",
            b"17",
            b"{}",
            b'{"v":2,"kind":"inference","timestamp":"2026-11-20T10:00:00Z"}',
            b'{"kind":"inference"}',
            b'{"kind":"inference","timestamp":"yesterday"}',
            b'{"kind":"dream","timestamp":"2026-11-20T10:00:00Z"}',
            b'{"kind":"inference","timestamp":"2026-11-20T10:00:00Z","status":"fine"}',
            b'{"kind":"inference","timestamp":"2026-11-20T10:00:00Z","cost":"a lot"}',
            b'{"kind":"inference","timestamp":"2026-11-20T10:00:00Z","cost":NaN}',
            b'{"kind":"evaluation","timestamp":"2026-11-20T10:00:00Z","trace_id":"a"}',
            b'{"kind":"inference","timestamp":"2026-11-20T10:00:00Z","model":"\xff"}',
            b"\0\0\0\0",
        ],
    )
    def test_names_what_is_no_record(self, line: bytes, call: Call, journal: Journal) -> None:
        """A bad line is counted and named with its number; the others are read, as in Python."""
        path = journal("a.jsonl", call(0), b"\n", b" \r\n", line + b"\n", call(1))

        database = load_records([path])

        assert [file.records for file in database.files] == [2]
        assert [file.unreadable for file in database.files] == [1]
        (bad,) = database.unreadable
        assert (bad.path, bad.line) == (path, 4)
        assert bad.problem
        assert [problem.line for problem in read_journal([path]).problems] == [4]

    def test_names_a_cost_beyond_belief(self, call: Call, journal: Journal) -> None:
        """A call that costs a billion is no call."""
        path = journal("a.jsonl", call(0), call(1, cost=1e9))

        (bad,) = load_records([path]).unreadable

        assert (bad.line, bad.problem) == (2, "not a record that costs can be read from")

    def test_names_the_first_of_many(self, call: Call, journal: Journal) -> None:
        """All bad lines are counted, the first of all files are named."""
        paths = [
            journal("a.jsonl", call(0), *[b"bad\n"] * 3),
            journal("b.jsonl", *[b"worse\n"] * NAMED_LINES, call(1)),
        ]

        database = load_records(paths)

        assert [file.unreadable for file in database.files] == [3, NAMED_LINES]
        assert [(bad.path, bad.line) for bad in database.unreadable] == [
            *((paths[0], line) for line in (2, 3, 4)),
            *((paths[1], line) for line in range(1, NAMED_LINES - 2)),
        ]

    def test_keeps_the_order_of_large_files(self, call: Call, journal: Journal) -> None:
        """Line numbers are right where DuckDB reads several buffers at once."""
        padding = "x" * 1_000_000
        lines = [call(number, output_data=padding) for number in range(70)]
        path = journal("a.jsonl", *lines, b"bad\n", *lines[:20])

        database = load_records([path])

        assert [bad.line for bad in database.unreadable] == [71]
        spans = database.connection.execute("SELECT span_id FROM lines ORDER BY line").fetchall()
        assert [span for (span,) in spans if span] == [
            record.span_id for record in (*lines, *lines[:20])
        ]

    def test_reads_very_long_lines(self, call: Call, journal: Journal) -> None:
        """A line beyond DuckDB's usual limit of 16 MB is read like any."""
        path = journal("a.jsonl", call(0, output_data="x" * 40_000_000), call(1))

        assert load_records([path]).files[0].records == 2

    def test_tells_lines_of_one_span_apart(self, call: Call, journal: Journal) -> None:
        """Where only their text differs the greater text counts, whether Python can read it or not."""
        lines = [
            encode_line(call(0)).replace(b"0.25", cost) for cost in (b'"0.9"', b"0.5", b'"0.1"')
        ]

        for order in (lines, lines[::-1]):
            path = journal("a.jsonl", *order)

            assert select([path], "folded, CAST(cost AS DOUBLE)").count((False, 0.5)) == 1

    def test_reads_a_last_line_without_an_end(self, call: Call, journal: Journal) -> None:
        """Whole is whole, even without the newline."""
        path = journal("a.jsonl", call(0), encode_line(call(1)).rstrip())

        assert load_records([path]).files[0].records == 2

    @given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line), max_size=8))
    @settings(deadline=None, max_examples=30)
    def test_never_raises_because_of_a_line(
        self, tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
    ) -> None:
        """Any bytes between two records are as unreadable as they are in Python."""
        path = tmp_path_factory.mktemp("junk") / "a.jsonl"
        ends = [
            encode_line(Record(kind="function", timestamp=START + timedelta(hours=number)))
            for number in (0, 1)
        ]
        path.write_bytes(ends[0] + b"".join(line + b"\n" for line in lines) + ends[1])

        database = load_records([path])

        expected = read_journal([path])
        assert database.files[0].records == 2
        assert database.files[0].unreadable == expected.unreadable
        assert [bad.line for bad in database.unreadable] == [
            problem.line for problem in expected.problems
        ]


class TestFiles:
    """What a path stands for."""

    def test_a_directory_is_its_journals(self, call: Call, journal: Journal) -> None:
        """All `*.jsonl` of a directory are read."""
        folder = journal("days/1.jsonl", call(0)).parent
        journal("days/2.jsonl", call(1))
        journal("days/notes.txt", b"no journal")

        assert len(select([folder], "line")) == 2

    def test_results_beside_a_file_are_joined(self, call: Call, journal: Journal) -> None:
        """`FILE.scores.jsonl` belongs to FILE."""
        record = call(0)
        path = journal("a.jsonl", record)
        journal(
            "a.jsonl.scores.jsonl",
            EvaluationRecord(
                timestamp=record.timestamp,
                trace_id=record.trace_id or "",
                span_id=record.span_id or "",
                scorer="s",
                confidence=0.1,
                passed=False,
            ),
        )

        database = load_records([path])

        assert [file.evaluations for file in database.files] == [0, 1]
        assert select([path], "passed") == [(False,)]

    @pytest.mark.parametrize("name", ["a[1].jsonl", "*.jsonl", "what?.jsonl", "it's.jsonl", "k=v"])
    def test_a_name_is_no_pattern(self, name: str, call: Call, journal: Journal) -> None:
        """Characters that mean something to DuckDB are part of the name."""
        journal("a1.jsonl", call(0), call(1))
        path = journal(f"kind=dir/{name}", call(0))

        assert len(select([path], "line")) == 1

    def test_a_file_named_twice_is_read_once(self, call: Call, journal: Journal) -> None:
        """Whatever the ways that lead to it."""
        path = journal("a.jsonl", call(0))
        link = path.with_name("b.jsonl")
        link.symlink_to(path)

        assert len(load_records([path, path, link]).files) == 1

    def test_a_name_that_is_no_text(self, call: Call, journal: Journal) -> None:
        """What DuckDB cannot open is an error that names the file."""
        path = journal(os.fsdecode(b"\xff.jsonl"), call(0))

        with pytest.raises(InputError, match="UTF-8"):
            load_records([path])

    def test_leaves_nothing_behind(
        self, call: Call, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What DuckDB may need on disk is its owner's, and goes with the database."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        path = journal("a.jsonl", call(0))

        database = load_records([path])

        (spill,) = tmp_path.glob("cert-otel-*")
        assert spill.stat().st_mode & 0o077 == 0
        del database
        gc.collect()
        assert list(tmp_path.iterdir()) == [path]

    def test_prints_no_progress(self, call: Call, journal: Journal) -> None:
        """DuckDB's progress bar would go to stdout, into the report."""
        connection = load_records([journal("a.jsonl", call(0))]).connection

        assert connection.execute("SELECT current_setting('enable_progress_bar')").fetchall() == [
            (False,)
        ]


class TestNothing:
    """Where there is nothing to read, one message says why."""

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("empty.jsonl", b"", "is empty"),
            ("blank.jsonl", b"\n\n", "is empty"),
            ("text.jsonl", b"hello\n", "holds no records: line 1 is not JSON"),
            ("binary.jsonl", b"\0" * 100, "binary"),
            ("packed.jsonl.gz", b"\x1f\x8b\x08", "gunzip"),
        ],
    )
    def test_a_file(
        self, name: str, content: bytes, message: str, call: Call, journal: Journal
    ) -> None:
        """Each file that is named has to hold records."""
        good = journal("good.jsonl", call(0))
        path = journal(name, content)

        with pytest.raises(InputError, match=message) as caught:
            load_records([good, path])

        assert caught.value.path == path

    def test_only_results(self, journal: Journal) -> None:
        """Results without a journal say so."""
        line = EvaluationRecord(timestamp=START, trace_id="a", span_id="b", scorer="s")
        path = journal("a.jsonl", line)

        with pytest.raises(InputError, match="only evaluations"):
            load_records([path])

    def test_a_path(self, tmp_path: Path) -> None:
        """Missing files, empty directories and pipes are told apart."""
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        for path, message in (
            (tmp_path / "missing.jsonl", "no such file"),
            (tmp_path, r"directory without \*.jsonl"),
            (pipe, "not a regular file"),
        ):
            with pytest.raises(InputError, match=message):
                load_records([path])
