"""Networks that read packs: as exact as one text alone, in any company."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tests.scoring.reference import CONFIGS, VOCABULARY, build_network, build_tokenizer

from cert_otel.errors import UnsupportedModelError
from cert_otel.scoring import attention, networks
from cert_otel.scoring.networks import LoadedModel, prepare
from cert_otel.scoring.packing import Pack, Piece, plan_packs
from cert_otel.scoring.reduction import reduce_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scoring.reference import Reference

    from cert_otel.scoring.token_scores import TokenScores

LENGTHS = (2, 3, 17, 64, 65, 129, 700, 1_100)
COLUMNS = ("nll", "entropy", "topk_entropy", "tail_mass", "prob_gap", "logit_gap", "margin")


def make_backlog(*, seed: int = 1) -> list[Piece]:
    """Make texts of many lengths, three of which begin with the same hundred tokens."""
    random = np.random.default_rng(seed)
    prefix = random.integers(0, VOCABULARY, 100)
    texts = [random.integers(0, VOCABULARY, length) for length in LENGTHS]
    texts += [np.concatenate([prefix, random.integers(0, VOCABULARY, n)]) for n in (3, 50, 600)]
    starts = [max(1, length - 40) for length in LENGTHS] + [101] * 3
    return [Piece(i, ids, start) for i, (ids, start) in enumerate(zip(texts, starts, strict=True))]


def score(model: LoadedModel, backlog: list[Piece], **options: Any) -> dict[int, TokenScores]:
    """Score each piece in the packs that are planned."""
    scores = {}
    for pack in plan_packs(backlog, **options):
        figures = reduce_tokens(model.read(pack), model.head, torch.from_numpy(pack.targets))
        begin = 0
        for piece in pack.pieces:
            scores[piece.owner] = figures[begin : begin + piece.scored]
            begin += piece.scored
    return scores


class TestLoadedModel:
    @pytest.mark.parametrize("name", list(CONFIGS))
    def test_reference(
        self, name: str, load: Callable[[str], LoadedModel], refer: Callable[[str], Reference]
    ) -> None:
        """In float32 each figure is within 1e-5 of the float64 reference, for every architecture."""
        model, backlog = load(name), make_backlog()
        options = {"budget": 1_500} if model.packs else {"budget": 1, "share": False}

        scores = score(model, backlog, **options)

        for piece in backlog:
            expected = refer(name).score(piece.ids, piece.scored_from)
            for column in COLUMNS:
                found = getattr(scores[piece.owner], column)
                np.testing.assert_allclose(found, expected[column], atol=1e-5, err_msg=column)
            differing = scores[piece.owner].rank != expected["rank"]
            assert differing.mean() <= 0.05, (
                "ranks differ only between logits that are as good as equal"
            )

    def test_what_packs(self, load: Callable[[str], LoadedModel]) -> None:
        """All read packs but the one whose positions are part of its own attention."""
        assert [name for name in CONFIGS if not load(name).packs] == ["bloom"]

    def test_company_changes_nothing(self, model: LoadedModel) -> None:
        """Alone, in packs of any size, in any order, with and without sharing: the same figures."""
        backlog = make_backlog()
        alone = score(model, backlog, budget=1, share=False)

        for others in (backlog, backlog[::-1], backlog[3:] + backlog[:3]):
            for options in ({"budget": 500}, {"budget": 4_000}, {"budget": 4_000, "share": False}):
                together = score(model, others, **options)
                for owner, scores in alone.items():
                    np.testing.assert_allclose(together[owner].nll, scores.nll, atol=1e-5)
                    np.testing.assert_allclose(together[owner].entropy, scores.entropy, atol=1e-5)

    @pytest.mark.parametrize("name", ["qwen2", "qwen2-sliding", "gemma2"])
    def test_neighbours_do_not_mix(self, name: str, load: Callable[[str], LoadedModel]) -> None:
        """Another text beside it changes not one bit, even where positions follow on."""
        model, random = load(name), np.random.default_rng(3)
        text = Piece(1, random.integers(0, VOCABULARY, 60), 1)
        beside = [Piece(0, random.integers(0, VOCABULARY, 80), 1) for _ in range(2)]

        first, second = (
            score(model, [other, text], budget=1_000, share=False)[1].nll for other in beside
        )

        assert np.array_equal(first, second)

    def test_the_trap(self) -> None:
        """The default way of transformers mixes packed neighbours; ours was checked not to."""
        network = build_network("qwen2")
        pack = next(plan_packs(make_backlog()[:5], budget=1_000, share=False))
        last = pack.segments[-1]
        arguments: dict[str, Any] = {
            "input_ids": torch.from_numpy(pack.ids)[None],
            "position_ids": torch.from_numpy(pack.positions)[None],
        }
        call: Any = network
        with torch.inference_mode():
            mixed = call(**arguments).logits[0, last.begin : last.end]
            alone = call(arguments["input_ids"][:, last.begin : last.end]).logits[0]
            model = prepare(network, build_tokenizer(), name="qwen2")
            ours = model.head.logits(networks._read(network, pack, packed=True))

        assert (mixed - alone).abs().max() > 0.1
        torch.testing.assert_close(ours[last.begin : last.end], alone, atol=1e-5, rtol=0)

    def test_bfloat16(self, model: LoadedModel) -> None:
        """In bfloat16 the mean difference is below 0.01 nat a token."""
        narrow = prepare(
            build_network("qwen2", dtype=torch.bfloat16), build_tokenizer(), name="narrow"
        )
        backlog = make_backlog()

        exact, rounded = (score(each, backlog, budget=4_000) for each in (model, narrow))

        differences = np.concatenate([exact[i].nll - rounded[i].nll for i in exact])
        assert np.abs(differences).mean() < 0.01
        assert narrow.dtype == "bfloat16"

    def test_a_copy_on_the_cpu(self, model: LoadedModel) -> None:
        """A copy has the same figures; quantized weights cannot move."""
        copied = model.on_cpu()
        backlog = make_backlog()[:4]

        assert copied is not None
        assert replace(model, quantization="8bit").on_cpu() is None
        assert np.array_equal(
            score(copied, backlog, budget=900)[3].nll, score(model, backlog, budget=900)[3].nll
        )


class TestPrepare:
    def test_unknown_logits(self) -> None:
        """A model that does something else with its logits is refused, and named."""
        network = build_network("cohere")
        network.config.logit_scale = 0.2

        with pytest.raises(UnsupportedModelError, match="odd: CohereForCausalLM computes"):
            prepare(network, build_tokenizer(), name="odd")

    def test_no_head(self) -> None:
        """A model without a language-model head is refused."""
        network: Any = build_network("qwen2").base_model

        with pytest.raises(UnsupportedModelError, match="its head is NoneType"):
            prepare(network, build_tokenizer(), name="headless")

    def test_broken_weights(self) -> None:
        """Broken weights load; it is the results that are errors."""
        network = build_network("qwen2")
        with torch.no_grad():
            list(network.parameters())[1].fill_(torch.nan)

        assert prepare(network, build_tokenizer(), name="broken").packs


class TestAttend:
    def test_without_a_layout(self, model: LoadedModel) -> None:
        """A layer that is called without segments fails instead of guessing them."""
        ids = torch.zeros(1, 3, dtype=torch.int64)

        with pytest.raises(UnsupportedModelError, match="attends with a mask or to other tokens"):
            model.network.base_model(input_ids=ids, use_cache=False)

    def test_other_tokens(self, model: LoadedModel) -> None:
        """So does one whose tokens are not those of the pack."""
        pack = make_pack()
        with (
            pytest.raises(UnsupportedModelError, match="other tokens"),
            attention.packed(attention.Layout(pack.segments, torch.device("cpu"))),
        ):
            model.network.base_model(input_ids=torch.zeros(1, 3, dtype=torch.int64))

    def test_a_model_of_its_own_way(self) -> None:
        """A forward pass in which no layer asked for the segments was not packed."""
        pack = make_pack()
        layout = attention.Layout(pack.segments, torch.device("cpu"))

        with (
            pytest.raises(UnsupportedModelError, match="not attend through"),
            attention.packed(layout),
        ):
            pass

    def test_foreign_arguments(self) -> None:
        """What would change the result and is not computed is refused."""
        states = torch.zeros(1, 2, 9, 8)
        layout = attention.Layout(make_pack(9).segments, torch.device("cpu"))

        with (
            pytest.raises(UnsupportedModelError, match="takes 's_aux'"),
            attention.packed(layout),
        ):
            attention.attend(
                torch.nn.Identity(), states, states, states, None, s_aux=torch.zeros(2)
            )


def make_pack(tokens: int = 9) -> Pack:
    """Make a pack of one text."""
    return next(plan_packs([Piece(0, np.zeros(tokens, dtype=np.int64), 1)], budget=100))
