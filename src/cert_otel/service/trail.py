"""The trail as files: segments of lines, and where in them one is.

A segment is named after the number of its first line, `seg-000000000001.jsonl`, counted from 1 and
never given twice. One process writes (`sink.py`), any number read.
"""

from __future__ import annotations

import contextlib
import mmap
import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME: Final = "seg-{first:012d}.jsonl"
_PATTERN: Final = re.compile(r"seg-(\d{12,})\.jsonl")
_READ_BYTES: Final = 4 * 2**20
_MARK: Final = b',"origin":[%d,'
"""How a record of a row ends; a text in it cannot look so, its quotes are escaped."""
_NEIGHBOURS: Final = 2
"""Segments on either side: a window of rows is rarely in more."""


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Where a record of the trail came from: behind the record's own fields, as `origin`."""

    row: int
    """Of the inbox."""
    span: int
    """Index in its payload."""
    key: str
    """Hash of ids and content, hexadecimal."""
    resource: str
    """Id of the resource's attributes in `seen.db`."""


class Head(msgspec.Struct, frozen=True):
    """As much of a line as says where it came from."""

    origin: Origin | None = None
    """`None` for lines that are no record of a span."""


class Position(msgspec.Struct, frozen=True, order=True):
    """A place between two lines."""

    segment: int = 0
    """Number of its first line; 0 is before the first segment."""
    offset: int = 0
    """Bytes."""


class Chunk(NamedTuple):
    """Whole lines, and where reading goes on behind them."""

    lines: list[bytes]
    """Each with its newline."""
    end: Position


HEAD: Final = msgspec.json.Decoder(Head)


def get_path(directory: Path, segment: int) -> Path:
    """Return where a segment is kept."""
    return directory / _NAME.format(first=segment)


def list_segments(directory: Path) -> list[int]:
    """Return the numbers of the segments that are there, oldest first."""
    if not directory.is_dir():
        return []
    found = (_PATTERN.fullmatch(path.name) for path in directory.iterdir())
    return sorted(int(match[1]) for match in found if match)


def read_chunk(directory: Path, after: Position, *, max_bytes: int = _READ_BYTES) -> Chunk:
    """Read the lines that follow a position: some of one segment, none at the end.

    A line without its newline is being written and is left for the next time. A segment that is
    gone (retention) is passed over.
    """
    for segment in (one for one in list_segments(directory) if one >= after.segment):
        offset = after.offset if segment == after.segment else 0
        try:
            data = _read(get_path(directory, segment), offset, max_bytes)
        except FileNotFoundError:
            continue
        end = data.rfind(b"\n") + 1
        if end:
            return Chunk(data[:end].splitlines(keepends=True), Position(segment, offset + end))
        after = Position(segment, offset)
    return Chunk([], after)


def find_end(directory: Path) -> Position:
    """Return the position behind the last line; one that is being written is not there yet."""
    segments = list_segments(directory)
    if not segments:
        return Position()
    with _look_into(get_path(directory, segments[-1])) as data:
        return Position(segments[-1], data.rfind(b"\n") + 1)


def count_bytes_after(directory: Path, position: Position) -> int:
    """Return how many bytes of lines follow a position."""
    return sum(
        _count_bytes(get_path(directory, segment))
        - (position.offset if segment == position.segment else 0)
        for segment in list_segments(directory)
        if segment >= position.segment
    )


def find_origin(line: bytes) -> Origin | None:
    """Return where a line's record came from; `None` for what is no record of a span."""
    try:
        return HEAD.decode(line).origin
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def find_records(directory: Path, row: int) -> Iterator[tuple[Origin, bytes]]:
    """Yield the records of one row of the inbox, with their lines.

    Rows are in the trail in their order, but for those of a window, which are sorted by length: so
    the segment is found by halving, and its neighbours are looked through as well.
    """
    segments = list_segments(directory)
    place = bisect_right(segments, row, key=lambda one: _find_first_row(directory, one))
    mark = _MARK % row
    for segment in segments[max(0, place - 1 - _NEIGHBOURS) : place + _NEIGHBOURS]:
        with _look_into(get_path(directory, segment)) as data:
            at = data.find(mark)
            while at >= 0:
                end = data.find(b"\n", at) + 1
                line = data[data.rfind(b"\n", 0, at) + 1 : end]
                origin = find_origin(line)
                if origin is not None and origin.row == row:
                    yield origin, line
                at = data.find(mark, end) if end else -1


def _find_first_row(directory: Path, segment: int) -> int:
    with contextlib.suppress(FileNotFoundError), get_path(directory, segment).open("rb") as file:
        origin = find_origin(file.readline())
        if origin is not None:
            return origin.row
    return 0


@contextlib.contextmanager
def _look_into(path: Path) -> Iterator[mmap.mmap | bytes]:
    """Give the bytes of a file without reading them; none of one that is empty or gone."""
    with contextlib.ExitStack() as stack:
        data: mmap.mmap | bytes = b""
        with contextlib.suppress(FileNotFoundError, ValueError):  # of an empty file
            file = stack.enter_context(path.open("rb"))
            data = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        yield data


def _count_bytes(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def read_backwards(directory: Path) -> Iterator[bytes]:
    """Yield the lines from the last to the first, without what is torn at the end."""
    for segment in reversed(list_segments(directory)):
        with _look_into(get_path(directory, segment)) as data:
            yield from _reverse(data)


def _reverse(data: mmap.mmap | bytes) -> Iterator[bytes]:
    end = data.rfind(b"\n")
    while end >= 0:
        start = data.rfind(b"\n", 0, end) + 1
        yield data[start : end + 1]
        end = start - 1


def _read(path: Path, offset: int, max_bytes: int) -> bytes:
    """Read from an offset on: at least one whole line, if there is one."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(max_bytes)
        return data if b"\n" in data or len(data) < max_bytes else data + file.readline()
