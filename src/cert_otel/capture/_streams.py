"""Streams, watched without standing in for them.

The SDK's stream object stays what it is: only the iterator inside it is replaced by one that
looks on, and the HTTP response's `close` by one that notices. So its type, its attributes and
its methods are the SDK's own. A response whose bytes the application reads itself (raw and
streaming responses) is read along with, byte by byte, and decoded on the side.

A stream ends its call once: on its last chunk, an error, `close`, or the garbage collector,
which leaves the call to `_finalisers`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from cert_otel.capture import _finalisers, _guard
from cert_otel.capture._activation import activate, release
from cert_otel.capture._guard import attempt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import FrameType

    from cert_otel.capture._call import Call

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""A body larger than this is passed on and not decoded."""
_decode: Final = msgspec.json.Decoder().decode


class StreamState:
    """What the pieces that watch one stream share; its end is the stream's end."""

    __slots__ = ("_is_left", "call", "is_reading")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.is_reading = False
        """The SDK closes the response at the end of a read: that is no early close."""
        self._is_left = False

    def on_close(self) -> None:
        """Take note that somebody closed the response: the application, or a finaliser."""
        if self.is_reading or self.call.finished:
            return
        if _is_finalising():
            self.leave()
        else:
            self.call.close()

    def leave(self) -> None:
        """Leave the call to `_finalisers`, once."""
        if not self._is_left:
            self._is_left = True
            _finalisers.leave(self.call)

    def __del__(self) -> None:
        if not self.call.finished:
            self.leave()


def _is_finalising() -> bool:
    """Whether a generator's or an object's finaliser, or the SDK itself, is among the callers.

    Such a frame may sit on top of any lock, so a call must not be ended in it. Weak references'
    callbacks have no name of their own; under a lock of the SDK's they are above its frames.
    """
    error = sys.exception()
    while error is not None:
        if isinstance(error, GeneratorExit):
            return True
        error = error.__context__
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the stack is the question
    while frame is not None:
        if frame.f_code.co_name == "__del__" or _is_of_the_sdk(frame):
            return True
        frame = frame.f_back
    return False


def _is_of_the_sdk(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("opentelemetry.sdk.")


class WatchedIterator:
    """The iterator of a stream: the context is active during a read, and only then."""

    __slots__ = ("_inner", "_state")

    def __init__(self, inner: Iterator[Any], state: StreamState) -> None:
        self._inner = inner
        self._state = state

    def __iter__(self) -> WatchedIterator:
        return self

    def __next__(self) -> Any:
        state = self._state
        call = state.call
        if call.finished:
            return next(self._inner)
        token = activate(call.context)
        state.is_reading = True
        try:
            chunk = next(self._inner)
        except StopIteration:
            release(token)
            state.is_reading = False
            call.succeed()
            raise
        except BaseException as error:
            release(token)
            state.is_reading = False
            call.fail(error)
            raise
        release(token)
        state.is_reading = False
        call.read_chunk(chunk)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class WatchedAsyncIterator:
    """The same for asynchronous streams; it adds no await of its own."""

    __slots__ = ("_inner", "_state")

    def __init__(self, inner: AsyncIterator[Any], state: StreamState) -> None:
        self._inner = inner
        self._state = state

    def __aiter__(self) -> WatchedAsyncIterator:
        return self

    async def __anext__(self) -> Any:
        state = self._state
        call = state.call
        if call.finished:
            return await self._inner.__anext__()
        token = activate(call.context)
        state.is_reading = True
        try:
            chunk = await self._inner.__anext__()
        except StopAsyncIteration:
            release(token)
            state.is_reading = False
            call.succeed()
            raise
        except GeneratorExit:
            call.drop(token)
            state.is_reading = False
            raise
        except BaseException as error:
            release(token)
            state.is_reading = False
            call.fail(error)
            raise
        release(token)
        state.is_reading = False
        call.read_chunk(chunk)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class HTTPResponse(Protocol):
    """What is used of an HTTP response; httpx and httpx2 have it alike."""

    headers: Any
    is_stream_consumed: bool

    @property
    def content(self) -> bytes:
        """The body, once it has been read."""
        ...


def watch_stream(stream: Any, call: Call, *, is_async: bool) -> None:
    """Watch an SDK stream that keeps its iterator in `_iterator` and has a `response`.

    Args:
        stream: Is changed in place and stays the object that the application gets.
        call: Ends with the stream.
        is_async: Whether its iterator is asynchronous.
    """
    call.open_stream()
    state = StreamState(call)
    kind = WatchedAsyncIterator if is_async else WatchedIterator
    stream._iterator = kind(stream._iterator, state)  # noqa: SLF001 - see the module's docstring
    watch_close(stream.response, state)


def watch_close(response: Any, state: StreamState) -> None:
    """Notice the first `close` or `aclose` of a response; its own methods are back after that."""
    close, aclose = response.close, response.aclose
    before = {name: vars(response).get(name) for name in ("close", "aclose")}

    def watched_close() -> Any:
        _restore(response, before)
        try:
            return close()
        finally:
            attempt("close", state.on_close)

    async def watched_aclose() -> Any:
        _restore(response, before)
        try:
            return await aclose()
        finally:
            attempt("close", state.on_close)

    response.close = watched_close
    response.aclose = watched_aclose


def _restore(response: Any, before: dict[str, Any]) -> None:
    """Give an object back what it had of its own under these names."""
    own = vars(response)
    for name, value in before.items():
        if value is None:
            own.pop(name, None)
        else:
            own[name] = value


def read_along(response: Any, call: Call, *, is_async: bool) -> None:
    """Follow a response whose body the application reads itself.

    Args:
        response: An HTTP response; is changed in place.
        call: Ends with the body's last byte, or when the response is closed.
        is_async: Whether the body is read by `aiter_bytes`.
    """
    decoder = BodyDecoder(call, is_events=_is_event_stream(response))
    if response.is_stream_consumed:
        decoder.feed(response.content)
        decoder.finish()
        return
    state = StreamState(call)
    name = "aiter_bytes" if is_async else "iter_bytes"
    read_bytes = getattr(response, name)
    before = {name: vars(response).get(name)}
    kind = _AsyncBytesAlong if is_async else _BytesAlong

    def read_bytes_along(chunk_size: int | None = None) -> Any:
        _restore(response, before)
        return kind(read_bytes(chunk_size), state, decoder)

    setattr(response, name, read_bytes_along)
    watch_close(response, state)


def _is_event_stream(response: HTTPResponse) -> bool:
    return str(response.headers.get("content-type", "")).startswith("text/event-stream")


class _BytesAlong:
    """Passes bytes on and shows them to the decoder."""

    __slots__ = ("_decoder", "_inner", "_state")

    def __init__(self, inner: Iterator[bytes], state: StreamState, decoder: BodyDecoder) -> None:
        self._inner = inner
        self._state = state
        self._decoder = decoder

    def __iter__(self) -> _BytesAlong:
        return self

    def __next__(self) -> bytes:
        call = self._state.call
        token = call.attach()
        self._state.is_reading = True
        try:
            chunk = next(self._inner)
        except StopIteration:
            attempt("finish_body", self._decoder.finish)
            raise
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            call.detach(token)
            self._state.is_reading = False
        attempt("read_body", self._decoder.feed, chunk)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _AsyncBytesAlong:
    """The same for asynchronous responses."""

    __slots__ = ("_decoder", "_inner", "_state")

    def __init__(
        self, inner: AsyncIterator[bytes], state: StreamState, decoder: BodyDecoder
    ) -> None:
        self._inner = inner
        self._state = state
        self._decoder = decoder

    def __aiter__(self) -> _AsyncBytesAlong:
        return self

    async def __anext__(self) -> bytes:
        call = self._state.call
        token = call.attach()
        self._state.is_reading = True
        try:
            chunk = await self._inner.__anext__()
        except StopAsyncIteration:
            call.detach(token)
            attempt("finish_body", self._decoder.finish)
            raise
        except GeneratorExit:
            call.drop(token)
            raise
        except BaseException as error:
            call.detach(token)
            call.fail(error)
            raise
        finally:
            self._state.is_reading = False
        call.detach(token)
        attempt("read_body", self._decoder.feed, chunk)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class BodyDecoder:
    """Decodes a body on the side: server-sent events as they come, JSON at the end."""

    __slots__ = ("_call", "_is_events", "_pending", "_size")

    def __init__(self, call: Call, *, is_events: bool) -> None:
        self._call = call
        self._is_events = is_events
        self._pending = bytearray()
        self._size = 0
        if is_events:
            call.open_stream()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._call.finished:
            return
        if self._is_events:
            self._feed_events(chunk)
            return
        self._size += len(chunk)
        if self._size <= MAX_BODY_BYTES:
            self._pending += chunk
        else:
            self._pending.clear()

    def _feed_events(self, chunk: bytes) -> None:
        if len(self._pending) + len(chunk) > MAX_BODY_BYTES:
            self._pending.clear()
        self._pending += chunk
        if b"\n" in chunk:
            self._read_events()

    def finish(self) -> None:
        """End the call: with the decoded body, or after the last event."""
        if self._call.finished:
            return
        if self._is_events:
            self._pending += b"\n\n"
            self._read_events()
            self._call.succeed()
            return
        self._call.succeed(self._decode(bytes(self._pending)))

    def _read_events(self) -> None:
        *lines, rest = self._pending.replace(b"\r\n", b"\n").split(b"\n")
        self._pending = rest
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            if line[5:].strip() == b"[DONE]":
                # Whoever reads the stream closes it here, and need not read to the last byte.
                self._call.succeed()
                return
            event = self._decode(line[5:])
            if event is not None:
                self._call.read_chunk(event)

    @staticmethod
    def _decode(data: bytes | bytearray) -> Any | None:
        try:
            return _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None  # not JSON: an audio file, say, or a proxy's page
        except Exception as error:  # noqa: BLE001 - the guard
            _guard.report("decode_body", error)
            return None
