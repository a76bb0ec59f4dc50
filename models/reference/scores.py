"""Bits a byte: the one figure that models over different tokens can be compared by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from ngram import Ngrams
    from numpy.typing import NDArray
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Bits:
    """What a model needs to encode a text."""

    bits: float
    bytes: int
    symbols: int
    """Tokens, or bytes where the model reads bytes."""

    @property
    def per_byte(self) -> float:
        """Bits a byte of UTF-8; 8 is a uniform guess among bytes."""
        return self.bits / self.bytes

    @property
    def perplexity_per_byte(self) -> float:
        """Two to the bits a byte; 256 is a uniform guess."""
        return math.exp2(self.per_byte)

    @property
    def nats_per_symbol(self) -> float:
        """The loss that training minimises."""
        return self.bits * math.log(2) / self.symbols


def add(parts: Sequence[Bits]) -> Bits:
    """What a model needs for several texts."""
    return Bits(
        sum(part.bits for part in parts),
        sum(part.bytes for part in parts),
        sum(part.symbols for part in parts),
    )


def ngram_bits(model: Ngrams, symbols: NDArray[np.integer], text: str) -> Bits:
    """Bits that an n-gram model needs for the symbols of a text."""
    bits = -float(model.log2_probabilities(symbols).sum())
    return Bits(bits, len(text.encode()), len(symbols))


def neural_bits(model: PreTrainedModel, tokenizer: Tokenizer, text: str) -> Bits:
    """Bits that a causal model needs; the beginning-of-text token is given, not scored."""
    ids = tokenizer.encode(text).ids
    return Bits(_nats(model, ids) / math.log(2), len(text.encode()), len(ids) - 1)


@torch.inference_mode()
def _nats(model: PreTrainedModel, ids: list[int]) -> float:
    """Sum over the tokens after the first."""
    total = 0.0
    for start, scored_from, end in spans(len(ids), model.config.max_position_embeddings):
        window = torch.tensor([ids[start:end]], device=model.device)
        logits = model(window, use_cache=False).logits[0, scored_from - start - 1 : -1]
        targets = window[0, scored_from - start :]
        total += cross_entropy(logits.float(), targets, reduction="sum").item()
    return total


def spans(tokens: int, length: int) -> Iterator[tuple[int, int, int]]:
    """Windows (start, first scored, end) in which every position but the first is scored once.

    They overlap by half: from the second on, what is scored has half a window before it.
    """
    scored_from = 1
    while scored_from < tokens:
        start = max(scored_from - length // 2, 0) if scored_from > 1 else 0
        end = min(start + length, tokens)
        yield start, scored_from, end
        scored_from = end
