"""Following the trail from another process than the one that writes it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from cert_otel.service import trail
from cert_otel.service.trail import Chunk, Position

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

POLL_S: Final = 0.02
"""While somebody waits for a score."""
FOLLOW_POLL_S: Final = 0.2
"""While somebody only follows."""
_CHUNK_BYTES: Final = 1 << 20

_logger = logging.getLogger(__name__)


class Waiting:
    """The records that somebody waits for, by the key of their span."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        """Wait for these."""
        self.lines: dict[bytes, bytes] = {}
        self._missing = set(keys)
        self._is_done = asyncio.Event()

    @property
    def is_done(self) -> bool:
        """Whether nothing is missing."""
        return not self._missing

    def add(self, key: bytes, line: bytes) -> None:
        """Take a record, if it is waited for."""
        if key in self._missing:
            self._missing.discard(key)
            self.lines[key] = line
            if not self._missing:
                self._is_done.set()

    async def wait(self) -> None:
        """Return when all of them are there."""
        if not self.is_done:
            await self._is_done.wait()


class Follower:
    """Finds records as they come; reads the trail only while somebody waits.

    By the key of the span and not by where it came: a span that came twice has its record at the
    place of the first.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        """Follow the streams in these directories."""
        self._ends = dict.fromkeys(directories, Position())
        self._waiting: list[Waiting] = []
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def expect(self, keys: Iterable[bytes]) -> AsyncIterator[Waiting]:
        """Wait for records that are written from here on: what is accepted later is not missed."""
        waiting = Waiting(keys)
        if waiting.is_done:
            yield waiting
            return
        async with self._lock:
            self._waiting.append(waiting)
            if self._task is None:
                for directory in self._ends:
                    self._ends[directory] = await asyncio.to_thread(trail.find_end, directory)
                self._task = asyncio.create_task(self._read_for_ever())
        try:
            yield waiting
        finally:
            await self._forget(waiting)

    async def _forget(self, waiting: Waiting) -> None:
        async with self._lock:
            self._waiting.remove(waiting)
            if not self._waiting and self._task is not None:
                self._task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._task
                self._task = None

    async def _read_for_ever(self) -> None:
        while True:
            for directory, end in self._ends.items():
                try:
                    chunk = await asyncio.to_thread(trail.read_chunk, directory, end)
                except OSError as problem:
                    _logger.warning("the trail cannot be followed: %s", problem)
                    continue
                self._ends[directory] = chunk.end
                for line in chunk.lines:
                    self._hand_over(line)
            await asyncio.sleep(POLL_S)

    def _hand_over(self, line: bytes) -> None:
        origin = trail.find_origin(line)
        if origin is not None:
            for waiting in self._waiting:
                waiting.add(bytes.fromhex(origin.key), line)


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
        numbers = [tuple(map(int, part)) for part in parts]
        if any(min(pair) < 0 for pair in numbers):
            raise ValueError("its numbers are below 0")
        return cls(tuple(Position(segment, offset) for segment, offset in numbers))


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
