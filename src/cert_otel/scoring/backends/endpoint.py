"""Asking a server over HTTP: rate, requests at once, retries, deadlines, and errors that say what to do."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx2
import msgspec
import stamina
from pyrate_limiter import Duration, Limiter, Rate

from cert_otel.errors import BackendError, ConfigError
from cert_otel.scoring.backends.scored import CANCELLED, DEADLINE, never

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

T = TypeVar("T")

PATIENCE_S: Final = 60.0
"""For one answer of the server; less where a deadline comes before."""
_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 5.0

_REFUSALS: Final = frozenset({400, 413, 422})
"""About the texts that were sent, not about the server."""
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
"""May be different the next time."""


class RefusedError(Exception):
    """The server does not take these texts."""


class LateError(Exception):
    """The deadline has passed."""


@dataclass(frozen=True, slots=True)
class Job:
    """What holds for all requests of one task."""

    deadline: float | None = None
    is_cancelled: Callable[[], bool] = never


def check_url(setting: str, url: str) -> None:
    """Refuse what is no address of a server."""
    if not url.startswith(("http://", "https://")):
        raise ConfigError(setting, f"{url!r} does not start with http:// or https://")


class Endpoint:
    """A server that is sent JSON and answers JSON; may be used by several threads at once."""

    def __init__(
        self,
        name: str,
        *,
        model: str,
        api_key: str | None = None,
        concurrency: int = 8,
        requests_per_minute: int | None = None,
        attempts: int = 3,
        transport: httpx2.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up; nothing is sent.

        Args:
            name: Of whom it serves, in errors.
            model: That is asked for, in errors.
            api_key: Sent as a bearer token, and never shown.
            concurrency: Requests that are under way at once, over all threads.
            requests_per_minute: `None` is no limit.
            attempts: Of a request that fails for a reason that may pass.
            transport: Of httpx2, for tests and proxies.
            clock: Deadlines are readings of it.
        """
        self._name = name
        self._model = model
        self._api_key = api_key
        self._attempts = attempts
        self._clock = clock
        self._slots = threading.BoundedSemaphore(concurrency)
        self._limiter = (
            Limiter(Rate(requests_per_minute, Duration.MINUTE)) if requests_per_minute else None
        )
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx2.Client(headers=headers, timeout=PATIENCE_S, transport=transport)

    def close(self) -> None:
        """Close idle connections."""
        if self._limiter is not None:
            self._limiter.close()
        self._client.close()

    def post(self, url: str, body: dict[str, Any], kind: type[T], job: Job) -> T:
        """Send a body and decode the reply.

        Raises:
            RefusedError: The server does not take this body.
            LateError: The deadline has passed, or the job was cancelled.
            BackendError: The server does not answer, or not in this protocol.
        """
        content = b""
        with self._explained(url, job):
            for attempt in self._try(job):
                with attempt:
                    content = self._send(url, body, job)
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BackendError(
                self._name, f"{url}: not the reply that was expected: {error}"
            ) from error

    def stream(self, url: str, body: dict[str, Any], job: Job) -> Generator[str]:
        """Yield the lines of an answer as they come; to close it ends it at the server.

        Raises:
            RefusedError: As `post`, like the others; after the first line nothing is tried again.
        """
        with self._explained(url, job):
            for attempt in self._try(job):
                with attempt:
                    response, release = self._open(url, body, job)
            try:
                with _shut_after(response, self._find_rest(job)):
                    for line in response.iter_lines():
                        self._find_rest(job)
                        yield line
                self._find_rest(job)  # what was shut looks as if it had ended
            finally:
                response.close()
                release()

    def _try(self, job: Job) -> Iterator[Any]:
        return iter(
            stamina.retry_context(
                on=_find_wait,
                attempts=self._attempts,
                timeout=self._find_rest(job),
                wait_initial=_FIRST_WAIT_S,
                wait_max=_LONGEST_WAIT_S,
            )
        )

    def _send(self, url: str, body: dict[str, Any], job: Job) -> bytes:
        response, release = self._open(url, body, job)
        try:
            return response.read()
        finally:
            response.close()
            release()

    def _open(
        self, url: str, body: dict[str, Any], job: Job
    ) -> tuple[httpx2.Response, Callable[[], None]]:
        """Return the answer with its body unread, and what gives its slot back."""
        if not self._slots.acquire(timeout=self._find_rest(job)):
            raise LateError(DEADLINE)
        try:
            self._wait_for_rate(job)
            patience = min(self._find_rest(job) or PATIENCE_S, PATIENCE_S)
            request = self._client.build_request("POST", url, json=body, timeout=patience)
            response = self._client.send(request, stream=True)
            if response.is_error:
                response.read()
                response.close()
            return response.raise_for_status(), self._slots.release
        except BaseException:
            self._slots.release()
            raise

    def _wait_for_rate(self, job: Job) -> None:
        if self._limiter is None:
            return
        rest = self._find_rest(job)
        if not self._limiter.try_acquire(self._name, timeout=-1 if rest is None else rest):
            raise LateError(DEADLINE)

    def _find_rest(self, job: Job) -> float | None:
        """Return the seconds that are left; `None` without a deadline."""
        if job.is_cancelled():
            raise LateError(CANCELLED)
        if job.deadline is None:
            return None
        rest = job.deadline - self._clock()
        if rest <= 0:
            raise LateError(DEADLINE)
        return rest

    @contextmanager
    def _explained(self, url: str, job: Job) -> Iterator[None]:
        try:
            yield
        except httpx2.HTTPStatusError as error:
            raise self._explain(error, url) from error
        except httpx2.TransportError as error:
            if job.deadline is not None and self._clock() >= job.deadline:
                raise LateError(DEADLINE) from error
            problem = f"{url}: {type(error).__name__}: {error}"
            raise BackendError(self._name, problem) from error

    def _explain(self, error: httpx2.HTTPStatusError, url: str) -> Exception:
        status = error.response.status_code
        said = error.response.text[:300]
        if self._api_key:
            said = said.replace(self._api_key, "(key)")
        if status in _REFUSALS:
            return RefusedError(f"{url} answered {status}: {said}")
        advice = {
            401: "; check api_key",
            403: "; check api_key",
            404: f"; check base_url, and that the server serves {self._model!r}",
        }.get(status, "")
        return BackendError(self._name, f"{url} answered {status}: {said}{advice}")


@contextmanager
def _shut_after(response: httpx2.Response, rest_s: float | None) -> Iterator[None]:
    """End an answer when the time is over, even if the server has fallen silent."""
    stream = response.extensions.get("network_stream")
    connection = None if stream is None else stream.get_extra_info("socket")
    if rest_s is None or connection is None:
        yield
        return
    timer = threading.Timer(rest_s, _shut, [connection])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # it was closed meanwhile
        connection.shutdown(socket.SHUT_RDWR)


def _find_wait(error: Exception) -> bool | float:
    """Tell whether to send again, or after how many seconds."""
    if not isinstance(error, httpx2.HTTPStatusError):
        return isinstance(error, httpx2.TransportError)
    if error.response.status_code not in _PASSING:
        return False
    try:
        return min(float(error.response.headers["retry-after"]), _LONGEST_WAIT_S)
    except (KeyError, ValueError):
        return True
