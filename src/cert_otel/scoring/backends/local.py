"""A model on this machine: loaded at the first use, used by one thread at a time."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from cert_otel.errors import CertOtelError
from cert_otel.scoring import defaults
from cert_otel.scoring.backends.generation import Stop, generate
from cert_otel.scoring.backends.scored import (
    DEADLINE,
    MODEL_NOT_LOADED,
    STILL_LOADING,
    Generated,
    Scored,
    TokenFigures,
    never,
)
from cert_otel.scoring.scorer import TokenScorer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from cert_otel.scoring.backends.scored import Request
    from cert_otel.scoring.networks import LoadedModel
    from cert_otel.scoring.scorer import Result

NAME: Final = "local"
LOAD_AGAIN_AFTER_S: Final = 5.0
"""For so long a model that could not be loaded is not tried again."""


class LocalBackend:
    """Scores and writes with one model."""

    name: Final = NAME

    def __init__(
        self,
        load: Callable[[], LoadedModel],
        *,
        configuration: str,
        embed_steps: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up; nothing is loaded.

        Args:
            load: Called at the first use, and again after `close`.
            configuration: Names the model, with whatever changes its figures.
            embed_steps: Give the vectors of question and steps as well, by `hidden`.
            clock: Deadlines are readings of it.
        """
        self.configuration = f"{NAME} {configuration}"
        self._load = load
        self._embed_steps = embed_steps
        self._clock = clock
        self._lock = threading.Lock()
        self._scorer: TokenScorer | None = None
        self._failed: tuple[float, CertOtelError] | None = None

    @classmethod
    def named(
        cls,
        model_name: str | Path | None = None,
        *,
        device: str = "auto",
        use_8bit: bool = False,
        revision: str | None = None,
        offline: bool = False,
        embed_steps: bool = False,
    ) -> Self:
        """Return the backend of a model by name or folder, or of the default; see `defaults.load`."""
        load = partial(
            defaults.load,
            model_name,
            device=device,
            quantization="8bit" if use_8bit else None,
            revision=revision,
            offline=offline,
        )
        configuration = repr((str(model_name), load.keywords))
        return cls(load, configuration=configuration, embed_steps=embed_steps)

    def preload(self) -> None:
        """Load the model now.

        Raises:
            CertOtelError: It cannot be loaded.
        """
        with self._lock:
            self._get_scorer()

    def score(
        self,
        requests: Sequence[Request],
        *,
        deadline: float | None = None,
        is_cancelled: Callable[[], bool] = never,
    ) -> list[Scored]:
        """Score requests: one result each, in order.

        Raises:
            CertOtelError: The model cannot be loaded.
        """
        with self._held_until(deadline) as held:
            if not held:
                return [self._give_up()] * len(requests)
            scorer = self._get_scorer()
            results = scorer.score(
                [request.sample for request in requests],
                deadline=deadline,
                is_cancelled=is_cancelled,
            )
        return [_convert(result, scorer.model) for result in results]

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int,
        temperature: float,
        deadline: float | None = None,
        is_cancelled: Callable[[], bool] = never,
    ) -> list[Generated]:
        """Write a completion of each prompt, in order; generation ends at the deadline.

        Raises:
            CertOtelError: The model cannot be loaded.
        """
        with self._held_until(deadline) as held:
            if not held:
                return [Generated(None, 0, self._give_up().reason)] * len(prompts)
            return generate(
                self._get_scorer().model,
                prompts,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                stop=Stop(deadline, is_cancelled=is_cancelled, clock=self._clock),
            )

    def close(self) -> None:
        """Let go of the model; the next use loads it again."""
        with self._lock:
            self._scorer = None
            self._failed = None

    @contextmanager
    def _held_until(self, deadline: float | None) -> Iterator[bool]:
        """Hold the model; give `False` when it was not free in time."""
        wait = -1 if deadline is None else max(deadline - self._clock(), 0)
        held = self._lock.acquire(timeout=wait)
        try:
            yield held
        finally:
            if held:
                self._lock.release()

    def _give_up(self) -> Scored:
        """Return what becomes of a request that the model was not free for in time."""
        if self._scorer is None:
            return Scored(
                status="error", backend=NAME, reason=MODEL_NOT_LOADED, detail=STILL_LOADING
            )
        return Scored(status="skipped", backend=NAME, reason=DEADLINE)

    def _get_scorer(self) -> TokenScorer:
        if self._scorer is None:
            self._raise_if_just_failed()
            try:
                self._scorer = TokenScorer(
                    self._load(), embed_steps=self._embed_steps, clock=self._clock
                )
            except CertOtelError as problem:
                self._failed = self._clock(), problem
                raise
            self._failed = None
        return self._scorer

    def _raise_if_just_failed(self) -> None:
        if self._failed is not None:
            failed_at, problem = self._failed
            if self._clock() < failed_at + LOAD_AGAIN_AFTER_S:
                raise problem


def _convert(result: Result, model: LoadedModel) -> Scored:
    return Scored(
        status=result.status,
        backend=NAME,
        reason=result.reason,
        scorer=model.name,
        revision=model.revision,
        reference_model=defaults.is_reference(model.name),
        score=result.score,
        tokens=None if result.tokens is None else TokenFigures.of(result.tokens),
        offsets=result.offsets,
        form=result.form,
        form_reason=result.form_reason,
        pieces=result.pieces,
        cut_tokens=result.cut_tokens,
        vectors=result.vectors,
    )
