"""Attention on CUDA: the same segments, given to torch's flash kernel in its own terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
import torch
from tests.scoring.reference import build_network, build_tokenizer
from torch._subclasses.fake_tensor import FakeTensorMode

from cert_otel.scoring import attention
from cert_otel.scoring.attention import Layout, attend, packed
from cert_otel.scoring.networks import prepare
from cert_otel.scoring.packing import Segment
from cert_otel.scoring.prompts import Sample
from cert_otel.scoring.scorer import TokenScorer

if TYPE_CHECKING:
    from torch import Tensor

APART: Final = (Segment(0, 60), Segment(60, 61), Segment(61, 120))
SHARED: Final = (Segment(0, 60), Segment(60, 80, 0, 60), Segment(80, 120, 0, 60))
LAYER: Final = torch.nn.Identity()


def emulate_flash(
    query: Tensor, key: Tensor, value: Tensor, *bounds: Any, **options: Any
) -> Tensor:
    """Do what the documentation of `varlen_attn` says, plainly: the last query at the last key."""
    query_bounds, key_bounds, *_ = bounds
    left, right = options["window_size"]
    assert right == 0
    results = []
    for index in range(len(query_bounds) - 1):
        own = slice(query_bounds[index], query_bounds[index + 1])
        seen = slice(key_bounds[index], key_bounds[index + 1])
        groups = query.shape[1] // key.shape[1]
        keys = key[seen].repeat_interleave(groups, 1).transpose(0, 1)
        values = value[seen].repeat_interleave(groups, 1).transpose(0, 1)
        scores = query[own].transpose(0, 1) @ keys.transpose(1, 2) * options["scale"]
        last = scores.shape[2] - scores.shape[1]
        at = torch.arange(scores.shape[1])[:, None] + last
        keys_at = torch.arange(scores.shape[2])[None]
        hidden = (keys_at > at) | ((left >= 0) & (keys_at < at - left))
        weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        results.append((weights @ values).transpose(0, 1))
    return torch.cat(results)


def draw_states() -> tuple[Tensor, Tensor, Tensor]:
    """Draw queries of four heads, keys and values of two."""
    random = torch.Generator().manual_seed(0)
    query = torch.randn(1, 4, 120, 16, generator=random)
    key, value = torch.randn(2, 1, 2, 120, 16, generator=random)
    return query, key, value


class TestFlash:
    @pytest.mark.parametrize("segments", [APART, SHARED])
    @pytest.mark.parametrize("window", [None, 7, 70])
    def test_the_kernel_is_given_the_segments(
        self, segments: tuple[Segment, ...], window: int | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Bounds, keys and windows mean to the kernel what they mean on the CPU."""
        states = draw_states()
        with packed(Layout(segments, torch.device("cpu"))):
            expected, _ = attend(LAYER, *states, None, sliding_window=window)
        monkeypatch.setattr(attention, "varlen_attn", emulate_flash)
        monkeypatch.setattr(attention, "_suits_flash", lambda *_: True)

        with packed(Layout(segments, torch.device("cpu"))):
            found, _ = attend(LAYER, *states, None, sliding_window=window)

        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)

    @pytest.mark.parametrize("segments", [APART, SHARED])
    def test_the_kernel_takes_the_arguments(self, segments: tuple[Segment, ...]) -> None:
        """The installed torch has the kernel under these arguments, for CUDA in bfloat16."""
        with FakeTensorMode():
            device = torch.device("cuda:0")
            query = torch.empty(1, 8, 120, 64, device=device, dtype=torch.bfloat16)
            key = torch.empty(1, 2, 120, 64, device=device, dtype=torch.bfloat16)
            with packed(Layout(segments, device)):
                result, _ = attend(LAYER, query, key, key, None)

        assert (result.shape, result.device) == ((1, 120, 8, 64), device)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
    def test_on_a_device(self) -> None:
        """On CUDA in bfloat16 the figures are those of the CPU in float32, rounded."""
        samples = [Sample(prompt="abc " * 40, completion=f"word {i} " * 20) for i in range(9)]
        exact = prepare(build_network("qwen2"), build_tokenizer(), name="exact")
        network: Any = build_network("qwen2", dtype=torch.bfloat16)
        narrow = prepare(network.to("cuda"), build_tokenizer(), name="narrow")

        for one, other in zip(
            TokenScorer(exact).score(samples), TokenScorer(narrow).score(samples), strict=True
        ):
            assert one.score is not None
            assert other.score is not None
            assert other.score.nll_mean == pytest.approx(one.score.nll_mean, abs=5e-3)
