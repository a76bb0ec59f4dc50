"""A circuit breaker: what fails five times in a row is left alone for 30 s."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from pybreaker import STATE_OPEN, CircuitBreaker, CircuitBreakerError, CircuitMemoryStorage

FAILURES: Final = 5
"""In a row, after which a backend is left out."""
RETRY_AFTER_S: Final = 30.0


class Breaker:
    """pybreaker, told how calls went; thread-safe.

    pybreaker holds its lock while it calls: through it, one thread at a time would work. So the
    call is made outside, and the breaker is told how that went.
    """

    def __init__(self, *, failures: int = FAILURES, retry_after_s: float = RETRY_AFTER_S) -> None:
        self._retry_after = timedelta(seconds=retry_after_s)
        self._storage = CircuitMemoryStorage("closed")
        self._breaker = CircuitBreaker(
            fail_max=failures,
            reset_timeout=retry_after_s,
            state_storage=self._storage,
            throw_new_error_on_trip=False,
        )

    def is_open(self) -> bool:
        """Tell whether no call should be made at present."""
        opened_at = self._storage.opened_at
        return (
            self._storage.state == STATE_OPEN
            and opened_at is not None
            and datetime.now(UTC) < opened_at + self._retry_after
        )

    def tell(self, problem: Exception | None) -> None:
        """Tell how a call went: `None` if well."""
        try:
            self._breaker.call(_raise, problem)
        except CircuitBreakerError:
            pass  # another thread has opened it meanwhile
        except Exception as raised:  # the one that was told
            if raised is not problem:
                raise


def _raise(problem: Exception | None) -> None:
    if problem is not None:
        raise problem
