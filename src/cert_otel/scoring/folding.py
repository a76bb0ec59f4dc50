"""One tile of logits to sums for each token and its largest logits, by torch's operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch

from cert_otel.scoring.token_scores import TOP_K

if TYPE_CHECKING:
    from torch import Tensor

BLOCK: Final = 64
"""Logits a block in the search for the largest."""
FLOOR: Final = -1e4
"""Stands for a logit of minus infinity, relative to the largest: exp of it is 0."""


class Fold(NamedTuple):
    """What remains of one tile of logits."""

    maximum: Tensor
    """[tokens, 1]: the largest logit up to here."""
    mass: Tensor
    """[tokens, 1]: sum exp(z - maximum) of the tile."""
    moment: Tensor
    """[tokens, 1]: sum exp(z - maximum) (z - maximum) of the tile."""
    above: Tensor
    """[tokens, 1]: logits larger than the target's."""
    largest: Tensor
    """[tokens, up to TOP_K], in no order."""


def fold_tile(logits: Tensor, target: Tensor, maximum: Tensor, floor: float | None = None) -> Fold:
    """Fold a tile by torch's operations; `logits` are spent.

    Args:
        logits: [tokens, width].
        target: [tokens, 1]: the logit of the token that came.
        maximum: [tokens, 1]: the largest logit before this tile.
        floor: Least logit that is told apart, relative to the largest.
    """
    largest = find_largest(logits, TOP_K)
    weights = torch.empty_like(logits)
    above = torch.gt(logits, target, out=weights).sum(1, keepdim=True)
    maximum = torch.maximum(maximum, largest.amax(1, keepdim=True))
    logits -= maximum.to(logits.dtype)
    if floor is not None:
        logits.clamp_(min=floor)
    torch.exp(logits, out=weights)
    mass = weights.sum(1, keepdim=True)
    return Fold(maximum, mass, weights.mul_(logits).sum(1, keepdim=True), above, largest)


def find_largest(logits: Tensor, count: int, maxima: Tensor | None = None) -> Tensor:
    """Return the `count` largest values of each row, or all there are, in no order.

    Exact, ties included: a value outside the `count` blocks with the largest maxima is at most
    as large as each of those. One pass for the maxima, and a search among few, take about half
    the time of `topk`.

    Args:
        logits: [rows, width].
        count: How many.
        maxima: [rows, width // BLOCK]: the largest of each whole block, where they are known.
    """
    width = logits.shape[1]
    whole = width - width % BLOCK
    if whole < 2 * count * BLOCK:
        return logits.topk(min(count, width), dim=1, sorted=False).values
    blocks = logits[:, :whole].view(len(logits), -1, BLOCK)
    maxima = blocks.amax(2) if maxima is None else maxima
    best = maxima.topk(count, dim=1, sorted=False).indices
    candidates = blocks.gather(1, best[:, :, None].expand(-1, -1, BLOCK)).flatten(1)
    candidates = torch.cat([candidates, logits[:, whole:]], dim=1)
    return candidates.topk(count, dim=1, sorted=False).values
