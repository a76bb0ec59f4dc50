"""Bits a byte: the one figure that models over different tokens can be compared by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM


@dataclass(frozen=True, slots=True)
class Bits:
    """What a model needs to encode a text."""

    bits: float
    bytes: int
    tokens: int

    @property
    def per_byte(self) -> float:
        """Bits a byte of UTF-8; 8 is a uniform guess among bytes."""
        return self.bits / self.bytes

    @property
    def perplexity_per_byte(self) -> float:
        """Two to the bits a byte; 256 is a uniform guess."""
        return math.exp2(self.per_byte)


def neural_bits(model: LlamaForCausalLM, tokenizer: Tokenizer, texts: Sequence[str]) -> Bits:
    """Bits that a causal model needs, each token scored once."""
    nats, tokens = 0.0, 0
    for text in texts:
        ids = tokenizer.encode(text).ids  # with the beginning-of-text token, which is not scored
        nats += _nats(model, ids)
        tokens += len(ids) - 1
    return Bits(nats / math.log(2), sum(len(text.encode()) for text in texts), tokens)


@torch.inference_mode()
def _nats(model: LlamaForCausalLM, ids: list[int]) -> float:
    """Sum over the tokens after the first."""
    total = 0.0
    for start, scored_from, end in spans(len(ids), model.config.max_position_embeddings):
        window = torch.tensor([ids[start:end]], device=model.device)
        logits = model(window, use_cache=False).logits[0, scored_from - start - 1 : -1]
        total += cross_entropy(
            logits.float(), window[0, scored_from - start :], reduction="sum"
        ).item()
    return total


def spans(tokens: int, length: int) -> Iterator[tuple[int, int, int]]:
    """Windows (start, first scored, end) that overlap by half: what is scored has half a window before it.

    Every position but the first is scored in exactly one window.
    """
    scored_from = 1
    while scored_from < tokens:
        start = max(scored_from - length // 2, 0) if scored_from > 1 else 0
        end = min(start + length, tokens)
        yield start, scored_from, end
        scored_from = end
