"""The token rule of the fake provider: one rule for chunks, logprobs and usage."""

from __future__ import annotations

import json
import re
import zlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TOKEN: Final = re.compile(r"\s*\w{1,8}|\s*[^\w\s]|\s+\Z")
_TOKENS_PER_MESSAGE: Final = 4
"""Role and separators, as the provider's own counting guide has it for chat models."""
_TOKENS_PER_REPLY: Final = 3
"""Every reply is primed with the start of an assistant message."""
_TOKENS_PER_IMAGE: Final = 85
"""What one image costs at low detail."""
_TOKENS_PER_CLIP: Final = 10
"""Stands for one second of input audio."""


def split_tokens(text: str) -> list[str]:
    """Split text into the fake provider's tokens.

    A token is a word of at most eight characters or one sign, with the space before it.
    Joined, the tokens are the text again.

    Example:
        >>> split_tokens("It costs 4.50.")
        ['It', ' costs', ' 4', '.', '50', '.']
    """
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """Count the tokens that the fake provider bills for a text."""
    return len(split_tokens(text))


def derive_logprob(token: str) -> float:
    """Return a log probability in (-3.1, 0) that depends on the token alone.

    Most are close to zero and few are far from it, as with a real model; they mean nothing.
    """
    uniform = (zlib.crc32(token.encode()) % 1000 + 1) / 1000
    return -round(3 * uniform**4 + 1e-6, 6)


def count_messages(messages: Any) -> int:
    """Count the prompt tokens of chat messages; what is no list of messages counts nothing."""
    if not isinstance(messages, list):
        return 0
    return _TOKENS_PER_REPLY + sum(_TOKENS_PER_MESSAGE + _count_message(m) for m in messages)


def count_audio(messages: Any) -> int:
    """Count the part of the prompt tokens that is audio."""
    if not isinstance(messages, list):
        return 0
    return sum(
        _TOKENS_PER_CLIP
        for message in messages
        for part in _list_parts(message)
        if part.get("type") == "input_audio"
    )


def count_tools(tools: Any) -> int:
    """Count the tokens of tool definitions."""
    return count_tokens(json.dumps(tools)) if tools else 0


def count_input(value: Any) -> int:
    """Count the tokens of an embedding or completion input: texts or token ids, one or many."""
    if isinstance(value, str):
        return count_tokens(value)
    if isinstance(value, int):
        return 1
    return sum(count_input(item) for item in value or ())


def _count_message(message: Any) -> int:
    if not isinstance(message, dict):
        return 0
    content = message.get("content")
    text = content if isinstance(content, str) else message.get("output") or ""
    calls = [call.get("function", {}) for call in message.get("tool_calls") or ()]
    return (
        count_tokens(text if isinstance(text, str) else json.dumps(text))
        + sum(_count_part(part) for part in _list_parts(message))
        + sum(count_tokens(f"{call.get('name')}{call.get('arguments')}") for call in calls)
    )


def _list_parts(message: Any) -> Sequence[Mapping[str, Any]]:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return ()
    return [part for part in content if isinstance(part, dict)]


def _count_part(part: Mapping[str, Any]) -> int:
    match part.get("type"):
        case "image_url" | "input_image":
            return _TOKENS_PER_IMAGE
        case "input_audio":
            return _TOKENS_PER_CLIP
        case _:
            return count_tokens(str(part.get("text") or part.get("refusal") or ""))
