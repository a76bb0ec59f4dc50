"""`HamiltonianMonitor`: answers written and scored, with a cache and a time limit; never raises.

docs/monitor.md has examples. `cert score` and the service score records.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from cert_otel.errors import CertOtelError, ConfigError
from cert_otel.scoring._analyst import Analyst, Limit, Writing, guard
from cert_otel.scoring._assembly import Gates, PhaseMeter
from cert_otel.scoring._health import PROBE, check_inference, check_model
from cert_otel.scoring._result_cache import Outcome, ResultCache, make_key
from cert_otel.scoring.backends.chain import BackendChain
from cert_otel.scoring.backends.scored import ProviderLogprobs, Request
from cert_otel.scoring.gates import LEVEL, PERPLEXITY_LIMIT
from cert_otel.scoring.monitor_types import CacheInfo, HealthReport
from cert_otel.scoring.prompts import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    from cert_otel.scoring._assembly import EmbedderSetting
    from cert_otel.scoring.backends.local import LocalBackend
    from cert_otel.scoring.backends.scored import Backend
    from cert_otel.scoring.calibration import Calibration
    from cert_otel.scoring.embedding import Embedder

TIMEOUT_S: Final = 30.0
BATCH_TIMEOUT_S: Final = 60.0
MAX_PROMPT_CHARS: Final = 10_000
"""Of a prompt to `analyze`; what is only scored may be of any length."""
CACHE_SIZE: Final = 1_000

_logger = logging.getLogger(__name__)


class HamiltonianMonitor:
    """Analyses answers. Thread-safe; errors are results.

    Args:
        model_name: Name on the hub or a folder; `None` is Qwen2.5 where it can be had, else
            the packaged reference model.
        preload: Load the model now; else at the first use. If that fails, results say so.
        use_8bit: Weights of 8 bits, to save memory; not faster.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        revision: Commit, tag or branch on the hub.
        offline: Take what is on this machine, never ask the hub.
        timeout: Seconds for one call, unless the call says otherwise.
        max_new_tokens: That `analyze` writes at most.
        temperature: That `analyze` writes with; 0 takes the likeliest token each time.
        max_prompt_chars: Longest prompt of `analyze`.
        cache_size: Results that are kept, the least recently used going first; 0 is none.
        backends: Tried in this order instead of the model above, which is then not loaded.
        embedder: Of the phase space; `packaged` is MiniLM, `hidden` the model's own states
            in the pass that scores, `None` is no phase space.
        perplexity_limit: Answers are flagged from here on.
        level: Percentile of usual answers beyond which one is flagged.
        route: Which of the calibrations count: those that were fitted for this route.
        calibrations: Without them only the gate of the perplexity votes.
        on_result: Called with each result, for metrics; what it raises is logged.

    Raises:
        ConfigError: A setting that cannot be used.
    """

    def __init__(
        self,
        model_name: str | Path | None = None,
        *,
        preload: bool = True,
        use_8bit: bool = False,
        device: str = "auto",
        revision: str | None = None,
        offline: bool = False,
        timeout: float = TIMEOUT_S,
        max_new_tokens: int = 150,
        temperature: float = 0.7,
        max_prompt_chars: int = MAX_PROMPT_CHARS,
        cache_size: int = CACHE_SIZE,
        backends: Sequence[Backend] | None = None,
        embedder: Embedder | EmbedderSetting | None = "packaged",
        perplexity_limit: float = PERPLEXITY_LIMIT,
        level: float = LEVEL,
        route: str | None = None,
        calibrations: Iterable[Calibration] = (),
        on_result: Callable[[Outcome], None] | None = None,
    ) -> None:
        _check_positive(
            timeout=timeout, max_new_tokens=max_new_tokens, max_prompt_chars=max_prompt_chars
        )
        _check_not_negative(temperature=temperature, cache_size=cache_size)
        self._timeout = timeout
        self._max_new_tokens = max_new_tokens
        self._temperature = temperature
        self._on_result = on_result
        self._cache = ResultCache(cache_size)
        gates = Gates(
            perplexity_limit=perplexity_limit,
            level=level,
            route=route,
            calibrations=tuple(calibrations),
        )
        local = None
        if backends is None:
            local = _import_local().named(
                model_name,
                device=device,
                use_8bit=use_8bit,
                revision=revision,
                offline=offline,
                embed_steps=embedder == "hidden",
            )
            backends = (local,)
        self._chain = BackendChain(backends)
        self._configuration = (self._chain.configuration, repr(gates))
        self._analyst = Analyst(
            self._chain, PhaseMeter(embedder), gates, max_prompt_chars=max_prompt_chars
        )
        if preload and local is not None:
            _preload(local)

    def __enter__(self) -> Self:
        """Return the monitor; `close` follows."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Let go of model and connections."""
        self._chain.close()

    def analyze(
        self,
        prompt: str,
        *,
        timeout: float | None = None,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
    ) -> Outcome:
        """Write an answer to a prompt and score it.

        Args:
            prompt: One user message.
            timeout: Seconds until generation is ended, instead of the monitor's.
            max_new_tokens: Instead of the monitor's.
            temperature: Instead of the monitor's.
        """
        return self.analyze_batch(
            [prompt],
            timeout=self._timeout if timeout is None else timeout,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
        )[0]

    async def analyze_async(
        self,
        prompt: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - ends the work itself
        max_new_tokens: int | None = None,
        temperature: float | None = None,
    ) -> Outcome:
        """Do as `analyze` in a thread; when the task is cancelled, generation ends."""
        cancelled = threading.Event()
        limit = Limit.within(
            self._timeout if timeout is None else timeout, is_cancelled=cancelled.is_set
        )
        writing = self._make_writing(max_new_tokens, temperature)
        try:
            outcomes = await asyncio.to_thread(self._write_all, [prompt], writing, limit)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return outcomes[0]

    def analyze_batch(
        self,
        prompts: Sequence[str],
        *,
        timeout: float = BATCH_TIMEOUT_S,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
    ) -> list[Outcome]:
        """Do as `analyze` with each prompt: one result each, in order.

        Args:
            prompts: Continued together.
            timeout: Seconds for all of them.
            max_new_tokens: Of each answer, instead of the monitor's.
            temperature: Instead of the monitor's.
        """
        writing = self._make_writing(max_new_tokens, temperature)
        return self._write_all(prompts, writing, Limit.within(timeout))

    def score(
        self,
        prompt: str | None,
        completion: str,
        *,
        messages: Sequence[dict[str, Any]] = (),
        tools: Sequence[dict[str, Any]] = (),
        context: str | None = None,
        logprobs: ProviderLogprobs | None = None,
        timeout: float | None = None,
    ) -> Outcome:
        """Score an answer that is there already.

        Args:
            prompt: One user message; `None` if there is none, or if there are messages.
            completion: The answer, of any length.
            messages: What came before the answer: `role` with `content` or `parts`.
            tools: That the answering model could call.
            context: A part of prompt or messages; a local model reads the answer without it as
                well, for `score.context_gain`.
            logprobs: Of the provider, for the backend `provider`.
            timeout: Seconds, instead of the monitor's.
        """
        sample = Sample(
            prompt=prompt,
            completion=completion,
            messages=tuple(messages),
            tools=tuple(tools),
            context=context,
        )
        request = Request(sample=sample, logprobs=logprobs)
        seconds = self._timeout if timeout is None else timeout
        return self.score_batch([request], timeout=seconds)[0]

    def score_batch(
        self, requests: Sequence[Request | Sample], *, timeout: float = BATCH_TIMEOUT_S
    ) -> list[Outcome]:
        """Score answers together: one result each, in order.

        Args:
            requests: Of any number and length.
            timeout: Seconds for all of them; what is not done by then is an error.
        """
        whole = [one if isinstance(one, Request) else Request(sample=one) for one in requests]
        work = partial(self._analyst.score, limit=Limit.within(timeout))
        return self._answer(whole, work, kind="score")

    def health_check(self, *, timeout: float = TIMEOUT_S) -> HealthReport:
        """Score a short text, past the cache, and tell how that went.

        The model is loaded for it if it is not. `degraded` is: by another backend than the
        first, or by the reference model.
        """
        begin = time.monotonic()
        (scored,) = self._chain.score([PROBE], deadline=begin + timeout)
        spent_ms = (time.monotonic() - begin) * 1000
        checks = {
            "model": check_model(self._chain, scored),
            "inference": check_inference(scored, spent_ms, timeout),
        }
        return HealthReport(checks=checks, timestamp=datetime.now(UTC))

    def cache_info(self) -> CacheInfo:
        """Return what the cache did."""
        return self._cache.info()

    def clear_cache(self) -> None:
        """Forget all results, and begin to count anew."""
        self._cache.clear()

    def _write_all(self, prompts: Sequence[str], writing: Writing, limit: Limit) -> list[Outcome]:
        requests = [Request(sample=Sample(prompt=prompt, completion="")) for prompt in prompts]
        work = partial(self._analyst.write_and_score, writing=writing, limit=limit)
        return self._answer(requests, work, kind=repr(writing))

    def _make_writing(self, max_new_tokens: int | None, temperature: float | None) -> Writing:
        return Writing(
            max_new_tokens or self._max_new_tokens,
            self._temperature if temperature is None else temperature,
        )

    def _answer(
        self,
        requests: Sequence[Request],
        work: Callable[[list[Request]], list[Outcome]],
        *,
        kind: str,
    ) -> list[Outcome]:
        """Take what the cache has, do the rest once, and tell the host of each."""
        keys = [make_key(request, kind, self._configuration) for request in requests]
        outcomes: dict[bytes, Outcome] = self._cache.find(keys)
        missing = {
            key: request for key, request in zip(keys, requests, strict=True) if key not in outcomes
        }
        if missing:
            fresh = dict(zip(missing, guard(work, list(missing.values())), strict=True))
            self._cache.store(fresh)
            outcomes |= fresh
        answers = [outcomes[key] for key in keys]
        self._report(answers)
        return answers

    def _report(self, answers: Sequence[Outcome]) -> None:
        if self._on_result is None:
            return
        for answer in answers:
            try:
                self._on_result(answer)
            except Exception:  # the host's own function must not cost it the result
                _logger.warning("on_result failed", exc_info=True)


def _check_positive(**settings: float) -> None:
    for name, value in settings.items():
        if not value > 0:
            raise ConfigError(name, f"{value} is not greater than 0")


def _check_not_negative(**settings: float) -> None:
    for name, value in settings.items():
        if value < 0 or not math.isfinite(value):
            raise ConfigError(name, f"{value} is not a number from 0 on")


def _import_local() -> type[LocalBackend]:
    from cert_otel.scoring.backends.local import LocalBackend  # noqa: PLC0415 - seconds of torch

    return LocalBackend


def _preload(local: LocalBackend) -> None:
    try:
        local.preload()
    except CertOtelError as problem:
        _logger.warning("the scoring model is not loaded: %s", problem)
