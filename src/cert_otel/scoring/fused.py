"""One tile of logits folded in one reading, by a Triton kernel on CUDA.

torch's operations read and write a tile about ten times over (largest, difference, exponential,
sums), which on a GPU takes longer than the matrix product that made it. The kernel reads it once and
leaves sums for each token, and the largest logit of each whole block, among which
`folding.find_largest` then searches.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import torch
import triton
import triton.language as tl

from cert_otel.scoring.folding import BLOCK, FLOOR, Fold, find_largest, fold_tile
from cert_otel.scoring.token_scores import TOP_K

if TYPE_CHECKING:
    from torch import Tensor

_logger = logging.getLogger(__name__)

STEP: Final = 2_048
"""Logits that one program holds at once."""


@triton.jit  # type: ignore[untyped-decorator]  # Triton has no types
def fold_rows(  # noqa: PLR0917 - a kernel takes pointers, not objects
    logits: tl.tensor,
    target: tl.tensor,
    maximum: tl.tensor,
    mass: tl.tensor,
    moment: tl.tensor,
    above: tl.tensor,
    block_maxima: tl.tensor,
    width: tl.tensor,
    blocks: tl.tensor,
    BLOCK: tl.constexpr,  # noqa: N803 - constants of a kernel are written so
    STEP: tl.constexpr,  # noqa: N803
    FLOOR: tl.constexpr,  # noqa: N803
) -> None:
    """Fold one row [width]: the program's number is the row's."""
    row = tl.program_id(0).to(tl.int64)
    wanted = tl.load(target + row)
    high = tl.load(maximum + row)
    total = tl.zeros((), tl.float32)
    first = tl.zeros((), tl.float32)
    count = tl.zeros((), tl.float32)
    for begin in range(0, width, STEP):
        columns = begin + tl.arange(0, STEP)
        z = tl.load(logits + row * width + columns, mask=columns < width, other=float("-inf"))
        maxima = tl.max(tl.reshape(z, (STEP // BLOCK, BLOCK)), axis=1)
        places = begin // BLOCK + tl.arange(0, STEP // BLOCK)
        tl.store(block_maxima + row * blocks + places, maxima, mask=places < blocks)
        count += tl.sum((z > wanted).to(tl.float32))
        higher = tl.maximum(high, tl.max(maxima))
        drop = high - higher
        shrink = tl.exp(drop)
        first = shrink * (first + drop * total)
        total = shrink * total
        high = higher
        away = z - high
        # exp of it is 0 all the same, and 0 * -inf would be no number; what is none stays none.
        away = tl.where(away < FLOOR, FLOOR, away)
        weights = tl.exp(away)
        total += tl.sum(weights)
        first += tl.sum(weights * away)
    tl.store(maximum + row, high)
    tl.store(mass + row, total)
    tl.store(moment + row, first)
    tl.store(above + row, count)


def fold_tile_fused(
    logits: Tensor, target: Tensor, maximum: Tensor, floor: float | None = None
) -> Fold:
    """Return what `folding.fold_tile` returns.

    Args:
        logits: [tokens, width], contiguous; what is not float32 is folded by torch.
        target: [tokens, 1].
        maximum: [tokens, 1], finite.
        floor: Of no consequence in float32: minus infinity is read as what it is.
    """
    if logits.dtype != torch.float32:
        return fold_tile(logits, target, maximum, floor)
    tokens, width = logits.shape
    blocks = width // BLOCK
    block_maxima = logits.new_empty(tokens, blocks)
    high, wanted = maximum.float().clone(), target.contiguous()
    mass, moment, above = (torch.empty_like(high) for _ in range(3))
    fold_rows[(tokens,)](
        logits, wanted, high, mass, moment, above, block_maxima, width, blocks,
        BLOCK=BLOCK, STEP=STEP, FLOOR=FLOOR, num_warps=8, enable_fp_fusion=True,
    )  # fmt: skip
    return Fold(high, mass, moment, above, find_largest(logits, TOP_K, block_maxima))


def is_trustworthy(device: torch.device) -> bool:
    """Tell whether the kernel compiles here and agrees with torch's operations.

    Asked once a process: a kernel that a new driver or Triton breaks costs speed, and never a figure.
    """
    random = torch.Generator().manual_seed(0)
    try:
        logits = (torch.randn(33, 5_000, generator=random) * 8).to(device)
        target = logits[:, 17:18].clone()
        maximum = target.double()
        fused = fold_tile_fused(logits, target, maximum)
    except Exception as error:  # noqa: BLE001 - compilers raise what they like
        _logger.warning("the fused reduction does not run here, torch's is used: %s", error)
        return False
    plain = fold_tile(logits.clone(), target, maximum)
    agrees = all(
        torch.allclose(_normalise(one), _normalise(other), rtol=1e-4, atol=1e-4)
        for one, other in zip(fused, plain, strict=True)
    )
    if not agrees:
        _logger.warning("the fused reduction disagrees with torch's, which is used; please report")
    return agrees


def _normalise(column: Tensor) -> Tensor:
    return column.double().sort(dim=1).values
