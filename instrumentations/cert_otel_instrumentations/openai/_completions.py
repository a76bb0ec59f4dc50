"""`completions.create`: text in, text out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cert_otel import semconv
from cert_otel.capture import text_part
from cert_otel_instrumentations.openai._fields import (
    as_index,
    as_list,
    fields_of,
    get,
    get_list,
    get_text,
)
from cert_otel_instrumentations.openai._parameters import (
    read_error,
    read_identity,
    read_parameters,
)
from cert_otel_instrumentations.openai._usage import read_billing

if TYPE_CHECKING:
    from cert_otel.capture import Call, Message
    from cert_otel.records import Kind


class CompletionsEndpoint:
    """The endpoint before chat; many local servers still have it."""

    kind: Kind | None = None
    operation = semconv.OPERATION_TEXT_COMPLETION

    def read_request(self, call: Call, request: Any) -> None:
        """Read parameters, fingerprint and, where captured, the prompts."""
        read_parameters(call, request)
        prompt = request.get("prompt")
        prompts = [prompt] if isinstance(prompt, str) else prompt
        if not isinstance(prompts, list) or not all(isinstance(text, str) for text in prompts):
            return  # token ids are no text
        call.prompt_parts = prompts
        if call.captures_content:
            call.input_messages = [{"role": "user", "parts": [text_part(t) for t in prompts]}]

    def read_reply(self, call: Call, reply: Any) -> None:
        """Read a completion."""
        read_identity(call, fields_of(reply))
        read_billing(call, get(reply, "usage"))
        choices = get_list(reply, "choices")
        call.finish_reasons = [get_text(choice, "finish_reason") or "error" for choice in choices]
        call.logprobs = [value for choice in choices for value in _token_logprobs(choice)]
        if call.captures_content:
            texts = [get_text(choice, "text") or "" for choice in choices]
            call.output_messages = [
                _output(text, reason)
                for text, reason in zip(texts, call.finish_reasons, strict=True)
            ]

    def open_stream(self, call: Call) -> CompletionStream:
        """Return a reader for the chunks."""
        return CompletionStream(call)


def _token_logprobs(choice: Any) -> list[Any]:
    return get_list(get(choice, "logprobs"), "token_logprobs")


def _output(text: str, finish_reason: str | None) -> Message:
    return {"role": "assistant", "parts": [text_part(text)], "finish_reason": finish_reason}


class CompletionStream:
    """Gathers the chunks of a completion."""

    __slots__ = ("_call", "_finish_reasons", "_logprobs", "_texts", "_usage")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._texts: dict[Any, list[str]] = {}
        self._finish_reasons: dict[Any, str] = {}
        self._logprobs: list[Any] = []
        self._usage: Any = None

    def read(self, chunk: Any) -> None:
        """Take identity, finish reason, usage, logprobs and, where captured, text."""
        call = self._call
        fields = fields_of(chunk)
        if call.response_id is None:
            read_identity(call, fields)
        read_error(call, fields)
        usage = fields.get("usage")
        if usage is not None:
            self._usage = usage
        for choice in as_list(fields.get("choices")):
            self._read_choice(choice)

    def _read_choice(self, choice: Any) -> None:
        index = as_index(get(choice, "index"))
        if (reason := get_text(choice, "finish_reason")) is not None:
            self._finish_reasons[index] = reason
        self._logprobs.extend(_token_logprobs(choice))
        if self._call.captures_content:
            self._texts.setdefault(index, []).append(get_text(choice, "text") or "")

    def close(self) -> None:
        """Hand over what came, also of a stream that ended early."""
        call = self._call
        read_billing(call, self._usage)
        call.logprobs = self._logprobs
        call.finish_reasons = list(self._finish_reasons.values())
        if call.captures_content and self._texts:
            call.output_messages = [
                _output("".join(text), self._finish_reasons.get(index))
                for index, text in self._texts.items()
            ]
