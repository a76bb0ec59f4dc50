"""Journals back into records: which files, which lines, and what was wrong with the rest."""

from __future__ import annotations

from collections import Counter
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from cert_otel.errors import InputError, RecordError
from cert_otel.journal._identity import resolve
from cert_otel.journal._writer import find_rotated
from cert_otel.records import SCHEMA_VERSION, EvaluationRecord, Record, Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

MAX_PROBLEMS: Final = 20
"""Unreadable lines that are named; all are counted."""

_SUFFIX: Final = ".jsonl"
_SCORES_SUFFIX: Final = ".scores.jsonl"
_HEAD_BYTES: Final = 65_536
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"
_COUNTED_KINDS: Final = frozenset({"inference", "embedding"})

# Before 0.21, msgspec's own errors are no ValueError.
_NO_JSON: Final = (msgspec.DecodeError, ValueError, RecursionError)
_RECORD: Final = msgspec.json.Decoder(Record)
_EVALUATION: Final = msgspec.json.Decoder(EvaluationRecord)
_FORMER_TOKENS: Final = (
    ("prompt", ("prompt", "prompt_tokens", "input_tokens")),
    ("completion", ("completion", "completion_tokens", "output_tokens")),
)
"""Where CERT had the counts: in `metadata.tokens`."""


class _Head(msgspec.Struct):
    """As much of a line as says what it is."""

    v: Any = SCHEMA_VERSION
    kind: Any = None


class Line(NamedTuple):
    """One line of a file, read or not."""

    number: int
    """Counted from 1."""
    content: Record | EvaluationRecord | RecordError


class FileReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was met in one file."""

    path: Path
    lines: int
    """Without the empty ones."""
    formats: dict[str, int]
    """Lines of each format: `record`, `evaluation`."""
    unreadable: int


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """Records after all identity rules, and what it took to get there.

    `lines` = records + `folded` + `evaluations` + `unreadable`.
    """

    records: list[Record]
    """By timestamp. Those with `duplicate_of` are there, and not to be counted."""
    files: tuple[FileReport, ...]
    folded: int
    """Lines that were another line about the same span."""
    evaluations: int
    """Lines with results that were written later."""
    unmatched: int
    """Of those, lines whose span has no record here."""
    problems: tuple[RecordError, ...]
    """The first `MAX_PROBLEMS` lines that cannot be read."""

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
    records = resolve(collected.records, collected.evaluations)
    known = {(record.trace_id, record.span_id) for record in records}
    return Journal(
        records=records,
        files=tuple(collected.files.values()),
        folded=len(collected.records) - len(records),
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


def decode_line(line: bytes) -> Record | EvaluationRecord:
    """Decode one line; fields that this version does not know are passed over.

    Raises:
        ValueError: It is neither; the message says why.
    """
    try:
        return _settle(_RECORD.decode(line))
    except msgspec.ValidationError as error:
        return _decode_other(line, str(error))
    except OverflowError:
        raise ValueError("not a record: its timestamp is out of range") from None
    except _NO_JSON as error:
        raise ValueError(_explain_no_json(line, error)) from None


class _Collected:
    """Everything read so far, before folding."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.evaluations: list[EvaluationRecord] = []
        self.problems: list[RecordError] = []
        self.files: dict[tuple[int, int], FileReport] = {}

    def read(self, path: Path) -> None:
        """Read what `path` stands for and was not read yet."""
        files = find_journal_files(path)
        found = [self._read_file(file) for file in files]
        if not any(report.lines for report in found):
            raise InputError(path, "is empty; no call has been recorded there yet")
        if not any(report.formats.get("record") for report in found):
            raise InputError(path, f"holds no records{self._explain(files)}")

    def _read_file(self, path: Path) -> FileReport:
        identity = _identify(path)
        if identity not in self.files:
            self.files[identity] = self._read_lines(path)
        return self.files[identity]

    def _read_lines(self, path: Path) -> FileReport:
        formats: Counter[str] = Counter()
        unreadable = 0
        for line in read_lines(path):
            if isinstance(line.content, Record):
                formats["record"] += 1
                self.records.append(line.content)
            elif isinstance(line.content, EvaluationRecord):
                formats["evaluation"] += 1
                self.evaluations.append(line.content)
            else:
                unreadable += 1
                if len(self.problems) < MAX_PROBLEMS:
                    self.problems.append(line.content)
        return FileReport(
            path=path,
            lines=formats.total() + unreadable,
            formats=dict(formats),
            unreadable=unreadable,
        )

    def _explain(self, files: Sequence[Path | str]) -> str:
        first = next((problem for problem in self.problems if problem.path in files), None)
        if first is None:
            return ": only evaluations; name the journal that they belong to"
        return f": line {first.line} is {first.problem}"


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


def _read_line(path: Path, number: int, line: bytes) -> Record | EvaluationRecord | RecordError:
    try:
        return decode_line(line)
    except ValueError as error:
        cut = "" if line.endswith(b"\n") else " (cut off: its writer is at it, or was killed)"
        return RecordError(path, number, f"{error}{cut}")


def _decode_other(line: bytes, why_no_record: str) -> EvaluationRecord:
    try:
        head = msgspec.json.decode(line, type=_Head)
    except msgspec.ValidationError:
        raise ValueError("not a JSON object") from None
    except _NO_JSON as error:
        raise ValueError(_explain_no_json(line, error)) from None
    if isinstance(head.v, int) and head.v > SCHEMA_VERSION:
        raise ValueError(
            f"of version {head.v}, which a newer cert-otel wrote; this one reads {SCHEMA_VERSION}"
        )
    if head.kind != "evaluation":
        raise ValueError(f"not a record: {why_no_record}")
    try:
        return _EVALUATION.decode(line)
    except msgspec.ValidationError as error:
        raise ValueError(f"not an evaluation: {error}") from None


def _explain_no_json(line: bytes, error: Exception) -> str:
    try:
        line.decode()
    except UnicodeDecodeError:
        return "not UTF-8 text"
    return f"not JSON: {error}"


def _settle(record: Record) -> Record:
    """Bring the timestamp to UTC and CERT's own fields to the top level."""
    changes: dict[str, Any] = {}
    if record.timestamp.tzinfo is None:
        changes["timestamp"] = record.timestamp.replace(tzinfo=UTC)
    elif record.timestamp.tzinfo is not UTC:
        changes["timestamp"] = record.timestamp.astimezone(UTC)
    if record.kind in _COUNTED_KINDS and record.tokens is None and "tokens" in record.metadata:
        changes["tokens"] = _find_former_tokens(record.metadata["tokens"])
    if record.latency_ms is None and "latency_ms" in record.metadata:
        changes["latency_ms"] = _find_former_latency(record.metadata["latency_ms"])
    return msgspec.structs.replace(record, **changes) if changes else record


def _find_former_tokens(tokens: Any) -> Tokens | None:
    if not isinstance(tokens, dict):
        return None
    counts = {
        field: next((tokens[n] for n in names if type(tokens.get(n)) is int), None)
        for field, names in _FORMER_TOKENS
    }
    return Tokens(**counts) if any(count is not None for count in counts.values()) else None


def _find_former_latency(latency_ms: Any) -> float | None:
    return float(latency_ms) if type(latency_ms) in (int, float) else None
