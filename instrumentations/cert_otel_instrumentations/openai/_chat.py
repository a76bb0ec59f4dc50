"""`chat.completions.create`, `parse` and `stream`, and their beta paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cert_otel import semconv
from cert_otel.capture import clean_tree
from cert_otel_instrumentations.openai._fields import get, get_list, get_text
from cert_otel_instrumentations.openai._messages import (
    input_message,
    output_message,
    prompt_texts,
)
from cert_otel_instrumentations.openai._parameters import (
    read_output_type,
    read_parameters,
    read_reasoning,
    read_service,
)
from cert_otel_instrumentations.openai._usage import read_provider_cost, read_usage

if TYPE_CHECKING:
    from cert_otel.capture import Call
    from cert_otel.records import Kind


class ChatEndpoint:
    """Chat completions of every server that speaks this protocol."""

    kind: Kind | None = None
    operation = semconv.OPERATION_CHAT

    def read_request(self, call: Call, request: Any) -> None:
        """Read parameters, fingerprint and, where captured, messages and tools."""
        read_parameters(call, request)
        read_reasoning(call, request.get("reasoning_effort"))
        read_output_type(call, request.get("response_format"))
        messages = request.get("messages")
        if not isinstance(messages, (list, tuple)):
            return
        call.prompt_parts = prompt_texts(list(messages))
        if call.captures_content:
            call.input_messages = [input_message(message) for message in messages]
            call.tools = clean_tree(get_list(request, "tools")) or None

    def read_reply(self, call: Call, reply: Any) -> None:
        """Read a chat completion."""
        call.response_id = get_text(reply, "id")
        call.response_model = get_text(reply, "model")
        read_service(call, reply)
        usage = get(reply, "usage")
        call.usage = read_usage(usage)
        call.provider_cost = read_provider_cost(usage)
        choices = get_list(reply, "choices")
        call.finish_reasons = [get_text(choice, "finish_reason") or "error" for choice in choices]
        call.logprobs = [value for choice in choices for value in _choice_logprobs(choice)]
        if call.captures_content:
            call.output_messages = [output_message(choice) for choice in choices]

    def open_stream(self, call: Call) -> ChatStream:
        """Return a reader for the chunks."""
        return ChatStream(call)


def _choice_logprobs(choice: Any) -> list[float | None]:
    logprobs = get(choice, "logprobs")
    if logprobs is None:
        return []
    tokens = get_list(logprobs, "content") + get_list(logprobs, "refusal")
    return [get(token, "logprob") for token in tokens]


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
            get(delta, "index"), {"id": None, "function": {"name": None, "arguments": ""}}
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

    __slots__ = ("_call", "_captures", "_choices", "_logprobs", "_usage")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._captures = call.captures_content
        self._choices: dict[Any, _ChoiceText] = {}
        self._logprobs: list[float | None] = []
        self._usage: Any = None

    def read(self, chunk: Any) -> None:
        """Take identity, finish reason, usage, logprobs and, where captured, text."""
        call = self._call
        if call.response_id is None:
            call.response_id = get_text(chunk, "id")
            call.response_model = get_text(chunk, "model")
            read_service(call, chunk)
        usage = get(chunk, "usage")
        if usage is not None:
            self._usage = usage
            read_service(call, chunk)
        for choice in get(chunk, "choices") or ():
            self._read_choice(choice)

    def _read_choice(self, choice: Any) -> None:
        # Some servers leave the index out: their one choice is then the choice.
        index = get(choice, "index")
        known = self._choices.get(index)
        if known is None:
            known = self._choices[index] = _ChoiceText()
        finish_reason = get(choice, "finish_reason")
        if finish_reason is not None:
            known.finish_reason = finish_reason
        if get(choice, "logprobs") is not None:
            self._logprobs.extend(_choice_logprobs(choice))
        if self._captures:
            known.add(get(choice, "delta"))

    def close(self) -> None:
        """Hand over what came, also of a stream that ended early."""
        call = self._call
        call.usage = read_usage(self._usage)
        call.provider_cost = read_provider_cost(self._usage)
        call.logprobs = self._logprobs
        choices = list(self._choices.values())
        call.finish_reasons = [c.finish_reason for c in choices if c.finish_reason is not None]
        if self._captures and choices:
            call.output_messages = [output_message(choice.as_choice()) for choice in choices]
