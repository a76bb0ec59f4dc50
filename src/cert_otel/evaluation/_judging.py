"""Evaluators at work on a batch: what one of them cannot do costs no other answer anything."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import msgspec

from cert_otel.errors import ConfigError
from cert_otel.evaluation.sample import Judgement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.evaluation.sample import Sample, SampleEvaluator

_ERROR: Final = "error: "
"""Before the type of what an evaluator raised, in `Judgement.reason`."""
_MS_PER_S: Final = 1000

_logger = logging.getLogger(__name__)


def judge_all(
    evaluators: Sequence[SampleEvaluator], samples: Sequence[Sample]
) -> list[tuple[Judgement, ...]]:
    """Return for each sample what each evaluator makes of it, in order.

    Raises:
        ConfigError: A model or an endpoint is missing.
    """
    if not samples:
        return []
    return list(zip(*(_judge(one, samples) for one in evaluators), strict=True))


def describe_failure(judgements: Sequence[Judgement]) -> str | None:
    """Return which evaluator failed and with what; `None` if none did."""
    for one in judgements:
        if one.score is None and one.reason is not None and one.reason.startswith(_ERROR):
            return f"{one.name}: {one.reason.removeprefix(_ERROR)}"
    return None


def _judge(evaluator: SampleEvaluator, samples: Sequence[Sample]) -> list[Judgement]:
    """Judge a batch; one that breaks the evaluator is judged again one by one."""
    start_s = time.perf_counter()
    try:
        judged = evaluator.judge(samples)
        if len(judged) != len(samples):
            raise ValueError(f"{len(judged)} judgements of {len(samples)} samples")  # noqa: TRY301 - as if the evaluator had
    except ConfigError:
        raise
    except Exception as problem:
        _logger.debug("%s: %d samples", evaluator.name, len(samples), exc_info=True)
        if len(samples) > 1:
            return [one for sample in samples for one in _judge(evaluator, [sample])]
        # The type alone: a message may quote the answer.
        reason = f"{_ERROR}{type(problem).__name__}"
        return [Judgement(name=evaluator.name, score=None, reason=reason, evaluator=evaluator.name)]
    share_ms = (time.perf_counter() - start_s) * _MS_PER_S / len(samples)
    return [
        one if one.latency_ms is not None else msgspec.structs.replace(one, latency_ms=share_ms)
        for one in judged
    ]
