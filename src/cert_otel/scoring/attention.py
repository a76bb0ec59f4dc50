"""Attention over packed texts, registered with transformers under `NAME`.

transformers finds packed texts by where positions restart, and only without a cache and without
a mask: anything else mixes neighbours without a word (measured: logits off by 1.35), and so do
neighbours whose positions happen to follow on. Here the segments are given, never guessed:
`packed(layout)` sets them for a forward pass, and a layer that is called without them fails.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

from cert_otel.errors import UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from cert_otel.scoring.packing import Segment

NAME: Final = "cert_packed"

_BLOCK: Final = 512
"""Queries at a time where a mask is needed: it takes 512 times the keys, not their square."""
_FLASH_HEAD_WIDTH: Final = 256
"""The widest head of the flash kernel."""
_FOREIGN: Final = ("s_aux", "sinks", "position_bias", "head_mask")
"""Arguments of other models that change the result and are not computed here."""


class Layout:
    """The segments of one pack, for every layer of one forward pass."""

    def __init__(self, segments: Sequence[Segment], device: torch.device) -> None:
        self.segments = tuple(segments)
        self.calls = 0
        """How many layers asked; 0 after a forward pass means that the model has its own way."""
        queries = [segment.end - segment.begin for segment in segments]
        keys = [_count_keys(segment) for segment in segments]
        self.max_queries, self.max_keys = max(queries), max(keys)
        self.query_bounds = _bound(queries, device)
        self.key_bounds = self.query_bounds if keys == queries else _bound(keys, device)
        self.key_index = None if keys == queries else _index_keys(segments, device)
        """Which tokens are keys, segment by segment; `None` where each is once, in order."""


class _Rule(NamedTuple):
    scale: float
    window: int | None
    softcap: float | None


class _States(NamedTuple):
    query: Tensor
    key: Tensor
    value: Tensor


_current: ContextVar[Layout] = ContextVar("cert_otel_attention_layout")


@contextmanager
def packed(layout: Layout) -> Iterator[None]:
    """Make `layout` that of the forward pass within; fail if no layer asked for it."""
    token = _current.set(layout)
    try:
        yield
    finally:
        _current.reset(token)
    if not layout.calls:
        raise UnsupportedModelError("the model", "it does not attend through AttentionInterface")


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attend within segments.

    Args:
        module: The layer.
        query: [1, heads, tokens, width].
        key: [1, key heads, tokens, width]; the number of heads is a multiple of that.
        value: As `key`; the width may differ.
        attention_mask: `None`: transformers makes none for an attention it does not know.
        scaling: Of the products; else 1 / sqrt(width).
        sliding_window: How many tokens each sees, itself included; else all.
        softcap: Scores s become softcap * tanh(s / softcap) (Gemma 2).
        others: What the model passes besides.

    Returns:
        [1, tokens, heads, width], and no weights.
    """
    layout = _current.get(None)
    if layout is None or attention_mask is not None or query.shape[2] != layout.segments[-1].end:
        raise UnsupportedModelError(
            type(module).__name__, "it attends with a mask or to other tokens than the pack's"
        )
    for name in _FOREIGN:
        if others.get(name) is not None:
            raise UnsupportedModelError(type(module).__name__, f"its attention takes {name!r}")
    layout.calls += 1
    window = sliding_window if sliding_window and sliding_window < layout.max_keys else None
    rule = _Rule(scaling or query.shape[3] ** -0.5, window, softcap)
    states = _States(query, key, value)
    if _suits_flash(states, rule):
        return _attend_flash(states, layout, rule), None
    result = query.new_empty(1, query.shape[2], query.shape[1], value.shape[3])
    for segment in layout.segments:
        _attend_segment(result, states, segment, rule)
    return result, None


AttentionInterface.register(NAME, attend)


def _suits_flash(states: _States, rule: _Rule) -> bool:
    query, _, value = states
    return (
        query.is_cuda
        and rule.softcap is None
        and query.dtype in {torch.bfloat16, torch.float16}
        and query.shape[3] == value.shape[3] <= _FLASH_HEAD_WIDTH
    )


def _attend_flash(states: _States, layout: Layout, rule: _Rule) -> Tensor:
    # [1, heads, tokens, width] becomes [tokens, heads, width].
    query, key, value = (rows[0].transpose(0, 1) for rows in states)
    if layout.key_index is not None:
        key, value = key[layout.key_index], value[layout.key_index]
    # The last query is aligned with the last key, so a segment sees all of its prefix. One kernel
    # for all packs: cuDNN's, which torch would prefer for some, aligns the first ones.
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        result = varlen_attn(
            query,
            key,
            value,
            layout.query_bounds,
            layout.key_bounds,
            layout.max_queries,
            layout.max_keys,
            scale=rule.scale,
            window_size=(-1 if rule.window is None else rule.window - 1, 0),
            enable_gqa=query.shape[1] != key.shape[1],
        )
    return cast("Tensor", result)[None]  # a tuple only where the normaliser is asked for


def _attend_segment(result: Tensor, states: _States, segment: Segment, rule: _Rule) -> None:
    own = slice(segment.begin, segment.end)
    query, key, value = (rows[:, :, own] for rows in states)
    prefix = segment.prefix_end - segment.prefix_begin
    if prefix:
        before = slice(segment.prefix_begin, segment.prefix_end)
        key = torch.cat([states.key[:, :, before], key], dim=2)
        value = torch.cat([states.value[:, :, before], value], dim=2)
    elif rule.softcap is None and (rule.window is None or rule.window >= query.shape[2]):
        result[:, own] = _attend_causally(query, key, value, rule).transpose(1, 2)
        return
    for begin in range(0, query.shape[2], _BLOCK):
        end = min(begin + _BLOCK, query.shape[2])
        places = range(prefix + begin, prefix + end)
        seen = slice(max(0, places.start + 1 - (rule.window or places.stop)), places.stop)
        block = _States(query[:, :, begin:end], key[:, :, seen], value[:, :, seen])
        mask = _mask(places, seen, rule.window, query.device)
        result[:, own][:, begin:end] = _attend_masked(block, mask, rule).transpose(1, 2)


def _attend_causally(query: Tensor, key: Tensor, value: Tensor, rule: _Rule) -> Tensor:
    return functional.scaled_dot_product_attention(
        query,
        key,
        value,
        is_causal=True,
        scale=rule.scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def _attend_masked(states: _States, mask: Tensor, rule: _Rule) -> Tensor:
    query, key, value = states
    groups = query.shape[1] // key.shape[1]
    if rule.softcap is None:
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=rule.scale, enable_gqa=groups > 1
        )
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ key.transpose(2, 3) * rule.scale
    scores = (scores / rule.softcap).tanh() * rule.softcap
    wide = torch.promote_types(scores.dtype, torch.float32)
    weights = scores.masked_fill(~mask, float("-inf")).softmax(-1, dtype=wide)
    return weights.to(query.dtype) @ value


def _mask(queries: range, keys: slice, window: int | None, device: torch.device) -> Tensor:
    """Return which key each query sees: [queries, keys], bool."""
    at = torch.arange(queries.start, queries.stop, device=device)[:, None]
    seen = torch.arange(keys.start, keys.stop, device=device)[None]
    mask = seen <= at
    return mask if window is None else mask & (seen > at - window)


def _count_keys(segment: Segment) -> int:
    return segment.end - segment.begin + segment.prefix_end - segment.prefix_begin


def _bound(lengths: Sequence[int], device: torch.device) -> Tensor:
    ends = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    return ends.to(device)


def _index_keys(segments: Sequence[Segment], device: torch.device) -> Tensor:
    ranges = [
        torch.arange(begin, end)
        for segment in segments
        for begin, end in (
            (segment.prefix_begin, segment.prefix_end),
            (segment.begin, segment.end),
        )
    ]
    return torch.cat(ranges).to(device)
