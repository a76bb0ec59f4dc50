"""Before an ASGI application: bearer tokens, and a limit on what it is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from cert_otel.service.security import Tokens

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_NO_TOKEN: Final = {
    "error": "Unauthenticated",
    "severity": "low",
    "message": "send the header authorization: Bearer TOKEN",
}
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_TOO_LARGE: Final = {"error": "TooLarge", "severity": "low", "message": "the request is too large"}
_INCOMPLETE: Final = {
    "error": "Incomplete",
    "severity": "low",
    "message": "the request did not arrive in time; send it whole",
}


class Guard:
    """Lets requests through that bring a token, are not too large and arrive in time."""

    def __init__(
        self,
        application: Callable[[Any, Any, Any], Awaitable[None]],
        tokens: Tokens,
        *,
        max_bytes: int,
        timeout_s: float,
        open_paths: frozenset[str] = frozenset(),
    ) -> None:
        """Stand before an application.

        Args:
            application: What is guarded.
            tokens: Those that are accepted.
            max_bytes: Of a request's body.
            timeout_s: For all of it to arrive.
            open_paths: For which no token is asked.
        """
        self.application = application
        self._tokens = tokens
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._open_paths = open_paths

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = dict(scope["headers"])
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        if scope["path"] not in self._open_paths and not self._tokens.accept(authorization):
            await _refuse(send, 401, _NO_TOKEN, {b"www-authenticate": b"Bearer"})
            return
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_bytes:
            await _refuse(send, 413, _TOO_LARGE)
            return
        if scope["method"] not in _WITHOUT_BODY:
            try:
                async with asyncio.timeout(self._timeout_s):
                    body = await self._read(receive)
            except TimeoutError:
                await _refuse(send, 408, _INCOMPLETE, {b"connection": b"close"})
                return
            except ConnectionError:
                return
            if body is None:
                await _refuse(send, 413, _TOO_LARGE)
                return
            receive = _replay(body, receive)
        await self.application(scope, receive, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """Read a body whole; `None` of one that is too large."""
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("the client went away")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_bytes:
                return None
            more = message.get("more_body", False)
        return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return what gives the body as one message, and after it what comes."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


async def _refuse(
    send: Send,
    status: int,
    content: Mapping[str, str],
    headers: Mapping[bytes, bytes] | None = None,
) -> None:
    body = msgspec.json.encode(content)
    fields = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *(headers or {}).items(),
    ]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
