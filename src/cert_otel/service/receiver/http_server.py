"""uvicorn, told to be patient with nobody: limits for headers, connections and idle peers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cert_otel.errors import ConfigError
from cert_otel.service.settings import parse_endpoint

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

_MAX_HEADER_BYTES: Final = 32 * 1024
_HEADER_PATIENCE_S: Final = 10.0
"""For the first line and the headers of a request, counted from the first byte."""
_KEEP_ALIVE_S: Final = 120
"""Longer than the 90 s after which Go's clients, the collector's too, give up a connection."""
_GRACE_S: Final = 10
_BACKLOG: Final = 512


class _StrictProtocol(HttpToolsProtocol):
    """A connection that is closed when its headers are too many, or too slow in coming."""

    _header_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        self._stop_waiting()
        self._await_headers()

    def on_url(self, url: bytes) -> None:
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(name + value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def _count(self, data: bytes) -> None:
        self._header_bytes += len(data)
        if self._header_bytes > _MAX_HEADER_BYTES:
            self.transport.abort()

    def _await_headers(self) -> None:
        self._deadline = self.loop.call_later(_HEADER_PATIENCE_S, self._give_up)

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """A server whose process has its own idea of signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """One ASGI application on one port."""

    def __init__(
        self,
        application: Any,
        *,
        listener: socket.socket,
        context: ssl.SSLContext | None = None,
        max_connections: int = 100,
    ) -> None:
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        factory: Callable[..., ssl.SSLContext] | None = None
        if context is not None:
            factory = lambda *_: context  # noqa: E731 - a name would say no more
        self._server = _Server(
            uvicorn.Config(
                application,
                http=_StrictProtocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                limit_concurrency=max_connections,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_GRACE_S,
                ssl_context_factory=factory,
                backlog=_BACKLOG,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Accept connections from now on."""
        self._task = asyncio.create_task(self._server.serve([self._listener]))
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Take no more connections, and give open requests a little time."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


def bind(endpoint: str, *, setting: str) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        ConfigError: When it cannot; `setting` is named.
    """
    address = parse_endpoint(endpoint)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(setting, f"cannot listen on {endpoint}: {error.strerror}") from None
