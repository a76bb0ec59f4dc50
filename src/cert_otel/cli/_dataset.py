"""Labelled answers in a file: the rows of `cert validate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from cert_otel.errors import InputError, RecordError
from cert_otel.evaluation.sample import Sample
from cert_otel.records import ContextItem

if TYPE_CHECKING:
    from pathlib import Path


class Passage(msgspec.Struct, frozen=True):
    """One passage with a name."""

    text: str
    id: str | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One labelled answer."""

    id: str | int | None = None
    group: str | int | None = None
    """What rows belong together: a document, a conversation."""
    question: str | None = None
    context: str | list[str | Passage] | None
    answer: str
    label: Literal[0, 1]
    """1 is borne out."""

    def to_sample(self) -> Sample:
        """Return what is judged."""
        passages = [self.context] if isinstance(self.context, str) else self.context or []
        return Sample(
            answer=self.answer,
            question=self.question,
            context=tuple(
                ContextItem(text=one)
                if isinstance(one, str)
                else ContextItem(text=one.text, id=one.id)
                for one in passages
            ),
        )


_ROW: Final = msgspec.json.Decoder(Row)
_FIELDS: Final = '{"id", "group", "question", "context", "answer", "label"}'


def read_rows(path: Path) -> list[Row]:
    """Read a dataset whole.

    Raises:
        InputError: It cannot be read, or has no rows. A row that is none is named by its line and
            field: figures of the others would be of another dataset.
    """
    try:
        with path.open("rb") as file:
            rows = [
                _decode(path, number, line)
                for number, line in enumerate(file, 1)
                if not line.isspace()
            ]
    except FileNotFoundError:
        raise InputError(path, f"no such file; name one with rows {_FIELDS}") from None
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from error
    if not rows:
        raise InputError(path, f"holds no row; a row is a line {_FIELDS}")
    return rows


def find_groups(rows: list[Row]) -> list[str] | None:
    """Return the group of each row, a row without one being its own; `None` if none has any."""
    if all(row.group is None for row in rows):
        return None
    return [f"row {at}" if row.group is None else str(row.group) for at, row in enumerate(rows, 1)]


def _decode(path: Path, number: int, line: bytes) -> Row:
    try:
        return _ROW.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise RecordError(path, number, _name_field(str(error))) from None


def _name_field(problem: str) -> str:
    """Name the field first, as the other messages do."""
    what, _, where = problem.partition(" - at `$.")
    field = where.rstrip("`")
    if field == "label":
        what = f"must be 1 (borne out) or 0: {what}"
    return f"{field}: {what}" if field else what
