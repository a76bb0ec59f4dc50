"""A server on loopback that answers chat completions as the test wants it."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def reply(content: str | None, finish_reason: str = "stop") -> tuple[int, Any]:
    """Return a status and a body with one choice."""
    message = {"role": "assistant", "content": content}
    return 200, {"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}


class JudgeServer:
    """Remembers what it was asked, and answers by a function from the user's message."""

    def __init__(self) -> None:
        self.answer: Callable[[str], tuple[int, Any]] = lambda _: reply(
            '{"unsupported": [], "score": 1.0}'
        )
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.active = self.most_active = 0
        self.lock = threading.Lock()

    def take(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        """Take one request."""
        with self.lock:
            self.paths.append(path)
            self.asked.append(body)
            self.headers.append(headers)
            self.active += 1
            self.most_active = max(self.most_active, self.active)
        try:
            return self.answer(body["messages"][-1]["content"])
        finally:
            with self.lock:
                self.active -= 1


@contextmanager
def serve(server: JudgeServer) -> Iterator[JudgeServer]:
    """Listen on a free port of loopback; `server.url` ends with `/v1`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): text for name, text in self.headers.items()}
            status, answer = server.take(self.path, headers, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
