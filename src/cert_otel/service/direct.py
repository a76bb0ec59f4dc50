"""Judging on request, beside the stream: what the JSON API asks of a worker.

A Unix socket, one JSON object a line each way. The worker answers between two batches, by the one
thread that may use the model; nothing is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socketserver
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Final, Literal, cast

import msgspec

from cert_otel.errors import CertOtelError
from cert_otel.records import EvaluationRecord, Record  # noqa: TC001 - msgspec resolves them
from cert_otel.service import places
from cert_otel.service.judging import Case, GuardedJudge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cert_otel.service.judging import Judges

MAX_LINE_BYTES: Final = 32 * 2**20
PATIENCE_S: Final = 120.0
"""Of a connection, for its answer."""
Operation = Literal["score", "evaluate", "describe"]
Problem = Literal["loading", "busy", "disabled", "unreadable"]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One request."""

    operation: Operation
    records: list[Record] = []
    """With trace and span id, which need be nobody's."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Its answer."""

    results: list[EvaluationRecord] = []
    """One a record, in order."""
    problem: Problem | None = None
    scorer: str | None = None
    revision: str | None = None


class UnansweredError(CertOtelError):
    """No worker answered: none is there, or it has no time."""

    severity = "critical"


_QUESTION: Final = msgspec.json.Decoder(Question)
_ANSWER: Final = msgspec.json.Decoder(Answer)
_encode: Final = msgspec.json.Encoder().encode


class DirectServer:
    """The worker's side: threads take questions, `answer_all` answers them."""

    def __init__(self, path: Path) -> None:
        """Listen at a path; a socket that a killed worker left there is replaced.

        Raises:
            ConfigError: The path is longer than a socket's may be.
        """
        places.check_socket(path)
        self._judges: Judges | None = None
        self._questions: queue.Queue[tuple[Question, Future[Answer]]] = queue.Queue(maxsize=64)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        self._path = path
        self._server = _Server(str(path), _Connection)
        self._server.ask = self._ask
        path.chmod(0o600)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def start(self, judges: Judges) -> None:
        """Answer from now on; until then the model is `loading`."""
        self._judges = judges

    def answer_all(self, *, wait_s: float = 0.0) -> None:
        """Answer what was asked so far, by the thread that calls; wait for the first so long.

        What is asked meanwhile is for the next time: who asks on and on holds up no batch.
        """
        asked = []
        with contextlib.suppress(queue.Empty):
            asked.append(self._questions.get(timeout=wait_s) if wait_s else self._pop())
            asked += [self._pop() for _ in range(self._questions.qsize())]
        for question, future in asked:
            if future.set_running_or_notify_cancel():
                future.set_result(self._answer(question))

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)

    def _pop(self) -> tuple[Question, Future[Answer]]:
        return self._questions.get_nowait()

    def _ask(self, line: bytes) -> Answer:
        try:
            question = _QUESTION.decode(line)
        except msgspec.DecodeError:
            return Answer(problem="unreadable")
        if self._judges is None:
            return Answer(problem="loading")
        if question.operation == "describe":
            return self._describe(self._judges)
        future: Future[Answer] = Future()
        try:
            self._questions.put_nowait((question, future))
            return future.result(PATIENCE_S)
        except (queue.Full, FutureTimeoutError):
            future.cancel()  # nobody waits for it any more
            return Answer(problem="busy")

    def _describe(self, judges: Judges) -> Answer:
        judge = judges.combine()
        return Answer(scorer=judge.name, revision=judge.revision)

    def _answer(self, question: Question) -> Answer:
        judges = self._judges
        judge = None
        if judges is not None:
            judge = judges.scoring if question.operation == "score" else judges.evaluation
        if judge is None:
            return Answer(problem="disabled")
        found = GuardedJudge(judge).judge([Case(record) for record in question.records])
        return Answer(results=[own[0] for own in found], scorer=judge.name, revision=judge.revision)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    ask: Callable[[bytes], Answer]


class _Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        line = self.rfile.readline(MAX_LINE_BYTES)
        # The server is the one above: socketserver types it as its base.
        answer = cast("_Server", self.server).ask(line)
        with contextlib.suppress(OSError):
            self.wfile.write(_encode(answer) + b"\n")


async def ask(path: Path, question: Question, *, timeout_s: float = PATIENCE_S) -> Answer:
    """Ask the worker that listens at a path.

    Raises:
        UnansweredError: None listens there, or it gave no answer in time.
    """
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=MAX_LINE_BYTES)
            try:
                writer.write(_encode(question) + b"\n")
                await writer.drain()
                return _ANSWER.decode(await reader.readline())
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError) as problem:
        raise UnansweredError(f"no scorer answers: {type(problem).__name__}") from None
