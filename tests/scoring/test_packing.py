"""A backlog as packs: each token scored once, from everything before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.scoring.packing import MIN_SHARED_TOKENS, Pack, Piece, plan_packs, split_text

if TYPE_CHECKING:
    from collections.abc import Sequence


def make_text(length: int, *, seed: int = 0, prefix: Sequence[int] = ()) -> Any:
    """Make token ids that begin with `prefix`."""
    rest = np.random.default_rng(seed).integers(1000, 9999, length - len(prefix))
    return np.concatenate([np.asarray(prefix, dtype=np.int64), rest])


def read_back(pack: Pack) -> list[list[int]]:
    """List, for each piece, what its last token sees: its segment's prefix and itself."""
    texts = []
    begin = 0
    for piece in pack.pieces:
        last_row = pack.rows[begin : begin + piece.scored][-1] + 1
        begin += piece.scored
        segment = next(s for s in pack.segments if s.begin <= last_row < s.end)
        seen = [
            *range(segment.prefix_begin, segment.prefix_end),
            *range(segment.begin, last_row + 1),
        ]
        assert pack.positions[seen].tolist() == list(range(len(seen)))
        texts.append(pack.ids[seen].tolist())
    return texts


prefixes = [list(range(100)), list(range(80)), list(range(300)), []]


@st.composite
def backlogs(draw: st.DrawFn) -> list[Piece]:
    """Draw pieces of which many begin alike."""
    drawn = st.tuples(st.sampled_from(prefixes), st.integers(2, 60), st.integers(1, 400))
    pieces = []
    for owner, (prefix, more, scored_from) in enumerate(draw(st.lists(drawn, max_size=20))):
        ids = make_text(len(prefix) + more, seed=owner % 7, prefix=prefix)
        pieces.append(Piece(owner, ids, min(scored_from, len(ids) - 1)))
    return pieces


class TestPlanPacks:
    @given(backlogs(), st.integers(1, 900), st.booleans())
    def test_every_token_sees_its_own_text(
        self, backlog: list[Piece], budget: int, share: bool
    ) -> None:
        """Each piece is once in a pack, whole, whatever stands beside it."""
        packs = list(plan_packs(backlog, budget=budget, share=share))

        assert sorted(p.owner for pack in packs for p in pack.pieces) == list(range(len(backlog)))
        for pack in packs:
            assert read_back(pack) == [piece.ids.tolist() for piece in pack.pieces]
            wanted = [piece.ids[piece.scored_from :] for piece in pack.pieces]
            assert pack.targets.tolist() == np.concatenate(wanted).tolist()
            assert len(pack.ids) <= budget or len(pack.pieces) == 1

    @given(backlogs())
    def test_sharing_saves(self, backlog: list[Piece]) -> None:
        """Sharing never reads more tokens, and halves of a pack hold what it held."""
        shared = list(plan_packs(backlog, budget=10**6))
        apart = sum(len(piece.ids) for piece in backlog)

        assert sum(len(pack.ids) for pack in shared) <= apart
        for pack in shared:
            owners = [p.owner for half in pack.halves() for p in half.pieces]
            assert sorted(owners) == sorted(p.owner for p in pack.pieces) or len(pack.pieces) == 1

    def test_a_system_prompt_is_read_once(self) -> None:
        """Ten texts with 500 tokens in common take those once; longest come first."""
        prefix = list(range(500))
        pieces = [Piece(i, make_text(510 + i, seed=i, prefix=prefix), 505) for i in range(10)]

        (pack,) = plan_packs(pieces, budget=10_000)

        assert len(pack.ids) == 500 + sum(10 + i for i in range(10))
        assert pack.segments[0] == (0, 500, 0, 0)

    def test_short_beginnings_are_not_shared(self) -> None:
        """Less than `MIN_SHARED_TOKENS` in common is read again."""
        prefix = list(range(MIN_SHARED_TOKENS - 1))
        pieces = [Piece(i, make_text(90, seed=i, prefix=prefix), 80) for i in range(3)]

        (pack,) = plan_packs(pieces, budget=1_000)

        assert len(pack.ids) == 270

    def test_scored_tokens_are_not_shared(self) -> None:
        """Texts that are the same are shared up to the row before the first scored token."""
        pieces = [Piece(i, make_text(200), 150) for i in range(2)]

        (pack,) = plan_packs(pieces, budget=1_000)

        assert len(pack.ids) == 149 + 2 * 51


class TestSplitText:
    @given(st.integers(0, 300), st.integers(1, 300), st.integers(2, 120), st.floats(0, 0.9))
    def test_each_token_once(self, prompt: int, completion: int, window: int, share: float) -> None:
        """No piece exceeds the window, and each token is scored once, in order."""
        ids, first = np.arange(prompt + completion), max(prompt, 1)
        overlap = int(window * share)

        pieces = split_text(0, ids, first, window=window, overlap=overlap)

        scored = [piece.ids[piece.scored_from :] for piece in pieces]
        assert np.concatenate([*scored, []]).tolist() == ids[first:].tolist()
        for piece in pieces:
            assert len(piece.ids) <= window
            assert piece.scored_from >= 1
            assert piece.scored_from >= min(overlap, piece.ids[piece.scored_from])

    @pytest.mark.parametrize(("length", "pieces"), [(100, 1), (101, 2), (151, 3)])
    def test_overlap(self, length: int, pieces: int) -> None:
        """A text that fits is one piece; each further piece sees half a window before it."""
        made = split_text(0, np.arange(length), 1, window=100, overlap=50)

        assert len(made) == pieces
        assert all(piece.scored_from >= 50 for piece in made[1:])
