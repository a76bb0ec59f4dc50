"""Recorded calls to results: what is read of them, and what is written about them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cert_otel.records import Record, find_skip_reason
from cert_otel.scoring.answers import (
    AnswerScorer,
    Measured,
    Scorer,
    make_answer,
    make_evaluation,
)
from cert_otel.scoring.embedding import Embeddings, to_unit_vectors
from cert_otel.scoring.scorer import TokenScorer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.scoring.networks import LoadedModel

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SCORER = Scorer("tiny", "in memory")
MESSAGE = {"role": "assistant", "parts": [{"type": "text", "content": "Yes."}]}


class Lengths:
    """An embedder that knows how long texts are, and which it was asked for."""

    name = "lengths"
    revision = None

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Return a vector for each text."""
        self.asked.append(texts)
        rows = np.array([[len(text), 10.0] for text in texts])
        return Embeddings(to_unit_vectors(rows), (0,) * len(texts))


def make_record(**fields: Any) -> Record:
    """Make a call with an answer."""
    defaults: dict[str, Any] = {
        "kind": "inference",
        "timestamp": NOW,
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "input_data": "Is it so?",
        "output_data": "It is so. And it will be so.",
    }
    return Record(**defaults | fields)


class TestSkipReason:
    """Why a call has nothing to score."""

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({}, None),
            ({"output_data": None, "output_messages": [MESSAGE]}, "no_text"),
            ({"output_data": ""}, "no_answer"),
            ({"output_data": None, "input_data": None}, "no_content"),
            (
                {
                    "output_data": None,
                    "score_status": "skipped",
                    "score_reason": "unreadable_content",
                },
                "unreadable_content",
            ),
            ({"score_status": "skipped", "score_reason": "no_content"}, None),
        ],
    )
    def test_is_the_most_exact(self, fields: dict[str, Any], reason: str | None) -> None:
        """What is there counts, then what the writer of the record said, then what is missing."""
        assert find_skip_reason(make_record(**fields)) == reason


class TestMeasure:
    """Answers by model and embedder."""

    def test_takes_messages_before_the_last_question(self) -> None:
        """The prompt is all that was said; steps are compared with the user's last text."""
        record = make_record(input_messages=[{"role": "user", "parts": []}], tools=[{"name": "x"}])
        answer = make_answer(record, template="none")

        assert answer.question == "Is it so?"
        assert answer.sample.messages == ({"role": "user", "parts": []},)
        assert answer.sample.tools == ({"name": "x"},)
        assert answer.sample.template == "none"

    def test_embeds_all_steps_at_once(self, model: LoadedModel) -> None:
        """Question and steps of each answer; nothing of one without a question."""
        embedder = Lengths()
        records = [make_record(), make_record(input_data=None), make_record(output_data="No no.")]
        outcomes = AnswerScorer(TokenScorer(model), embedder).measure(
            list(map(make_answer, records))
        )

        assert embedder.asked == [
            [
                "Is it so?",
                "It is so. And it will be so.",
                "Is it so?",
                "No no.",
            ]
        ]
        assert [
            outcome.phase and outcome.phase.steps
            for outcome in outcomes
            if isinstance(outcome, Measured)
        ] == [1, None, 1]

    def test_without_an_embedder(self, model: LoadedModel) -> None:
        """There are the figures of tokens, and no energies."""
        (outcome,) = AnswerScorer(TokenScorer(model), None).measure([make_answer(make_record())])
        result = make_evaluation(make_record(), outcome, scorer=SCORER, timestamp=NOW)

        assert result.trajectory is not None
        assert result.trajectory.tokens == len("It is so. And it will be so.")
        assert (result.trajectory.energy_mean, result.trajectory.steps) == (None, None)

    def test_one_that_fails_takes_no_other_along(self, model: LoadedModel) -> None:
        """Whatever is raised is the outcome of the answer that raised it."""

        class Refusing(Lengths):
            def embed(self, texts: Sequence[str]) -> Embeddings:
                if "bad" in texts:
                    raise FloatingPointError
                return super().embed(texts)

        answers = [make_answer(make_record(input_data=text)) for text in ("good", "bad", "fine")]
        outcomes = AnswerScorer(TokenScorer(model), Refusing()).measure(answers)

        assert [type(outcome) for outcome in outcomes] == [Measured, FloatingPointError, Measured]


class TestEvaluation:
    """What is written about a record."""

    def test_of_a_skip_and_an_error(self) -> None:
        """The reason, and of an error its type; never its message, which may hold content."""
        record = make_record()
        skipped = make_evaluation(record, "no_text", scorer=SCORER, timestamp=NOW)
        failed = make_evaluation(record, ValueError("secret"), scorer=SCORER, timestamp=NOW)

        assert (skipped.score_status, skipped.score_reason) == ("skipped", "no_text")
        assert (failed.score_status, failed.score_reason) == ("error", "ValueError")
        assert (skipped.trace_id, skipped.span_id) == (record.trace_id, record.span_id)
        assert (skipped.scorer, skipped.scorer_revision) == SCORER
        assert skipped.trajectory is failed.trajectory is None
