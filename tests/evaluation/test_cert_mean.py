"""CERT's mean of cosine and substring grounding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cert_otel.evaluation.cert_mean import CertCombiner, measure_substrings
from cert_otel.evaluation.sample import Sample
from cert_otel.records import ContextItem
from cert_otel.scoring.embedding import Embeddings

if TYPE_CHECKING:
    from collections.abc import Sequence


class Letters:
    """Embeds a text as how often it has each letter."""

    name = "letters"
    revision = "1"

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """One unit vector for each text."""
        rows = np.array([[t.count(chr(97 + i)) for i in range(26)] for t in texts], np.float32)
        return Embeddings(rows / np.linalg.norm(rows, axis=1, keepdims=True), (0,) * len(texts))


class TestSubstrings:
    @pytest.mark.parametrize(
        ("answer", "share"),
        [
            ("The transport strike", 1 / 2),  # "The" is too short
            ("port", 1.0),  # inside "transport"
            ("9.5", 0.0),  # no term
            ("2010.", 1.0),
            ("TRANSPORT!", 1.0),
        ],
    )
    def test_counts_as_cert_did(self, answer: str, share: float) -> None:
        """Terms of four letters and more, anywhere in the context."""
        assert measure_substrings(answer, "In 2010 the transport stopped.") == share


class TestCombiner:
    def test_is_half_cosine_half_substrings(self) -> None:
        """Of the whole answer and the whole context, in this order."""
        sample = Sample(answer="aaaa bbbb", context=(ContextItem(text="aaaa"),))
        found = CertCombiner(Letters()).assess(sample, [])

        assert found is not None
        assert found.value == pytest.approx((1 / np.sqrt(2) + 0.5) / 2)
        assert found.low is None

    def test_no_context_is_unknown(self) -> None:
        """Neither 0 nor an error."""
        assert CertCombiner(Letters()).combine(Sample(answer="aaaa"), []) is None
