"""A server on loopback that answers as vLLM and SGLang do, from a small model in float64."""

from __future__ import annotations

import json
import threading
from collections import deque
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scoring.reference import Reference
    from transformers import PreTrainedTokenizerFast

CLAMPED = -9999.0


class CompletionsServer:
    """Answers `/tokenize` and `/v1/completions`, and remembers what it was asked."""

    def __init__(self, reference: Reference, tokenizer: PreTrainedTokenizerFast) -> None:
        self.reference = reference
        self.tokenizer = tokenizer
        self.max_model_len = 4_096
        self.knows_prompt_logprobs = True
        self.impossible: int | None = None
        """A token that the model gives the probability 0."""
        self.cached = 0
        """For so many tokens of a prompt the server has no logprobs: it had them in its cache."""
        self.problems: deque[tuple[int, dict[str, str]]] = deque()
        """Statuses and headers with which the next completions are answered instead."""
        self.refused: str | None = None
        """A completions request whose prompts hold this text is answered with 400."""
        self.falls_silent = False
        """A text that is being written stops after its first letter."""
        self.over = threading.Event()
        """The server ends: nobody is kept waiting."""
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.active = self.most_active = 0
        self.url = ""
        self._lock = threading.Lock()

    @property
    def completions(self) -> list[dict[str, Any]]:
        """The bodies of the completions requests."""
        with self._lock:
            return [body for body in self.asked if "max_tokens" in body]

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        """Return status, headers and body."""
        if path == "/tokenize":
            return self._tokenize(body)
        if path != "/v1/completions":
            return 404, {}, {"error": {"message": f"no {path}"}}
        if self.problems:
            status, headers = self.problems.popleft()
            return status, headers, {"error": {"message": "as the test wants it"}}
        if body.get("stream"):
            return 200, {}, None
        texts = [self.tokenizer.decode(ids) for ids in body["prompt"]]
        if self.refused and any(self.refused in text for text in texts):
            return 400, {}, {"error": {"message": "no such text"}}
        choices = [self._complete(index, ids, body) for index, ids in enumerate(body["prompt"])]
        return 200, {}, {"model": body["model"], "choices": choices}

    def write(self, body: dict[str, Any]) -> Iterator[str]:
        """Yield the lines of what the model writes, a letter an event."""
        ids: list[int] = body["prompt"]
        written: list[int] = []
        while len(written) < body["max_tokens"]:
            token = int(self.reference.read(np.asarray(ids + written))[-1].argmax())
            if token == self.tokenizer.eos_token_id:
                break
            written.append(token)
        yield ": keep the connection\n\n"
        for letter in str(self.tokenizer.decode(written, skip_special_tokens=True)):
            choice = {"index": 0, "text": letter, "finish_reason": None}
            yield f"data: {json.dumps({'choices': [choice]})}\n\n"
            if self.falls_silent:
                self.over.wait()
                return
        yield "data: [DONE]\n\n"

    def _tokenize(self, body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        if "messages" in body:
            if not self.tokenizer.chat_template:
                return 400, {}, {"error": {"message": "the tokenizer has no chat template"}}
            text = self.tokenizer.apply_chat_template(
                body["messages"], tokenize=False, add_generation_prompt=True
            )
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        else:
            ids = self.tokenizer(body["prompt"], add_special_tokens=body["add_special_tokens"])[
                "input_ids"
            ]
        reply = {"count": len(ids), "max_model_len": self.max_model_len, "tokens": ids}
        return 200, {}, reply

    def _complete(self, index: int, ids: list[int], body: dict[str, Any]) -> dict[str, Any]:
        positions = self._score(ids, body.get("prompt_logprobs") or body.get("logprobs") or 0)
        choice: dict[str, Any] = {"index": index, "text": "!", "finish_reason": "length"}
        if body.get("prompt_logprobs") is not None and self.knows_prompt_logprobs:
            choice["prompt_logprobs"] = positions
        if body.get("echo"):
            generated = {"0": {"logprob": -0.5, "rank": 1, "decoded_token": "!"}}
            choice["logprobs"] = _echo([*positions, generated], [*ids, 0])
        return choice

    def _score(self, ids: list[int], top: int) -> list[dict[str, Any] | None]:
        logits = self.reference.read(np.asarray(ids))
        logprobs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        told = [None, *(self._tell(logprobs[i], ids[i + 1], top) for i in range(len(ids) - 1))]
        return [None] * self.cached + told[self.cached :]

    def _tell(self, logprobs: Any, token: int, top: int) -> dict[str, Any]:
        likeliest = np.argsort(-logprobs)[:top].tolist()
        return {
            str(one): {
                "logprob": CLAMPED if one == self.impossible else float(logprobs[one]),
                "rank": int((logprobs > logprobs[one]).sum()) + 1,
                "decoded_token": f"<{one}>",
            }
            for one in dict.fromkeys([token, *likeliest])
        }


def _echo(positions: list[dict[str, Any] | None], ids: list[int]) -> dict[str, Any]:
    return {
        "tokens": [f"<{token}>" for token in ids],
        "token_logprobs": [
            None if entry is None else entry[str(token)]["logprob"]
            for entry, token in zip(positions, ids, strict=True)
        ],
        "top_logprobs": [
            entry and {one["decoded_token"]: one["logprob"] for one in entry.values()}
            for entry in positions
        ],
        "text_offset": [-1] * len(ids),  # SGLang does not know them
    }


@contextmanager
def serve(server: CompletionsServer) -> Iterator[CompletionsServer]:
    """Listen on a free port of loopback; `server.url` ends with `/v1`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with server._lock:
                server.asked.append(body)
                server.headers.append({name.lower(): text for name, text in self.headers.items()})
                server.active += 1
                server.most_active = max(server.most_active, server.active)
            try:
                status, headers, reply = server.answer(self.path, body)
            finally:
                with server._lock:
                    server.active -= 1
            if body.get("stream") and status == 200:
                self._stream(body)
                return
            data = json.dumps(reply).encode()
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _stream(self, body: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            with suppress(OSError):  # who asked has hung up
                for line in server.write(body):
                    self.wfile.write(line.encode())

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            http.shutdown()
            thread.join()
