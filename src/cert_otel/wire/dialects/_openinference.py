"""OpenInference (Arize): `llm.*`, `input.value`, `output.value`, everything else flattened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cert_otel import semconv
from cert_otel.semconv import OpenInference
from cert_otel.wire._values import as_mapping, dump, find_json, find_object
from cert_otel.wire.dialects._attributes import (
    fill,
    fill_cost,
    fill_parameters,
    move,
    take_list,
)
from cert_otel.wire.dialects._genai import as_list
from cert_otel.wire.dialects._messages import Message, Part, to_message, to_messages, to_text
from cert_otel.wire.dialects._providers import to_provider
from cert_otel.wire.dialects._usage import fill_usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cert_otel.wire.span import Attributes, Span

_KINDS: Final[Mapping[str, str]] = {
    "LLM": "inference",
    "EMBEDDING": "embedding",
    "RETRIEVER": "retrieval",
    "RERANKER": "retrieval",
    "TOOL": "tool",
    "AGENT": "agent",
    "CHAIN": "chain",
}
"""The rest, as guardrails and evaluators, are functions."""
_OPERATIONS: Final[Mapping[str, str]] = {
    "inference": semconv.OPERATION_CHAT,
    "embedding": semconv.OPERATION_EMBEDDINGS,
    "retrieval": "retrieval",
    "tool": "execute_tool",
    "agent": "invoke_agent",
}
_NAMES: Final = (
    (OpenInference.RESPONSE_MODEL, semconv.RESPONSE_MODEL),
    (OpenInference.REQUEST_MODEL, semconv.REQUEST_MODEL),
    (OpenInference.PROMPT_TOKENS, semconv.USAGE_INPUT_TOKENS),
    (OpenInference.COMPLETION_TOKENS, semconv.USAGE_OUTPUT_TOKENS),
    (OpenInference.CACHE_READ_TOKENS, semconv.USAGE_CACHE_READ_TOKENS),
    (OpenInference.CACHE_INPUT_TOKENS, semconv.USAGE_CACHE_READ_TOKENS),
    (OpenInference.CACHE_WRITE_TOKENS, semconv.USAGE_CACHE_CREATION_TOKENS),
    (OpenInference.REASONING_TOKENS, semconv.USAGE_REASONING_TOKENS),
    (OpenInference.SESSION_ID, semconv.CONVERSATION_ID),
    (OpenInference.AGENT_NAME, semconv.AGENT_NAME),
    (OpenInference.TOOL_NAME, semconv.TOOL_NAME),
    (OpenInference.METADATA, semconv.METADATA),
)
_COST_PARTS: Final = (
    (OpenInference.COST_PROMPT, semconv.COST_INPUT),
    (OpenInference.COST_COMPLETION, semconv.COST_OUTPUT),
)
_MODELS: Final = (
    OpenInference.MODEL,
    OpenInference.EMBEDDING_MODEL,
    OpenInference.RERANKER_MODEL,
)


def read(span: Span) -> None:
    """Translate a span of OpenInference."""
    attributes = span.attributes
    named = str(attributes.pop(OpenInference.SPAN_KIND, "LLM")).upper()
    kind = _KINDS.get(named, "function")
    fill(attributes, semconv.RECORD_KIND, kind)
    move(attributes, _NAMES)
    _read_provider(attributes)
    for name in (OpenInference.PARAMETERS, OpenInference.EMBEDDING_PARAMETERS):
        parameters = find_object(attributes.pop(name, None))
        fill_parameters(attributes, parameters)
        fill(attributes, semconv.REQUEST_MODEL, parameters.get("model"))
    if attributes.get(OpenInference.COST_TOTAL):
        move(attributes, _COST_PARTS)
        fill_cost(attributes, attributes.pop(OpenInference.COST_TOTAL))
    given = attributes.pop(OpenInference.INPUT_VALUE, None)
    result = attributes.pop(OpenInference.OUTPUT_VALUE, None)
    if kind in ("inference", "embedding"):
        _read_call(attributes, find_object(given), find_object(result))
    elif kind == "retrieval":
        _read_retrieval(attributes, given)
    elif kind == "tool":
        schema = attributes.pop(OpenInference.TOOL_PARAMETERS, None)
        fill(attributes, semconv.TOOL_CALL_ARGUMENTS, given or schema)
        fill(attributes, semconv.TOOL_CALL_RESULT, result)
    _read_data(attributes, kind, given, result)
    fill(attributes, semconv.OPERATION_NAME, _OPERATIONS.get(kind))


def _read_provider(attributes: Attributes) -> None:
    provider = attributes.pop(OpenInference.PROVIDER, None)
    system = attributes.pop(OpenInference.SYSTEM, None)
    if provider == "azure" and system != "openai":
        fill(attributes, semconv.PROVIDER_NAME, "azure.ai.inference")
    elif provider == "google" and system == "vertexai":
        fill(attributes, semconv.PROVIDER_NAME, "gcp.vertex_ai")
    fill(attributes, semconv.PROVIDER_NAME, to_provider(provider) or to_provider(system))


def _read_call(attributes: Attributes, request: dict[str, Any], reply: dict[str, Any]) -> None:
    """Read a call of a model; `input.value` and `output.value` are its request and its reply."""
    model = next((attributes.pop(name) for name in _MODELS if attributes.get(name)), None)
    fill(attributes, semconv.REQUEST_MODEL, request.get("model"))
    if reply:
        fill(attributes, semconv.RESPONSE_ID, reply.get("id") or _find_langchain_id(reply))
        fill(attributes, semconv.RESPONSE_MODEL, reply.get("model"))
        fill_usage(attributes, as_mapping(reply.get("usage")))
    answered = semconv.USAGE_OUTPUT_TOKENS in attributes or bool(reply)
    fill(attributes, semconv.RESPONSE_MODEL if answered else semconv.REQUEST_MODEL, model)
    if semconv.REQUEST_MODEL not in attributes:
        fill(attributes, semconv.RESPONSE_MODEL, model)
    _read_finish_reasons(attributes, reply)
    _read_messages(attributes)
    tools = [
        tool.get(OpenInference.TOOL_SCHEMA) for tool in take_list(attributes, OpenInference.TOOLS)
    ]
    found = [schema for tool in tools if isinstance(schema := find_json(tool), dict)]
    fill(attributes, semconv.TOOL_DEFINITIONS, found)
    texts = take_list(attributes, OpenInference.EMBEDDINGS)
    asked = [text for item in texts if (text := item.get(OpenInference.EMBEDDING_TEXT))]
    if asked:
        fill(attributes, semconv.INPUT_DATA, asked[-1])


def _find_langchain_id(reply: dict[str, Any]) -> Any:
    """Return the provider's id of a reply within LangChain's own result."""
    found: Any = reply.get("generations")
    while isinstance(found, list) and found:
        found = found[0]
    for name in ("message", "kwargs", "response_metadata", "id"):
        found = as_mapping(found).get(name)
    return found


def _read_finish_reasons(attributes: Attributes, reply: dict[str, Any]) -> None:
    choices = reply.get("choices")
    reasons = [
        choice["finish_reason"]
        for choice in (choices if isinstance(choices, list) else ())
        if isinstance(choice, dict) and isinstance(choice.get("finish_reason"), str)
    ]
    stated = attributes.pop(OpenInference.FINISH_REASON, None)
    fill(
        attributes,
        semconv.RESPONSE_FINISH_REASONS,
        reasons or (as_list(stated) if stated else None),
    )


def _read_messages(attributes: Attributes) -> None:
    asked = [
        _read_message(item, "user") for item in take_list(attributes, OpenInference.INPUT_MESSAGES)
    ]
    answered = [
        _read_message(item, "assistant")
        for item in take_list(attributes, OpenInference.OUTPUT_MESSAGES)
    ]
    prompts = take_list(attributes, OpenInference.PROMPTS)
    choices = take_list(attributes, OpenInference.CHOICES)
    if prompts or choices:
        fill(attributes, semconv.OPERATION_NAME, semconv.OPERATION_TEXT_COMPLETION)
    texts = [item.get(OpenInference.PROMPT_TEXT) for item in prompts]
    completed = [item.get(OpenInference.COMPLETION_TEXT) for item in choices]
    fill(attributes, semconv.INPUT_MESSAGES, asked or _wrap(texts, "user"))
    fill(attributes, semconv.OUTPUT_MESSAGES, answered or _wrap(completed, "assistant"))


def _wrap(texts: list[Any], role: str) -> list[Message]:
    return [{"role": role, "parts": [to_text(text)]} for text in texts if isinstance(text, str)]


def _read_message(item: Attributes, role: str) -> Message:
    contents = take_list(item, OpenInference.MESSAGE_CONTENTS)
    calls = take_list(item, OpenInference.MESSAGE_TOOL_CALLS)
    plain = {
        "role": item.get(OpenInference.MESSAGE_ROLE),
        "content": item.get(OpenInference.MESSAGE_CONTENT),
        "tool_call_id": item.get(OpenInference.MESSAGE_TOOL_CALL_ID),
        "tool_calls": [_read_tool_call(call) for call in calls],
    }
    message = to_message(plain, role=role) or {"role": role, "parts": []}
    message["parts"] = [*map(_read_content, contents), *message["parts"]]
    return message


def _read_content(item: Attributes) -> Part:
    if isinstance(text := item.get(OpenInference.CONTENT_TEXT), str):
        kind = item.get(OpenInference.CONTENT_TYPE)
        return {"type": "reasoning" if kind == "reasoning" else "text", "content": text}
    url = item.get(OpenInference.CONTENT_IMAGE_URL)
    if isinstance(url, str) and url.startswith("http"):
        return {"type": "uri", "modality": "image", "uri": url}
    return {"type": "blob", "modality": str(item.get(OpenInference.CONTENT_TYPE) or "unknown")}


def _read_tool_call(item: Attributes) -> dict[str, Any]:
    return {
        "id": item.get(OpenInference.CALL_ID),
        "name": item.get(OpenInference.CALL_NAME),
        "arguments": item.get(OpenInference.CALL_ARGUMENTS),
    }


def _read_retrieval(attributes: Attributes, given: Any) -> None:
    found = take_list(attributes, OpenInference.RETRIEVAL_DOCUMENTS) or take_list(
        attributes, OpenInference.RERANKER_OUTPUT
    )
    take_list(attributes, OpenInference.RERANKER_INPUT)
    query = attributes.pop(OpenInference.RERANKER_QUERY, None)
    fill(attributes, semconv.RETRIEVAL_QUERY_TEXT, query or given)
    documents = [
        {"id": item.get(OpenInference.DOCUMENT_ID), "content": item[OpenInference.DOCUMENT_CONTENT]}
        for item in found
        if item.get(OpenInference.DOCUMENT_CONTENT)
    ]
    fill(attributes, semconv.RETRIEVAL_DOCUMENTS, documents)


def _read_data(attributes: Attributes, kind: str, given: Any, result: Any) -> None:
    """Take `input.value` and `output.value` as they are where nothing says it better."""
    structured = kind in ("inference", "embedding", "tool", "retrieval")
    mime_types = [
        attributes.pop(name, None)
        for name in (OpenInference.INPUT_MIME_TYPE, OpenInference.OUTPUT_MIME_TYPE)
    ]
    pairs = (
        (given, mime_types[0], semconv.INPUT_MESSAGES, semconv.INPUT_DATA),
        (result, mime_types[1], semconv.OUTPUT_MESSAGES, semconv.OUTPUT_DATA),
    )
    for value, mime_type, messages, data in pairs:
        if kind == "inference" and messages not in attributes and _is_text(value, mime_type):
            role = "user" if messages == semconv.INPUT_MESSAGES else "assistant"
            fill(attributes, messages, to_messages(str(value), role=role))
        elif not structured:
            fill(attributes, data, value if isinstance(value, str | None) else dump(value))


def _is_text(value: Any, mime_type: Any) -> bool:
    return isinstance(value, str) and mime_type != "application/json" and bool(value)
