"""The figures by their definitions: one text, float64, the whole softmax; and small models.

Written without the modules under test: plain numpy over the logits that transformers computes
in double precision, by its own attention.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

VOCABULARY: Final = 301
TEMPLATE: Final = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL: Final = ("<|start|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")

_SHAPE: Final[dict[str, Any]] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": 8192,
    "initializer_range": 0.1,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "pad_token_id": 257,
}
_GROUPED: Final[dict[str, Any]] = {**_SHAPE, "num_key_value_heads": 2}
_SMALL_HEADS: Final[dict[str, Any]] = {**_GROUPED, "head_dim": 16}

CONFIGS: Final[dict[str, Any]] = {
    "qwen2": Qwen2Config(**_GROUPED),
    "qwen2-sliding": Qwen2Config(
        **_GROUPED, use_sliding_window=True, sliding_window=16, max_window_layers=1
    ),
    "qwen3": Qwen3Config(**_SMALL_HEADS),
    "llama": LlamaConfig(**_GROUPED),
    "mistral": MistralConfig(**_GROUPED, sliding_window=16),
    "gpt2": GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=64,
        n_layer=2,
        n_head=4,
        n_positions=8192,
        initializer_range=0.1,
        bos_token_id=256,
        eos_token_id=257,
    ),
    "gemma2": Gemma2Config(**_SMALL_HEADS, sliding_window=16),
    "gemma3": Gemma3TextConfig(**_SMALL_HEADS, sliding_window=16),
    "cohere": CohereConfig(**_GROUPED, logit_scale=0.3),
    "granite": GraniteConfig(**_GROUPED, logits_scaling=3.0),
    "bloom": BloomConfig(
        vocab_size=VOCABULARY, hidden_size=64, n_layer=2, n_head=4, initializer_range=0.1
    ),
}
"""Every way of attending that is computed here, and one that is not (bloom)."""


def build_network(name: str, *, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Build a small network with random weights, the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network: PreTrainedModel = AutoModelForCausalLM.from_config(copy.deepcopy(CONFIGS[name]))
    convert: Any = network.to  # annotated for no argument that it takes
    converted: PreTrainedModel = convert(dtype)
    return converted


def build_tokenizer(*, template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """Build a tokenizer of bytes: 256 of them, then `SPECIAL`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|start|>",
        eos_token="<|end|>",
        chat_template=template,
    )


class Reference:
    """A network in double precision that reads one text at a time."""

    def __init__(self, network: PreTrainedModel, *, attention: str = "eager") -> None:
        self.network = copy.deepcopy(network).double().eval()
        self.network.set_attn_implementation(attention)

    def read(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the logits of one text: [tokens, vocabulary]."""
        call: Any = self.network
        with torch.no_grad():
            logits = call(torch.from_numpy(ids)[None], use_cache=False).logits[0]
        return np.asarray(logits.double().numpy())

    def score(self, ids: NDArray[np.int64], scored_from: int) -> dict[str, NDArray[np.float64]]:
        """Return the figures of the tokens from `scored_from` on."""
        return define(self.read(ids)[scored_from - 1 : -1], ids[scored_from:])


def define(
    logits: NDArray[np.float64], targets: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Compute the figures from logits [tokens, vocabulary] by their definitions."""
    p = _softmax(logits)
    descending = -np.sort(-logits, axis=1)
    likeliest = -np.sort(-p, axis=1)[:, :10]
    target = logits[np.arange(len(targets)), targets]
    return {
        "nll": _normalise(logits) - target,
        "entropy": _entropy(p),
        "topk_entropy": _entropy(likeliest / likeliest.sum(1, keepdims=True)),
        "tail_mass": 1 - likeliest.sum(1),
        "prob_gap": likeliest[:, 0] - likeliest[:, 1],
        "logit_gap": descending[:, 0] - descending[:, 1],
        "margin": descending[:, 0] - target,
        "rank": 1.0 + (logits > target[:, None]).sum(1),
    }


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _normalise(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = logits.max(axis=1)
    return np.asarray(largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1)))


def _entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    positive = np.where(p > 0, p, 1.0)
    return np.asarray(-(p * np.log(positive)).sum(axis=1))
