"""Streams and bodies, watched while somebody else reads them."""

from __future__ import annotations

import asyncio
import contextvars
import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import context, trace

from cert_otel import semconv
from cert_otel.capture import read_along, watch_stream
from cert_otel.capture._finalisers import drain
from cert_otel.capture._streams import MAX_BODY_BYTES, BodyDecoder

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
    from contextlib import AbstractContextManager

    from tests.capture.conftest import Bench

    from cert_otel.capture import Call
    from cert_otel.records import Kind

EVENTS: Final = "text/event-stream; charset=utf-8"


class BrokenError(Exception):
    """What goes wrong in the provider's own iterator."""


class Response:
    """What is used of an HTTP response, of either flavour."""

    def __init__(self, pieces: Sequence[Any] = (), content_type: str = "application/json") -> None:
        self.headers = {"content-type": content_type}
        self.is_stream_consumed = False
        self.content = b"".join(piece for piece in pieces if isinstance(piece, bytes))
        self.closed = 0
        self._pieces = pieces

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Yield the pieces; an exception among them is raised."""
        del chunk_size
        for piece in self._pieces:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    async def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """Yield the same for `async for`."""
        for piece in self.iter_bytes(chunk_size):
            yield piece

    def close(self) -> str:
        """Close, and answer something of its own."""
        self.closed += 1
        return "closed"

    async def aclose(self) -> str:
        """Close, likewise."""
        return self.close()


class Stream:
    """A stream as SDKs make it, of either flavour."""

    def __init__(self, items: Sequence[Any], *, is_async: bool = False) -> None:
        self.response = Response(items)
        self._iterator: Any = self.response.iter_bytes()
        if is_async:
            self._iterator = self.response.aiter_bytes()


def note(seen: list[Any]) -> Callable[[Call], None]:
    """Return a chunk that notes the span that is current where it is read."""
    return lambda _: seen.append(trace.get_current_span())


async def read_all(iterator: Any) -> list[Any]:
    """Read an asynchronous iterator to its end."""
    return [item async for item in iterator]


class TestStream:
    """The iterator inside a stream, looked over its shoulder."""

    @pytest.mark.parametrize("is_async", [False, True])
    def test_items_pass_unchanged(self, bench: Bench, *, is_async: bool) -> None:
        """Each is the provider's own object, and each is counted."""
        items = [note([]), note([])]
        stream = Stream(items, is_async=is_async)
        watch_stream(stream, bench.begin(), is_async=is_async)
        read = asyncio.run(read_all(stream._iterator)) if is_async else list(stream._iterator)

        assert [one is other for one, other in zip(read, items, strict=True)] == [True, True]
        assert bench.attributes[semconv.STREAM_OUTCOME] == "completed"
        assert bench.attributes[semconv.STREAM_CHUNK_COUNT] == 2

    @pytest.mark.parametrize("is_async", [False, True])
    def test_errors_pass_unchanged(self, bench: Bench, *, is_async: bool) -> None:
        """The very exception reaches the application, and ends the call."""
        error = BrokenError("mine")
        stream = Stream([note([]), error], is_async=is_async)
        watch_stream(stream, bench.begin(), is_async=is_async)
        with pytest.raises(BrokenError) as caught:
            asyncio.run(read_all(stream._iterator)) if is_async else list(stream._iterator)

        assert caught.value is error
        assert (error.__cause__, error.__context__) == (None, None)
        assert bench.attributes[semconv.STREAM_OUTCOME] == "error"

    @pytest.mark.parametrize("is_async", [False, True])
    def test_its_iterator_has_what_it_had(self, bench: Bench, *, is_async: bool) -> None:
        """It is its own iterator, and the generator behind it can be reached."""
        stream, call = Stream([note([])], is_async=is_async), bench.begin()
        inner = stream._iterator
        watch_stream(stream, call, is_async=is_async)
        iterator = stream._iterator
        call.close()

        assert (aiter(iterator) if is_async else iter(iterator)) is iterator
        name = "ag_frame" if is_async else "gi_frame"
        assert getattr(iterator, name) is getattr(inner, name)

    @pytest.mark.parametrize("is_async", [False, True])
    def test_after_its_end_it_only_passes_on(self, bench: Bench, *, is_async: bool) -> None:
        """What comes after the call has ended is nobody's business."""
        stream = Stream([note([]), note([])], is_async=is_async)
        call = bench.begin()
        watch_stream(stream, call, is_async=is_async)
        call.close()
        read = asyncio.run(read_all(stream._iterator)) if is_async else list(stream._iterator)

        assert len(read) == 2
        assert bench.attributes[semconv.STREAM_CHUNK_COUNT] == 0

    def test_the_span_is_current_in_a_read_alone(self, bench: Bench) -> None:
        """The loop's body belongs to the application."""
        current: list[Any] = []

        def produce() -> Iterator[Any]:
            current.append(trace.get_current_span())
            yield note([])

        call = bench.begin()
        span = call.span
        stream = Stream([])
        stream._iterator = produce()
        before = context.get_current()
        watch_stream(stream, call, is_async=False)
        for _ in stream._iterator:
            assert context.get_current() is before

        assert current == [span]


class TestClose:
    """Closing the HTTP response is noticed, once."""

    def test_it_does_what_it_did(self, bench: Bench) -> None:
        """The response is closed, its answer comes back, and its method is its own again."""
        stream = Stream([])
        watch_stream(stream, bench.begin(), is_async=False)

        assert [stream.response.close(), stream.response.close()] == ["closed", "closed"]
        assert stream.response.closed == 2
        assert "close" not in vars(stream.response)
        assert "aclose" not in vars(stream.response)
        assert bench.attributes[semconv.STREAM_OUTCOME] == "closed"

    def test_it_may_be_awaited(self, bench: Bench) -> None:
        """The asynchronous one, likewise."""
        stream = Stream([], is_async=True)
        watch_stream(stream, bench.begin(), is_async=True)

        assert asyncio.run(stream.response.aclose()) == "closed"
        assert "aclose" not in vars(stream.response)
        assert bench.attributes[semconv.STREAM_OUTCOME] == "closed"

    def test_a_method_that_somebody_put_there_comes_back(self, bench: Bench) -> None:
        """Who had replaced it before us finds it again."""
        stream = Stream([])
        response: Any = stream.response
        response.close = mine = lambda: "mine"
        watch_stream(stream, bench.begin(), is_async=False)

        assert response.close() == "mine"
        assert response.close is mine

    def test_an_error_of_its_own_passes(self, bench: Bench) -> None:
        """A connection that cannot be closed says so, and the call ends all the same."""
        stream = Stream([])
        response: Any = stream.response

        def fail() -> None:
            raise BrokenError

        response.close = fail
        watch_stream(stream, bench.begin(), is_async=False)
        with pytest.raises(BrokenError):
            response.close()

        assert bench.attributes[semconv.STREAM_OUTCOME] == "closed"


def follow(response: Response, bench: Bench, *, is_async: bool = False) -> list[bytes]:
    """Read a response to its end while it is read along."""
    read_along(response, begin(bench), is_async=is_async)
    if is_async:
        return asyncio.run(read_all(response.aiter_bytes()))
    return list(response.iter_bytes())


def begin(bench: Bench) -> Call:
    """Begin a call whose replies and chunks are decoded JSON, not functions."""
    call = bench.begin()
    call.endpoint = Decoded()
    return call


class Decoded:
    """Notes decoded JSON under attributes of its own."""

    operation: str = semconv.OPERATION_CHAT
    kind: Kind | None = None

    def __init__(self) -> None:
        self.chunks: list[Any] = []

    def read_request(self, call: Call, request: Any) -> None:
        """Read nothing."""

    def read_reply(self, call: Call, reply: Any) -> None:
        """Note the whole reply."""
        call.attributes["reply"] = json.dumps(reply)

    def open_stream(self, call: Call) -> Decoded:
        """Note the chunks until the stream is closed."""
        self._call = call
        return self

    def read(self, chunk: Any) -> None:
        """Note a chunk."""
        self.chunks.append(chunk)

    def close(self) -> None:
        """Hand the chunks over."""
        self._call.attributes["chunks"] = json.dumps(self.chunks)


class TestBody:
    """A reply that the application reads byte by byte."""

    @pytest.mark.parametrize("is_async", [False, True])
    def test_is_decoded_at_its_end(self, bench: Bench, *, is_async: bool) -> None:
        """The bytes pass as they are; put together they are the reply."""
        pieces = [b'{"id": ', b'"c"', b"}"]

        assert follow(Response(pieces), bench, is_async=is_async) == pieces
        assert bench.attributes["reply"] == '{"id": "c"}'
        assert semconv.STREAM_OUTCOME not in bench.attributes

    def test_was_read_before(self, bench: Bench) -> None:
        """A response that is complete already is decoded at once."""
        response = Response([b'{"id": "c"}'])
        response.is_stream_consumed = True
        read_along(response, begin(bench), is_async=False)

        assert bench.attributes["reply"] == '{"id": "c"}'

    @pytest.mark.parametrize("body", [b"", b"RIFF\xff\xfe", b"<html>", b'{"id": '])
    def test_is_no_json(self, bench: Bench, body: bytes) -> None:
        """Audio, or a proxy's page, ends the call without a reply."""
        assert follow(Response([body]), bench) == [body]
        assert "reply" not in bench.attributes
        assert bench.span["status"] == "UNSET"

    def test_is_too_large_to_keep(self, bench: Bench) -> None:
        """It passes, and is not held in memory to be decoded."""
        piece = b" " * (MAX_BODY_BYTES // 4)
        assert len(follow(Response([piece] * 5 + [b"{}"]), bench)) == 6

        assert "reply" not in bench.attributes

    def test_nests_too_deep(self, bench: Bench, swallowed: Counter[str]) -> None:
        """What no decoder follows is passed on."""
        body = b"[" * 100_000
        assert follow(Response([body]), bench) == [body]

        assert "reply" not in bench.attributes
        assert swallowed.pop("decode_body") == 1

    @pytest.mark.parametrize("is_async", [False, True])
    def test_breaks_off(self, bench: Bench, *, is_async: bool) -> None:
        """The very exception reaches the application, and ends the call."""
        error = BrokenError("cut")
        with pytest.raises(BrokenError) as caught:
            follow(Response([b"{", error]), bench, is_async=is_async)

        assert caught.value is error
        assert bench.span["status"] == "ERROR"

    def test_is_dropped_in_the_middle_of_a_read(self, bench: Bench) -> None:
        """A read that its event loop threw away is an abandoned call, and no error."""
        held: Any = Held()
        response: Any = Response()
        response.aiter_bytes = lambda _=None: held
        read_along(response, begin(bench), is_async=True)
        pending = response.aiter_bytes().__anext__()
        contextvars.copy_context().run(pending.send, None)
        contextvars.Context().run(pending.close)
        drain()

        assert bench.attributes[semconv.STREAM_OUTCOME] == "abandoned"
        assert bench.span["status"] == "UNSET"

    def test_is_never_read(self, bench: Bench) -> None:
        """A response that is closed unread is a closed call."""
        response = Response([b"{}"])
        read_along(response, begin(bench), is_async=False)
        response.close()

        assert "reply" not in bench.attributes
        assert bench.attributes[semconv.STREAM_OUTCOME] == "closed"

    def test_methods_are_the_responses_own_again(self, bench: Bench) -> None:
        """After the first use nothing of ours is left on it."""
        response = Response([b"{}"])
        before = sorted(vars(response))
        follow(response, bench)
        response.close()

        assert sorted(vars(response)) == before

    @pytest.mark.parametrize("is_async", [False, True])
    def test_its_iterator_has_what_it_had(self, bench: Bench, *, is_async: bool) -> None:
        """The generator behind it can be reached."""
        response, call = Response([b"{}"]), begin(bench)
        read_along(response, call, is_async=is_async)
        call.close()
        iterator: Any = response.aiter_bytes(10) if is_async else response.iter_bytes(10)

        assert (aiter(iterator) if is_async else iter(iterator)) is iterator
        assert getattr(iterator, "ag_frame" if is_async else "gi_frame") is not None


class Held:
    """Bytes that never come."""

    def __aiter__(self) -> Held:
        return self

    async def __anext__(self) -> bytes:
        await self
        raise AssertionError("nobody sends anything")

    def __await__(self) -> Generator[None, None, None]:
        yield


CHUNKS: Final[list[Any]] = [{"n": 1}, {"text": "größer\n"}, {"n": [3]}]
BODY: Final = (
    b": a comment\n\nevent: message\nid: 7\n"
    + b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in CHUNKS)
    + b"data: broken {\n\ndata:[DONE]\n\ndata: {}\n\n"
)


class TestEvents:
    """A stream of events that the application reads byte by byte."""

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        cuts=st.lists(st.integers(0, len(BODY)), max_size=8).map(sorted),
        ends=st.sampled_from([b"\n", b"\r\n"]),
    )
    def test_cuts_do_not_matter(
        self,
        make_bench: Callable[..., AbstractContextManager[Bench]],
        cuts: list[int],
        ends: bytes,
    ) -> None:
        """Wherever the network cuts, and however lines end, the same chunks are read."""
        pieces = [BODY[a:b] for a, b in zip([0, *cuts], [*cuts, len(BODY)], strict=True)]
        pieces = [piece.replace(b"\n", ends) for piece in pieces]
        with make_bench() as bench:
            assert follow(Response(pieces, EVENTS), bench) == pieces
            assert json.loads(bench.attributes["chunks"]) == CHUNKS
            assert bench.attributes[semconv.STREAM_OUTCOME] == "completed"

    @pytest.mark.parametrize("is_async", [False, True])
    def test_may_end_without_saying_so(self, bench: Bench, *, is_async: bool) -> None:
        """Servers that send no `[DONE]`, nor the last line's end, end with the last byte."""
        follow(Response([b'data: {"n": 1}\n\ndata: {"n": 2}'], EVENTS), bench, is_async=is_async)

        assert json.loads(bench.attributes["chunks"]) == [{"n": 1}, {"n": 2}]
        assert bench.attributes[semconv.STREAM_OUTCOME] == "completed"

    def test_one_that_is_too_large_is_passed_over(self, bench: Bench) -> None:
        """It is not held in memory, and those after it are read."""
        large = b"x" * (MAX_BODY_BYTES // 2)
        pieces = [b"data: ", large, large, large, b"\n\n", b'data: {"n": 1}\n\n']
        follow(Response(pieces, EVENTS), bench)

        assert json.loads(bench.attributes["chunks"]) == [{"n": 1}]

    def test_after_the_end_nothing_is_read(self, bench: Bench) -> None:
        """Bytes that somebody reads on are passed over."""
        call = begin(bench)
        decoder = BodyDecoder(call, is_events=True)
        call.close()
        decoder.feed(b'data: {"n": 1}\n\n')
        decoder.finish()

        assert bench.attributes[semconv.STREAM_CHUNK_COUNT] == 0

    def test_left_before_the_end(self, bench: Bench) -> None:
        """What was read so far is what is known."""
        response = Response([b'data: {"n": 1}\n\n', b'data: {"n": 2}\n\n'], EVENTS)
        read_along(response, begin(bench), is_async=False)
        next(response.iter_bytes())
        response.close()

        assert json.loads(bench.attributes["chunks"]) == [{"n": 1}]
        assert bench.attributes[semconv.STREAM_OUTCOME] == "closed"
