"""OTLP/HTTP in protobuf and JSON, `/livez` and `/readyz`, as an ASGI application.

A collector sends again after 429, 502, 503 and 504, and drops after anything else: so a request
that could still succeed is never answered otherwise, and nothing is ever answered with 500.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import zlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cert_otel.service.receiver.intake import FAILED, Answer, explain_size
from cert_otel.service.receiver.otlp_grpc import TENANT, encode_status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from cert_otel.service.inbox import Encoding, Kind
    from cert_otel.service.receiver.counters import Outcome
    from cert_otel.service.receiver.intake import Intake
    from cert_otel.service.security import Tokens

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_logger = logging.getLogger("cert_otel.service")

PATHS: Final[Mapping[str, Kind]] = {"/v1/traces": "traces", "/v1/logs": "logs"}
ENCODINGS: Final[Mapping[str, Encoding]] = {
    "application/x-protobuf": "protobuf",
    "application/json": "json",
}
_STATUS: Final[Mapping[Outcome, int]] = {
    "accepted": 200,
    "empty": 200,
    "full": 429,
    "unavailable": 503,
    "incomplete": 503,
    "too_large": 413,
    "unauthenticated": 401,
}
_GRPC_CODES: Final[Mapping[int, int]] = {413: 8, 429: 8, 401: 16, 503: 14}
_INVALID_ARGUMENT: Final = 3
_GZIP: Final = 31
"""zlib's `wbits` for a gzip header and trailer."""
_INLINE_BYTES: Final = 2**18
"""What is larger is unpacked in a thread, so that others are not kept waiting."""
_DISCARD_S: Final = 5.0
_HELD_MESSAGES: Final = 4
"""As many of the largest messages may be half received at once."""


class _Refused(Exception):  # noqa: N818 - an answer rather than an error
    def __init__(self, status: int, answer: Answer, *, unread: bool = True) -> None:
        super().__init__(answer.message)
        self.unread = unread
        """Whether some of the body is still to come."""
        self.status = status
        self.answer = answer


class OtlpHttp:
    """The application."""

    def __init__(self, intake: Intake, tokens: Tokens, *, timeout_s: float) -> None:
        self._intake = intake
        self._tokens = tokens
        self._timeout_s = timeout_s
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            await self._route(scope, receive, send)
        except (Exception, asyncio.CancelledError) as error:
            # Cancelled is what is still arriving when the service stops.
            if not isinstance(error, asyncio.CancelledError):
                _logger.exception("a request over HTTP could not be handled")
            self._intake.note("http", FAILED)
            with contextlib.suppress(RuntimeError):  # it was answered already
                await _answer(send, "protobuf", 503, FAILED, close=True)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/livez":
            await _respond(send, 200, "text/plain", b"alive\n")
        elif path == "/readyz":
            await self._answer_readiness(send)
        else:
            await self._export(scope, receive, send)

    async def _answer_readiness(self, send: Send) -> None:
        if self._intake.is_ready:
            await _respond(send, 200, "text/plain", b"ready\n")
        else:
            await _respond(send, 503, "text/plain", b"not ready\n")

    async def _export(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _read_headers(scope)
        encoding = ENCODINGS.get(_get_media_type(headers), "protobuf")
        try:
            kind = self._check(scope, headers)
            body = await self._read(headers, receive)
        except _Refused as refused:
            self._intake.note("http", refused.answer)
            if refused.unread:
                await self._discard(receive)
            await _answer(send, encoding, refused.status, refused.answer, close=True)
            return
        answer = await self._intake.take("http", kind, encoding, body, headers.get(TENANT))
        await _answer(send, encoding, _STATUS[answer.outcome], answer)

    def _check(self, scope: Scope, headers: Mapping[str, str]) -> Kind:
        """Return what is sent, or refuse by what stands before the body."""
        if not self._tokens.accept(headers.get("authorization")):
            text = "send the header authorization: Bearer TOKEN"
            raise _Refused(401, Answer("unauthenticated", text))
        kind = PATHS.get(scope["path"])
        if kind is None:
            text = f"there are {' and '.join(PATHS)}; metrics are not scored"
            raise _Refused(404, Answer("unsupported", text))
        if scope["method"] != "POST":
            raise _Refused(405, Answer("unsupported", "OTLP is sent by POST"))
        if _get_media_type(headers) not in ENCODINGS:
            text = f"content-type must be {' or '.join(ENCODINGS)}"
            raise _Refused(415, Answer("unsupported", text))
        if headers.get("content-encoding", "identity") not in {"identity", "gzip"}:
            raise _Refused(415, Answer("unsupported", "content-encoding may be gzip"))
        if self._intake.is_stopping:
            raise _Refused(503, Answer("unavailable", "the service is stopping", 1.0))
        if _get_length(headers) > self._intake.max_bytes:
            raise _Refused(413, explain_size(self._intake.max_bytes))
        return kind

    async def _read(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        """Return the body, unpacked."""
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._collect(chunks, receive)
            body = b"".join(chunks)
        except TimeoutError:
            text = f"the request did not arrive within {self._timeout_s:g} s"
            raise _Refused(503, Answer("incomplete", text, 1.0), unread=False) from None
        finally:
            self._held_bytes -= sum(map(len, chunks))
        if headers.get("content-encoding") != "gzip":
            return body
        if len(body) <= _INLINE_BYTES:
            return self._unpack(body)
        return await asyncio.to_thread(self._unpack, body)

    async def _collect(self, chunks: list[bytes], receive: Receive) -> None:
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                gone = Answer("incomplete", "the sender went away", 1.0)
                raise _Refused(503, gone, unread=False)
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._intake.max_bytes:
                raise _Refused(413, explain_size(self._intake.max_bytes))
            if self._held_bytes + len(chunk) > _HELD_MESSAGES * self._intake.max_bytes:
                raise _Refused(503, Answer("unavailable", "too much arrives at once", 1.0))
            self._held_bytes += len(chunk)
            chunks.append(chunk)
            more = message.get("more_body", False)

    async def _discard(self, receive: Receive) -> None:
        """Read on to the end of the body, within reason.

        A sender that is cut off while it sends never sees the answer, and sends again for ever.
        """
        left = 2 * self._intake.max_bytes
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_S):
                while left > 0:
                    message = await receive()
                    if not message.get("more_body", False):
                        return
                    left -= len(message.get("body", b""))

    def _unpack(self, body: bytes) -> bytes:
        """Unpack gzip, never beyond the limit; what is no gzip is taken as it is.

        Like all that nobody can read, it is put aside by whoever reads the inbox.
        """
        try:
            return gunzip(body, self._intake.max_bytes)
        except zlib.error:
            return body
        except OverflowError:
            raise _Refused(413, explain_size(self._intake.max_bytes), unread=False) from None


def gunzip(data: bytes, max_bytes: int) -> bytes:
    """Unpack gzip of one or more members.

    Raises:
        OverflowError: When more than `max_bytes` would come out.
        zlib.error: When it is no gzip, or cut short.
    """
    parts: list[bytes] = []
    size = 0
    while data:
        member = zlib.decompressobj(_GZIP)
        part = member.decompress(data, max_bytes - size + 1)
        size += len(part)
        if size > max_bytes:
            raise OverflowError
        if not member.eof:
            raise zlib.error("cut short")
        parts.append(part)
        data = member.unused_data
    return b"".join(parts)


def _read_headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _get_media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _get_length(headers: Mapping[str, str]) -> int:
    text = headers.get("content-length", "")
    return int(text) if text.isdecimal() else 0


async def _answer(
    send: Send, encoding: Encoding, status: int, answer: Answer, *, close: bool = False
) -> None:
    headers = []
    if answer.retry_after_s is not None:
        headers.append((b"retry-after", str(math.ceil(answer.retry_after_s)).encode()))
    if close:
        # The body was not read to its end: what follows on the connection is no request.
        headers.append((b"connection", b"close"))
    code = _GRPC_CODES.get(status, _INVALID_ARGUMENT)
    if status == 200:  # noqa: PLR2004 - OK
        body = b"{}" if encoding == "json" else b""
    elif encoding == "json":
        body = msgspec.json.encode({"code": code, "message": answer.message})
    else:
        body = encode_status(answer, code)
    await _respond(send, status, f"application/{_MEDIA[encoding]}", body, headers)


_MEDIA: Final[Mapping[str, str]] = {"json": "json", "protobuf": "x-protobuf"}


async def _respond(
    send: Send,
    status: int,
    media_type: str,
    body: bytes,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    start = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", media_type.encode()),
            (b"content-length", str(len(body)).encode()),
            *(headers or ()),
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})
