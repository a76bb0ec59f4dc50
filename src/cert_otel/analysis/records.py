"""The records of journal files, in DuckDB: lines.sql reads them, records.sql folds and joins.

Files of our own records are scanned where they are. A file with lines of another format is
translated first, into one that can be.
"""

from __future__ import annotations

import glob
import shutil
import tempfile
import weakref
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import duckdb

from cert_otel.analysis._foreign import is_foreign_file, is_foreign_line, translate
from cert_otel.errors import InputError
from cert_otel.journal import decode_line, find_journal_files, read_lines
from cert_otel.records import EvaluationRecord, Record, encode_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from cert_otel.analysis._foreign import Translated

NAMED_LINES: Final = 20
"""Unreadable lines that are named; all are counted."""

_LINE_LIMITS: Final = (1 << 24, 1 << 27, 1 << 30)
"""Bytes, tried in turn: DuckDB reserves two of them a thread, so the usual case comes first."""

_COUNT_LINES: Final = """
SELECT
    file,
    min(line) AS first_line,
    count(*) FILTER (is_record AND NOT is_result) AS records,
    count(*) FILTER (is_record AND is_result) AS evaluations,
    count(*) FILTER (NOT is_record) AS unreadable,
    min(started) FILTER (is_record) AS earliest,
    max(started) FILTER (is_record) AS latest
FROM lines
GROUP BY file
"""

_FIND_UNREADABLE: Final = "SELECT file, line FROM lines WHERE NOT is_record ORDER BY line"
_FIND_TIED: Final = "SELECT file, line FROM tied ORDER BY line"
_ADD_TEXTS: Final = "INSERT INTO texts SELECT unnest(?), unnest(?)"


class FileCounts(NamedTuple):
    """What one file held; the times are naive UTC."""

    path: Path
    scanned: Path
    """The file itself, or its translation."""
    first_line: int = 0
    """Where its lines begin in the table of all lines."""
    records: int = 0
    evaluations: int = 0
    unreadable: int = 0
    earliest: datetime | None = None
    latest: datetime | None = None
    formats: Mapping[str, int] = {}
    """Lines of each format."""
    details: int = 0
    """Log events that complete the records of any file."""


class UnreadableLine(NamedTuple):
    """A line that is not a record."""

    path: Path
    line: int
    """Counted from 1."""
    problem: str


class Database(NamedTuple):
    """Everything that the files held, at one moment."""

    connection: duckdb.DuckDBPyConnection
    """Has the view `records`."""
    files: Sequence[FileCounts]
    unreadable: Sequence[UnreadableLine]
    """The first `NAMED_LINES` of them."""


class _Text(NamedTuple):
    path: Path
    line: int
    """In the table of all lines."""
    number: int
    """In the file, counted from 1."""
    text: bytes


def read_sql(name: str) -> str:
    """Return the text of one of the package's `.sql` files."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def load_records(paths: Iterable[Path]) -> Database:
    """Read what `paths` stand for into a database in memory.

    Args:
        paths: As for `cert_otel.journal.read_journal`.

    Raises:
        InputError: When there is nothing at a path, it cannot be read, or no line of it is a
            record. One line that is none never raises.
    """
    named = {path: _find_files(path) for path in paths}
    distinct = {file.resolve(): file for files in named.values() for file in files}
    scan = _scan_all(list(distinct.values()))
    counted = dict(zip(distinct, scan.files, strict=True))
    for path, members in named.items():
        _check_found(path, [counted[file.resolve()] for file in members], scan.unreadable)
    texts = list(_read_texts(scan.connection, scan.files, _FIND_TIED))
    scan.connection.execute(
        _ADD_TEXTS, [[found.line for found in texts], [_normalise(found.text) for found in texts]]
    )
    scan.connection.execute(read_sql("records.sql"))
    return scan


def _scan_all(files: Sequence[Path]) -> Database:
    """Scan the files; those that hold lines of other formats by way of a translation."""
    foreign = [file for file in files if is_foreign_file(file)]
    while True:
        connection, directory = _connect()
        translated = translate(foreign, directory, named_problems=NAMED_LINES)
        scanned = [translated[file].written if file in translated else file for file in files]
        _scan(connection, scanned)
        counts = _count_lines(connection, files, translated)
        mixed = {
            found.path
            for found in _read_texts(connection, counts, _FIND_UNREADABLE)
            if found.path not in translated and is_foreign_line(found.text)
        }
        if not mixed:
            return Database(connection, counts, _name_unreadable(connection, counts, translated))
        foreign += mixed


def _name_unreadable(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[FileCounts],
    translated: Mapping[Path, Translated],
) -> Sequence[UnreadableLine]:
    named = [
        UnreadableLine(found.path, found.number, _explain(found.text))
        for found in _read_texts(connection, files, f"{_FIND_UNREADABLE} LIMIT {NAMED_LINES}")
        if found.path not in translated
    ]
    for path, translation in translated.items():
        named += [UnreadableLine(path, bad.line, bad.problem) for bad in translation.problems]
    order = {file.path: at for at, file in enumerate(files)}
    return sorted(named, key=lambda bad: (order[bad.path], bad.line))[:NAMED_LINES]


def _find_files(path: Path) -> Sequence[Path]:
    try:
        files = find_journal_files(path)
        for file in files:
            _check_file(file)
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from None
    return files


def _check_file(path: Path) -> None:
    # A pipe would be empty when DuckDB comes to read it.
    if path.exists() and not path.is_file():
        raise InputError(path, "not a regular file; name a file of JSON lines")
    next(read_lines(path), None)


def _connect() -> tuple[duckdb.DuckDBPyConnection, Path]:
    """Open a database in memory, with a directory of its own for what does not fit there."""
    # Where DuckDB puts what memory cannot hold; its default is readable by all, in ".".
    spill = tempfile.mkdtemp(prefix="cert-otel-")
    connection = duckdb.connect(
        config={"temp_directory": spill, "autoinstall_known_extensions": "false"}  # no network
    )
    weakref.finalize(connection, shutil.rmtree, spill, ignore_errors=True)
    connection.execute("SET enable_progress_bar = false")  # it goes to stdout
    connection.execute("SET TimeZone = 'UTC'")
    return connection, Path(spill)


def _scan(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    script = read_sql("lines.sql")
    # DuckDB takes names for patterns, and some relative ones for addresses.
    names = [glob.escape(str(file.absolute())) for file in files]
    for limit in _LINE_LIMITS:
        try:
            connection.execute("SET VARIABLE paths = ?", [names])
            connection.execute("SET VARIABLE longest_line = ?", [limit])
            connection.execute(script)
        except (duckdb.InvalidInputException, duckdb.IOException) as error:
            if "maximum_object_size" not in str(error) or limit == _LINE_LIMITS[-1]:
                listed = ", ".join(map(str, files))
                raise InputError(listed, str(error).partition("\n")[0]) from error
        else:
            return


def _count_lines(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[Path],
    translated: Mapping[Path, Translated],
) -> Sequence[FileCounts]:
    rows = {row[0]: row[1:] for row in connection.execute(_COUNT_LINES).fetchall()}
    return [
        _add_report(FileCounts(file, file, *rows.get(at, ())), translated.get(file))
        for at, file in enumerate(files)
    ]


def _add_report(counts: FileCounts, translated: Translated | None) -> FileCounts:
    if translated is None:
        formats = {"record": counts.records, "evaluation": counts.evaluations}
        return counts._replace(formats={name: n for name, n in formats.items() if n})
    return counts._replace(
        scanned=translated.written,
        unreadable=counts.unreadable + translated.report.unreadable,
        formats=translated.report.formats,
        details=translated.report.details,
    )


def _read_texts(
    connection: duckdb.DuckDBPyConnection, files: Sequence[FileCounts], query: str
) -> Iterator[_Text]:
    """Read from the files the lines that `query` finds, as file and line in order."""
    found = connection.execute(query).fetchall()
    for at, rows in groupby(found, key=lambda row: row[0]):
        yield from _read_file(files[at], {line for _, line in rows})


def _read_file(file: FileCounts, lines: set[int]) -> Iterator[_Text]:
    left = len(lines)
    with file.scanned.open("rb") as opened:
        # DuckDB does not count empty lines.
        filled = (numbered for numbered in enumerate(opened, 1) if not numbered[1].isspace())
        for line, (number, text) in enumerate(filled, file.first_line):
            if line not in lines:
                continue
            yield _Text(file.path, line, number, text)
            left -= 1
            if not left:
                return


def _explain(text: bytes) -> str:
    try:
        decode_line(text)
    except ValueError as error:
        return str(error)
    return "not a record that costs can be read from"


def _normalise(text: bytes) -> str:
    try:
        decoded = decode_line(text)
    except ValueError:
        return text.decode()
    if isinstance(decoded, Record | EvaluationRecord):
        text = encode_line(decoded)
    return text.decode()


def _check_found(
    path: Path, files: Sequence[FileCounts], unreadable: Sequence[UnreadableLine]
) -> None:
    if any(file.records or file.details for file in files):
        return
    names = {file.path for file in files}
    if any(file.unreadable for file in files):
        first = next((bad for bad in unreadable if bad.path in names), None)
        reason = f": line {first.line} is {first.problem}" if first else ""
        raise InputError(path, f"holds no records{reason}")
    if any(file.evaluations for file in files):
        raise InputError(path, "holds only evaluations; name the journal that they belong to")
    if any(file.formats for file in files):
        raise InputError(path, "holds no records: its OTLP tells of no model call")
    raise InputError(path, "is empty; no call has been recorded there yet")
