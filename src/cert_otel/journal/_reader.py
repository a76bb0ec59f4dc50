"""Journals back into records: which files, which lines, and what was wrong with the rest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from cert_otel.errors import InputError, RecordError
from cert_otel.journal._identity import resolve
from cert_otel.journal._line import decode_line
from cert_otel.journal._writer import find_rotated
from cert_otel.records import EvaluationRecord, Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from cert_otel.journal._foreign import Foreign

MAX_PROBLEMS: Final = 20
"""Unreadable lines that are named; all are counted."""

_SUFFIX: Final = ".jsonl"
_SCORES_SUFFIX: Final = ".scores.jsonl"
_HEAD_BYTES: Final = 65_536
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"


class Line(NamedTuple):
    """One line of a file, read or not."""

    number: int
    """Counted from 1."""
    content: Record | EvaluationRecord | Foreign | RecordError


class FileReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was met in one file."""

    path: Path
    lines: int
    """Without the empty ones."""
    formats: dict[str, int]
    """Lines of each format: `record`, `evaluation`, `otlp`, `cert-log`."""
    unreadable: int
    """Lines that cannot be read at all."""
    dialects: dict[str, int] = {}
    """Records from lines of other formats, by the dialect of their spans."""
    details: int = 0
    """Log events that complete a span's record."""
    passed: int = 0
    """Spans and log records that tell nothing of a model."""
    broken: int = 0
    """Spans and log records that cannot be read, in lines that can."""


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """Records after all identity rules, and what it took to get there.

    In files of our own records, `lines` = records + `folded` + `evaluations` + `unreadable`; a line
    of OTLP holds any number of spans.
    """

    records: list[Record]
    """By timestamp. Those with `duplicate_of` are there, and not to be counted."""
    files: tuple[FileReport, ...]
    folded: int
    """Lines and spans that were another one about the same span."""
    evaluations: int
    """Lines with results that were written later."""
    unmatched: int
    """Of those, lines whose span has no record here."""
    problems: tuple[RecordError, ...]
    """The first `MAX_PROBLEMS` lines, and spans in lines, that cannot be read."""

    @property
    def lines(self) -> int:
        """Lines of all files, without the empty ones."""
        return sum(report.lines for report in self.files)

    @property
    def unreadable(self) -> int:
        """Lines that cannot be read."""
        return sum(report.unreadable for report in self.files)

    @property
    def duplicates(self) -> int:
        """Records of calls that another record counts for."""
        return sum(record.duplicate_of is not None for record in self.records)


def read_journal(paths: Sequence[Path | str]) -> Journal:
    """Read files and directories, fold their lines and join what belongs together.

    Args:
        paths: A file stands for itself, what it was rotated to, and the results beside each
            of them; a directory for its `*.jsonl` files. Naming one twice changes nothing.

    Raises:
        InputError: A path is missing, cannot be read or holds no record. A single bad line is
            only counted.
    """
    collected = _Collected()
    for path in paths:
        collected.read(Path(path))
    found = collected.get_records()
    records = resolve(found, collected.evaluations)
    known = {(record.trace_id, record.span_id) for record in records}
    return Journal(
        records=records,
        files=tuple(collected.files.values()),
        folded=len(found) - len(records),
        evaluations=len(collected.evaluations),
        unmatched=sum((e.trace_id, e.span_id) not in known for e in collected.evaluations),
        problems=tuple(collected.problems),
    )


def find_journal_files(path: Path | str) -> list[Path]:
    """Return the files that a path given by the user stands for, oldest first.

    Raises:
        InputError: There is nothing there.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(entry for entry in path.glob(f"*{_SUFFIX}") if entry.is_file())
        if not files:
            raise InputError(path, f"a directory without *{_SUFFIX} files; name one that has some")
        return files
    files = find_rotated(path)
    if path.exists() or not files:
        files.append(path)
    scores = (get_scores_path(file) for file in tuple(files))
    return [*files, *(beside for beside in scores if beside.exists())]


def get_scores_path(path: Path) -> Path:
    """Return where results that come later are kept: `FILE.scores.jsonl` beside FILE."""
    return path.with_name(path.name + _SCORES_SUFFIX)


def read_lines(path: Path) -> Iterator[Line]:
    """Read one file line by line, without folding and in constant memory.

    Raises:
        InputError: The file cannot be read, or is no text.
    """
    try:
        with path.open("rb") as file:
            _check_head(path, file)
            for number, line in enumerate(file, 1):
                if not line.isspace():
                    yield Line(number, _read_line(path, number, line))
    except FileNotFoundError:
        raise InputError(
            path, "no such file; name the one that your application writes (CERT_OTEL_JSONL)"
        ) from None
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from error


class Tally:
    """Counts the lines of one file."""

    def __init__(self) -> None:
        self._formats: Counter[str] = Counter()
        self._dialects: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()

    def add(self, line: Line) -> None:
        """Count one line and what it holds."""
        content = line.content
        if isinstance(content, RecordError):
            self._counts["unreadable"] += 1
        elif isinstance(content, Record):
            self._formats["record"] += 1
        elif isinstance(content, EvaluationRecord):
            self._formats["evaluation"] += 1
        else:
            self._formats[content.format] += 1
            self._dialects.update(content.dialects)
            self._counts["details"] += len(content.details)
            self._counts["passed"] += content.passed
            self._counts["broken"] += len(content.problems)

    def report(self, path: Path) -> FileReport:
        """Return the counts."""
        return FileReport(
            path=path,
            lines=self._formats.total() + self._counts["unreadable"],
            formats=dict(self._formats),
            dialects=dict(self._dialects),
            **{name: self._counts[name] for name in ("unreadable", "details", "passed", "broken")},
        )


def list_problems(path: Path, line: Line) -> list[RecordError]:
    """Return what was wrong with a line: nothing, all of it, or some of its spans."""
    if isinstance(line.content, RecordError):
        return [line.content]
    if isinstance(line.content, Record | EvaluationRecord):
        return []
    return [RecordError(path, line.number, problem) for problem in line.content.problems]


class _Collected:
    """Everything read so far, before folding."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.foreign: list[Foreign] = []
        self.evaluations: list[EvaluationRecord] = []
        self.problems: list[RecordError] = []
        self.files: dict[tuple[int, int], FileReport] = {}

    def read(self, path: Path) -> None:
        """Read what `path` stands for and was not read yet."""
        files = find_journal_files(path)
        found = [self._read_file(file) for file in files]
        if not any(report.lines for report in found):
            raise InputError(path, "is empty; no call has been recorded there yet")
        if not any(r.formats.get("record") or r.dialects or r.details for r in found):
            raise InputError(path, f"holds no records{self._explain(files, found)}")

    def get_records(self) -> list[Record]:
        """Return all records; those of other formats with their details, and priced."""
        if not self.foreign:
            return self.records
        from cert_otel.journal import _foreign  # noqa: PLC0415 - loaded by now

        details = _foreign.Details()
        for line in self.foreign:
            details.add(line.details)
        records = [details.complete(record) for record in self.records]
        for line in self.foreign:
            records += [_foreign.finish(record, details) for record in line.records]
        return records + _foreign.finish_rest(details)

    def _read_file(self, path: Path) -> FileReport:
        identity = _identify(path)
        if identity not in self.files:
            self.files[identity] = self._read_lines(path)
        return self.files[identity]

    def _read_lines(self, path: Path) -> FileReport:
        tally = Tally()
        for line in read_lines(path):
            tally.add(line)
            if isinstance(line.content, Record):
                self.records.append(line.content)
            elif isinstance(line.content, EvaluationRecord):
                self.evaluations.append(line.content)
            else:
                self._add_problems(list_problems(path, line))
                if not isinstance(line.content, RecordError):
                    self.foreign.append(line.content)
                    self.evaluations += line.content.results
        return tally.report(path)

    def _add_problems(self, problems: Sequence[RecordError]) -> None:
        self.problems += problems[: MAX_PROBLEMS - len(self.problems)]

    def _explain(self, files: Sequence[Path | str], found: Sequence[FileReport]) -> str:
        first = next((problem for problem in self.problems if problem.path in files), None)
        if first is not None:
            return f": line {first.line} is {first.problem}"
        if any(report.formats.get("otlp") for report in found):
            return ": its OTLP tells of no model call; name a file of spans that do"
        return ": only evaluations; name the journal that they belong to"


def _identify(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        # Reading will say what is wrong with it.
        return 0, hash(path)
    return status.st_dev, status.st_ino


def _check_head(path: Path, file: BinaryIO) -> None:
    """Refuse what is not lines of text before reading it whole, and skip a byte order mark."""
    head = file.read(_HEAD_BYTES)
    if head.startswith(_GZIP):
        raise InputError(path, "is compressed; gunzip it first")
    if b"\0" in head and b"\n" not in head:
        raise InputError(path, "is a binary file; name a journal, a text file of JSON lines")
    file.seek(len(_BYTE_ORDER_MARK) if head.startswith(_BYTE_ORDER_MARK) else 0)


def _read_line(
    path: Path, number: int, line: bytes
) -> Record | EvaluationRecord | Foreign | RecordError:
    try:
        return decode_line(line)
    except ValueError as error:
        cut = "" if line.endswith(b"\n") else " (cut off: its writer is at it, or was killed)"
        return RecordError(path, number, f"{error}{cut}")
