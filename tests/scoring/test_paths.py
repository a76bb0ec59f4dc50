"""Answers to their paths through the space of sentence vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cert_otel.scoring.embedding import Embeddings
from cert_otel.scoring.paths import measure_paths

if TYPE_CHECKING:
    from collections.abc import Sequence


class WordEmbedder:
    """Places a text by its length: the same text in the same place."""

    name = "words"
    revision = "1"

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Note the call, and place the texts on a circle."""
        self.calls.append(list(texts))
        angles = np.array([len(text) / 40 for text in texts], dtype=np.float32)
        vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return Embeddings(vectors, (0,) * len(texts))


ANSWER = "The parcel left on Monday. It will be with you on Thursday at noon."


class TestMeasurePaths:
    def test_all_answers_are_embedded_in_one_call(self) -> None:
        """Each question stands before the steps of its answer."""
        embedder = WordEmbedder()
        paths = measure_paths([("Where is it?", ANSWER), ("When?", ANSWER)], embedder)

        assert [path.steps for path in paths if path] == [2, 2]
        [call] = embedder.calls
        assert call[0] == "Where is it?"
        assert call[3] == "When?"

    def test_a_batch_does_not_change_a_path(self) -> None:
        """An answer is measured alone as among others."""
        [alone] = measure_paths([("When?", ANSWER)], WordEmbedder())
        among = measure_paths([("Where is it?", ANSWER), ("When?", ANSWER)], WordEmbedder())

        assert among[1] == alone

    @pytest.mark.parametrize("question", [None, "", "  "])
    def test_without_a_question_there_is_none(self, question: str | None) -> None:
        """Nothing to measure from is no path, and nobody is asked for vectors."""
        embedder = WordEmbedder()

        assert measure_paths([(question, ANSWER)], embedder) == [None]
        assert embedder.calls == []
