"""Weights of 8 and 4 bits: bitsandbytes itself, on the CPU, with the packaged model."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.scoring.reference import build_network, build_tokenizer

from cert_otel.errors import ModelError
from cert_otel.scoring.defaults import REFERENCE_FOLDER
from cert_otel.scoring.models import load_model
from cert_otel.scoring.prompts import Sample
from cert_otel.scoring.quantization import Quantization, count_bytes
from cert_otel.scoring.scorer import TokenScorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cert_otel.scoring.networks import LoadedModel

pytest.importorskip("bitsandbytes", reason="without the extra [quant]")

HELD_OUT = Path(__file__).parent / "reference_sample" / "held_out.jsonl"
LINES = HELD_OUT.read_text(encoding="utf-8").splitlines()
SAMPLES = [Sample(completion=json.loads(line)["text"][:1500]) for line in LINES]


@pytest.fixture(scope="module")
def exact() -> NDArray[np.float32]:
    """Return the nll of each token in float32."""
    return list_nll(load(None))


def load(quantization: Quantization | None) -> LoadedModel:
    """Load the packaged model in float32, but for what is quantized."""
    return load_model(
        REFERENCE_FOLDER, device="cpu", dtype="float32", quantization=quantization, offline=True
    )


def list_nll(model: LoadedModel, *, budget: int | None = None) -> NDArray[np.float32]:
    """Score the samples."""
    results = TokenScorer(model, budget=budget, share=False).score(SAMPLES)
    return np.concatenate([result.tokens.nll for result in results if result.tokens])


class TestFigures:
    """How far they are from float32."""

    @pytest.mark.parametrize(
        ("quantization", "mean", "each"), [("8bit", 0.005, 0.03), ("4bit", 0.05, 0.25)]
    )
    def test_are_near(
        self, quantization: Quantization, mean: float, each: float, exact: NDArray[np.float32]
    ) -> None:
        """The mean nll moves by so much at most, that of a token by so much in the mean."""
        found = list_nll(load(quantization))

        assert len(found) == len(exact) > 500
        assert abs(float(found.mean() - exact.mean())) < mean
        assert float(np.abs(found - exact).mean()) < each

    @pytest.mark.parametrize(("quantization", "each"), [("8bit", 0.02), ("4bit", 1e-4)])
    def test_packed_and_alone(self, quantization: Quantization, each: float) -> None:
        """Texts are packed; in 8 bits neighbours change the rounding, and nothing else."""
        model = load(quantization)

        assert model.packs
        assert np.abs(list_nll(model) - list_nll(model, budget=1)).mean() < each


class TestModel:
    """What is loaded."""

    @pytest.mark.parametrize("quantization", ["8bit", "4bit"])
    def test_says_so_in_its_revision(self, quantization: Quantization) -> None:
        """Other weights are another scorer; the head stays as it is."""
        model, whole = load(quantization), load(None)

        assert model.revision == f"{whole.revision}+{quantization}"
        assert (model.quantization, model.dtype) == (quantization, "float32")
        assert model.on_cpu() is None

    @pytest.mark.parametrize("quantization", ["8bit", "4bit"])
    def test_takes_no_more_than_is_counted(self, quantization: Quantization) -> None:
        """Whether a model fits is told before it is loaded."""
        network = load(quantization).network
        taken = sum(weight.numel() * weight.element_size() for weight in network.parameters())
        whole: Any = load(None).network
        ends = whole.get_input_embeddings().weight.numel()

        counted = count_bytes(whole.num_parameters() - ends, ends, 4, quantization)

        assert 0.75 * counted < taken <= counted

    def test_of_a_width_that_it_cannot(self, tmp_path: Path) -> None:
        """What bitsandbytes refuses is one error that says so."""
        build_network("qwen2").save_pretrained(tmp_path)  # 96 is no multiple of 64
        build_tokenizer().save_pretrained(tmp_path)

        with pytest.raises(ModelError, match="cannot be quantized here"):
            load_model(tmp_path, device="cpu", dtype="bfloat16", quantization="4bit")

    def test_is_quiet(self, caplog: pytest.LogCaptureFixture) -> None:
        """Nothing is logged of what 8 bits are meant to do."""
        with caplog.at_level(logging.WARNING):
            TokenScorer(load("8bit")).score(SAMPLES[:1])

        assert "MatMul8bitLt" not in caplog.text
