"""`/metrics`, as an ASGI application."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST

from cert_otel.service.receiver.counters import render

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from cert_otel.service.receiver.counters import Counters, InboxCollector
    from cert_otel.service.security import Tokens


class MetricsHttp:
    """The application: one path, behind the tokens where there are any."""

    def __init__(self, counters: Counters, inbox: InboxCollector, tokens: Tokens) -> None:
        self._counters = counters
        self._inbox = inbox
        self._tokens = tokens

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        _receive: object,
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        status, media_type, body = await self._answer(scope)
        headers = [
            (b"content-type", media_type.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: MutableMapping[str, Any]) -> tuple[int, str, bytes]:
        authorization = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        if not self._tokens.accept(authorization):
            return 401, "text/plain", b"send the header authorization: Bearer TOKEN\n"
        if scope["path"] != "/metrics":
            return 404, "text/plain", b"there is /metrics\n"
        text = await asyncio.to_thread(render, self._counters, self._inbox)
        return 200, CONTENT_TYPE_LATEST, text
