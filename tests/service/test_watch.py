"""A journal that is followed: each call gets its results once, over rotation and restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.service.spans import make_call, make_retrieval
from tests.service.test_worker import Picky, Praise

from cert_otel.journal import JSONLWriter, get_scores_path, read_journal, read_lines
from cert_otel.records import EvaluationRecord, Record, encode_line
from cert_otel.service.judging import Judges
from cert_otel.service.limits import Limits
from cert_otel.service.watch import Watch
from cert_otel.wire.otlp_write import encode_line as encode_otlp

if TYPE_CHECKING:
    from pathlib import Path

    from cert_otel.service.judging import Judge


class Journal:
    """A journal as an application writes it."""

    def __init__(self, path: Path, *, max_mb: float | None = None) -> None:
        self.path = path
        self._writer = JSONLWriter(path, max_mb=max_mb)

    def write(self, *records: Record) -> None:
        """Append records."""
        assert self._writer.append([encode_line(record) for record in records]).lost == 0

    def read_results(self) -> list[EvaluationRecord]:
        """Return the results beside it."""
        lines = read_lines(get_scores_path(self.path))
        return [line.content for line in lines if isinstance(line.content, EvaluationRecord)]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Return a journal without a line."""
    return Journal(tmp_path / "production.jsonl")


def watch_all(watch: Watch) -> None:
    """Let it work until nothing is new."""
    while watch.work():
        pass


def watch_once(journal: Journal, judge: Judge) -> None:
    """Start, judge what is there, and end."""
    with Watch(journal.path, Judges(judge)) as watch:
        watch_all(watch)


class TestWatch:
    def test_what_is_written_is_judged(self, journal: Journal) -> None:
        """Results come beside the journal, and readers join them."""
        with Watch(journal.path, Judges(Praise())) as watch:
            assert watch.work() == 0
            journal.write(make_call(1))
            watch_all(watch)
            journal.write(make_call(2), make_retrieval(3, "Two."))
            watch_all(watch)

        records = read_journal([journal.path]).records
        assert [one.confidence for one in records if one.kind == "inference"] == [0.9, 0.9]
        assert len(journal.read_results()) == 2

    def test_a_restart_goes_on(self, journal: Journal) -> None:
        """What has a result is passed over; what failed is tried again."""
        journal.write(make_call(3), make_call(4))
        watch_once(journal, Picky())
        journal.write(make_call(5))
        watch_once(journal, Picky())

        outcomes = [(one.span_id[-1], one.score_status) for one in journal.read_results()]
        assert sorted(outcomes) == [
            ("4", "error"),
            ("4", "error"),
            ("5", "scored"),
            ("6", "scored"),
        ]

    def test_told_to_stop(self, journal: Journal) -> None:
        """It ends behind the batch in hand; the next start goes on from there."""
        journal.write(*(make_call(number) for number in range(9)))
        asked = iter([True, True])
        judges = Judges(Praise(), limits=Limits(records=2))
        with Watch(journal.path, judges, may_go_on=lambda: next(asked, False)) as watch:
            watch.work()
        judged = len(journal.read_results())
        watch_once(journal, Praise())

        assert judged == 4
        assert len({one.span_id for one in journal.read_results()}) == 9
        assert len(journal.read_results()) == 9

    def test_a_line_that_is_being_written(self, journal: Journal) -> None:
        """Half a line waits for its other half."""
        line = encode_line(make_call(1))
        with Watch(journal.path, Judges(Praise())) as watch:
            journal.path.write_bytes(line[:40])
            assert watch.work() == 0
            with journal.path.open("ab") as file:
                file.write(line[40:])
            watch_all(watch)

        assert len(journal.read_results()) == 1

    def test_rotation(self, tmp_path: Path) -> None:
        """A renamed file is read to its end, then all its successors; a restart reads none again."""
        journal = Journal(tmp_path / "production.jsonl", max_mb=0.004)
        with Watch(journal.path, Judges(Praise())) as watch:
            for number in range(20):
                journal.write(make_call(number))
                if number % 7 == 0:
                    watch_all(watch)
            watch_all(watch)
        found = [one.span_id for one in journal.read_results()]
        watch_once(journal, Praise())

        assert len(list(tmp_path.glob("production.2*.jsonl"))) > 1
        assert sorted(found) == [f"{number + 1:016x}" for number in range(20)]
        assert len(journal.read_results()) == 20

    def test_truncated(self, journal: Journal) -> None:
        """A file that is begun anew is read anew."""
        journal.write(make_call(1), make_call(2))
        with Watch(journal.path, Judges(Praise())) as watch:
            watch_all(watch)
            journal.path.write_bytes(b"")
            watch.work()
            journal.write(make_call(7))
            watch_all(watch)

        assert [one.span_id[-1] for one in journal.read_results()] == ["2", "3", "8"]

    def test_calls_without_an_answer(self, journal: Journal) -> None:
        """They get a result that says why there is none."""
        journal.write(make_call(1, output_data=None))
        watch_once(journal, Praise())

        (result,) = journal.read_results()
        assert (result.score_status, result.score_reason) == ("skipped", "no_answer")

    def test_lines_of_others(self, journal: Journal) -> None:
        """OTLP lines of any exporter are read as well; what is no line of a record is passed."""
        journal.path.write_bytes(b"no JSON\n" + encode_otlp(make_call(1)))
        watch_once(journal, Praise())

        assert len(journal.read_results()) == 1
