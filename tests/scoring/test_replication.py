"""The published phase space, measured again on its own chains."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cert_otel.scoring.embedding import SentenceEmbedder

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def embedder() -> SentenceEmbedder:
    """Load the packaged model once."""
    return SentenceEmbedder(device="cpu")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    """Load the script that docs/phase-space.md names."""
    spec = importlib.util.spec_from_file_location(
        "phase_space_benchmark", ROOT / "benchmarks" / "phase_space.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestReplication:
    def test_has_the_chains_of_the_paper(self, benchmark: ModuleType) -> None:
        """998 chains of two facts, 95 of them valid."""
        chains = benchmark.read_eobqa(benchmark.EOBQA)

        assert benchmark.count(chains) == {"chains": 998, "good": 95}

    def test_relevance_carries_what_energy_shows(
        self, benchmark: ModuleType, embedder: SentenceEmbedder
    ) -> None:
        """Valid chains have lower H, and nothing in it that relevance alone has not."""
        aucs = benchmark.replicate_eobqa(benchmark.read_eobqa(benchmark.EOBQA), embedder)

        assert aucs == {
            "T": pytest.approx(0.279, abs=0.02),
            "S": pytest.approx(0.846, abs=0.02),
            "H = T - S": pytest.approx(0.185, abs=0.02),
            "energy_mean": pytest.approx(0.172, abs=0.02),
        }


class TestData:
    def test_is_attributed(self) -> None:
        """Source, authors, licence and changes stand beside the file."""
        readme = (ROOT / "tests" / "data" / "eobqa" / "README.md").read_text(encoding="utf-8")

        assert "github.com/harsh19/Reasoning-Chains-MultihopQA" in readme
        assert "Harsh Jhamtani, Peter Clark" in readme
        assert "CC BY 4.0" in readme
        assert "Changes made here" in readme
