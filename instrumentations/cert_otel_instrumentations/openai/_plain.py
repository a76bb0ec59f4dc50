"""Endpoints that are not modelled: a span with what every reply may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cert_otel import semconv
from cert_otel_instrumentations.openai._fields import get, get_text
from cert_otel_instrumentations.openai._usage import read_usage

if TYPE_CHECKING:
    from cert_otel.capture import Call, Endpoint
    from cert_otel.records import Kind


class PlainEndpoint:
    """Images, audio, moderations, batches, files and whatever comes next.

    A reply with usage was a billed call of a model: its record is of kind `inference`.
    """

    kind: Kind | None = "function"

    def __init__(self, operation: str, *, has_usage: bool) -> None:
        self.operation = operation
        self._has_usage = has_usage

    def read_request(self, call: Call, request: Any) -> None:
        """Read nothing: the parameters of an unknown endpoint are unknown."""

    def read_reply(self, call: Call, reply: Any) -> None:
        """Read id, model and usage where they are."""
        call.response_id = get_text(reply, "id") or call.response_id
        call.response_model = get_text(reply, "model") or call.response_model
        usage = read_usage(get(reply, "usage")) if self._has_usage else None
        if usage is not None:
            call.usage = usage
            call.kind = "inference"

    def open_stream(self, call: Call) -> PlainStream:
        """Return a reader that keeps the last usage it sees."""
        return PlainStream(self, call)


class PlainStream:
    """Events of an unknown endpoint; some carry the object that they are about."""

    def __init__(self, endpoint: Endpoint, call: Call) -> None:
        self._endpoint = endpoint
        self._call = call

    def read(self, chunk: Any) -> None:
        """Look for usage in the event, and in its `data` or `response`."""
        for holder in (chunk, get(chunk, "data"), get(chunk, "response")):
            if holder is not None and get(holder, "usage") is not None:
                self._endpoint.read_reply(self._call, holder)

    def close(self) -> None:
        """Do nothing: each event was read when it came."""


class FetchEndpoint:
    """`responses.retrieve` and `cancel`: the stored reply of a call that was counted already.

    It has no usage and no cost, or the call would be paid for twice.
    """

    kind: Kind | None = "function"
    operation = semconv.OPERATION_FETCH_RESPONSE

    def read_request(self, call: Call, request: Any) -> None:
        """Read nothing: the request is an id in the path."""

    def read_reply(self, call: Call, reply: Any) -> None:
        """Read which reply it was."""
        call.response_id = get_text(reply, "id")
        call.response_model = get_text(reply, "model")
        if (status := get_text(reply, "status")) is not None:
            call.attributes[semconv.RESPONSE_STATUS] = status

    def open_stream(self, call: Call) -> FetchStream:
        """Return a reader for a stored reply that is streamed."""
        return FetchStream(self, call)


class FetchStream:
    """Events of a stored reply."""

    def __init__(self, endpoint: FetchEndpoint, call: Call) -> None:
        self._endpoint = endpoint
        self._call = call

    def read(self, chunk: Any) -> None:
        """Read the reply where an event carries it."""
        if (response := get(chunk, "response")) is not None:
            self._endpoint.read_reply(self._call, response)

    def close(self) -> None:
        """Do nothing: each event was read when it came."""
