"""The receiver process: everything that listens for OTLP, and `/metrics`, around one inbox."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Final, Protocol, Self

from cert_otel.errors import ConfigError
from cert_otel.service.inbox import Inbox
from cert_otel.service.receiver import otlp_grpc
from cert_otel.service.receiver.counters import Counters, InboxCollector
from cert_otel.service.receiver.http_server import HttpServer, bind
from cert_otel.service.receiver.intake import Intake
from cert_otel.service.receiver.metrics_http import MetricsHttp
from cert_otel.service.receiver.otlp_http import OtlpHttp
from cert_otel.service.security import (
    ContextReloader,
    Tokens,
    make_grpc_credentials,
    make_ssl_context,
)
from cert_otel.service.settings import MEBIBYTE

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence

    import grpc.aio

    from cert_otel.service.receiver.otlp_grpc import Handler
    from cert_otel.service.settings import Settings

_logger = logging.getLogger("cert_otel.service")

_GRACE_S: Final = 10.0
"""For requests that are under way when the process is told to stop."""
_FAREWELL_S: Final = 0.2
_LOOK_S: Final = 1.0


class Extension(Protocol):
    """What the receiver's process offers beside OTLP, behind the same tokens."""

    def make_handlers(self, intake: Intake, inbox: Inbox) -> Sequence[Handler]:
        """Return services for the gRPC port."""

    def make_servers(self, tokens: Tokens, context: ssl.SSLContext | None) -> Sequence[HttpServer]:
        """Return servers that begin and end with the receiver."""


class Receiver:
    """Takes OTLP from `start` to `stop`; what was acknowledged in between is on disk.

    Args:
        settings: All of them.
        parts: How many scorer processes share the inbox.
        extension: What else is offered beside OTLP.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        parts: int = 1,
        extension: Extension | None = None,
    ) -> None:
        """Open the inbox and bind the ports.

        Raises:
            ConfigError: When a port, a certificate or a file of tokens cannot be used.
            InboxError: When the inbox cannot be opened.
        """
        tls = settings.security.tls
        tokens = Tokens(settings.security)
        context = None if tls is None else make_ssl_context(tls)
        self._reloader = None
        if tls is not None and context is not None:
            self._reloader = ContextReloader(tls, context)
        self.counters = Counters()
        self.inbox = Inbox.open(
            settings.inbox.path, cap_bytes=settings.inbox.cap_bytes, parts=parts
        )
        max_bytes = settings.receiver.max_message_mib * MEBIBYTE
        self.intake = Intake(self.inbox, self.counters, max_bytes=max_bytes)
        handlers: Sequence[Handler] = ()
        if extension is not None:
            handlers = extension.make_handlers(self.intake, self.inbox)
        self._grpc = otlp_grpc.make_server(self.intake, tokens, handlers)
        self._health = otlp_grpc.add_health(self._grpc)
        self.grpc_port = _add_port(self._grpc, settings)
        self._servers = list(self._make_servers(settings, tokens, context))
        self.http_port = self._servers[0].port
        self.metrics_port = self._servers[-1].port
        if extension is not None:
            self._servers += extension.make_servers(tokens, context)
        self._watch: asyncio.Task[None] | None = None

    def _make_servers(
        self, settings: Settings, tokens: Tokens, context: ssl.SSLContext | None
    ) -> Iterator[HttpServer]:
        """Yield the server of OTLP/HTTP, and that of the metrics where it is enabled."""
        receiver = settings.receiver
        yield HttpServer(
            OtlpHttp(self.intake, tokens, timeout_s=receiver.request_timeout_s),
            listener=bind(receiver.http.endpoint, setting="receiver.http.endpoint"),
            context=context,
            max_connections=receiver.max_connections,
        )
        if settings.metrics.enabled:
            application = MetricsHttp(self.counters, InboxCollector(self.inbox), tokens)
            listener = bind(settings.metrics.endpoint, setting="metrics.endpoint")
            yield HttpServer(application, listener=listener)

    async def start(self) -> Self:
        """Take requests from now on."""
        await self._grpc.start()
        for server in self._servers:
            await server.start()
        await otlp_grpc.set_health(self._health, serving=True)
        self._watch = asyncio.create_task(self._look_for_ever())
        return self

    async def stop(self) -> None:
        """Refuse what comes, answer what is there, close the inbox."""
        self.intake.is_stopping = True
        if self._watch is not None:
            self._watch.cancel()
        await otlp_grpc.set_health(self._health, serving=False)
        # What is on its way is told to come again; gRPC would only cancel it.
        await asyncio.sleep(_FAREWELL_S)
        try:
            await asyncio.gather(
                self._grpc.stop(_GRACE_S), *(server.stop() for server in self._servers)
            )
        finally:
            await asyncio.to_thread(self.inbox.close)

    async def _look_for_ever(self) -> None:
        """Let health follow the disk, and certificates their files."""
        while True:
            await asyncio.sleep(_LOOK_S)
            await otlp_grpc.set_health(self._health, serving=self.intake.is_ready)
            if self._reloader is not None:
                await asyncio.to_thread(self._reloader.look)


async def serve(settings: Settings, *, parts: int = 1, extension: Extension | None = None) -> None:
    """Run the receiver until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    receiver = await Receiver(settings, parts=parts, extension=extension).start()
    _logger.info("OTLP/gRPC on %s", settings.receiver.grpc.endpoint)
    _logger.info("OTLP/HTTP on %s", settings.receiver.http.endpoint)
    await stopping.wait()
    _logger.info("stopping: requests are refused, what was acknowledged is on disk")
    await receiver.stop()
    _logger.info("the receiver has stopped")


def _add_port(server: grpc.aio.Server, settings: Settings) -> int:
    endpoint, tls = settings.receiver.grpc.endpoint, settings.security.tls
    try:
        if tls is None:
            return server.add_insecure_port(endpoint)
        return server.add_secure_port(endpoint, make_grpc_credentials(tls))
    except RuntimeError:
        raise ConfigError(
            "receiver.grpc.endpoint", f"cannot listen on {endpoint}: is it in use?"
        ) from None
