"""Requests to outcomes: written, scored, measured and judged, within a limit of time."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Self

from cert_otel.errors import CertOtelError
from cert_otel.scoring._assembly import to_analysis, to_error, to_generation_error
from cert_otel.scoring.backends.scored import Request, TextGenerator, never
from cert_otel.scoring.monitor_types import (
    AnalysisError,
    BackendUnavailable,
    InvalidInput,
    ModelNotLoaded,
    PromptTooLong,
    ScoringFailed,
)
from cert_otel.scoring.prompts import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cert_otel.scoring._assembly import Gates, PhaseMeter
    from cert_otel.scoring._result_cache import Outcome
    from cert_otel.scoring.backends.chain import BackendChain
    from cert_otel.scoring.backends.scored import Generated

_logger = logging.getLogger(__name__)


class Limit(NamedTuple):
    """When to stop."""

    timeout_s: float
    """As the caller gave it, for messages."""
    deadline: float
    """A reading of `time.monotonic`."""
    is_cancelled: Callable[[], bool] = never

    @classmethod
    def within(cls, timeout_s: float, *, is_cancelled: Callable[[], bool] = never) -> Self:
        """Begin now."""
        return cls(timeout_s, time.monotonic() + timeout_s, is_cancelled)


class Writing(NamedTuple):
    """How answers are written."""

    max_new_tokens: int
    temperature: float


class Analyst:
    """Does what a monitor promises; may be used by several threads at once."""

    def __init__(
        self, chain: BackendChain, phase: PhaseMeter, gates: Gates, *, max_prompt_chars: int
    ) -> None:
        self._chain = chain
        self._phase = phase
        self._gates = gates
        self._max_prompt_chars = max_prompt_chars

    def score(self, requests: Sequence[Request], *, limit: Limit) -> list[Outcome]:
        """Score answers: one outcome each, in order."""
        results = self._chain.score(
            requests, deadline=limit.deadline, is_cancelled=limit.is_cancelled
        )
        pairs = [
            (request.sample, scored)
            for request, scored in zip(requests, results, strict=True)
            if scored.status == "scored"
        ]
        phases = iter(
            self._phase.measure([sample for sample, _ in pairs], [scored for _, scored in pairs])
        )
        now = datetime.now(UTC)
        return [
            to_analysis(request, scored, next(phases), self._gates, timestamp=now)
            if scored.status == "scored"
            else to_error(scored, limit.timeout_s)
            for request, scored in zip(requests, results, strict=True)
        ]

    def write_and_score(
        self, requests: Sequence[Request], *, writing: Writing, limit: Limit
    ) -> list[Outcome]:
        """Write an answer to each prompt and score it: one outcome each, in order."""
        checked = [self._check_prompt(request.sample.prompt) for request in requests]
        prompts = [prompt for prompt in checked if isinstance(prompt, str)]
        answers = iter(self._answer(prompts, writing, limit) if prompts else ())
        return [next(answers) if isinstance(one, str) else one for one in checked]

    def _check_prompt(self, prompt: str | None) -> str | AnalysisError:
        if not isinstance(prompt, str) or not prompt.strip():
            return InvalidInput(message="the prompt is empty or no text; give a string")
        if len(prompt) > self._max_prompt_chars:
            return PromptTooLong(
                message=f"the prompt has {len(prompt)} characters, and analyze takes "
                f"{self._max_prompt_chars}; shorten it, or raise max_prompt_chars",
                length=len(prompt),
                limit=self._max_prompt_chars,
            )
        return prompt

    def _answer(self, prompts: list[str], writing: Writing, limit: Limit) -> Iterator[Outcome]:
        written = self._write(prompts, writing, limit)
        if isinstance(written, AnalysisError):
            yield from [written] * len(prompts)
            return
        requests = [
            Request(sample=Sample(prompt=prompt, completion=one.text))
            for prompt, one in zip(prompts, written, strict=True)
            if one.text
        ]
        scored = iter(self.score(requests, limit=limit) if requests else ())
        for one in written:
            yield next(scored) if one.text else to_generation_error(one, limit.timeout_s)

    def _write(
        self, prompts: list[str], writing: Writing, limit: Limit
    ) -> list[Generated] | AnalysisError:
        problems = []
        for backend in self._chain.backends:
            if not isinstance(backend, TextGenerator):
                continue
            try:
                return backend.generate(
                    prompts,
                    max_new_tokens=writing.max_new_tokens,
                    temperature=writing.temperature,
                    deadline=limit.deadline,
                    is_cancelled=limit.is_cancelled,
                )
            except CertOtelError as problem:
                problems.append(str(problem))
        if problems:
            return ModelNotLoaded(message="; ".join(problems))
        return BackendUnavailable(
            message="no backend writes answers; add a local one, or use score", retry_after=None
        )


def guard(work: Callable[[list[Request]], list[Outcome]], requests: list[Request]) -> list[Outcome]:
    """Do the work; whatever it raises is the outcome of each request."""
    try:
        return work(requests)
    except Exception as problem:  # a host boundary: a monitor raises nothing
        _logger.debug("analysis failed", exc_info=True)
        failed = ScoringFailed(message=f"{type(problem).__name__}: {problem}")
        return [failed] * len(requests)
