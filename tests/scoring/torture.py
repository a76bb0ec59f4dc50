"""A thousand random texts of 1 to 8,000 tokens against the float64 reference: `make torture`.

Not part of the quick tests: it takes minutes on one core. The reference attends by torch's
own routine in double precision, because the plain one would need 2 GB a layer.
"""

from __future__ import annotations

import os
from typing import Final

import numpy as np
import pytest
from tests.scoring.reference import VOCABULARY, Reference, build_network, build_tokenizer

from cert_otel.scoring.networks import prepare
from cert_otel.scoring.packing import Piece, plan_packs
from cert_otel.scoring.reduction import reduce_tokens

TEXTS: Final = int(os.environ.get("TORTURE_TEXTS", "1000"))
NETWORKS: Final = ("qwen2", "qwen2-sliding", "qwen3", "llama", "gpt2")
BATCH: Final = 20
"""Texts that are packed together."""


def draw_backlog(random: np.random.Generator) -> list[Piece]:
    """Draw texts of lengths that are even on a logarithmic scale, some with a common beginning."""
    common = random.integers(0, VOCABULARY, 500)
    pieces = []
    for owner in range(BATCH):
        length = int(np.exp(random.uniform(0, np.log(8_000)))) + 1
        ids = random.integers(0, VOCABULARY, length)
        if random.random() < 0.2:
            ids = np.concatenate([common, ids])[:8_000]
        pieces.append(Piece(owner, ids, int(random.integers(1, len(ids)))))
    return pieces


class TestTorture:
    @pytest.mark.parametrize("batch", range(TEXTS // BATCH))
    def test_reference(self, batch: int) -> None:
        """Every token of every text is within 1e-5 of the reference, in any pack."""
        import torch  # noqa: PLC0415 - after the processes were forked

        random = np.random.default_rng(batch)
        network = build_network(NETWORKS[batch % len(NETWORKS)])
        reference = Reference(network, attention="sdpa")
        model = prepare(network, build_tokenizer(), name="torture")
        backlog = draw_backlog(random)

        for pack in plan_packs(backlog, budget=int(random.integers(1, 20_000))):
            scores = reduce_tokens(model.read(pack), model.head, torch.from_numpy(pack.targets))
            begin = 0
            for piece in pack.pieces:
                found = scores[begin : begin + piece.scored]
                begin += piece.scored
                expected = reference.score(piece.ids, piece.scored_from)
                for column in ("nll", "entropy", "topk_entropy", "tail_mass", "margin"):
                    np.testing.assert_allclose(
                        getattr(found, column), expected[column], atol=1e-5, err_msg=column
                    )
