"""One span of each dialect, as attributes: what its instrumentor writes for one call."""

from __future__ import annotations

import json
from typing import Any

from wire_strategies import to_json_pairs

_OPENAI_MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "What is 2+2?"}]},
]

SAMPLES: dict[str, dict[str, Any]] = {
    "genai": {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "r-1",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.system_instructions": '[{"type": "text", "content": "Be brief."}]',
        "gen_ai.input.messages": (
            '[{"role": "user", "parts": [{"type": "text", "content": "What is 2+2?"}]}]'
        ),
        "gen_ai.output.messages": (
            '[{"role": "assistant", "parts": [{"type": "text", "content": "4"}]}]'
        ),
    },
    "genai-flattened": {
        "gen_ai.system": "openai",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "r-1",
        "gen_ai.usage.prompt_tokens": 12,
        "gen_ai.usage.completion_tokens": 5,
        "gen_ai.prompt.0.role": "system",
        "gen_ai.prompt.0.content": "Be brief.",
        "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": "What is 2+2?",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "4",
        "gen_ai.completion.0.finish_reason": "stop",
    },
    "openinference": {
        "openinference.span.kind": "LLM",
        "llm.provider": "openai",
        "llm.system": "openai",
        "llm.model_name": "gpt-4o-2024-08-06",
        "llm.invocation_parameters": '{"model": "gpt-4o", "temperature": 0.2}',
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": "Be brief.",
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.contents.0.message_content.type": "text",
        "llm.input_messages.1.message.contents.0.message_content.text": "What is 2+2?",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "4",
        "llm.token_count.prompt": 12,
        "llm.token_count.completion": 5,
        "llm.finish_reason": "stop",
        "output.value": '{"id": "r-1", "choices": [{"finish_reason": "stop"}]}',
        "output.mime_type": "application/json",
    },
    "openllmetry": {
        "llm.request.type": "chat",
        "traceloop.workflow.name": "w",
        "gen_ai.system": "OpenAI",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "r-1",
        "llm.usage.prompt_tokens": 12,
        "llm.usage.completion_tokens": 5,
        "llm.response.finish_reason": "stop",
        "gen_ai.prompt.0.role": "system",
        "gen_ai.prompt.0.content": "Be brief.",
        "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": '[{"type": "text", "text": "What is 2+2?"}]',
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "4",
    },
    "openlit": {
        "telemetry.sdk.name": "openlit",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "r-1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cost": 0.00008,
        "gen_ai.request.user": "",
        "gen_ai.input.messages": json.dumps(_OPENAI_MESSAGES),
        "gen_ai.output.messages": '[{"role": "assistant", "content": "4"}]',
    },
    "logfire": {
        "logfire.span_type": "span",
        "gen_ai.system": "openai",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "r-1",
        "gen_ai.response.finish_reasons": '["stop"]',
        "gen_ai.usage.raw": '{"prompt_tokens": 12, "completion_tokens": 5}',
        "request_data": json.dumps({"model": "gpt-4o", "messages": _OPENAI_MESSAGES}),
        "response_data": '{"message": {"role": "assistant", "content": "4"}}',
        "operation.cost": 0.00008,
    },
    "vercel-ai": {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.provider": "openai.chat",
        "ai.model.id": "gpt-4o",
        "ai.prompt.messages": json.dumps(_OPENAI_MESSAGES),
        "ai.prompt.tools": ['{"type": "function", "name": "add", "inputSchema": {}}'],
        "ai.response.text": "4",
        "ai.response.finishReason": "stop",
        "ai.response.id": "r-1",
        "ai.response.model": "gpt-4o-2024-08-06",
        "ai.usage.promptTokens": 12,
        "ai.usage.completionTokens": 5,
    },
}


def make_line(attributes: dict[str, Any], **span: Any) -> bytes:
    """Encode one span as a line of OTLP JSON."""
    fields = {
        "traceId": "1" * 32,
        "spanId": "2" * 16,
        "name": "a call",
        "startTimeUnixNano": "1800000000000000000",
        "endTimeUnixNano": "1800000000234100000",
        "attributes": to_json_pairs(attributes),
    }
    scope = span.pop("scope", "")
    scoped = {"scope": {"name": scope}, "spans": [fields | span]}
    return json.dumps({"resourceSpans": [{"scopeSpans": [scoped]}]}).encode() + b"\n"
