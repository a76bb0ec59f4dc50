"""Files of other formats, written out as records of ours so that SQL can read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cert_otel.journal import Tally, decode_line, list_problems, read_lines
from cert_otel.journal.translation import Translation, list_records
from cert_otel.records import EvaluationRecord, Record, encode_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from cert_otel.errors import RecordError
    from cert_otel.journal import FileReport


class Translated(NamedTuple):
    """A file, and where its records are now."""

    written: Path
    report: FileReport
    problems: Sequence[RecordError]
    """The first of them."""


def is_foreign_file(path: Path) -> bool:
    """Whether the first line of a file is of another format."""
    first = next(read_lines(path), None)
    return first is not None and is_foreign(first.content)


def is_foreign_line(line: bytes) -> bool:
    """Whether a line is of another format."""
    try:
        return is_foreign(decode_line(line))
    except ValueError:
        return False


def is_foreign(content: object) -> bool:
    """Whether what was read from a line is neither ours nor unreadable."""
    return not isinstance(content, Record | EvaluationRecord | Exception)


def translate(
    paths: Iterable[Path], directory: Path, *, named_problems: int
) -> Mapping[Path, Translated]:
    """Write the records of `paths` into files in `directory`, one for each.

    Args:
        paths: Files that hold lines of other formats, and ours perhaps.
        directory: Of the caller, who removes it.
        named_problems: How many problems of each file are kept.
    """
    listed = list(paths)
    translation = Translation(listed)
    translated: dict[Path, Translated] = {}
    for number, path in enumerate(listed):
        tally = Tally()
        problems: list[RecordError] = []
        written = directory / f"{number}.jsonl"
        with written.open("wb") as file:
            for line in translation.read(path):
                tally.add(line)
                problems += list_problems(path, line)[: named_problems - len(problems)]
                file.writelines(map(encode_line, list_records(line)))
            if number == len(listed) - 1:
                file.writelines(map(encode_line, translation.get_rest()))
        translated[path] = Translated(written, tally.report(path), problems)
    return translated
