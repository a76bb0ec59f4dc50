"""Files of any format as records of ours, line by line: what `cert read` and the queries use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cert_otel.errors import InputError
from cert_otel.journal._foreign import Details, Foreign, finish, finish_rest
from cert_otel.journal._line import decode_line
from cert_otel.journal._reader import read_lines
from cert_otel.records import EvaluationRecord, Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cert_otel.journal._reader import Line

_LOGS_KEY = b'"resourceLogs"'


class Translation:
    """The lines of several files, those of others as records of ours.

    Log events may complete spans of any line of any file: they are read first, and kept; records
    never are. Memory holds the events and one line.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        """Read the log events of all files.

        Args:
            paths: What `find_journal_files` returned.

        Raises:
            InputError: A file cannot be read, or not twice.
        """
        self._details = Details()
        for path in paths:
            if path.exists() and not path.is_file():
                raise InputError(path, "not a regular file; name a file of JSON lines")
            next(read_lines(path), None)
            with path.open("rb") as file:
                for line in file:
                    if _LOGS_KEY in line:
                        self._add_details(line)

    def _add_details(self, line: bytes) -> None:
        try:
            content = decode_line(line)
        except ValueError:
            return
        if isinstance(content, Foreign):
            self._details.add(content.details)

    def read(self, path: Path) -> Iterator[Line]:
        """Yield the lines of one file; the records of others are complete and priced."""
        for line in read_lines(path):
            yield line._replace(content=self._finish(line.content))

    def get_rest(self) -> list[Record]:
        """Return the calls that only log events tell of; to be asked when all files are read."""
        return finish_rest(self._details)

    def _finish(self, content: Any) -> Any:
        if isinstance(content, Record):
            return self._details.complete(content)
        if isinstance(content, Foreign):
            records = [finish(record, self._details) for record in content.records]
            return msgspec.structs.replace(content, records=records)
        return content


def list_records(line: Line) -> Sequence[Record | EvaluationRecord]:
    """Return the records that one line holds: none, one, or many."""
    content = line.content
    if isinstance(content, Record | EvaluationRecord):
        return (content,)
    return (*content.records, *content.results) if isinstance(content, Foreign) else ()
