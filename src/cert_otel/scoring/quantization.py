"""Weights of 8 and 4 bits, by bitsandbytes: for models that do not fit; none is faster for it.

The matrices of the layers are quantized; embeddings, norms and the head stay as they are, so
that logits are computed as exactly as ever from states that are a little off (docs/scoring.md
has how much).
"""

from __future__ import annotations

import importlib.util
import logging
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from cert_otel.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig

Quantization = Literal["8bit", "4bit"]

_BYTES_A_WEIGHT: Final = {"8bit": 1.1, "4bit": 0.6}
"""The layers, with their scales."""
_LOGGER: Final = "bitsandbytes.autograd._functions"
_CAST: Final = "MatMul8bitLt: inputs will be cast"
"""How a warning begins that is given at each product, of what 8 bits are meant to do."""


def check_quantization(quantization: str | None) -> None:
    """Raise where weights cannot be quantized so, or not here.

    Raises:
        ConfigError: There is no such way.
        MissingExtraError: Its package is not installed.
    """
    if quantization is None:
        return
    if quantization not in get_args(Quantization):
        raise ConfigError("quantization", f"{quantization!r} is neither 8bit nor 4bit")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtraError(f"score --quantization {quantization}", "quant")


def configure(quantization: str | None, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    """Return what transformers takes; `dtype` is what 4-bit weights are computed in."""
    if quantization is None:
        return None
    from transformers import BitsAndBytesConfig  # noqa: PLC0415 - seconds of torch

    logging.getLogger(_LOGGER).addFilter(_is_news)
    make: Any = BitsAndBytesConfig  # not annotated
    config: BitsAndBytesConfig = make(
        load_in_8bit=quantization == "8bit",
        load_in_4bit=quantization == "4bit",
        # Normal floats: half the error of the other kind on weights, which are normal.
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
    )
    return config


def count_bytes(layers: int, others: int, width_bytes: int, quantization: str | None) -> int:
    """Return what the weights of a model take.

    Args:
        layers: Weights of the layers.
        others: Weights of embeddings and head.
        width_bytes: Of a weight that is not quantized.
        quantization: Of the layers.
    """
    return int(layers * _BYTES_A_WEIGHT.get(quantization or "", width_bytes) + others * width_bytes)


def _is_news(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_CAST)
