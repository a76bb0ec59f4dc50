"""A backlog of texts as packs: token budgets filled without padding. Numbers only, no torch.

A pack is one row of tokens. Its segments say which tokens see which: a segment sees itself,
causally, and before that the whole of the segment it continues, so that a prompt which several
texts begin with is computed once. A text longer than the model's window becomes several pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Ids: TypeAlias = NDArray[np.int64]

MIN_SHARED_TOKENS: Final = 64
"""A shorter common beginning is computed again: sharing costs a gather of keys each layer."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A text, or one window of a long one: tokens of which the last are scored."""

    owner: int
    """Index of the text in the backlog."""
    ids: Ids
    """[tokens]."""
    scored_from: int
    """Index of the first scored token, >= 1: each is predicted from the one before it."""
    groups: Ids | None = None
    """[tokens]: which mean the state of each goes into (`hidden`); `None` where none is wanted."""

    @property
    def scored(self) -> int:
        """The number of scored tokens."""
        return len(self.ids) - self.scored_from


class Segment(NamedTuple):
    """A half-open range of a pack's tokens, and the range that it continues."""

    begin: int
    end: int
    prefix_begin: int = 0
    prefix_end: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """What one forward pass reads."""

    pieces: tuple[Piece, ...]
    ids: Ids
    """[tokens]."""
    positions: Ids
    """[tokens]: each token's place in its own text."""
    segments: tuple[Segment, ...]
    rows: Ids
    """[scored]: the tokens from which a scored token is predicted, piece by piece."""
    targets: Ids
    """[scored]: the scored tokens."""
    text_rows: tuple[Ids, ...]
    """Of each piece, where its tokens stand; those of a shared beginning stand in several."""

    def halves(self) -> tuple[Pack, ...]:
        """Return the same pieces in two packs, or nothing where there is but one piece."""
        middle = len(self.pieces) // 2
        if not middle:
            return ()
        halves = self.pieces[:middle], self.pieces[middle:]
        return tuple(_lay_out(find_families(half)) for half in halves)


class Family(NamedTuple):
    """Pieces of which the first `shared` tokens are the same, and scored in none."""

    pieces: tuple[Piece, ...]
    shared: int = 0


def split_text(owner: int, ids: Ids, scored_from: int, *, window: int, overlap: int) -> list[Piece]:
    """Cut a text into pieces of at most `window` tokens that score each token once.

    A piece holds up to `overlap` tokens before its first scored one, and more where there is
    room. A text that fits is one piece; a prompt that does not is cut on its left.
    """
    if len(ids) <= window:
        return [Piece(owner, ids, scored_from)] if scored_from < len(ids) else []
    overlap = max(overlap, 1)  # a token is predicted from the one before it
    pieces = []
    begin = scored_from
    while begin < len(ids):
        end = min(len(ids), max(begin - overlap, 0) + window)
        start = max(end - window, 0)
        pieces.append(Piece(owner, ids[start:end], begin - start))
        begin = end
    return pieces


def plan_packs(pieces: Sequence[Piece], *, budget: int, share: bool = True) -> Iterator[Pack]:
    """Yield packs of at most `budget` tokens that hold each piece once, longest texts first.

    Args:
        pieces: The backlog.
        budget: A piece that is longer gets a pack of its own.
        share: Compute common beginnings once.
    """
    families = find_families(pieces) if share else [Family((piece,)) for piece in pieces]
    pending: list[Family] = []
    room = budget
    for family in sorted(families, key=lambda family: -_longest(family)):
        rest = family
        while rest.pieces:
            fitting = _count_fitting(rest, room) or (0 if pending else 1)
            if fitting:
                part = Family(rest.pieces[:fitting], rest.shared)
                pending.append(part)
                room -= _count_tokens(part)
                rest = Family(rest.pieces[fitting:], rest.shared)
            if rest.pieces:
                yield _lay_out(pending)
                pending, room = [], budget
    if pending:
        yield _lay_out(pending)


def find_families(pieces: Sequence[Piece]) -> list[Family]:
    """Group pieces by their common beginnings of `MIN_SHARED_TOKENS` and more."""
    groups: dict[bytes, list[Piece]] = {}
    families = []
    for piece in pieces:
        if piece.scored_from > MIN_SHARED_TOKENS:
            groups.setdefault(piece.ids[:MIN_SHARED_TOKENS].tobytes(), []).append(piece)
        else:
            families.append(Family((piece,)))
    for group in groups.values():
        families.extend(_split_group(group))
    return families


def _split_group(group: list[Piece]) -> Iterator[Family]:
    """Yield runs of neighbours in the order of their tokens, each while sharing saves more."""
    if len(group) > 1:
        # Big-endian bytes sort as the tokens do.
        group = sorted(group, key=lambda piece: piece.ids.astype(">u4").tobytes())
    run, shared = [group[0]], group[0].scored_from - 1
    for piece in group[1:]:
        common = min(shared, count_common(run[0].ids, piece.ids, limit=piece.scored_from - 1))
        if common * len(run) < shared * (len(run) - 1):
            yield Family(tuple(run), shared)
            run, common = [], piece.scored_from - 1
        run.append(piece)
        shared = common
    yield Family(tuple(run), shared)


def count_common(first: Ids, second: Ids, *, limit: int) -> int:
    """Return how many tokens two texts begin with in common, at most `limit`."""
    limit = min(limit, len(first), len(second))
    differing = np.flatnonzero(first[:limit] != second[:limit])
    return int(differing[0]) if len(differing) else limit


def _longest(family: Family) -> int:
    return max(len(piece.ids) for piece in family.pieces)


def _count_tokens(family: Family) -> int:
    repeated = family.shared * (len(family.pieces) - 1)
    return sum(len(piece.ids) for piece in family.pieces) - repeated


def _count_fitting(family: Family, room: int) -> int:
    lengths = np.cumsum([len(piece.ids) - family.shared for piece in family.pieces])
    return int(np.searchsorted(lengths + family.shared, room, side="right"))


def _lay_out(families: Sequence[Family]) -> Pack:
    builder = _Builder()
    for family in families:
        builder.add(family)
    pieces = tuple(piece for family in families for piece in family.pieces)
    return Pack(
        pieces=pieces,
        ids=np.concatenate(builder.ids),
        positions=np.concatenate(builder.positions),
        segments=tuple(builder.segments),
        # A scored token is predicted from the one before it.
        rows=np.concatenate(
            [
                rows[piece.scored_from - 1 : -1]
                for piece, rows in zip(pieces, builder.text_rows, strict=True)
            ]
        ),
        targets=np.concatenate([piece.ids[piece.scored_from :] for piece in pieces]),
        text_rows=tuple(builder.text_rows),
    )


class _Builder:
    def __init__(self) -> None:
        self.ids: list[Ids] = []
        self.positions: list[Ids] = []
        self.segments: list[Segment] = []
        self.text_rows: list[Ids] = []
        self.tokens = 0

    def add(self, family: Family) -> None:
        shared = family.shared if len(family.pieces) > 1 else 0
        prefix = self._append(family.pieces[0].ids[:shared], 0, (0, 0)) if shared else (0, 0)
        for piece in family.pieces:
            own = self._append(piece.ids[shared:], shared, prefix)
            self.text_rows.append(np.concatenate([np.arange(*prefix), np.arange(*own)]))

    def _append(self, ids: Ids, position: int, prefix: tuple[int, int]) -> tuple[int, int]:
        begin, end = self.tokens, self.tokens + len(ids)
        self.ids.append(ids)
        self.positions.append(np.arange(position, position + len(ids)))
        self.segments.append(Segment(begin, end, *prefix))
        self.tokens = end
        return begin, end
