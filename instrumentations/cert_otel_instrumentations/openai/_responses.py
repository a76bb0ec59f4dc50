"""`responses.create`, `parse` and `stream`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cert_otel import semconv
from cert_otel.capture import (
    clean_tree,
    reasoning_part,
    text_part,
    tool_call_part,
    tool_response_part,
)
from cert_otel_instrumentations.openai._fields import (
    fields_of,
    get,
    get_list,
    get_text,
    pluck_logprobs,
)
from cert_otel_instrumentations.openai._messages import content_part, prompt_texts
from cert_otel_instrumentations.openai._parameters import (
    read_identity,
    read_parameters,
)
from cert_otel_instrumentations.openai._usage import count_tools, read_billing

if TYPE_CHECKING:
    from cert_otel.capture import Call, Message, Part
    from cert_otel.records import Kind

_FINISH_REASONS: Final = {"max_output_tokens": "length"}
"""Reasons of an incomplete reply under the names that chat gives them."""


class ResponsesEndpoint:
    """The Responses API: items in, items out."""

    kind: Kind | None = None
    operation = semconv.OPERATION_CHAT

    def read_request(self, call: Call, request: Any) -> None:
        """Read parameters, fingerprint and, where captured, input and tools."""
        read_parameters(call, request)
        self._read_thread(call, request)
        items = request.get("input")
        if isinstance(items, str):
            items = [{"role": "user", "content": items}]
        if not isinstance(items, list):
            return
        instructions = get_text(request, "instructions")
        call.prompt_parts = (*([instructions] if instructions else ()), *prompt_texts(items))
        if call.captures_content:
            call.input_messages = [_input_message(item) for item in items]
            call.system_instructions = [text_part(instructions)] if instructions else None
            call.tools = clean_tree(get_list(request, "tools")) or None

    @staticmethod
    def _read_thread(call: Call, request: Any) -> None:
        call.attributes[semconv.OPENAI_API_TYPE] = "responses"
        if (previous := get_text(request, "previous_response_id")) is not None:
            call.attributes[semconv.REQUEST_PREVIOUS_RESPONSE_ID] = previous
        conversation = request.get("conversation")
        name = conversation if isinstance(conversation, str) else get_text(conversation, "id")
        if name:
            call.attributes[semconv.CONVERSATION_ID] = name

    def read_reply(self, call: Call, reply: Any) -> None:
        """Read a response object, complete or not."""
        read_identity(call, fields_of(reply))
        read_billing(call, get(reply, "usage"))
        items = get_list(reply, "output")
        if call.usage is not None and items:
            call.usage = count_tools(call.usage, items)
        self._read_status(call, reply, items)
        call.logprobs = [value for item in items for value in _item_logprobs(item)]
        if call.captures_content:
            parts = [part for item in items for part in _output_parts(item)]
            reason = call.finish_reasons[0] if call.finish_reasons else None
            call.output_messages = [{"role": "assistant", "parts": parts, "finish_reason": reason}]

    @staticmethod
    def _read_status(call: Call, reply: Any, items: list[Any]) -> None:
        status = get_text(reply, "status")
        if status is None:
            return
        call.attributes[semconv.RESPONSE_STATUS] = status
        if status == "completed":
            called = any(get_text(item, "type") == "function_call" for item in items)
            call.finish_reasons = ["tool_calls" if called else "stop"]
        elif status == "incomplete":
            reason = get_text(get(reply, "incomplete_details"), "reason") or status
            call.finish_reasons = [_FINISH_REASONS.get(reason, reason)]
        elif status == "failed":
            call.finish_reasons = ["error"]
            call.error_type = get_text(get(reply, "error"), "code") or "failed"

    def open_stream(self, call: Call) -> ResponseStream:
        """Return a reader for the events."""
        return ResponseStream(self, call)


def _item_logprobs(item: Any) -> list[Any]:
    return [
        value
        for content in get_list(item, "content")
        for value in pluck_logprobs(get(content, "logprobs"))
    ]


def _input_message(item: Any) -> Message:
    kind = get_text(item, "type") or "message"
    if kind.endswith("_call_output"):
        response = tool_response_part(
            call_id=get_text(item, "call_id"), response=get(item, "output")
        )
        return {"role": "tool", "parts": [response]}
    if kind != "message":
        return {"role": "assistant", "parts": _output_parts(item)}
    content = get(item, "content")
    parts = [content] if isinstance(content, str) else get_list(item, "content")
    role = get_text(item, "role") or "user"
    return {"role": role, "parts": [content_part(part) for part in parts]}


def _output_parts(item: Any) -> list[Part]:
    kind = get_text(item, "type")
    if kind == "message":
        return [content_part(part) for part in get_list(item, "content")]
    if kind == "reasoning":
        texts = (*get_list(item, "summary"), *get_list(item, "content"))
        return [reasoning_part(get_text(text, "text") or "") for text in texts]
    if kind in ("function_call", "custom_tool_call"):
        arguments = get(item, "arguments") if kind == "function_call" else get(item, "input")
        call_id = get_text(item, "call_id")
        name = get_text(item, "name")
        return [tool_call_part(call_id=call_id, name=name, arguments=arguments)]
    return [{"type": kind or "unknown", "content": clean_tree(item)}]


class ResponseStream:
    """Follows the events of a response; its last one carries the whole object."""

    __slots__ = ("_call", "_endpoint", "_is_final", "_text")

    def __init__(self, endpoint: ResponsesEndpoint, call: Call) -> None:
        self._endpoint = endpoint
        self._call = call
        self._text: list[str] = []
        self._is_final = False

    def read(self, chunk: Any) -> None:
        """Take a delta where content is captured, and the response where an event has it."""
        kind = get_text(chunk, "type")
        if kind == "response.output_text.delta":
            if self._call.captures_content:
                self._text.append(get_text(chunk, "delta") or "")
            return
        if kind == "error":
            self._call.error_type = get_text(chunk, "code") or "error"
            return
        response = get(chunk, "response")
        if response is not None:
            # The early events carry the response too, without output or usage.
            self._is_final = kind in _FINAL_EVENTS
            self._endpoint.read_reply(self._call, response)
        if self._is_final:
            # The call ends here and not with the bytes: applications stop reading at this
            # event, and so does the official instrumentor, whose span is to carry the cost.
            self._call.succeed()

    def close(self) -> None:
        """Keep the text of a stream that ended before its last event."""
        if self._is_final or not self._text:
            return
        parts = [text_part("".join(self._text))]
        self._call.output_messages = [{"role": "assistant", "parts": parts, "finish_reason": None}]


_FINAL_EVENTS: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
)
