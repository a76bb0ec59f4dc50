"""Anthropic's Messages API: scenarios as data, and a loopback server that answers them."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self

from golden.scenarios import WEATHER_PARAMETERS, WEATHER_RESULT, Call, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

MODEL: Final = "claude-sonnet-4-5-20250929"
ALIAS: Final = "claude-sonnet-4-5"
"""What is asked; the dated model answers."""
BAD_REQUEST: Final = 400
TOOL: Final = {
    "name": "get_weather",
    "description": "Tell the weather in a city.",
    "input_schema": WEATHER_PARAMETERS,
}
TOOL_QUESTION: Final = "How is the weather in Bergen?"
TOOL_CALL: Final = {"name": "get_weather", "arguments": '{"city": "Bergen"}'}


def ask(question: str, **further: Any) -> dict[str, Any]:
    """Return a request of one question."""
    messages = [{"role": "user", "content": question}]
    return {"model": ALIAS, "max_tokens": 64, "messages": messages, **further}


def make_call(question: str, answer: str, usage: dict[str, int], **further: Any) -> Call:
    """Return a call of one question."""
    return Call("messages", ask(question, **further), {"text": answer, "usage": usage}, question)


MESSAGES: Final = (
    Scenario(
        "chat",
        (
            make_call(
                "What is the capital of Spain?",
                "Madrid.",
                {"input_tokens": 1201, "output_tokens": 53},
                system="Answer with one word.",
            ),
        ),
    ),
    Scenario(
        "cache read and written",
        (
            make_call(
                "How many primes are below 40?",
                "Twelve.",
                {
                    "input_tokens": 307,
                    "cache_read_input_tokens": 1024,
                    "cache_creation_input_tokens": 512,
                    "output_tokens": 211,
                },
            ),
        ),
    ),
    Scenario(
        "stream",
        (
            make_call(
                "Who painted Las Meninas?",
                "Velazquez painted it.",
                {"input_tokens": 1409, "output_tokens": 61},
                stream=True,
            ),
        ),
    ),
    Scenario(
        "tool round",
        (
            Call(
                "messages",
                ask(TOOL_QUESTION, tools=[TOOL]),
                {"tool_calls": [TOOL_CALL], "usage": {"input_tokens": 1507, "output_tokens": 31}},
                TOOL_QUESTION,
            ),
            Call(
                "messages",
                {
                    **ask(TOOL_QUESTION, tools=[TOOL]),
                    "messages": [
                        {"role": "user", "content": TOOL_QUESTION},
                        {
                            "role": "assistant",
                            "content": [
                                {
                                    "type": "tool_use",
                                    "id": "toolu_weather",
                                    "name": "get_weather",
                                    "input": {"city": "Bergen"},
                                }
                            ],
                        },
                        {
                            "role": "user",
                            "content": [
                                {
                                    "type": "tool_result",
                                    "tool_use_id": "toolu_weather",
                                    "content": WEATHER_RESULT,
                                }
                            ],
                        },
                    ],
                },
                {
                    "text": "Clear, for once.",
                    "usage": {"input_tokens": 1609, "output_tokens": 37},
                },
                TOOL_QUESTION,
            ),
        ),
    ),
    Scenario(
        "error",
        (
            Call(
                "messages",
                ask("Why is that refused?"),
                {"text": "The request is too long.", "status": BAD_REQUEST},
                "Why is that refused?",
            ),
        ),
    ),
)


class MessagesProvider:
    """Answers `POST /v1/messages` with calls' replies in their order; a proxy as well."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = iter(enumerate(calls, 1))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(self))

    @property
    def url(self) -> str:
        """The server's origin."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self) -> tuple[int, str, bytes]:
        """Return the status, the content type and the body of the next reply."""
        number, call = next(self._calls)
        if call.reply.get("status"):
            error = {"type": "invalid_request_error", "message": call.reply["text"]}
            body = {"type": "error", "error": error}
            return call.reply["status"], "application/json", json.dumps(body).encode()
        message = _make_message(call, number)
        if call.request.get("stream"):
            return 200, "text/event-stream", b"".join(_stream(message))
        return 200, "application/json", json.dumps(message).encode()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _make_message(call: Call, number: int) -> dict[str, Any]:
    asked_for = call.reply.get("tool_calls", ())
    content: list[dict[str, Any]] = [
        {
            "type": "tool_use",
            "id": f"toolu_{number:024d}",
            "name": tool["name"],
            "input": json.loads(tool["arguments"]),
        }
        for tool in asked_for
    ]
    if "text" in call.reply:
        content.insert(0, {"type": "text", "text": call.reply["text"]})
    return {
        "id": f"msg_{number:024d}",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": content,
        "stop_reason": "tool_use" if asked_for else "end_turn",
        "stop_sequence": None,
        "usage": call.reply["usage"],
    }


def _stream(message: dict[str, Any]) -> Iterator[bytes]:
    """Send a message of one text as the provider streams it: output is counted at the end."""
    usage, (block,) = message["usage"], message["content"]
    opened: dict[str, Any] = {
        "content": [],
        "stop_reason": None,
        "usage": {**usage, "output_tokens": 1},
    }
    yield _encode("message_start", message={**message, **opened})
    yield _encode("content_block_start", index=0, content_block={**block, "text": ""})
    for piece in re.findall(r"\S+\s*", block["text"]):
        delta = {"type": "text_delta", "text": piece}
        yield _encode("content_block_delta", index=0, delta=delta)
    yield _encode("content_block_stop", index=0)
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield _encode("message_delta", delta=ended, usage={"output_tokens": usage["output_tokens"]})
    yield _encode("message_stop")


def _encode(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def _make_handler(provider: MessagesProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            status, kind, body = provider.answer()
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named so where it is overridden
            """Say nothing: a request is no news."""

    return Handler
