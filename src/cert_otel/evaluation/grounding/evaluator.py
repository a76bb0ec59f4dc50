"""The evaluator `grounding`: figures to one score, with the evidence for it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import msgspec

from cert_otel.evaluation.confidence import calibrate, find_answer_type, weigh
from cert_otel.evaluation.grounding.cache import ReadingCache
from cert_otel.evaluation.grounding.features import Examination, GroundingFeatures, examine
from cert_otel.evaluation.grounding.weights import RouteTable, load_background
from cert_otel.evaluation.presets import PRESETS
from cert_otel.evaluation.sample import Judgement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.evaluation.grounding.reading import Reading
    from cert_otel.evaluation.sample import Sample

REVISION: Final = "grounding-1"
EMPTY_ANSWER: Final = "empty_answer"
NO_CONTEXT: Final = "no_context"
NOTHING_TO_CHECK: Final = "nothing_to_check"
THRESHOLD: Final = PRESETS["general"].threshold
"""Confidence from which on the label is "pass"; `Evaluator` puts its own in the place."""

_logger = logging.getLogger(__name__)


def combine(features: GroundingFeatures) -> float | None:
    """Return one score, by the weights that ship: what `confidence` is calibrated on."""
    return weigh(msgspec.structs.asdict(features))


class GroundingEvaluator:
    """Scores what the context bears out of an answer; no model, about a millisecond.

    Contexts that repeat are read once. The weights of terms adapt to the contexts of a route
    where samples name one: a context counts after its answer was judged, once while it is
    remembered, and the judgement's revision names the state that judged.
    """

    name: Final = "grounding"

    def __init__(
        self,
        *,
        threshold: float = THRESHOLD,
    ) -> None:
        self._threshold = threshold
        self._cache = ReadingCache()
        self._background = load_background()
        self._routes = RouteTable(self._background)

    def judge(self, samples: Sequence[Sample]) -> list[Judgement]:
        """Judge a batch: one judgement per sample, in order."""
        return [self._judge_safely(sample) for sample in samples]

    def examine(self, sample: Sample) -> Examination:
        """Return the figures behind a score, and the evidence."""
        return self._examine(sample)[0]

    def _judge_safely(self, sample: Sample) -> Judgement:
        begin = time.perf_counter()
        try:
            judgement = self._judge(sample, begin)
        except Exception as problem:  # noqa: BLE001 - one bad sample never raises
            # The type alone: the text of an exception may quote the answer.
            _logger.debug("a sample could not be judged: %s", type(problem).__name__)
            judgement = self._skip(f"error: {type(problem).__name__}", begin)
        return judgement

    def _judge(self, sample: Sample, begin: float) -> Judgement:
        if not sample.answer.strip():
            return self._skip(EMPTY_ANSWER, begin)
        if not any(item.text.strip() for item in sample.context):
            return self._skip(NO_CONTEXT, begin)
        examination, revision = self._examine(sample)
        score = combine(examination.features)
        if score is None:
            return self._skip(NOTHING_TO_CHECK, begin)
        return Judgement(
            name=self.name,
            score=score,
            label="pass" if self._passes(score, sample) else "fail",
            evidence=examination.evidence,
            evaluator="cert-otel",
            revision=revision,
            latency_ms=_since_ms(begin),
        )

    def _passes(self, score: float, sample: Sample) -> bool:
        """Decide by the confidence: a score of 0.8 is borne out less often than it sounds."""
        return calibrate(score, find_answer_type(sample)).value >= self._threshold

    def _examine(self, sample: Sample) -> tuple[Examination, str]:
        texts = tuple(item.text for item in sample.context)
        context = self._cache.read(texts)
        revision = f"{REVISION}+{self._background.revision}"
        if sample.route is None:
            return examine(sample, context, self._background), revision
        weights = self._routes.get(sample.route)
        revision = f"{revision}.{weights.revision}"
        examination = examine(sample, context, weights)
        weights.learn(hash(texts), lambda: _list_terms(context))
        return examination, revision

    def _skip(self, reason: str, begin: float) -> Judgement:
        return Judgement(
            name=self.name,
            score=None,
            reason=reason,
            evaluator="cert-otel",
            revision=f"{REVISION}+{self._background.revision}",
            latency_ms=_since_ms(begin),
        )


def _list_terms(context: Reading) -> list[set[str]]:
    tokens = context.tokens
    return [
        {token.key for token in tokens[sentence.first : sentence.last]}
        for sentence in context.sentences
    ]


def _since_ms(begin: float) -> float:
    return (time.perf_counter() - begin) * 1000
