"""`chat.completions.create`, `parse` and `stream`, and their beta paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cert_otel import semconv
from cert_otel.capture import clean_tree
from cert_otel_instrumentations.openai._fields import (
    as_index,
    as_list,
    as_text,
    fields_of,
    get,
    get_list,
    get_logprob,
    get_text,
    pluck_logprobs,
)
from cert_otel_instrumentations.openai._messages import (
    input_message,
    output_message,
    prompt_texts,
)
from cert_otel_instrumentations.openai._parameters import (
    read_error,
    read_identity,
    read_parameters,
    read_service,
)
from cert_otel_instrumentations.openai._usage import read_billing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cert_otel.capture import Call
    from cert_otel.records import Kind


class ChatEndpoint:
    """Chat completions of every server that speaks this protocol."""

    kind: Kind | None = None
    operation = semconv.OPERATION_CHAT

    def read_request(self, call: Call, request: Any) -> None:
        """Read parameters, fingerprint and, where captured, messages and tools."""
        read_parameters(call, request)
        messages = request.get("messages")
        if not isinstance(messages, (list, tuple)):
            return
        call.prompt_parts = prompt_texts(messages)
        if call.captures_content:
            call.input_messages = [input_message(message) for message in messages]
            call.tools = clean_tree(get_list(request, "tools")) or None

    def read_reply(self, call: Call, reply: Any) -> None:
        """Read a chat completion."""
        fields = fields_of(reply)
        read_identity(call, fields)
        read_billing(call, fields.get("usage"))
        choices = as_list(fields.get("choices"))
        call.finish_reasons = reasons = []
        call.logprobs = logprobs = []
        for choice in choices:
            known = fields_of(choice)
            reasons.append(as_text(known.get("finish_reason")) or "error")
            if (given := known.get("logprobs")) is not None:
                logprobs += _read_logprobs(given)
        if call.captures_content:
            call.output_messages = [output_message(choice) for choice in choices]

    def open_stream(self, call: Call) -> ChatStream:
        """Return a reader for the chunks."""
        return ChatStream(call)


def _read_logprobs(logprobs: Any) -> list[Any]:
    fields = fields_of(logprobs)
    content, refusal = fields.get("content"), fields.get("refusal")
    if not refusal:
        return pluck_logprobs(content) if content else []
    return pluck_logprobs(content) + pluck_logprobs(refusal)


class _ChoiceText:
    """What one choice of a stream has said so far."""

    __slots__ = ("finish_reason", "reasoning", "refusal", "text", "tool_calls")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.tool_calls: dict[Any, dict[str, Any]] = {}
        self.finish_reason: str | None = None

    def add(self, delta: Any) -> None:
        """Add the texts and tool calls of a delta."""
        if text := get_text(delta, "content"):
            self.text.append(text)
        if text := get_text(delta, "reasoning_content") or get_text(delta, "reasoning"):
            self.reasoning.append(text)
        if text := get_text(delta, "refusal"):
            self.refusal.append(text)
        for call in get_list(delta, "tool_calls"):
            self._add_tool_call(call)

    def _add_tool_call(self, delta: Any) -> None:
        call = self.tool_calls.setdefault(
            as_index(get(delta, "index")), {"id": None, "function": {"name": None, "arguments": ""}}
        )
        function = get(delta, "function")
        call["id"] = get_text(delta, "id") or call["id"]
        call["function"]["name"] = get_text(function, "name") or call["function"]["name"]
        call["function"]["arguments"] += get_text(function, "arguments") or ""

    def as_choice(self) -> dict[str, Any]:
        """Return it as a choice of a reply that was not streamed."""
        return {
            "finish_reason": self.finish_reason,
            "message": {
                "role": "assistant",
                "content": "".join(self.text),
                "reasoning_content": "".join(self.reasoning),
                "refusal": "".join(self.refusal),
                "tool_calls": list(self.tool_calls.values()),
            },
        }


class ChatStream:
    """Gathers the chunks of a chat completion."""

    __slots__ = ("_call", "_captures", "_choices", "_logprobs", "_skims", "_usage")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._captures = call.captures_content
        self._choices: dict[Any, _ChoiceText] = {}
        self._logprobs: list[float | None] = []
        self._usage: Any = None
        self._skims = False
        """Which reply it is, is known, and texts are not asked for."""

    def read(self, chunk: Any) -> None:
        """Take identity, finish reason, usage, logprobs and, where captured, text."""
        if self._skims:
            try:
                # One more token of the one choice, and nothing else: nearly all chunks are that.
                (choice,) = chunk.choices
                logprobs = choice.logprobs
                if (
                    chunk.usage is choice.finish_reason is None
                    and not chunk.__pydantic_extra__
                    and (logprobs is None or logprobs.refusal is None)
                ):
                    if logprobs is not None:
                        self._logprobs += list(map(get_logprob, logprobs.content))
                    return
            except (AttributeError, TypeError, ValueError):
                pass
        self._read_any(chunk)

    def _read_any(self, chunk: Any) -> None:
        fields = fields_of(chunk)
        if self._call.response_id is None:
            read_identity(self._call, fields)
            self._skims = not self._captures and self._call.response_id is not None
        if "error" in fields:
            read_error(self._call, fields)
        usage = fields.get("usage")
        if usage is not None:
            self._usage = usage
            read_service(self._call, fields)
        for choice in as_list(fields.get("choices")):
            known = fields_of(choice)
            if (logprobs := known.get("logprobs")) is not None:
                self._logprobs += _read_logprobs(logprobs)
            if self._captures or known.get("finish_reason") is not None:
                self._read_text(known)

    def _read_text(self, choice: Mapping[str, Any]) -> None:
        known = self._find_choice(choice)
        known.finish_reason = as_text(choice.get("finish_reason")) or known.finish_reason
        if self._captures:
            known.add(choice.get("delta"))

    def _find_choice(self, choice: Mapping[str, Any]) -> _ChoiceText:
        # Some servers leave the index out: their one choice is then the choice.
        index = as_index(choice.get("index"))
        known = self._choices.get(index)
        if known is None:
            known = self._choices[index] = _ChoiceText()
        return known

    def close(self) -> None:
        """Hand over what came, also of a stream that ended early."""
        call = self._call
        read_billing(call, self._usage)
        call.logprobs = self._logprobs
        indices = sorted(self._choices, key=lambda index: index or 0)
        choices = [self._choices[index] for index in indices]
        call.finish_reasons = [c.finish_reason for c in choices if c.finish_reason is not None]
        if self._captures and choices:
            call.output_messages = [output_message(choice.as_choice()) for choice in choices]
