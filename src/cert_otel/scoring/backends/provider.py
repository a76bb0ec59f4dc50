"""The provider's own logprobs: what the model that answered said of its answer, for nothing.

They are of the sampled distribution of that model, after its temperature where the provider
applies it: comparable with answers of the same model, not with figures of a scoring model.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from cert_otel import semconv
from cert_otel.scoring.backends.scored import (
    EMPTY,
    NO_LOGPROBS,
    NOT_FINITE,
    ProviderLogprobs,
    Scored,
    TokenFigures,
    never,
    summarise_figures,
)
from cert_otel.scoring.token_scores import AnswerScore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cert_otel.records import Record
    from cert_otel.scoring.backends.scored import Request

NAME: Final = "provider"

_LARGEST_NLL: Final = math.log(np.finfo(np.float64).max)


def read_logprobs(record: Record) -> ProviderLogprobs | None:
    """Read what a record holds of its provider's logprobs; `None` if that is nothing."""
    perplexity = record.perplexity
    if perplexity is None or perplexity <= 0:
        return None
    least = record.metadata.get(semconv.LOGPROB_MIN)
    count = record.metadata.get(semconv.LOGPROB_TOKEN_COUNT)
    mean = record.metadata.get(semconv.LOGPROB_MEAN)
    return ProviderLogprobs(
        mean=mean if isinstance(mean, float) else -math.log(perplexity),
        min=least if isinstance(least, float) else None,
        token_count=count if isinstance(count, int) else None,
        model=record.model,
    )


class ProviderBackend:
    """Passes on the logprobs that came with the answer; leaves the rest to other backends."""

    name: Final = NAME
    configuration: Final = NAME

    def score(
        self,
        requests: Sequence[Request],
        *,
        deadline: float | None = None,  # noqa: ARG002 - nothing here takes time
        is_cancelled: Callable[[], bool] = never,  # noqa: ARG002 - likewise
    ) -> list[Scored]:
        """Score requests: one result each, in order."""
        return [_score(request) for request in requests]

    def close(self) -> None:
        """Do nothing: it holds nothing."""


def _score(request: Request) -> Scored:
    logprobs = request.logprobs
    if not request.sample.completion:
        return Scored(status="skipped", backend=NAME, reason=EMPTY)
    if logprobs is None:
        return Scored(
            status="skipped",
            backend=NAME,
            reason=NO_LOGPROBS,
            detail="the record has no logprobs of its provider",
        )
    if logprobs.tokens:
        return _score_tokens(logprobs)
    if not math.isfinite(logprobs.mean) or logprobs.mean > 0:
        return Scored(status="error", backend=NAME, reason=NOT_FINITE)
    score = AnswerScore(
        tokens=logprobs.token_count or 0,  # 0 is what no answer has: not told
        nll_mean=-logprobs.mean,
        perplexity=math.exp(-logprobs.mean) if -logprobs.mean < _LARGEST_NLL else None,
        nll_max=None if logprobs.min is None else -logprobs.min,
    )
    return Scored(status="scored", backend=NAME, scorer=logprobs.model, score=score)


def _score_tokens(logprobs: ProviderLogprobs) -> Scored:
    nll = -np.asarray(logprobs.tokens, dtype=np.float32)
    if not np.isfinite(nll).all():
        return Scored(status="error", backend=NAME, reason=NOT_FINITE)
    figures = TokenFigures(nll=nll)
    return Scored(
        status="scored",
        backend=NAME,
        scorer=logprobs.model,
        score=summarise_figures(figures),
        tokens=figures,
    )
