"""The fake provider: a loopback HTTP server that speaks the OpenAI wire format."""

from __future__ import annotations

import re
import threading
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Self

from cert_otel.testing._chat import render_chat
from cert_otel.testing._completions import render_completion
from cert_otel.testing._http import Server
from cert_otel.testing._media import (
    render_embeddings,
    render_image,
    render_speech,
    render_transcription,
)
from cert_otel.testing._platform import (
    SNAPSHOTS,
    list_models,
    render_batch,
    render_file,
    render_moderation,
)
from cert_otel.testing._replies import Reply, ToolCall
from cert_otel.testing._responses import render_response
from cert_otel.testing._schema import make_example
from cert_otel.testing._wire import Exchange, answer_error, answer_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from cert_otel.testing._replies import Answers, RecordedRequest
    from cert_otel.testing._wire import Answer

_ROUTE: Final = re.compile(
    r"(?P<prefix>/openai(?:/deployments/(?P<deployment>[^/]+)|/v1)?|/v1)?/(?P<endpoint>.+)"
)
_MODELS: Final[Mapping[str, Callable[[Exchange], Answer]]] = {
    "audio/speech": render_speech,
    "audio/transcriptions": render_transcription,
    "chat/completions": render_chat,
    "completions": render_completion,
    "embeddings": render_embeddings,
    "images/generations": render_image,
    "moderations": render_moderation,
    "responses": render_response,
}
"""What models answer: one scripted reply for each request."""
_PLATFORM: Final[Mapping[str, Callable[[Exchange], Answer]]] = {
    "batches": render_batch,
    "files": render_file,
}
"""What takes no scripted reply."""
_AZURE_DEFAULTS: Final[Mapping[str, str]] = {
    "audio/speech": "gpt-4o-mini-tts",
    "audio/transcriptions": "gpt-4o-transcribe",
    "embeddings": "text-embedding-3-small",
    "images/generations": "gpt-image-1",
}
_AZURE_DEFAULT: Final = "gpt-4o-2024-08-06"
_NOT_FOUND: Final = 404


class FakeProvider:
    """An OpenAI-compatible server on 127.0.0.1, for tests and demonstrations.

    Answers are deterministic, every request is recorded, and nothing leaves the machine. Used
    without `answers` it gives canned ones: it repeats the question, calls the function that
    `tool_choice` demands, and fills a requested JSON schema.

    It is an HTTP proxy as well: a client that addresses `http://api.openai.com/v1` through
    `proxy=provider.url` ends here and keeps its own host name. `route_to` does the same for
    `https` addresses.

    Args:
        answers: Replies (or plain texts) in the order of the requests, or a function from
            request to reply. A request beyond the last reply is refused with HTTP 400.
        port: 0 takes a free one.
        deployments: Azure deployment name to the model that answers there.

    Example:
        >>> from openai import OpenAI
        >>> with FakeProvider(["4"]) as provider:
        ...     client = OpenAI(base_url=provider.base_url, api_key="test")
        ...     answer = client.chat.completions.create(
        ...         model="gpt-4o", messages=[{"role": "user", "content": "What is 2+2?"}]
        ...     )
        ...     client.close()
        >>> answer.choices[0].message.content
        '4'
        >>> provider.requests[0].json["model"]
        'gpt-4o'
    """

    def __init__(
        self,
        answers: Answers | None = None,
        *,
        port: int = 0,
        deployments: Mapping[str, str] | None = None,
    ) -> None:
        self.requests: list[RecordedRequest] = []
        """What arrived, in order."""
        self._answers = answers if callable(answers) else None
        self._script = None if answers is None or callable(answers) else list(answers)
        self._cursor = count()
        self._deployments = dict(deployments or {})
        self._stored: dict[str, Mapping[str, Any]] = {}
        self._port = port
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """The server's origin, for instance as the `proxy` of an HTTP client."""
        if self._server is None:
            raise RuntimeError("The fake provider is not running: use it in a with block")
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def base_url(self) -> str:
        """What `OpenAI(base_url=…)` takes."""
        return f"{self.url}/v1"

    @property
    def azure_endpoint(self) -> str:
        """What `AzureOpenAI(azure_endpoint=…)` takes."""
        return self.url

    def start(self) -> Self:
        """Listen, in a thread of its own."""
        self._server = Server(self._port, self._answer)
        threading.Thread(target=self._server.serve, name="fake-provider", daemon=True).start()
        return self

    def stop(self) -> None:
        """Close every connection and stop listening; what was recorded stays."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _answer(self, request: RecordedRequest) -> tuple[Answer, Reply]:
        self.requests.append(request)
        try:
            return self._serve(request)
        except Exception as error:  # noqa: BLE001 - a script's mistake must reach the test that made it
            failure = Reply(f"The fake provider cannot answer: {error!r}", status=400)
            return answer_error(failure), failure

    def _serve(self, request: RecordedRequest) -> tuple[Answer, Reply]:
        route = _ROUTE.fullmatch(request.path)
        endpoint = route["endpoint"] if route else ""
        if request.method == "POST" and endpoint in _PLATFORM:
            return self._render(_PLATFORM[endpoint], Exchange(request, Reply(), "")), Reply()
        if route is None or request.method != "POST" or endpoint not in _MODELS:
            return self._look_up(request, endpoint), Reply()
        reply = self._choose_reply(request)
        if reply.status >= 400:  # noqa: PLR2004 - where HTTP's errors start
            return answer_error(reply), reply
        model = reply.model or self._choose_model(request, route)
        azure = (route["prefix"] or "").startswith("/openai")
        return self._render(_MODELS[endpoint], Exchange(request, reply, model, azure)), reply

    def _render(self, render: Callable[[Exchange], Answer], exchange: Exchange) -> Answer:
        answer = render(exchange)
        if answer.stored is not None:
            self._stored[answer.stored["id"]] = answer.stored
        return answer

    def _choose_reply(self, request: RecordedRequest) -> Reply:
        if self._script is not None:
            return self._next_scripted()
        if self._answers is None:
            return make_canned(request)
        reply = self._answers(request)
        if reply is None:
            return make_canned(request)
        return Reply(reply) if isinstance(reply, str) else reply

    def _next_scripted(self) -> Reply:
        script, position = self._script or [], next(self._cursor)
        if position >= len(script):
            return Reply(f"The script has {len(script)} answers and no more.", status=400)
        reply = script[position]
        return Reply(reply) if isinstance(reply, str) else reply

    def _choose_model(self, request: RecordedRequest, route: re.Match[str]) -> str:
        asked = route["deployment"] or request.fields.get("model") or "unknown"
        if asked in self._deployments:
            return self._deployments[asked]
        if asked in SNAPSHOTS or not (route["prefix"] or "").startswith("/openai"):
            return SNAPSHOTS.get(asked, asked)
        return _AZURE_DEFAULTS.get(route["endpoint"], _AZURE_DEFAULT)

    def _look_up(self, request: RecordedRequest, endpoint: str) -> Answer:
        kind, _, name = endpoint.partition("/")
        known = list_models() if kind == "models" else self._list_stored(kind)
        if request.method == "GET" and kind in {"models", *_PLATFORM} and not name:
            return answer_json({"object": "list", "data": list(known.values()), "has_more": False})
        if request.method == "GET" and name in known:
            return answer_json(known[name])
        if request.method == "DELETE" and kind == "files" and name in known:
            del self._stored[name]
            return answer_json({"id": name, "object": "file", "deleted": True})
        text = f"Invalid URL ({request.method} {request.path})"
        return answer_error(Reply(text, status=_NOT_FOUND, patch={"code": None}))

    def _list_stored(self, kind: str) -> dict[str, Mapping[str, Any]]:
        wanted = {"responses": "response", "files": "file", "batches": "batch"}.get(kind)
        return {key: body for key, body in self._stored.items() if body["object"] == wanted}


def make_canned(request: RecordedRequest) -> Reply:
    """Return the answer that a request gets when nothing else was scripted."""
    fields = request.fields
    forced = _find_forced_tool(fields)
    if forced is not None:
        example = make_example(forced.get("parameters") or {})
        return Reply(tool_calls=[ToolCall(forced["name"], example)])
    schema = _find_schema(fields)
    if schema is not None:
        return Reply(ToolCall("", make_example(schema)).arguments_json)
    question = _find_question(fields)
    return Reply(f"You asked: {question}" if question else "Nothing was asked.")


def _find_forced_tool(fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    choice = fields.get("tool_choice")
    tools = [tool.get("function", tool) for tool in fields.get("tools") or ()]
    if isinstance(choice, dict):
        wanted = choice.get("function", choice).get("name")
        return next((tool for tool in tools if tool.get("name") == wanted), None)
    return tools[0] if choice == "required" and tools else None


def _find_schema(fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    chat = (fields.get("response_format") or {}) if "messages" in fields else {}
    if chat.get("type") == "json_schema":
        return chat["json_schema"].get("schema") or {}
    responses = (fields.get("text") or {}).get("format") or {}
    return responses.get("schema") if responses.get("type") == "json_schema" else None


def _find_question(fields: Mapping[str, Any]) -> str:
    asked = fields.get("messages") or fields.get("input") or fields.get("prompt") or ""
    while isinstance(asked, list):
        asked = asked[-1] if asked else ""
    if isinstance(asked, dict):
        said = asked.get("content") or asked.get("output") or asked.get("text")
        return _find_question({"input": said})
    return str(asked)
