"""The AI SDK of Vercel: `ai.*` beside a few GenAI attributes, each call within an outer span."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cert_otel import semconv
from cert_otel.semconv import Vercel
from cert_otel.wire._values import find_json, find_number
from cert_otel.wire.dialects._attributes import fill, move
from cert_otel.wire.dialects._messages import Part, to_messages, to_text, to_tool_call
from cert_otel.wire.dialects._providers import to_provider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cert_otel.wire.span import Attributes, Span

_CALLS: Final = (".doGenerate", ".doStream")
_EMBEDDING: Final = ".doEmbed"
_KINDS: Final[Mapping[str, str]] = {
    "ai.toolCall": "tool",
    "ai.embed": "chain",
    "ai.embedMany": "chain",
    "ai.rerank": "chain",
    "ai.rerank.doRerank": "retrieval",
}
"""Of what is left, as `ai.generateText`, each span stands for a loop of calls and tools."""
_NAMES: Final = (
    (Vercel.RESPONSE_ID, semconv.RESPONSE_ID),
    (Vercel.RESPONSE_MODEL, semconv.RESPONSE_MODEL),
    (Vercel.MODEL, semconv.REQUEST_MODEL),
    (Vercel.FUNCTION, semconv.FUNCTION_NAME),
    (Vercel.INPUT_TOKENS, semconv.USAGE_INPUT_TOKENS),
    (Vercel.PROMPT_TOKENS, semconv.USAGE_INPUT_TOKENS),
    (Vercel.TOKENS, semconv.USAGE_INPUT_TOKENS),
    (Vercel.OUTPUT_TOKENS, semconv.USAGE_OUTPUT_TOKENS),
    (Vercel.COMPLETION_TOKENS, semconv.USAGE_OUTPUT_TOKENS),
    (Vercel.CACHE_READ_TOKENS, semconv.USAGE_CACHE_READ_TOKENS),
    (Vercel.CACHED_TOKENS, semconv.USAGE_CACHE_READ_TOKENS),
    (Vercel.CACHE_WRITE_TOKENS, semconv.USAGE_CACHE_CREATION_TOKENS),
    (Vercel.REASONING_DETAIL, semconv.USAGE_REASONING_TOKENS),
    (Vercel.REASONING_TOKENS, semconv.USAGE_REASONING_TOKENS),
    (Vercel.TOOL_NAME, semconv.TOOL_NAME),
    (Vercel.TOOL_ARGUMENTS, semconv.TOOL_CALL_ARGUMENTS),
    (Vercel.TOOL_RESULT, semconv.TOOL_CALL_RESULT),
)


def read(span: Span) -> None:
    """Translate a span of the AI SDK."""
    attributes = span.attributes
    operation = str(attributes.pop(Vercel.OPERATION, ""))
    _set_operation(attributes, operation)
    move(attributes, _NAMES)
    fill(attributes, semconv.PROVIDER_NAME, attributes.pop(Vercel.PROVIDER, None))
    for name in (semconv.PROVIDER_NAME, semconv.SYSTEM):
        if name in attributes:
            attributes[name] = to_provider(attributes[name])
    first_chunk_ms = find_number(attributes.pop(Vercel.FIRST_CHUNK_MS, None))
    if first_chunk_ms is not None:
        fill(attributes, semconv.RESPONSE_TIME_TO_FIRST_CHUNK, first_chunk_ms / 1000)
    reason = attributes.pop(Vercel.FINISH_REASON, None)
    if isinstance(reason, str):
        fill(attributes, semconv.RESPONSE_FINISH_REASONS, [reason])
    _read_content(attributes)
    for name in [name for name in attributes if name.startswith(Vercel.METADATA_PREFIX)]:
        fill(attributes, name.removeprefix(Vercel.METADATA_PREFIX), attributes.pop(name))


def _set_operation(attributes: Attributes, operation: str) -> None:
    if semconv.OPERATION_NAME in attributes:
        return
    if operation.endswith(_CALLS):
        attributes[semconv.OPERATION_NAME] = semconv.OPERATION_CHAT
    elif operation.endswith(_EMBEDDING):
        attributes[semconv.OPERATION_NAME] = semconv.OPERATION_EMBEDDINGS
    else:
        attributes[semconv.RECORD_KIND] = _KINDS.get(operation, "agent")


def _read_content(attributes: Attributes) -> None:
    asked = attributes.pop(Vercel.PROMPT_MESSAGES, None)
    prompt = find_json(attributes.pop(Vercel.PROMPT, None))
    fill(attributes, semconv.INPUT_MESSAGES, to_messages(asked) or _read_prompt(prompt))
    parts = _find_answer(attributes)
    if parts:
        fill(attributes, semconv.OUTPUT_MESSAGES, [{"role": "assistant", "parts": parts}])
    tools = attributes.pop(Vercel.PROMPT_TOOLS, None)
    found = [find_json(tool) for tool in tools] if isinstance(tools, list) else []
    fill(attributes, semconv.TOOL_DEFINITIONS, [tool for tool in found if isinstance(tool, dict)])
    values = attributes.pop(Vercel.VALUES, None)
    listed = [values] if isinstance(values, str) else values
    texts = [find_json(value) for value in listed] if isinstance(listed, list) else []
    given = find_json(attributes.pop(Vercel.VALUE, None))
    asked_of = [text for text in (given, *texts) if isinstance(text, str) and text]
    if asked_of:
        fill(attributes, semconv.INPUT_DATA, asked_of[-1])


def _read_prompt(prompt: Any) -> list[dict[str, Any]]:
    """Read what the outer call was given: `{system, prompt}` or `{system, messages}`."""
    if not isinstance(prompt, dict):
        return []
    messages = to_messages(prompt.get("messages") or prompt.get("prompt"))
    system = prompt.get("system")
    if isinstance(system, str) and system:
        return [{"role": "system", "parts": [to_text(system)]}, *messages]
    return messages


def _find_answer(attributes: Attributes) -> list[Part]:
    parts: list[Part] = []
    reasoning = attributes.pop(Vercel.RESPONSE_REASONING, None)
    if isinstance(reasoning, str) and reasoning:
        parts.append({"type": "reasoning", "content": reasoning})
    texts = (Vercel.RESPONSE_TEXT, Vercel.FORMER_TEXT, Vercel.RESPONSE_OBJECT)
    found = [attributes.pop(name, None) for name in texts]
    text = next((text for text in found if isinstance(text, str) and text), None)
    if text is not None:
        parts.append(to_text(text))
    for name in (Vercel.RESPONSE_TOOL_CALLS, Vercel.FORMER_TOOL_CALLS):
        calls = find_json(attributes.pop(name, None))
        called = map(to_tool_call, calls if isinstance(calls, list) else ())
        parts += [call for call in called if call is not None]
    return parts
