"""Sentence embeddings: for each sentence of an answer, the sentence of the context that is nearest.

What a sentence is about is seen, in other words too; whether it is true is not: "rose to 5" and
"fell to 6" are near each other. `cert_semantic_score` is CERT's cosine of whole texts, which
knows nothing of a context beyond 256 word pieces.
"""

from __future__ import annotations

import hashlib
import threading
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from cachetools import LRUCache

from cert_otel.evaluation._sentences import Sentence, halve, split_answer, split_sentences
from cert_otel.evaluation._verdicts import Identity, Verdict, judge_batch
from cert_otel.evaluation.sample import Evidence
from cert_otel.scoring.embedding import SentenceEmbedder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from cert_otel.evaluation.sample import Judgement, Sample
    from cert_otel.scoring.embedding import Embedder

    Floats = npt.NDArray[np.float32]

THRESHOLD: Final = 0.5
"""Cosine from which on a sentence counts as supported."""
METHOD: Final = "semantic-1"
"""Changes when the same model would give other scores."""


class _Prepared(NamedTuple):
    """The sentences of a text, and their unit vectors [sentences, d]."""

    sentences: tuple[Sentence, ...]
    vectors: Floats


class SemanticEvaluator:
    """Scores how near the context comes to each sentence of an answer; thread-safe.

    The score is the mean over the characters of the answer, each with the cosine between its
    sentence and the nearest one of the context, negative ones taken as 0. A sentence that is
    longer than the model's window is read in parts.
    """

    name: Final = "semantic"

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        embedder: Embedder | None = None,
        device: str | None = None,
        offline: bool = True,
        threshold: float = THRESHOLD,
        cache_size: int = 1024,
    ) -> None:
        """Set up; the model is loaded with the first batch.

        Args:
            model: Name on the hub or a folder; `None` is the packaged all-MiniLM-L6-v2.
            embedder: Instead of a model.
            device: As torch names it; `None` takes a GPU where there is one.
            offline: Never ask the hub.
            threshold: Of the label, and below which a sentence is evidence.
            cache_size: Passages that are kept with their vectors, 1.5 kB a sentence.
        """
        self._load = cache(
            lambda: embedder or SentenceEmbedder(model, device=device, offline=offline)
        )
        self._loading = threading.Lock()
        self._threshold = threshold
        self._passages: LRUCache[bytes, _Prepared] = LRUCache(cache_size)
        self._lock = threading.Lock()

    def judge(self, samples: Sequence[Sample]) -> list[Judgement]:
        """Judge a batch: one judgement per sample, in order.

        Raises:
            ConfigError: When the model, or what runs it, is not installed.
        """
        with self._loading:
            embedder = self._load()
        revision = f"{METHOD} {embedder.revision or 'unknown'}"
        identity = Identity(self.name, embedder.name, revision, self._threshold)
        return judge_batch(samples, lambda batch: self._measure(batch, embedder), identity)

    def _measure(self, samples: Sequence[Sample], embedder: Embedder) -> list[Verdict]:
        passages = self._prepare(
            {item.text for sample in samples for item in sample.context if item.text.strip()},
            embedder,
        )
        answers = _prepare([split_answer(sample) for sample in samples], embedder)
        return [
            self._compare(
                answer,
                [
                    (index, passages[item.text])
                    for index, item in enumerate(sample.context)
                    if item.text in passages
                ],
            )
            for sample, answer in zip(samples, answers, strict=True)
        ]

    def _prepare(self, texts: Iterable[str], embedder: Embedder) -> dict[str, _Prepared]:
        """Return passages with their vectors, from the cache where they are known."""
        keys = {text: _hash(text) for text in sorted(texts)}
        with self._lock:
            known = {
                text: self._passages[key] for text, key in keys.items() if key in self._passages
            }
        missing = [text for text in keys if text not in known]
        fresh = dict(zip(missing, _prepare(map(split_sentences, missing), embedder), strict=True))
        with self._lock:
            self._passages.update({keys[text]: prepared for text, prepared in fresh.items()})
        return known | fresh

    def _compare(self, answer: _Prepared, context: Sequence[tuple[int, _Prepared]]) -> Verdict:
        places = [(index, one) for index, passage in context for one in passage.sentences]
        vectors = np.concatenate([passage.vectors for _, passage in context])
        similarity = np.clip(answer.vectors @ vectors.T, 0, 1)
        nearest = similarity.argmax(axis=1)
        best = similarity.max(axis=1)
        lengths = [len(sentence.text) for sentence in answer.sentences]
        evidence = tuple(
            _point_at(sentence, *places[place])
            for sentence, place, score in zip(answer.sentences, nearest, best, strict=True)
            if score < self._threshold
        )
        return Verdict(score=float(np.average(best, weights=lengths)), evidence=evidence)


def cert_semantic_score(context: str, answer: str, *, embedder: Embedder | None = None) -> float:
    """Return CERT's figure: the cosine of the two whole texts, in [-1, 1].

    Args:
        context: What lies beyond the model's window, 256 word pieces, is not seen.
        answer: Likewise.
        embedder: Else the packaged all-MiniLM-L6-v2, which CERT used, loaded once.

    Raises:
        ConfigError: When the packaged model is not installed.
    """
    first, second = (embedder or _load_packaged()).embed([context, answer]).vectors
    return float(np.dot(first, second))


@cache
def _load_packaged() -> SentenceEmbedder:
    return SentenceEmbedder()


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass")).digest()


def _prepare(texts: Iterable[list[Sentence]], embedder: Embedder) -> list[_Prepared]:
    """Embed the sentences of several texts together."""
    owned = [(owner, one) for owner, sentences in enumerate(texts) for one in sentences]
    groups: list[tuple[list[Sentence], list[Floats]]] = [
        ([], []) for _ in range(owned[-1][0] + 1 if owned else 0)
    ]
    for (owner, _), parts in zip(owned, _embed([one for _, one in owned], embedder), strict=True):
        for sentence, vector in parts:
            groups[owner][0].append(sentence)
            groups[owner][1].append(vector)
    return [_Prepared(tuple(sentences), np.stack(vectors)) for sentences, vectors in groups]


def _embed(sentences: list[Sentence], embedder: Embedder) -> list[list[tuple[Sentence, Floats]]]:
    """Embed sentences; of one that is longer than the window there are several parts."""
    if not sentences:
        return []
    vectors, truncated = embedder.embed([one.text for one in sentences])
    halves = [
        halve(one) if beyond else () for one, beyond in zip(sentences, truncated, strict=True)
    ]
    parts = iter(_embed(list(chain.from_iterable(halves)), embedder))
    return [
        [*next(parts), *next(parts)] if halved else [(one, vector)]
        for one, vector, halved in zip(sentences, vectors, halves, strict=True)
    ]


def _point_at(sentence: Sentence, item: int, nearest: Sentence) -> Evidence:
    return Evidence(
        start=sentence.start,
        end=sentence.end,
        kind="span",
        context_item=item,
        context_start=nearest.start,
        context_end=nearest.end,
    )
