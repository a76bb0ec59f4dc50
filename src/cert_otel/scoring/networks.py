"""A network that is ready to score: its head, its window, and whether it may read packs.

Before a model scores anything, it reads three short texts twice: packed, by our attention and
head, and each alone, as transformers runs it. A model whose layers mix neighbours is read one
text at a time; one whose logits come out differently is refused.
"""

from __future__ import annotations

import copy
import hashlib
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import nn

from cert_otel.errors import UnsupportedModelError
from cert_otel.scoring import attention
from cert_otel.scoring.linear import FastLinear, is_onednn_faster
from cert_otel.scoring.packing import Pack, Piece, plan_packs
from cert_otel.scoring.reduction import Head

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from cert_otel.scoring.quantization import Quantization

DEFAULT_WINDOW: Final = 32_768
"""Tokens, for a model that names no limit."""
_TOLERANCE: Final = {torch.float32: 1e-4, torch.float64: 1e-8}
"""How far logits may be off, relative to the largest."""
_HALF_TOLERANCE: Final = 0.05
"""In half precision, and of quantized weights: in 8 bits it matters what is multiplied together."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A causal language model that is ready to read packs."""

    name: str
    """As the user wrote it."""
    revision: str
    """The hub's commit, or `sha256:` and the fingerprint of a folder's files."""
    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    head: Head
    window: int
    """The most tokens that it was made to read at once."""
    packs: bool
    """Whether several texts may stand in one pass."""
    quantization: Quantization | None = None

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.head.weight.device

    @property
    def dtype(self) -> str:
        """`bfloat16`, `float16`, `float32` or `float64`."""
        return str(self.head.weight.dtype).removeprefix("torch.")

    @property
    def template_hash(self) -> str | None:
        """Identifies the chat template; `None` without one."""
        template = self.tokenizer.chat_template
        return hashlib.sha256(str(template).encode()).hexdigest()[:16] if template else None

    def read(self, pack: Pack) -> Tensor:
        """Return the states from which the scored tokens are predicted: [scored, width]."""
        return self.read_tokens(pack)[torch.from_numpy(pack.rows).to(self.device)]

    def read_tokens(self, pack: Pack) -> Tensor:
        """Return the last hidden states of all tokens of a pack: [tokens, width]."""
        return _read(self.network, pack, packed=self.packs)

    def on_cpu(self) -> LoadedModel | None:
        """Return a copy on the CPU; `None` for quantized weights, which cannot move."""
        if self.quantization:
            return None
        network = _copy_to_cpu(self.network)
        return replace(self, network=network, head=find_head(network, self.name))


def prepare(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    name: str,
    revision: str = "in memory",
    quantization: Quantization | None = None,
) -> LoadedModel:
    """Make a network ready to score, and check that it is.

    Raises:
        UnsupportedModelError: Its logits are not those that transformers computes.
    """
    network.train(mode=False)
    head = find_head(network, name)
    texts = _make_texts(head)
    before = network.config._attn_implementation  # noqa: SLF001 - transformers has no public reader
    if before == attention.NAME:  # prepared before
        before = "eager"
        network.set_attn_implementation(before)
    expected = [_compute_logits(network, ids) for ids in texts]
    network.set_attn_implementation(attention.NAME)
    check = partial(
        _agrees, network, head, texts, expected, tolerance=_find_tolerance(head, quantization)
    )
    packs = check(packed=True)
    if not packs:
        network.set_attn_implementation(before)
        if not check(packed=False):
            problem = (
                f"{type(network).__name__} computes its logits in a way that is not known here"
            )
            raise UnsupportedModelError(name, f"{problem}; choose another model")
    config = network.config.get_text_config()
    window = getattr(config, "max_position_embeddings", None) or DEFAULT_WINDOW
    return LoadedModel(name, revision, network, tokenizer, head, window, packs, quantization)


def find_head(network: PreTrainedModel, name: str) -> Head:
    """Return the head of a network.

    Raises:
        UnsupportedModelError: It is no dense matrix.
    """
    layer: nn.Module = network.get_output_embeddings()
    if not isinstance(layer, nn.Linear) or not layer.weight.dtype.is_floating_point:
        raise UnsupportedModelError(name, f"its head is {type(layer).__name__}, not a dense matrix")
    config = network.config.get_text_config()
    scaling = getattr(config, "logits_scaling", None)
    scale = 1 / scaling if scaling else getattr(config, "logit_scale", None)
    return Head(
        layer.weight.detach(),
        None if layer.bias is None else layer.bias.detach(),
        scale=float(scale or 1.0),
        softcap=getattr(config, "final_logit_softcapping", None),
    )


def _copy_to_cpu(network: PreTrainedModel) -> PreTrainedModel:
    # Weights are moved one by one: the device has no room for a second copy.
    moved: dict[int, Any] = {
        id(weight): nn.Parameter(weight.detach().cpu(), requires_grad=False)
        for weight in network.parameters()
    }
    moved |= {id(buffer): buffer.detach().cpu() for buffer in network.buffers()}
    return copy.deepcopy(network, moved)


def _compute_logits(network: PreTrainedModel, ids: NDArray[np.int64]) -> Tensor:
    """Return the logits of one text as transformers computes them: [tokens, vocabulary]."""
    call: Callable[..., Any] = (
        network  # what transformers annotates of a forward pass is not usable
    )
    with torch.inference_mode():
        output = call(torch.from_numpy(ids).to(network.device)[None], use_cache=False)
    logits: Tensor = output.logits[0]
    return logits


def _read(network: PreTrainedModel, pack: Pack, *, packed: bool) -> Tensor:
    """Return the last hidden states of all tokens: [tokens, width]."""
    device = network.device
    arguments: dict[str, Any] = {
        "input_ids": torch.from_numpy(pack.ids).to(device)[None],
        "position_ids": torch.from_numpy(pack.positions).to(device)[None],
        "use_cache": False,  # with a cache, transformers mixes packed neighbours
    }
    with torch.inference_mode(), _fast_linear(network):
        layout = attention.packed(attention.Layout(pack.segments, device))
        with layout if packed else nullcontext():
            states: Tensor = network.base_model(**arguments).last_hidden_state
    return states[0]


def _fast_linear(network: PreTrainedModel) -> Any:
    suits = network.device.type == "cpu" and network.dtype == torch.float32
    return FastLinear() if suits and is_onednn_faster() else nullcontext()


def _make_texts(head: Head) -> list[NDArray[np.int64]]:
    random = np.random.default_rng(0)
    return [random.integers(0, len(head.weight), length) for length in (9, 5, 7)]


def _agrees(
    network: PreTrainedModel,
    head: Head,
    texts: list[NDArray[np.int64]],
    expected: list[Tensor],
    *,
    tolerance: float,
    packed: bool,
) -> bool:
    """Tell whether every text has the logits it has alone, whatever stands beside it."""
    pieces = [Piece(index, ids, 1) for index, ids in enumerate(texts)]
    try:
        for pack in plan_packs(pieces, budget=sum(map(len, texts)) if packed else 1, share=False):
            states = _read(network, pack, packed=packed)
            wanted = torch.cat([expected[piece.owner] for piece in pack.pieces])
            if not _is_close(head.logits(states), wanted, tolerance):
                return False
    except UnsupportedModelError:
        return False
    return True


def _find_tolerance(head: Head, quantization: Quantization | None) -> float:
    return _HALF_TOLERANCE if quantization else _TOLERANCE.get(head.weight.dtype, _HALF_TOLERANCE)


def _is_close(logits: Tensor, expected: Tensor, tolerance: float) -> bool:
    # A network with broken weights is loaded: each of its results is an error.
    largest = float(expected.nan_to_num(0, 0, 0).abs().max())
    return torch.allclose(
        logits.to(expected.dtype), expected, rtol=0, atol=tolerance * largest, equal_nan=True
    )
