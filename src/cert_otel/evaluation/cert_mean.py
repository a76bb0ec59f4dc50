"""The confidence that CERT formed, for continuity: half cosine, half substring grounding.

Kept as it was meant, with the answer and the context in the right places (CERT's last version
has them swapped). It never reads the question, sees some 200 words of the context, and is not
calibrated; docs/evaluation.md has its figures beside ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cert_otel.evaluation.confidence import Confidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.evaluation.sample import Judgement, Sample
    from cert_otel.scoring.embedding import Embedder

_MIN_LETTERS: Final = 4
_STRIPPED: Final = '.,!?;:"'


def measure_substrings(answer: str, context: str) -> float:
    """Return the share of the answer's terms that are part of the context, as CERT did.

    Terms are what spaces separate, of at least four letters; without any, it is 0.
    """
    stripped = (term.strip(_STRIPPED).lower() for term in answer.split())
    terms = [term for term in stripped if len(term) >= _MIN_LETTERS]
    whole = context.lower()
    return sum(term in whole for term in terms) / len(terms) if terms else 0.0


def join_context(sample: Sample) -> str:
    """Return the passages as one text."""
    return "\n\n".join(item.text for item in sample.context)


class CertCombiner:
    """The mean of cosine similarity and substring grounding; what evaluators say is not heard."""

    def __init__(self, embedder: Embedder | None = None) -> None:
        """Load the embedder.

        Args:
            embedder: By default the packaged all-MiniLM-L6-v2, which CERT used.

        Raises:
            ConfigError: It is not installed.
        """
        if embedder is None:
            from cert_otel.scoring.embedding import (  # noqa: PLC0415 - seconds of torch
                SentenceEmbedder,
            )

            embedder = SentenceEmbedder()
        self._embedder = embedder

    @property
    def revision(self) -> str:
        """The embedder's."""
        return f"cert {self._embedder.name} {self._embedder.revision or 'unknown'}"

    def assess(
        self,
        sample: Sample,
        judgements: Sequence[Judgement],  # noqa: ARG002 - as every combiner
    ) -> Confidence | None:
        """Return CERT's mean, in [0, 1]; `None` without an answer or a context."""
        context = join_context(sample)
        if not sample.answer.strip() or not context.strip():
            return None
        answer, whole = self._embedder.embed([sample.answer, context]).vectors
        mean = (float(answer @ whole) + measure_substrings(sample.answer, context)) / 2
        return Confidence(value=min(max(mean, 0.0), 1.0))

    def combine(self, sample: Sample, judgements: Sequence[Judgement]) -> float | None:
        """Return its value alone."""
        confidence = self.assess(sample, judgements)
        return confidence.value if confidence else None
