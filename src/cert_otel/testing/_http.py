"""The thin edge: sockets, HTTP/1.1 and nothing about models."""

from __future__ import annotations

import contextlib
import itertools
import logging
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from cert_otel.testing._replies import RecordedRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from cert_otel.testing._replies import Reply
    from cert_otel.testing._wire import Answer

    Responder = Callable[[RecordedRequest], tuple[Answer, Reply]]

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

_POLL_S: Final = 0.02
"""How often the accepting thread looks whether to stop."""
_TOO_MANY_REQUESTS: Final = 429


class Server(ThreadingHTTPServer):
    """A server whose connections end when it does."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, respond: Responder) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.respond = respond
        self.numbers = itertools.count(1)
        self.stopping = threading.Event()
        self._connections: set[socket.socket] = set()

    def serve(self) -> None:
        """Accept connections until `stop`."""
        self.serve_forever(poll_interval=_POLL_S)

    def stop(self) -> None:
        """Stop accepting and cut what is open; threads that wait for a request then end."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        for connection in tuple(self._connections):
            with contextlib.suppress(OSError):  # the client may have closed it already
                connection.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if isinstance(sys.exception(), ConnectionError):
            _log.debug("client went away", exc_info=True)
            return
        super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length")
        if length is None:
            self.send_error(411, "The fake provider reads bodies of a known length only")
            return
        self._respond(self.rfile.read(int(length)))

    def do_GET(self) -> None:
        self._respond(b"")

    def do_DELETE(self) -> None:
        self._respond(b"")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        _log.debug(format, *args)

    def _respond(self, body: bytes) -> None:
        request = self._record(body)
        answer, reply = self.server.respond(request)
        self.server.stopping.wait(reply.delay_s)
        self.send_response_only(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("x-request-id", f"req_{request.number:024d}")
        self.send_header("openai-version", "2020-10-01")
        if answer.status >= _TOO_MANY_REQUESTS:
            self.send_header("retry-after-ms", "1")  # an SDK's own back-off is half a second
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if answer.events is None:
            self._send_whole(answer, reply)
        else:
            self._send_stream(answer.events, reply)

    def _record(self, body: bytes) -> RecordedRequest:
        target = urlsplit(self.path)
        return RecordedRequest(
            number=next(self.server.numbers),
            method=self.command,
            host=target.netloc or self.headers.get("Host", ""),
            path=target.path,
            query=dict(parse_qsl(target.query)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
        )

    def _send_whole(self, answer: Answer, reply: Reply) -> None:
        cut = reply.fault == "cut"
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[: len(answer.body) // 2] if cut else answer.body)
        self.close_connection = self.close_connection or cut

    def _send_stream(self, events: Any, reply: Reply) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            self.server.stopping.wait(reply.chunk_delay_s)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
        if reply.fault == "cut":
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")
