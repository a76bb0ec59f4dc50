"""`embeddings.create`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cert_otel import semconv
from cert_otel.capture import text_part
from cert_otel_instrumentations.openai._fields import get, get_count, get_text
from cert_otel_instrumentations.openai._plain import PlainStream
from cert_otel_instrumentations.openai._usage import read_billing

if TYPE_CHECKING:
    from cert_otel.capture import Call
    from cert_otel.records import Kind


class EmbeddingsEndpoint:
    """Texts in, vectors out; the vectors themselves are never read."""

    kind: Kind | None = None
    operation = semconv.OPERATION_EMBEDDINGS

    def read_request(self, call: Call, request: Any) -> None:
        """Read the parameters and, where content is captured, the texts."""
        if (encoding := get_text(request, "encoding_format")) is not None:
            call.attributes[semconv.REQUEST_ENCODING_FORMATS] = [encoding]
        if (dimensions := get_count(request, "dimensions")) is not None:
            call.attributes[semconv.EMBEDDINGS_DIMENSION_COUNT] = dimensions
        call.user = get_text(request, "user")
        value = get(request, "input")
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return
        call.prompt_parts = texts
        if call.captures_content:
            call.input_messages = [{"role": "user", "parts": [text_part(t) for t in texts]}]

    def read_reply(self, call: Call, reply: Any) -> None:
        """Read model and usage."""
        call.response_model = get_text(reply, "model")
        read_billing(call, get(reply, "usage"))

    def open_stream(self, call: Call) -> PlainStream:
        """Return a reader for a server that streams embeddings all the same."""
        return PlainStream(self, call)
