"""Scoring what an application's own exporter writes: a journal is followed, results go beside it.

For one machine without collector or receiver. Where it was is told by the results themselves: a
call that has one of this scorer and revision is passed over, so that a restart goes on behind it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from cert_otel.errors import InputError
from cert_otel.evaluation.contexts import get_key
from cert_otel.journal import (
    JSONLWriter,
    decode_line,
    find_journal_files,
    get_scores_path,
    read_lines,
)
from cert_otel.pricing import price_record
from cert_otel.records import EvaluationRecord, Record, encode_line
from cert_otel.service.batches import make_batches
from cert_otel.service.judging import Case, GuardedJudge, find_reason, open_judges_of
from cert_otel.service.recent import RecentSources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from cert_otel.evaluation.contexts import Key
    from cert_otel.service.judging import Judge, Judges
    from cert_otel.service.settings import Settings

READ_BYTES: Final = 4 * 2**20
POLL_S: Final = 0.5
_FINAL: Final = frozenset({"scored", "skipped"})
"""An error is no result: what failed is tried again at the next start."""

_logger = logging.getLogger(__name__)


class FollowedFile:
    """The lines of a journal as they are written, over rotation, truncation and deletion."""

    def __init__(self, path: Path) -> None:
        """Begin with the files that it was renamed to; the journal need not be there yet."""
        self._path = path
        self._file: BinaryIO | None = None
        self._waiting = _list_rotated(path)

    def read_lines(self) -> list[bytes]:
        """Return the next whole lines; none where nothing new is there.

        A file that was renamed is read to its end, then those that came after it, then the new one.
        """
        if self._file is None and not self._open():
            return []
        lines = self._read_on()
        while not lines and self._is_over():
            lines = self._read_on()  # what was written between the two looks
            self.close()
            if not lines and self._open():
                lines = self._read_on()
        return lines

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        path = self._waiting.pop(0) if self._waiting else self._path
        with contextlib.suppress(FileNotFoundError):
            self._file = path.open("rb")
        return self._file is not None

    def _read_on(self) -> list[bytes]:
        file = self._file
        if file is None:
            return []
        start = file.tell()
        if os.fstat(file.fileno()).st_size < start:
            start = file.seek(0)
        data = file.read(READ_BYTES)
        if b"\n" not in data and len(data) == READ_BYTES:
            data += file.readline()
        end = data.rfind(b"\n") + 1
        file.seek(start + end)
        return data[:end].splitlines(keepends=True)

    def _is_over(self) -> bool:
        """Whether the open file has another name by now; then note those that came after it."""
        if self._file is None:
            return False
        if self._waiting:
            return True
        own = os.fstat(self._file.fileno())
        if _is_same(self._path, own):
            return False
        rotated = _list_rotated(self._path)
        places = [place for place, file in enumerate(rotated) if _is_same(file, own)]
        self._waiting = rotated[places[-1] + 1 :] if places else []
        return True


class Watch:
    """Judges the calls of one journal as they come."""

    def __init__(
        self,
        path: Path,
        judges: Judges,
        *,
        may_go_on: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Find out what has a result already.

        Args:
            path: The journal; it need not be there yet.
            judges: Who judges.
            may_go_on: Asked before each batch; what is not judged by then waits for the next start.
            clock: Seconds since 1970.
        """
        self._followed = FollowedFile(path)
        self._writer = JSONLWriter(get_scores_path(path))
        self._judges = [one for one in (judges.scoring, judges.evaluation) if one is not None]
        self._limits = judges.limits
        self._may_go_on = may_go_on
        self._clock = clock
        self._sources = RecentSources()
        self._done = _find_done(path, self._judges)

    def work(self) -> int:
        """Judge what is new, and write the results.

        Returns:
            How many lines were new.

        Raises:
            OSError: Results cannot be written; the next start goes on behind what is there.
        """
        lines = self._followed.read_lines()
        records = [record for line in lines for record in _list_records(line)]
        self._sources.add(records, self._clock())
        calls = [record for record in records if record.kind == "inference" and get_key(record)]
        for judge in self._judges:
            self._judge(judge, calls)
        return len(lines)

    def close(self) -> None:
        """Close the journal."""
        self._followed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _judge(self, judge: Judge, calls: Sequence[Record]) -> None:
        done = self._done[judge.name, judge.revision]
        new = {key: call for call in calls if (key := get_key(call)) and key not in done}
        sources = self._sources.find(list(new.values()))
        reasons = {key: find_reason(call) for key, call in new.items()}
        cases = [
            Case(new[key], sources.get(key, ())) for key, one in reasons.items() if one is None
        ]
        skipped = [_skip(new[key], one, judge) for key, one in reasons.items() if one is not None]
        self._write(skipped, done)
        for batch in make_batches(cases, self._limits):
            if not self._may_go_on():
                return
            found = GuardedJudge(judge).judge([cases[index] for index in batch])
            self._write([result for own in found for result in own], done)

    def _write(self, results: Sequence[EvaluationRecord], done: set[Key]) -> None:
        if results:
            lost, error = self._writer.append([encode_line(one) for one in results])
            if error is not None:
                raise OSError(error.errno, f"{lost} results cannot be written", self._writer.path)
        done.update((one.trace_id, one.span_id) for one in results)


def _find_done(path: Path, judges: Sequence[Judge]) -> dict[tuple[str, str], set[Key]]:
    done: dict[tuple[str, str], set[Key]] = {
        (judge.name, judge.revision): set() for judge in judges
    }
    for scores in _list_scores(path):
        for line in read_lines(scores):
            one = line.content
            if isinstance(one, EvaluationRecord) and one.score_status in _FINAL:
                own = done.get((one.scorer, one.scorer_revision or ""))
                if own is not None:
                    own.add((one.trace_id, one.span_id))
    return done


def _list_files(path: Path) -> list[Path]:
    """Return the journal's files and the results beside them; none where nothing is there yet."""
    try:
        return [file for file in find_journal_files(path) if file.exists()]
    except InputError:
        return []


def _list_scores(path: Path) -> list[Path]:
    files = {path, *_list_files(path)}
    return sorted(scores for file in files if (scores := get_scores_path(file)).exists())


def _list_rotated(path: Path) -> list[Path]:
    known = {path, *_list_scores(path)}
    return [file for file in _list_files(path) if file not in known]


def _is_same(path: Path, status: os.stat_result) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), status)
    return False


def _list_records(line: bytes) -> Iterator[Record]:
    try:
        content = decode_line(line)
    except ValueError:
        _logger.debug("a line is no record", exc_info=True)
        return
    if isinstance(content, Record):
        yield content
    elif not isinstance(content, EvaluationRecord):
        yield from map(price_record, content.records)


def _skip(record: Record, reason: str, judge: Judge) -> EvaluationRecord:
    return EvaluationRecord(
        timestamp=datetime.now(UTC),
        trace_id=record.trace_id or "",
        span_id=record.span_id or "",
        scorer=judge.name,
        scorer_revision=judge.revision,
        score_status="skipped",
        score_reason=reason,
    )


def run(path: Path, settings: Settings) -> None:
    """Follow a journal until SIGTERM or Ctrl-C.

    Args:
        path: The journal; it need not be there yet.
        settings: Of them, who scores and evaluates.

    Raises:
        CertOtelError: A model cannot be had.
        OSError: Results cannot be written.
    """
    # Until a model is loaded, which may take minutes, a signal just ends the process.
    judges = open_judges_of(settings)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with Watch(path, judges, may_go_on=lambda: not stopping.is_set()) as watch:
        _logger.info("following %s, judging by %s", path, judges.combine().name or "nobody")
        while not stopping.is_set():
            if not watch.work():
                stopping.wait(POLL_S)
