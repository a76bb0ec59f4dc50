"""From hidden states to the figures of each token, without the logits ever standing in memory.

The head (vocabulary times width) is walked in tiles; each tile's logits are float32, live in a
buffer that fits a cache, and are folded into running sums. A [tokens, vocabulary] tensor would
take 600 kB a token for a vocabulary of 152,000. The logits are float32 for models in bfloat16
too: bfloat16 has steps of 1/8 at 16, which makes ties and empty gaps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

import torch

from cert_otel.scoring.folding import FLOOR, Fold, find_largest, fold_tile
from cert_otel.scoring.linear import multiply
from cert_otel.scoring.token_scores import TOP_K, TokenScores

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Head:
    """What turns a hidden state [width] into logits [vocabulary]."""

    weight: Tensor
    """[vocabulary, width], in the model's dtype and on its device."""
    bias: Tensor | None = None
    """[vocabulary]."""
    scale: float = 1.0
    """Factor on the logits (Cohere's `logit_scale`, 1 / Granite's `logits_scaling`)."""
    softcap: float | None = None
    """z becomes softcap * tanh(z / softcap) (Gemma 2)."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Return new logits [tokens, vocabulary], float32 or wider."""
        logits = multiply(hidden, self.weight)
        if self.bias is not None:
            logits += self.bias
        if self.scale != 1.0:
            logits *= self.scale
        if self.softcap is not None:
            logits = logits.div_(self.softcap).tanh_().mul_(self.softcap)
        return logits

    def select(self, rows: Tensor) -> Head:
        """Return the head of some rows of the vocabulary."""
        bias = None if self.bias is None else self.bias[rows]
        return replace(self, weight=self.weight[rows], bias=bias)

    def cut(self, begin: int, end: int) -> Head:
        """Return the head of a range of rows, on the CPU in the precision it is multiplied in."""
        weight = self.weight[begin:end]
        if weight.device.type != "cuda" and weight.dtype.itemsize < torch.float32.itemsize:
            weight = weight.float()
        bias = None if self.bias is None else self.bias[begin:end]
        return replace(self, weight=weight, bias=bias)


class Reduction(Protocol):
    """How hidden states become figures: `reduce_tokens`, or a kernel of another device."""

    def __call__(self, hidden: Tensor, head: Head, targets: Tensor) -> TokenScores:
        """Return the figures of each row; `reduce_tokens` says of what shapes."""
        ...


@dataclass(frozen=True, slots=True)
class Tiling:
    """How much of the logits stands in memory at once."""

    tokens: int
    vocabulary: int


CPU_TILING: Final = Tiling(tokens=256, vocabulary=8_192)
"""8 MiB of logits, which with its 29 MB of weights fits a third-level cache."""
CUDA_TILING: Final = Tiling(tokens=4_096, vocabulary=16_384)
"""256 MiB: the matrix product is large enough to run at full speed."""


def reduce_tokens(
    hidden: Tensor, head: Head, targets: Tensor, *, tiling: Tiling | None = None
) -> TokenScores:
    """Return the figures of each token.

    Args:
        hidden: [tokens, width]: the state from which the token was predicted, that is, of the
            token before it, after the model's final norm.
        head: The model's.
        targets: [tokens], int64: the token that came.
        tiling: Else what suits the device.
    """
    tiling = tiling or (CUDA_TILING if hidden.is_cuda else CPU_TILING)
    sums = _walk(hidden, head, targets, tiling, floor=None)
    if any(part.met_impossible() for part in sums):
        sums = _walk(hidden, head, targets, tiling, floor=FLOOR)
    return _to_scores(torch.cat([part.finish() for part in sums], dim=1))


def _walk(
    hidden: Tensor, head: Head, targets: Tensor, tiling: Tiling, *, floor: float | None
) -> list[_Sums]:
    sums = [
        _Sums(block, head, ids, floor)
        for block, ids in zip(
            torch.split(hidden, tiling.tokens), torch.split(targets, tiling.tokens), strict=True
        )
    ]
    for begin in range(0, len(head.weight), tiling.vocabulary):
        # One tile of weights serves all tokens before the next is read, and widened, once.
        tile = head.cut(begin, begin + tiling.vocabulary)
        for part in sums:
            part.add(tile, begin)
    return sums


@cache
def choose_fold(device: torch.device) -> Callable[[Tensor, Tensor, Tensor, float | None], Fold]:
    """Return the fastest way to fold on a device: one that reads a tile once, where it runs."""
    if device.type != "cuda":
        return fold_tile
    try:
        # Triton is where torch has CUDA; it is imported when there is a device to compile for.
        from cert_otel.scoring import fused  # noqa: PLC0415
    except ImportError:
        return fold_tile
    return fused.fold_tile_fused if fused.is_trustworthy(device) else fold_tile


class _Sums:
    """Running sums over the vocabulary for one block of tokens, relative to the largest logit."""

    def __init__(self, hidden: Tensor, head: Head, targets: Tensor, floor: float | None) -> None:
        self.hidden = hidden
        self.targets = targets[:, None]
        self.floor = floor
        # By the same routine as the tiles, so that equal rows of the head tie.
        self.target = head.select(targets).logits(hidden).diagonal()[:, None].clone()
        self.largest = self.target[:, :0]
        wide = torch.float32 if hidden.device.type == "mps" else torch.float64
        self.maximum = self.target.to(wide)
        self.mass = torch.zeros_like(self.maximum)
        """sum exp(z - maximum)."""
        self.moment = torch.zeros_like(self.maximum)
        """sum exp(z - maximum) (z - maximum)."""
        self.above = torch.zeros_like(self.maximum)
        """Logits larger than the target's."""

    def add(self, tile: Head, begin: int) -> None:
        """Take the logits of `tile`, the rows of the head from `begin` on."""
        logits = tile.logits(self.hidden)
        self._set_target(logits, begin)
        part = choose_fold(logits.device)(logits, self.target, self.maximum, self.floor)
        self.largest = find_largest(torch.cat([self.largest, part.largest], dim=1), TOP_K)
        self.above += part.above
        self._rescale(part.maximum.to(self.maximum.dtype))
        self.mass += part.mass
        self.moment += part.moment

    def met_impossible(self) -> bool:
        """Tell whether 0 * ln 0 spoilt the entropy: a logit was minus infinity."""
        return bool((self.moment.isnan() & self.mass.isfinite()).any())

    def finish(self) -> Tensor:
        """Return the figures, [columns of TokenScores, tokens]."""
        top = self.largest.sort(dim=1, descending=True).values.to(self.mass.dtype)
        maximum = self.maximum.to(self.target.dtype).to(self.mass.dtype)
        normaliser = maximum + self.mass.log()
        p = (top - normaliser).exp()
        target = self.target.to(self.mass.dtype)
        columns = (
            (normaliser - target).clamp(min=0),
            (self.mass.log() - self.moment / self.mass).clamp(min=0),
            torch.special.entr(top.softmax(1)).sum(1, keepdim=True),
            (1 - p.sum(1, keepdim=True)).clamp(0, 1),
            p[:, :1] - p[:, 1:2],
            top[:, :1] - top[:, 1:2],
            (top[:, :1] - target).clamp(min=0),
            1 + self.above,
        )
        return torch.cat(columns, dim=1).t()

    def _set_target(self, logits: Tensor, begin: int) -> None:
        """Make the target's logit the one that all others are compared with, bit for bit."""
        column = self.targets - begin
        inside = (column >= 0) & (column < logits.shape[1])
        column = column.clamp(0, logits.shape[1] - 1)
        logits.scatter_(1, column, torch.where(inside, self.target, logits.gather(1, column)))

    def _rescale(self, maximum: Tensor) -> None:
        drop = self.maximum - maximum
        self.moment = drop.exp() * (self.moment + drop * self.mass)
        self.mass = drop.exp() * self.mass
        self.maximum = maximum


def _to_scores(columns: Tensor) -> TokenScores:
    *figures, rank = columns.cpu().numpy()
    narrow = [*(figure.astype("float32") for figure in figures), rank.astype("int32")]
    return TokenScores(*narrow)
