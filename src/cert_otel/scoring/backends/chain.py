"""Backends in their configured order: the next one scores what the one before could not.

A backend that fails five times in a row is left out, and tried again after 30 s.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from cert_otel.errors import CertOtelError, ConfigError, MissingExtraError, ModelError
from cert_otel.scoring.backends.breaker import FAILURES, RETRY_AFTER_S, Breaker
from cert_otel.scoring.backends.scored import MODEL_NOT_LOADED, UNAVAILABLE, Scored, never

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cert_otel.scoring.backends.scored import Backend, Request

_NOT_LOADED: Final = (ModelError, ConfigError, MissingExtraError)

_logger = logging.getLogger(__name__)


class BackendChain:
    """Asks backends in order, and remembers which of them fail."""

    def __init__(
        self,
        backends: Sequence[Backend],
        *,
        failures: int = FAILURES,
        retry_after_s: float = RETRY_AFTER_S,
    ) -> None:
        if not backends:
            raise ConfigError("backends", "is empty; name at least one")
        self.backends = tuple(backends)
        self._guards = [_Guard(one, failures, retry_after_s) for one in backends]

    @property
    def configuration(self) -> str:
        """Of all backends, in their order."""
        return "\n".join(backend.configuration for backend in self.backends)

    def find_left_out(self) -> dict[str, str]:
        """Return the backends that are left out at present, each with its last problem."""
        return {guard.backend.name: guard.problem for guard in self._guards if guard.is_left_out()}

    def score(
        self,
        requests: Sequence[Request],
        *,
        deadline: float | None = None,
        is_cancelled: Callable[[], bool] = never,
    ) -> list[Scored]:
        """Score requests: one result each, in order; never raises.

        What no backend could score is the result of the first that tried.
        """
        results: dict[int, Scored] = {}
        pending = list(range(len(requests)))
        for guard in self._guards:
            if not pending:
                break
            asked = [requests[index] for index in pending]
            outcome = guard.score(asked, deadline=deadline, is_cancelled=is_cancelled)
            for index, scored in zip(pending, outcome, strict=True):
                if index not in results or scored.status == "scored":
                    results[index] = scored
            pending = [index for index in pending if not results[index].is_final]
        return [results[index] for index in range(len(requests))]

    def close(self) -> None:
        """Close every backend."""
        for backend in self.backends:
            backend.close()


class _Guard:
    """One backend and its circuit breaker."""

    def __init__(self, backend: Backend, failures: int, retry_after_s: float) -> None:
        self.backend = backend
        self.problem = ""
        self._breaker = Breaker(failures=failures, retry_after_s=retry_after_s)

    def is_left_out(self) -> bool:
        return self._breaker.is_open()

    def score(
        self,
        requests: Sequence[Request],
        *,
        deadline: float | None,
        is_cancelled: Callable[[], bool],
    ) -> list[Scored]:
        if self.is_left_out():
            return self._fail(requests, UNAVAILABLE, f"left out after: {self.problem}")
        try:
            outcome = self.backend.score(requests, deadline=deadline, is_cancelled=is_cancelled)
        except Exception as problem:  # a host boundary: one backend must not stop the others
            _logger.debug("backend %s failed", self.backend.name, exc_info=True)
            self.problem = _describe(problem)
            self._breaker.tell(problem)
            reason = MODEL_NOT_LOADED if isinstance(problem, _NOT_LOADED) else UNAVAILABLE
            return self._fail(requests, reason, self.problem)
        self._breaker.tell(None)
        return outcome

    def _fail(self, requests: Sequence[Request], reason: str, detail: str) -> list[Scored]:
        failed = Scored(status="error", backend=self.backend.name, reason=reason, detail=detail)
        return [failed] * len(requests)


def _describe(problem: Exception) -> str:
    text = str(problem)
    return text if isinstance(problem, CertOtelError) else f"{type(problem).__name__}: {text}"
