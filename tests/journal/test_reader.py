"""Journals back into records."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.errors import InputError, RecordError
from cert_otel.journal import (
    FileReport,
    JSONLWriter,
    decode_line,
    find_journal_files,
    get_scores_path,
    read_journal,
    read_lines,
)
from cert_otel.records import Evaluation, EvaluationRecord, Record, Tokens, encode_line

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)


def call(number: int, **fields: Any) -> Record:
    return Record(
        kind="inference",
        timestamp=START + timedelta(seconds=number),
        trace_id=f"{number:032x}",
        span_id=f"{number:016x}",
        **fields,
    )


def judge(number: int, **fields: Any) -> EvaluationRecord:
    about = call(number)
    return EvaluationRecord(
        timestamp=START,
        trace_id=str(about.trace_id),
        span_id=str(about.span_id),
        scorer="s",
        **fields,
    )


def write(path: Path, *lines: Record | EvaluationRecord | bytes) -> Path:
    path.write_bytes(
        b"".join(line if isinstance(line, bytes) else encode_line(line) for line in lines)
    )
    return path


class TestWholeJournal:
    def test_counts_and_problems(self, tmp_path: Path) -> None:
        """Every line is a record, folded, an evaluation or unreadable, and named if so."""
        path = write(
            tmp_path / "a.jsonl",
            call(2),
            call(1),
            b"\n",
            b"   \n",
            call(1, score_status="scored"),
            b'{"torn": \n',
            judge(1),
            judge(7),
        )
        journal = read_journal([path])

        assert [record.timestamp for record in journal.records] == [
            START + timedelta(seconds=1),
            START + timedelta(seconds=2),
        ]
        assert (journal.folded, journal.evaluations, journal.unmatched) == (1, 2, 1)
        assert (journal.unreadable, journal.duplicates) == (1, 0)
        assert journal.lines == 6
        assert journal.files == (
            FileReport(path=path, lines=6, formats={"record": 3, "evaluation": 2}, unreadable=1),
        )
        (problem,) = journal.problems
        assert (problem.path, problem.line) == (path, 6)
        assert str(problem).startswith(f"{path}:6: not JSON: ")

    def test_duplicates_are_counted(self, tmp_path: Path) -> None:
        """Nested spans of one call are there, and one of them is marked."""
        outer = call(1, model="m", latency_ms=9.0)
        inner = Record(
            kind="inference",
            timestamp=START + timedelta(seconds=1, milliseconds=1),
            trace_id=outer.trace_id,
            span_id="b",
            parent_span_id=outer.span_id,
            model="m",
            latency_ms=5.0,
        )
        journal = read_journal([write(tmp_path / "a.jsonl", outer, inner)])

        assert journal.duplicates == 1
        assert [record.duplicate_of for record in journal.records] == ["b", None]

    def test_only_so_many_problems_are_named(self, tmp_path: Path) -> None:
        """All unreadable lines are counted; the first twenty are named."""
        journal = read_journal([write(tmp_path / "a.jsonl", call(1), *[b"{\n"] * 50)])

        assert journal.unreadable == 50
        assert [problem.line for problem in journal.problems] == list(range(2, 22))

    @given(st.lists(st.booleans(), min_size=1), st.integers(1, 3))
    def test_nothing_is_read_twice(
        self, tmp_path_factory: Any, known: list[bool], times: int
    ) -> None:
        """A file named several times, by several names, gives what it gives once."""
        directory = tmp_path_factory.mktemp("journal")
        lines = [call(n % 3, score_status="scored" if k else None) for n, k in enumerate(known)]
        path = write(directory / "a.jsonl", *lines)
        os.link(path, directory / "b.jsonl")

        assert read_journal([directory, path, str(path)] * times) == read_journal([path])


class TestFiles:
    def test_rotated_files_belong_to_it(self, tmp_path: Path) -> None:
        """A journal is the file that is named and everything it was rotated to."""
        writer = JSONLWriter(tmp_path / "a.jsonl", max_mb=0.000001)
        for number in range(3):
            writer.append([encode_line(call(number))])
        write(tmp_path / "a.other.jsonl", call(9))

        assert read_journal([writer.path]).records == [call(0), call(1), call(2)]
        assert read_journal([find_journal_files(writer.path)[0]]).records == [call(0)]

    def test_just_rotated(self, tmp_path: Path) -> None:
        """Between a rotation and the next call there is no current file, and that is no error."""
        writer = JSONLWriter(tmp_path / "a.jsonl", max_mb=0.000001)
        for number in range(2):
            writer.append([encode_line(call(number))])
        writer.path.unlink()

        assert read_journal([writer.path]).records == [call(0)]

    def test_an_empty_current_file(self, tmp_path: Path) -> None:
        """A current file without lines is no error beside rotated files that have some."""
        writer = JSONLWriter(tmp_path / "a.jsonl", max_mb=0.000001)
        for number in range(2):
            writer.append([encode_line(call(number))])
        writer.path.write_bytes(b"")

        assert read_journal([writer.path]).records == [call(0)]

    def test_results_beside_it(self, tmp_path: Path) -> None:
        """FILE.scores.jsonl is read with FILE, and joined."""
        path = write(tmp_path / "a.jsonl", call(1))
        write(get_scores_path(path), judge(1, evaluations=[Evaluation(name="g", score=0.5)]))
        journal = read_journal([path])

        assert get_scores_path(path).name == "a.jsonl.scores.jsonl"
        assert journal.records[0].evaluations == [Evaluation(name="g", score=0.5)]
        assert [report.formats for report in journal.files] == [{"record": 1}, {"evaluation": 1}]
        assert read_journal([tmp_path]).records == journal.records

    def test_a_directory(self, tmp_path: Path) -> None:
        """A directory stands for its *.jsonl files, not for those below it."""
        write(tmp_path / "b.jsonl", call(2))
        write(tmp_path / "a.jsonl", call(1))
        write(tmp_path / "notes.txt", b"no record\n")
        (tmp_path / "c.jsonl").mkdir()

        journal = read_journal([tmp_path])
        assert journal.records == [call(1), call(2)]
        assert [report.path.name for report in journal.files] == ["a.jsonl", "b.jsonl"]

    def test_a_byte_order_mark(self, tmp_path: Path) -> None:
        """A file that an editor gave a byte order mark is read all the same."""
        path = write(tmp_path / "a.jsonl", b"\xef\xbb\xbf", call(1))

        assert read_journal([path]).records == [call(1)]

    def test_a_last_line_without_its_end(self, tmp_path: Path) -> None:
        """A last line that is whole but for its newline is read; a torn one is said to be so."""
        path = write(tmp_path / "a.jsonl", call(1), encode_line(call(2))[:-1])
        torn = write(tmp_path / "b.jsonl", call(1), encode_line(call(2))[:-9])

        assert read_journal([path]).records == [call(1), call(2)]
        (problem,) = read_journal([torn]).problems
        assert problem.problem.endswith("(cut off: its writer is at it, or was killed)")


class TestUnusableFiles:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"\n \n", "is empty"),
            (b"# Notes\n\nText\n", "holds no records: line 1 is not JSON"),
            (
                b'{"resourceSpans": []}\n',
                "holds no records: its OTLP tells of no model call",
            ),
            (b"\n[1]\n", "holds no records: line 2 is not a JSON object"),
            (encode_line(judge(1)), "only evaluations"),
            (b"\x7fELF\0\0\0", "is a binary file"),
            (b"\xff\xfe{\0\n\0", "line 1 is not UTF-8 text"),
            (gzip.compress(encode_line(call(1))), "gunzip it first"),
            (b'{"v": 2, "kind": "inference"}\n', "newer cert-otel"),
        ],
    )
    def test_what_is_no_journal(self, tmp_path: Path, content: bytes, message: str) -> None:
        """A file without records is an error that names it and says what it is."""
        path = write(tmp_path / "a.jsonl", content)
        with pytest.raises(InputError, match=message) as raised:
            read_journal([path])

        assert raised.value.path == path

    @pytest.mark.parametrize("name", ["nowhere.jsonl", "no/nowhere.jsonl"])
    def test_missing(self, tmp_path: Path, name: str) -> None:
        """A path that is not there says which setting names the right one."""
        with pytest.raises(InputError, match=r"nowhere\.jsonl: no such file.*CERT_OTEL_JSONL"):
            read_journal([tmp_path / name])

    def test_an_empty_directory(self, tmp_path: Path) -> None:
        """A directory without *.jsonl files is an error, whatever else it holds."""
        (tmp_path / "a.txt").touch()
        with pytest.raises(InputError, match=r"a directory without \*\.jsonl files"):
            read_journal([tmp_path])

    def test_a_directory_without_records(self, tmp_path: Path) -> None:
        """A directory whose files hold no record is an error about the directory."""
        write(tmp_path / "a.jsonl", b"{}\n")
        with pytest.raises(InputError, match="holds no records") as raised:
            read_journal([tmp_path])

        assert raised.value.path == tmp_path

    def test_unreadable(self, tmp_path: Path) -> None:
        """A file that the system refuses is an error with the system's reason."""
        path = tmp_path / "a.jsonl"
        path.symlink_to(path)
        with pytest.raises(InputError, match="cannot be read: "):
            read_journal([path])

    def test_one_bad_file_stops_the_run(self, tmp_path: Path) -> None:
        """A file that was named is expected to be read: the others do not make up for it."""
        good = write(tmp_path / "a.jsonl", call(1))
        bad = write(tmp_path / "b.jsonl", b"{}\n")
        with pytest.raises(InputError, match=r"b\.jsonl"):
            read_journal([good, bad])


class TestLines:
    def test_streaming(self, tmp_path: Path) -> None:
        """Lines come one by one with their numbers, unreadable ones in their place."""
        path = write(tmp_path / "a.jsonl", call(1), b"\n", b"{}\n", judge(1))
        first, second, third = read_lines(path)

        assert (first.number, first.content) == (1, call(1))
        assert second.number == 3
        assert isinstance(second.content, RecordError)
        assert (third.number, third.content) == (4, judge(1))

    def test_unknown_fields_are_passed_over(self) -> None:
        """A line with fields that this version does not know is read without them."""
        line = encode_line(call(1)).replace(b'{"v":1', b'{"v":1,"new_field":{"a":[1]}')

        assert decode_line(line) == call(1)

    def test_missing_fields_have_their_defaults(self) -> None:
        """A line of an earlier version lacks fields; only kind and timestamp must be there."""
        line = b'{"timestamp": "2026-11-20T10:30:00Z", "kind": "inference"}'

        assert decode_line(line) == Record(kind="inference", timestamp=START)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (b'{"v": 2, "kind": "evaluation"}', "version 2, which a newer cert-otel wrote"),
            (b'{"v": "1", "kind": "inference"}', "not a record: .*v`?"),
            (b'{"kind": "inference"}', "not a record: .*`timestamp`"),
            (b'{"kind": "evaluation"}', "not an evaluation: .*`timestamp`"),
            (b'{"kind": "tale", "timestamp": "2026', "not JSON"),
            (b'{"kind": "inference", "timestamp": "yesterday"}', "not a record"),
            (b'{"kind":"tool","timestamp":"0001-01-01T00:00:00+02:00"}', "out of range"),
            (b"[" * 100_000, "not a JSON object"),
            (b'{"metadata": ' + b"[" * 100_000, "not JSON"),
            (b'{"model": "\xff"}', "not UTF-8 text"),
        ],
    )
    def test_why_a_line_cannot_be_read(self, line: bytes, message: str) -> None:
        """The reason is in words that help to find the line's writer."""
        with pytest.raises(ValueError, match=message):
            decode_line(line)

    @given(st.binary(max_size=60), st.integers(0, 1200), st.integers(0, 1200), st.booleans())
    def test_any_bytes(self, noise: bytes, start: int, size: int, evaluation: bool) -> None:
        """Whatever was done to a line, reading it ends in a record or a reason."""
        line = encode_line(judge(1) if evaluation else call(1, metadata={"a": [{}]}))
        damaged = line[:start] + noise + line[start + size :]
        try:
            outcome: object = decode_line(damaged)
        except ValueError as error:
            outcome = str(error)

        assert outcome

    @pytest.mark.parametrize(
        "written", ["2026-11-20T10:30:00", "2026-11-20T11:30:00+01:00", "2026-11-20T10:30:00Z"]
    )
    def test_timestamps_are_utc(self, written: str) -> None:
        """A time without a zone is UTC; one of another zone is brought to it."""
        record = decode_line(b'{"kind":"tool","timestamp":"%s"}' % written.encode())

        assert isinstance(record, Record)
        assert record.timestamp == START
        assert record.timestamp.tzinfo is UTC

    @pytest.mark.parametrize(
        ("metadata", "tokens", "latency_ms"),
        [
            (
                b'{"tokens":{"prompt":3,"completion":4},"latency_ms":5}',
                Tokens(prompt=3, completion=4),
                5.0,
            ),
            (b'{"tokens":{"prompt_tokens":3},"latency_ms":1.5}', Tokens(prompt=3), 1.5),
            (b'{"tokens":{"output_tokens":4}}', Tokens(completion=4), None),
            (b'{"tokens":{"total":7},"latency_ms":"5"}', None, None),
            (b'{"tokens":7,"latency_ms":true}', None, None),
        ],
    )
    def test_former_places(
        self, metadata: bytes, tokens: Tokens | None, latency_ms: float | None
    ) -> None:
        """metadata.tokens and metadata.latency_ms stand in where the top level has none."""
        record = decode_line(
            b'{"kind":"inference","timestamp":"2026-11-20T10:30:00Z","metadata":%s}' % metadata
        )

        assert isinstance(record, Record)
        assert (record.tokens, record.latency_ms) == (tokens, latency_ms)

    def test_the_top_level_wins(self) -> None:
        """Where the record has its own, what the metadata says is the application's."""
        record = call(
            1,
            tokens=Tokens(prompt=1),
            latency_ms=2.0,
            metadata={"tokens": {"prompt": 9}, "latency_ms": 9},
        )

        assert decode_line(encode_line(record)) == record

    def test_only_model_calls_have_tokens(self) -> None:
        """A function's metadata may say what it likes about tokens."""
        line = b'{"kind":"function","timestamp":"2026-11-20T10:30:00Z","metadata":{"tokens":{"prompt":3}}}'

        record = decode_line(line)
        assert isinstance(record, Record)
        assert record.tokens is None
