"""`cert read`: what files of any format hold, and the way from there into a journal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path  # noqa: TC003 - cyclopts resolves the annotations at run time
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from cert_otel.cli._files import create
from cert_otel.cli._output import Format, open_console, print_json
from cert_otel.errors import InputError
from cert_otel.journal import MAX_PROBLEMS, Tally, find_journal_files, list_problems
from cert_otel.records import EvaluationRecord, Record, encode_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

    from cert_otel.errors import RecordError
    from cert_otel.journal import FileReport

_NOT_COVERED: Final = frozenset({"v", "kind", "timestamp", "status", "evaluations", "metadata"})
"""Fields that every record has."""
_COUNTED: Final = ("details", "passed", "broken", "unreadable")


def read(
    *files: Path,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    to: Literal["records", "otlp"] = "records",
    format: Format = "table",  # noqa: A002 - the option's name
) -> int:
    """Print what files of any format hold: records, dialects, fields, and what cannot be read.

    Reads journals, OTLP JSON lines of any instrumentation, and CERT's former logs.

    Example: cert read traces.jsonl logs.jsonl -o production.jsonl

    Args:
        files: Files, or directories of *.jsonl files; log events complete spans of other files.
        output: A new file for what was read; calls are priced where they had no cost.
        to: What the new file holds: our records, or OTLP JSON lines.
        format: A table, or JSON for machines.
    """
    if not files:
        raise InputError("FILE", "is missing; name one or more, for instance production.jsonl")
    survey = _Survey()
    if output is None:
        survey.read(files, _drop)
    else:
        encode = _choose_encoder(to)
        with create(output) as file:
            survey.read(files, lambda record: file.write(encode(record)))
    if format == "json":
        print_json(survey.describe(output))
    else:
        with open_console() as console:
            _print_table(survey, output, console)
    return 0


class _Survey:
    """What was met in all files."""

    def __init__(self) -> None:
        self.files: list[FileReport] = []
        self.kinds: Counter[str] = Counter()
        self.coverage: dict[str, Counter[str]] = {}
        """Of each kind, records that have a field."""
        self.problems: list[RecordError] = []

    def read(self, paths: Sequence[Path], keep: Callable[[Record | EvaluationRecord], Any]) -> None:
        """Read what `paths` stand for, and hand each record to `keep`."""
        from cert_otel.journal.translation import (  # noqa: PLC0415 - every dialect
            Translation,
            list_records,
        )

        found = {file.resolve(): file for path in paths for file in find_journal_files(path)}
        translation = Translation(list(found.values()))
        for path in found.values():
            tally = Tally()
            for line in translation.read(path):
                tally.add(line)
                self.problems += list_problems(path, line)[: MAX_PROBLEMS - len(self.problems)]
                for record in list_records(line):
                    self._add(record, keep)
            self.files.append(tally.report(path))
        for record in translation.get_rest():
            self._add(record, keep)

    def _add(
        self, record: Record | EvaluationRecord, keep: Callable[[Record | EvaluationRecord], Any]
    ) -> None:
        self.kinds[record.kind] += 1
        if isinstance(record, Record):
            self.coverage.setdefault(record.kind, Counter()).update(_list_fields(record))
        keep(record)

    def describe(self, output: Path | None) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {
            "records": self.kinds.total(),
            "kinds": dict(self.kinds.most_common()),
            "coverage": {kind: dict(counts) for kind, counts in self.coverage.items()},
            "output": None if output is None else str(output),
            "problems": [
                {"path": str(bad.path), "line": bad.line, "problem": bad.problem}
                for bad in self.problems
            ],
            "files": [
                {
                    "path": str(report.path),
                    "lines": report.lines,
                    "formats": report.formats,
                    "dialects": report.dialects,
                    **{name: getattr(report, name) for name in _COUNTED},
                }
                for report in self.files
            ],
        }


def _list_fields(record: Record) -> Iterator[str]:
    for name in record.__struct_fields__:
        if name not in _NOT_COVERED and (value := getattr(record, name)) is not None:
            yield name
            if name == "tokens":
                yield from (
                    f"tokens.{part}"
                    for part in value.__struct_fields__
                    if getattr(value, part) is not None
                )


def _drop(_: Record | EvaluationRecord) -> None:
    """Keep no record."""


def _choose_encoder(to: str) -> Callable[[Record | EvaluationRecord], bytes]:
    if to == "records":
        return encode_line
    from cert_otel.wire import otlp_write  # noqa: PLC0415 - only for this option

    def encode(record: Record | EvaluationRecord) -> bytes:
        return otlp_write.encode_line(record) if isinstance(record, Record) else b""

    return encode


def _print_table(survey: _Survey, output: Path | None, console: Console) -> None:
    for report in survey.files:
        console.print(f"[bold]{escape(str(report.path))}[/]", soft_wrap=True)
        for title, counts in _list_counts(report):
            listed = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
            if listed:
                console.print(f"  {title:8} {escape(listed)}", soft_wrap=True)
    console.print()
    console.print(_tabulate(survey))
    for bad in survey.problems:
        console.print(f"[dim]{escape(str(bad))}[/]", soft_wrap=True)
    if output is not None:
        console.print(f"{survey.kinds.total():,} records in {escape(str(output))}", soft_wrap=True)


def _list_counts(report: FileReport) -> Iterator[tuple[str, dict[str, int]]]:
    yield "lines", {**report.formats, "unreadable": report.unreadable}
    yield "records", report.dialects
    yield (
        "others",
        {
            "log events to join": report.details,
            "passed by": report.passed,
            "broken": report.broken,
        },
    )


def _tabulate(survey: _Survey) -> Table:
    """Show of each kind how many records have a field; fields that none has are left out."""
    kinds = [kind for kind, _ in survey.kinds.most_common() if kind in survey.coverage]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("field", no_wrap=True)
    for kind in kinds:
        table.add_column(kind, justify="right", no_wrap=True)
    table.add_row("records", *(f"{survey.kinds[kind]:,}" for kind in kinds))
    names = dict.fromkeys(name for counts in survey.coverage.values() for name in counts)
    order = {name: at for at, name in enumerate(Record.__struct_fields__)}
    for name in sorted(names, key=lambda name: (order[name.partition(".")[0]], name)):
        table.add_row(name, *(f"{survey.coverage[kind][name]:,}" for kind in kinds))
    return table
