"""Figures from states and head: equal to the definitions, whatever the tiles."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scoring.reference import define

from cert_otel import scoring
from cert_otel.scoring import fused
from cert_otel.scoring.folding import find_largest, fold_tile
from cert_otel.scoring.reduction import (
    Head,
    Tiling,
    choose_fold,
    reduce_tokens,
)

if TYPE_CHECKING:
    from cert_otel.scoring.token_scores import TokenScores

SMALL = Tiling(tokens=7, vocabulary=100)


def draw(tokens: int, vocabulary: int, *, width: int = 16, scale: float = 1.0) -> Any:
    """Draw states, head and targets."""
    random = torch.Generator().manual_seed(tokens * 1000 + vocabulary)
    return (
        torch.randn(tokens, width, generator=random),
        Head(torch.randn(vocabulary, width, generator=random) * scale),
        torch.randint(0, vocabulary, (tokens,), generator=random),
    )


def compare(
    scores: TokenScores, logits: torch.Tensor, targets: torch.Tensor, *, within: float = 1e-5
) -> None:
    """Compare all columns with the definitions."""
    for name, expected in define(logits.double().numpy(), targets.numpy()).items():
        np.testing.assert_allclose(
            getattr(scores, name), expected, atol=within, rtol=0, err_msg=name
        )


def multiply(states: torch.Tensor, head: Head) -> torch.Tensor:
    """Multiply in double precision."""
    return states.double() @ head.weight.double().T


@pytest.fixture(autouse=True)
def _without_gradients() -> Any:
    with torch.inference_mode():
        yield


class TestReduceTokens:
    @pytest.mark.parametrize(
        ("tokens", "vocabulary"),
        [(1, 2), (1, 10), (3, 11), (8, 99), (8, 100), (20, 101), (7, 1_500), (15, 2_047)],
    )
    def test_definitions(self, tokens: int, vocabulary: int) -> None:
        """Vocabularies that tiles divide and do not, of more and fewer rows than `TOP_K`."""
        states, head, targets = draw(tokens, vocabulary)

        scores = reduce_tokens(states, head, targets, tiling=SMALL)

        compare(scores, multiply(states, head), targets)

    @settings(max_examples=30, deadline=None)
    @given(st.integers(1, 40), st.integers(1, 3_000), st.floats(0.01, 8))
    def test_any_tiling(self, tokens: int, vocabulary: int, scale: float) -> None:
        """The size of a tile changes nothing."""
        states, head, targets = draw(12, 1_333, scale=scale)

        whole = reduce_tokens(states, head, targets, tiling=Tiling(100, 10_000))
        tiled = reduce_tokens(states, head, targets, tiling=Tiling(tokens, vocabulary))

        for one, other in zip(whole.columns(), tiled.columns(), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5 * max(scale, 1))

    def test_ties(self) -> None:
        """Equal logits share a rank and leave no gap, in one tile or several."""
        head = Head(torch.ones(500, 4).mul_(torch.tensor([1, 2] * 250)[:, None]))
        states, targets = torch.ones(2, 4), torch.tensor([0, 499])

        scores = reduce_tokens(states, head, targets, tiling=SMALL)

        assert scores.rank.tolist() == [251, 1]
        assert scores.margin.tolist() == [4, 0]
        assert scores.logit_gap.tolist() == scores.prob_gap.tolist() == [0, 0]
        np.testing.assert_allclose(scores.topk_entropy, np.log(10), atol=1e-6)
        compare(scores, multiply(states, head), targets)

    def test_impossible_tokens(self) -> None:
        """Padding rows at minus infinity take no part, and spoil nothing."""
        states, head, targets = draw(9, 300)
        bias = torch.zeros(400)
        bias[300:] = -torch.inf
        padded = Head(torch.cat([head.weight, torch.zeros(100, 16)]), bias)

        scores = reduce_tokens(states, padded, targets, tiling=SMALL)

        compare(scores, multiply(states, head), targets)

    def test_unlikely_padding_rows(self) -> None:
        """Rows far below the others, as training leaves padding, change nothing that is seen."""
        states, head, targets = draw(9, 300)
        bias = torch.cat([torch.zeros(300), torch.full((71,), -60.0)])
        padded = Head(torch.cat([head.weight, torch.zeros(71, 16)]), bias)

        scores = reduce_tokens(states, padded, targets)

        compare(scores, multiply(states, head), targets)

    @pytest.mark.parametrize("scale", [30.0, 300.0])
    def test_large_logits(self, scale: float) -> None:
        """Logits of hundreds overflow nothing."""
        states, head, targets = draw(9, 300, scale=scale)

        scores = reduce_tokens(states, head, targets, tiling=SMALL)

        compare(scores, multiply(states, head), targets, within=2e-5 * scale)

    def test_broken_weights(self) -> None:
        """A weight that is no number makes figures that are none, never plausible ones."""
        states, head, targets = draw(3, 300)
        head.weight[7] = torch.nan

        assert not reduce_tokens(states, head, targets).is_finite()

    def test_scale_and_softcap(self) -> None:
        """Factor, bias and cap of the logits, in this order after the product."""
        states, head, targets = draw(9, 300)
        bias = torch.linspace(-1, 1, 300)

        scores = reduce_tokens(states, Head(head.weight, bias, scale=0.5, softcap=3.0), targets)

        logits = (multiply(states, head) + bias) * 0.5
        compare(scores, 3 * torch.tanh(logits / 3), targets)

    def test_half_precision_head(self) -> None:
        """From bfloat16 weights the logits are exact to float32, not rounded again."""
        states, head, targets = draw(9, 300)
        narrow = Head(head.weight.bfloat16())

        scores = reduce_tokens(states.bfloat16(), narrow, targets, tiling=SMALL)

        compare(scores, multiply(states.bfloat16(), narrow), targets)

    def test_double_precision(self) -> None:
        """A float64 model is read in float64."""
        states, head, targets = draw(9, 300)
        wide = Head(head.weight.double())

        scores = reduce_tokens(states.double(), wide, targets, tiling=SMALL)

        compare(scores, multiply(states, head), targets, within=1e-6)


class TestChooseFold:
    def test_processor(self) -> None:
        """Without a GPU torch's operations fold."""
        assert choose_fold(torch.device("cpu")) is fold_tile

    @pytest.mark.parametrize("trusted", [True, False])
    def test_cuda(self, trusted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """On CUDA the kernel does, where it runs and agrees."""
        monkeypatch.setattr(fused, "is_trustworthy", lambda _: trusted)

        chosen = choose_fold.__wrapped__(torch.device("cuda"))

        assert chosen is (fused.fold_tile_fused if trusted else fold_tile)

    def test_without_triton(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Builds of torch without Triton do it as before."""
        monkeypatch.delattr(scoring, "fused")
        monkeypatch.setitem(sys.modules, "cert_otel.scoring.fused", None)

        assert choose_fold.__wrapped__(torch.device("cuda")) is fold_tile


class TestFindLargest:
    @given(st.integers(1, 2_000), st.integers(1, 12), st.integers(1, 50))
    def test_equals_sorting(self, width: int, count: int, values: int) -> None:
        """The largest as sorting finds them, among few different values as well."""
        random = np.random.default_rng(width)
        logits = torch.from_numpy(random.integers(0, values, (3, width)).astype(np.float32))

        found = find_largest(logits, count).sort(descending=True).values

        assert torch.equal(found, logits.sort(descending=True).values[:, :count])
