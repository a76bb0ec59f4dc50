"""Step embeddings out of the pass that scores: the mean last hidden state of each step's tokens.

A token belongs to the step in which it ends; the question's tokens are those of the last user
message where it stands in the prompt. Nothing is read a second time. Vectors of two models, or
of a model and a sentence embedder, are not comparable.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cert_otel.scoring.embedding import to_unit_vectors
from cert_otel.scoring.phase_space import measure_trajectory
from cert_otel.scoring.steps import split_steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from cert_otel.scoring.packing import Ids, Pack, Piece
    from cert_otel.scoring.phase_space import PhaseTrajectory
    from cert_otel.scoring.prompts import Encoded

Sums = NDArray[np.float32]

_NONE = -1
_QUESTION = 0
"""The steps follow, from 1 on."""


class StepVectors(NamedTuple):
    """Unit vectors of an answer."""

    question: NDArray[np.float32]
    """[width]."""
    steps: NDArray[np.float32]
    """[steps, width]; without a step in which no token ends."""

    def measure(self) -> PhaseTrajectory:
        """Return the figures of the path."""
        return measure_trajectory(self.question, self.steps)


def attach_groups(pieces: Sequence[Piece], text: Encoded, completion: str) -> list[Piece]:
    """Tell each token of the pieces of a text which mean it goes into, and none into two.

    Returns:
        The pieces as they are where there is no question before the answer, or not all of it,
        or where it is not known which characters a token covers.
    """
    begin = text.scored_from - pieces[0].scored_from if pieces else 0
    if text.question is None or text.question[0] < begin or not text.offsets:
        return list(pieces)
    groups = _find_groups(text, completion)
    attached: list[Piece] = []
    scored = text.scored_from
    for piece in pieces:
        begin = scored - piece.scored_from
        scored = begin + len(piece.ids)
        own = groups[begin:scored].copy()
        if attached:  # what stands before was in the piece before
            own[: piece.scored_from] = _NONE
        attached.append(replace(piece, groups=own))
    return attached


def _find_groups(text: Encoded, completion: str) -> Ids:
    groups = np.full(len(text.ids), _NONE, dtype=np.int64)
    if text.question is not None:
        groups[slice(*text.question)] = _QUESTION
    starts = [step.start for step in split_steps(completion)]
    groups[text.scored_from :] = [
        max(bisect_right(starts, end - 1), 1) if starts else _NONE for _, end in text.offsets
    ]
    return groups


def add_up(states: Tensor, pack: Pack) -> list[Sums | None]:
    """Sum the states of each group of each piece: [groups, width], or `None` without groups.

    Args:
        states: Of all tokens of the pack: [tokens, width].
        pack: Whose pieces have groups or not.
    """
    return [
        None if piece.groups is None else _add_up_piece(states, rows, piece.groups)
        for piece, rows in zip(pack.pieces, pack.text_rows, strict=True)
    ]


def _add_up_piece(states: Tensor, rows: Ids, groups: Ids) -> Sums:
    chosen = groups != _NONE
    index = torch.from_numpy(groups[chosen]).to(states.device)
    own = states[torch.from_numpy(rows[chosen]).to(states.device)].float()
    sums = torch.zeros(int(groups.max()) + 1, states.shape[1], device=states.device)
    summed: Sums = sums.index_add_(0, index, own).cpu().numpy()
    return summed


def join(pieces: Sequence[Piece], sums: Sequence[Sums | None]) -> StepVectors | None:
    """Return the vectors of a text from the sums of its pieces; `None` where they have none."""
    groups = max((len(one) for one in sums if one is not None), default=0)
    if groups <= _QUESTION + 1:
        return None
    total = np.zeros((groups, max(one.shape[1] for one in sums if one is not None)))
    counts = np.zeros(groups)
    for piece, one in zip(pieces, sums, strict=True):
        if one is not None and piece.groups is not None:
            total[: len(one)] += one
            counts += np.bincount(piece.groups[piece.groups != _NONE], minlength=groups)
    there = counts > 0
    if not there[_QUESTION] or not np.isfinite(total).all():
        return None
    vectors = to_unit_vectors(total[there] / counts[there, None])
    return StepVectors(vectors[0], vectors[1:])
