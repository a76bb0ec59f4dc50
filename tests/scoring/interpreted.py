"""The kernel for CUDA gives the same numbers as torch's operations.

Run by test_fused.py in a process of its own, since Triton is told to interpret before it is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from tests.scoring.test_reduction import compare, draw, multiply

from cert_otel.scoring import folding, fused, reduction

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _fold_by_kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(reduction, "choose_fold", lambda _: fused.fold_tile_fused)
    with torch.inference_mode():
        yield


class TestFoldTileFused:
    @pytest.mark.parametrize(
        ("tokens", "vocabulary", "tile"),
        [(1, 11, 100), (5, 1_281, 2_000), (3, 2_048, 2_048), (4, 5_000, 3_001), (2, 6_145, 10_000)],
    )
    def test_definitions(self, tokens: int, vocabulary: int, tile: int) -> None:
        """Vocabularies that steps, blocks and tiles divide and do not."""
        states, head, targets = draw(tokens, vocabulary)
        tiling = reduction.Tiling(2, tile)

        scores = reduction.reduce_tokens(states, head, targets, tiling=tiling)

        compare(scores, multiply(states, head), targets, within=2e-5)

    @pytest.mark.parametrize("scale", [0.01, 30.0, 300.0])
    def test_logits_of_any_size(self, scale: float) -> None:
        """Logits of hundreds overflow nothing, and equal ones keep their gaps."""
        states, head, targets = draw(6, 3_000, scale=scale)

        scores = reduction.reduce_tokens(states, head, targets)

        compare(scores, multiply(states, head), targets, within=2e-5 * max(scale, 1))

    def test_impossible_tokens(self) -> None:
        """A logit of minus infinity takes no part, a whole step of them included."""
        states, head, targets = draw(3, 300)
        bias = torch.zeros(5_000)
        bias[300:] = -torch.inf
        padded = reduction.Head(torch.cat([head.weight, torch.zeros(4_700, 16)]), bias)

        scores = reduction.reduce_tokens(states, padded, targets)

        compare(scores, multiply(states, head), targets)

    @pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # numpy's, which interprets
    def test_broken_weights(self) -> None:
        """A weight that is no number makes figures that are none."""
        states, head, targets = draw(3, 3_000)
        head.weight[7] = torch.nan

        assert not reduction.reduce_tokens(states, head, targets).is_finite()

    def test_double_precision(self) -> None:
        """Logits in float64 are folded in float64."""
        states, head, targets = draw(3, 3_000)
        wide = reduction.Head(head.weight.double())

        scores = reduction.reduce_tokens(states.double(), wide, targets)

        compare(scores, multiply(states, head), targets, within=1e-6)


class TestIsTrustworthy:
    def test_agrees(self) -> None:
        """A kernel that gives what torch gives is used."""
        assert fused.is_trustworthy(torch.device("cpu"))

    def test_wrong(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        """One that gives something else is not, and the log says so."""

        def double_mass(*arguments: Any) -> folding.Fold:
            fold = folding.fold_tile(*arguments)
            return fold._replace(mass=2 * fold.mass)

        monkeypatch.setattr(fused, "fold_tile_fused", double_mass)

        assert not fused.is_trustworthy(torch.device("cpu"))
        assert "disagrees" in caplog.text

    def test_does_not_compile(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One that does not run is not, and the log says why."""

        def fail(*_: Any) -> folding.Fold:
            raise RuntimeError("no such instruction")

        monkeypatch.setattr(fused, "fold_tile_fused", fail)

        assert not fused.is_trustworthy(torch.device("cpu"))
        assert "no such instruction" in caplog.text
