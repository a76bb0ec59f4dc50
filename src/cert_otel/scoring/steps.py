"""An answer to its reasoning steps: sentences, list items, tool turns, blocks of code.

Rules in one pass over the text, in time that grows with its length alone. Steps follow each
other without gap or overlap: step by step, `text[step.start:step.end]` is the text again.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from cert_otel.scoring._blocks import TAG, Kind, find_blocks
from cert_otel.scoring._sentences import find_starts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MIN_TOKENS: Final = 4
"""A sentence or item with fewer joins its neighbour: "Sure!" is no step."""
MAX_STEPS: Final = 64
"""More steps are joined to so many: what an answer costs to embed is bounded."""

_IDEOGRAPHS: Final = "\u2e80-\u312f\u31a0-\ua4cf\uf900-\ufaff\uff66-\uff9f"
_UNSPACED: Final = "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Tibetan, Burmese, Khmer: words of about four characters, without spaces."""
_TOKEN: Final = re.compile(
    rf"[{_IDEOGRAPHS}]|[{_UNSPACED}]{{1,4}}+|[^\s{_IDEOGRAPHS}{_UNSPACED}]++"
)


class Step(NamedTuple):
    """One step of reasoning."""

    start: int
    """Position in the text of the first character."""
    end: int
    """Position behind the last character, white space included."""
    kind: Kind
    text: str
    """What is embedded: the characters between, without tags and white space around."""


def split_steps(
    text: str, *, min_tokens: int = MIN_TOKENS, max_steps: int = MAX_STEPS
) -> tuple[Step, ...]:
    """Split an answer into its steps.

    A sentence that belongs to a list item, a tool turn, a code block or a table is no step of
    its own. Neither is a line break, except within `<think>`; elsewhere a line that begins
    with a small letter continues the one before.

    Args:
        text: The answer, thoughts included.
        min_tokens: Sentences and items with fewer words (ideographs count as words) join
            the one that follows, the last one the one before; never across the border of a
            thought or a tool turn.
        max_steps: Neighbours are joined, evenly, until there are no more than this.

    Returns:
        The steps in order; none for a text without a visible character.
    """
    pieces = _join_short(list(_find_pieces(text)), min_tokens)
    return tuple(_make_step(text, piece) for piece in _limit(pieces, max_steps))


class _Piece(NamedTuple):
    start: int
    end: int
    kind: Kind
    section: int
    tokens: int

    def join(self, following: _Piece) -> _Piece:
        """Return both as one; of the kind of what has content."""
        main = self if self.tokens else following
        tokens = self.tokens + following.tokens
        return _Piece(self.start, following.end, main.kind, main.section, tokens)


def _find_pieces(text: str) -> Iterator[_Piece]:
    cased = text != text.lower()
    for start, end, kind, section in find_blocks(text):
        starts = find_starts(text, start, end, cased=cased) if kind == "sentence" else ()
        for begin in (*starts, end):
            yield _Piece(start, begin, kind, section, _count_tokens(text[start:begin]))
            start = begin  # noqa: PLW2901 - the border moves on


def _count_tokens(text: str) -> int:
    return len(_TOKEN.findall(TAG.sub(" ", text)))


def _join_short(pieces: Sequence[_Piece], min_tokens: int) -> list[_Piece]:
    joined: list[_Piece] = []
    short: _Piece | None = None
    for piece in pieces:
        current = piece
        if short is not None:
            if _may_join(short, piece):
                current = short.join(piece)
            else:
                _settle(short, joined)
        short = current if _is_short(current, min_tokens) else None
        if short is None:
            joined.append(current)
    if short is not None:
        _settle(short, joined)
    return [piece for piece in joined if piece.tokens]


def _settle(short: _Piece, joined: list[_Piece]) -> None:
    """Join to the piece before, if that may be; else let it stand."""
    if joined and _may_join(joined[-1], short):
        joined[-1] = joined[-1].join(short)
    else:
        joined.append(short)


def _is_short(piece: _Piece, min_tokens: int) -> bool:
    return piece.tokens == 0 or (piece.kind in ("sentence", "item") and piece.tokens < min_tokens)


def _may_join(left: _Piece, right: _Piece) -> bool:
    if not (left.tokens and right.tokens):
        return True
    prose = ("sentence", "item")
    return left.section == right.section and left.kind in prose and right.kind in prose


def _limit(pieces: list[_Piece], most: int) -> list[_Piece]:
    if len(pieces) <= most:
        return pieces
    borders = [len(pieces) * number // most for number in range(most + 1)]
    return [pieces[first]._replace(end=pieces[last - 1].end) for first, last in pairwise(borders)]


def _make_step(text: str, piece: _Piece) -> Step:
    raw = text[piece.start : piece.end]
    shown = raw if piece.kind == "code" else TAG.sub(" ", raw)
    return Step(piece.start, piece.end, piece.kind, shown.strip())
