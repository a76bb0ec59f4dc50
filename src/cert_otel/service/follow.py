"""Following the trail from another process than the one that writes it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from cert_otel.service import trail
from cert_otel.service.trail import Chunk, Position

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

POLL_S: Final = 0.02
"""While somebody waits for a score."""
FOLLOW_POLL_S: Final = 0.2
"""While somebody only follows."""
_CHUNK_BYTES: Final = 1 << 20
_MAX_EARLY_ROWS: Final = 256
"""Rows whose records are there before their sender was told the row: milliseconds' worth."""


class Waiting:
    """The lines of one row that somebody waits for."""

    def __init__(self, expected: int) -> None:
        """Wait for so many."""
        self.lines: list[bytes] = []
        self.expected = expected
        self.is_done = asyncio.Event()

    def add(self, line: bytes) -> None:
        """Take a line."""
        self.lines.append(line)
        if len(self.lines) >= self.expected:
            self.is_done.set()


class Follower:
    """Finds the records of rows as they come; reads the trail only while somebody waits."""

    def __init__(self, directories: Sequence[Path]) -> None:
        """Follow the streams in these directories."""
        self._ends = dict.fromkeys(directories, Position())
        self._waiting: dict[int, Waiting] = {}
        self._users = 0
        self._early: dict[int, list[bytes]] = {}
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Read from here on: what is put into the inbox later is not missed."""
        async with self._lock:
            if self._task is None:
                for directory in self._ends:
                    self._ends[directory] = await asyncio.to_thread(trail.find_end, directory)
                self._task = asyncio.create_task(self._read_for_ever())
            self._users += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        async with self._lock:
            self._users -= 1
            if not self._users and self._task is not None:
                self._task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._task
                self._task = None
                self._early.clear()

    async def wait(self, row: int, *, expected: int, timeout_s: float) -> list[bytes]:
        """Wait for the records of a row, and return those that came in time."""
        waiting = self._waiting[row] = Waiting(expected)
        for line in self._early.pop(row, []):
            waiting.add(line)
        try:
            async with asyncio.timeout(timeout_s):
                await waiting.is_done.wait()
        except TimeoutError:
            pass
        finally:
            del self._waiting[row]
        return waiting.lines

    async def _read_for_ever(self) -> None:
        while True:
            for directory, end in self._ends.items():
                chunk = await asyncio.to_thread(trail.read_chunk, directory, end)
                self._ends[directory] = chunk.end
                for line in chunk.lines:
                    self._hand_over(line)
            await asyncio.sleep(POLL_S)

    def _hand_over(self, line: bytes) -> None:
        origin = trail.HEAD.decode(line).origin
        if origin is None:
            return
        waiting = self._waiting.get(origin.row)
        if waiting is not None:
            waiting.add(line)
        elif self._users > len(self._waiting):
            # One of the users has not been told its row yet.
            self._early.setdefault(origin.row, []).append(line)
            if len(self._early) > _MAX_EARLY_ROWS:
                self._early.pop(next(iter(self._early)))
        else:
            self._early.clear()


class Token(NamedTuple):
    """How far a reader of several streams is."""

    positions: tuple[Position, ...]

    def encode(self) -> str:
        """Return it as text: segment and offset of each stream."""
        return ",".join(f"{one.segment}:{one.offset}" for one in self.positions)

    @classmethod
    def decode(cls, text: str, streams: int) -> Token:
        """Read a token; an empty one is the start of all streams.

        Raises:
            ValueError: It is none, or of another number of streams.
        """
        if not text:
            return cls((Position(),) * streams)
        parts = [part.split(":") for part in text.split(",")]
        if len(parts) != streams:
            raise ValueError(f"of {len(parts)} streams, and there are {streams}")
        return cls(tuple(Position(int(segment), int(offset)) for segment, offset in parts))


async def follow(
    directories: Sequence[Path], token: Token, *, max_lines: int
) -> AsyncIterator[tuple[list[bytes], Token]]:
    """Yield the lines behind a token, and the token behind them, for ever."""
    positions = list(token.positions)
    while True:
        found = False
        for index, directory in enumerate(directories):
            chunk = _cut(
                await asyncio.to_thread(
                    trail.read_chunk, directory, positions[index], max_bytes=_CHUNK_BYTES
                ),
                max_lines,
            )
            positions[index] = chunk.end
            if chunk.lines:
                found = True
                yield chunk.lines, Token(tuple(positions))
        if not found:
            await asyncio.sleep(FOLLOW_POLL_S)


def _cut(chunk: Chunk, max_lines: int) -> Chunk:
    rest = sum(map(len, chunk.lines[max_lines:]))
    end = Position(chunk.end.segment, chunk.end.offset - rest)
    return Chunk(chunk.lines[:max_lines], end)
