"""What every peer is made to record, as data: the request, the provider's reply, and its facts.

Figures and texts occur once in all scenarios, so that a value found on a span is that value and
no other. Only the standard library is imported: a peer's environment has nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

Endpoint = Literal["chat", "responses", "embeddings", "messages"]

WEATHER_PARAMETERS: Final = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
WEATHER: Final = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather in a city.",
        "parameters": WEATHER_PARAMETERS,
    },
}
WEATHER_RESULT: Final = '{"sky": "clear", "celsius": 21}'


@dataclass(frozen=True)
class Call:
    """One request to the provider, and what the provider answers."""

    endpoint: Endpoint
    request: dict[str, Any]
    """Arguments of the SDK's method."""
    reply: dict[str, Any]
    """Fields of `cert_otel.testing.Reply`; of `messages` those that `golden.messages` reads."""
    asked: str
    """The last user text."""


@dataclass(frozen=True)
class Scenario:
    """What an application does in one trace, or in one trace for each call."""

    name: str
    calls: tuple[Call, ...]


def count_chat(
    prompt: int, completion: int, *, cached: int | None = None, reasoning: int | None = None
) -> dict[str, Any]:
    """Return usage as the chat endpoint sends it; what is `None` is not sent."""
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    if reasoning is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return usage


def count_responses(prompt: int, completion: int, *, cached: int, reasoning: int) -> dict[str, Any]:
    """Return usage as the Responses endpoint sends it."""
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": prompt + completion,
    }


def ask(question: str, *, model: str = "gpt-4o", **further: Any) -> dict[str, Any]:
    """Return a chat request of one question."""
    return {"model": model, "messages": [{"role": "user", "content": question}], **further}


def make_stream(question: str, answer: str, **parts: Any) -> Call:
    """Return a streamed chat call."""
    request = ask(question, stream=True, **parts.get("request", {}))
    return Call("chat", request, {"text": answer, **parts.get("reply", {})}, question)


WEATHER_QUESTION: Final = "How is the weather in Lisbon?"
WEATHER_CALL: Final = {"name": "get_weather", "arguments": '{"city": "Lisbon"}'}
WEATHER_ROUND: Final = (
    Call(
        "chat",
        ask(WEATHER_QUESTION, tools=[WEATHER]),
        {"tool_calls": [WEATHER_CALL], "usage": count_chat(1507, 31)},
        WEATHER_QUESTION,
    ),
    Call(
        "chat",
        {
            "model": "gpt-4o",
            "tools": [WEATHER],
            "messages": [
                {"role": "user", "content": WEATHER_QUESTION},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "call_weather", "type": "function", "function": WEATHER_CALL}
                    ],
                },
                {"role": "tool", "tool_call_id": "call_weather", "content": WEATHER_RESULT},
            ],
        },
        {"text": "Clear, and 21 degrees.", "usage": count_chat(1609, 37)},
        WEATHER_QUESTION,
    ),
)

SCENARIOS: Final = (
    Scenario(
        "chat",
        (
            Call(
                "chat",
                {
                    "model": "gpt-4o",
                    "messages": [
                        {"role": "system", "content": "Answer with one word."},
                        {"role": "user", "content": "Good morning!"},
                        {"role": "assistant", "content": "Hello."},
                        {"role": "user", "content": "What is the capital of France?"},
                    ],
                    "temperature": 0.2,
                    "logprobs": True,
                },
                {"text": "Paris", "logprobs": [-0.25], "usage": count_chat(1201, 53)},
                "What is the capital of France?",
            ),
        ),
    ),
    Scenario(
        "cached and reasoning tokens",
        (
            Call(
                "chat",
                ask("How many primes are below 30?", model="o4-mini"),
                {"text": "Ten.", "usage": count_chat(1303, 211, cached=1024, reasoning=128)},
                "How many primes are below 30?",
            ),
        ),
    ),
    Scenario(
        "stream with usage",
        (
            make_stream(
                "Who painted Guernica?",
                "Picasso painted it.",
                request={"stream_options": {"include_usage": True}},
                reply={"usage": count_chat(1409, 61)},
            ),
        ),
    ),
    Scenario(
        "stream without usage",
        (
            # The Vercel AI SDK asks for usage in any case: the provider sends none.
            make_stream(
                "Who composed Fidelio?", "Beethoven composed it.", reply={"send_usage": False}
            ),
        ),
    ),
    Scenario("tool round", WEATHER_ROUND),
    Scenario(
        "embeddings",
        (
            Call(
                "embeddings",
                {
                    "model": "text-embedding-3-small",
                    "input": "a text to embed",
                    "dimensions": 4,
                },
                {"usage": {"prompt_tokens": 1103, "total_tokens": 1103}},
                "a text to embed",
            ),
        ),
    ),
    Scenario(
        "error",
        (
            Call(
                "chat",
                ask("Why is this refused?"),
                {"text": "The request is too long.", "status": 400},
                "Why is this refused?",
            ),
        ),
    ),
    Scenario(
        "responses",
        (
            Call(
                "responses",
                {
                    "model": "gpt-4o",
                    "instructions": "Be brief.",
                    "input": "Which river runs through Vienna?",
                },
                {
                    "text": "The Danube.",
                    "usage": count_responses(1709, 73, cached=512, reasoning=17),
                },
                "Which river runs through Vienna?",
            ),
        ),
    ),
    Scenario(
        "choices",
        (
            Call(
                "chat",
                ask("Name a colour.", n=2),
                {"text": "Blue.", "alternatives": ["Green."], "usage": count_chat(1801, 41)},
                "Name a colour.",
            ),
        ),
    ),
)
