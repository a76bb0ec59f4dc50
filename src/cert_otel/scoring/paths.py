"""Answers to their paths: split into steps, embedded together, measured one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cert_otel.scoring.embedding import embed_groups
from cert_otel.scoring.phase_space import measure_trajectory
from cert_otel.scoring.steps import split_steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.scoring.embedding import Embedder
    from cert_otel.scoring.phase_space import PhaseTrajectory


def measure_paths(
    answers: Sequence[tuple[str | None, str]], embedder: Embedder
) -> list[PhaseTrajectory | None]:
    """Measure answers, in order, with one call of the embedder.

    Args:
        answers: The question that an answer is compared with, and the answer.
        embedder: Of questions and steps.

    Returns:
        `None` where there is no question.
    """
    texts = [
        [question, *(step.text for step in split_steps(answer))]
        if question is not None and question.strip()
        else []
        for question, answer in answers
    ]
    if not any(texts):
        return [None] * len(answers)
    return [
        measure_trajectory(own.vectors[0], own.vectors[1:]) if len(own.vectors) else None
        for own in embed_groups(texts, embedder)
    ]
