"""OTLP/HTTP: the same answers as by gRPC, in HTTP's words."""

from __future__ import annotations

import gzip
import json
import socket
from typing import TYPE_CHECKING

import pytest
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from tests.service.conftest import PROTOBUF, make_traces

from cert_otel.errors import InboxError, InboxFullError
from cert_otel.service.receiver import http_server
from cert_otel.service.receiver.otlp_http import gunzip

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service.conftest import Running

JSON = {"content-type": "application/json; charset=utf-8"}
PACKED = {**PROTOBUF, "content-encoding": "gzip"}


class TestExport:
    @pytest.mark.parametrize("count", [1, 512, 8_192])
    def test_bytes_are_kept(self, receiver: Running, count: int) -> None:
        """A request is stored as it came, or as it was before packing."""
        body = make_traces(count)
        plain = receiver.post(body)
        packed = receiver.post(gzip.compress(body), headers=PACKED)

        assert (plain.status, plain.body, packed.status) == (200, b"", 200)
        assert receiver.read_bodies() == [body, body]

    def test_json(self, receiver: Running) -> None:
        """JSON is stored as JSON, and answered with it."""
        reply = receiver.post(b'{"resourceLogs":[]}', path="/v1/logs", headers=JSON)

        (row,) = receiver.read()
        assert (row.payload.kind, row.payload.encoding) == ("logs", "json")
        assert (reply.status, json.loads(reply.body)) == (200, {})
        assert reply.headers["content-type"] == "application/json"

    def test_tenant(self, receiver: Running) -> None:
        """A tenant is taken from its header."""
        receiver.post(b"x", headers={**PROTOBUF, "cert-tenant": "acme"})

        assert [row.payload.tenant for row in receiver.read()] == ["acme"]

    @pytest.mark.parametrize(
        "body", [b"no gzip at all", gzip.compress(b"x" * 1_000)[:-9]], ids=["other", "torn"]
    )
    def test_not_gzip(self, receiver: Running, body: bytes) -> None:
        """What says it is packed and is not is kept as it is, to be put aside."""
        assert receiver.post(body, headers=PACKED).status == 200
        assert receiver.read_bodies() == [body]

    def test_nothing(self, receiver: Running) -> None:
        """An empty body is an empty request."""
        assert receiver.post(b"").status == 200
        assert receiver.read() == []

    def test_one_connection(self, receiver: Running) -> None:
        """A sender keeps its connection over many requests."""
        import http.client  # noqa: PLC0415 - one test

        connection = http.client.HTTPConnection("127.0.0.1", receiver.receiver.http_port)
        for number in range(20):
            connection.request("POST", "/v1/traces", b"%d" % number, headers=PROTOBUF)
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"")
        connection.close()

        assert len(receiver.read()) == 20


class TestRefusal:
    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            ({"path": "/v1/metrics"}, 404),
            ({"path": "/../../etc/passwd"}, 404),
            ({"method": "GET"}, 405),
            ({"headers": {"content-type": "text/plain"}}, 415),
            ({"headers": {}}, 415),
            ({"headers": {**PROTOBUF, "content-encoding": "zstd"}}, 415),
        ],
    )
    def test_what_is_not_taken(
        self, receiver: Running, request_: dict[str, str], status: int
    ) -> None:
        """Another path, method, type or packing is refused for good, and nothing is stored."""
        reply = receiver.post(b"x", **request_)  # type: ignore[arg-type]  # as post has them

        assert reply.status == status
        assert reply.headers["connection"] == "close"
        assert receiver.read() == []
        assert 'outcome="unsupported",protocol="http"} 1.0' in receiver.scrape()

    def test_too_large(self, start: Callable[..., Running]) -> None:
        """One byte beyond the limit is 413, packed or not; the limit itself is taken."""
        running = start(receiver={"max_message_mib": 1}, inbox={"cap_bytes": 8 * 2**20})
        limit = 2**20

        assert running.post(b"x" * (limit + 1)).status == 413
        assert running.post(gzip.compress(b"x" * (limit + 1)), headers=PACKED).status == 413
        assert running.post(b"x" * limit).status == 200
        assert running.post(gzip.compress(b"x" * limit), headers=PACKED).status == 200
        assert 'outcome="too_large",protocol="http"} 2.0' in running.scrape()

    def test_full(self, receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        """A full inbox is 429 with the time to come again, in JSON for whoever sent JSON."""

        def be_full(_: object) -> None:
            raise InboxFullError("inbox", "holds enough", retry_after_s=6.2)

        monkeypatch.setattr(receiver.receiver.inbox, "append", be_full)
        reply = receiver.post(b"{}", headers=JSON)

        assert (reply.status, reply.headers["retry-after"]) == (429, "7")
        assert json.loads(reply.body) == {"code": 8, "message": "the inbox holds enough"}

    def test_disk(self, receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        """A disk that cannot be written is 503, never 500, which a collector drops."""

        def fail(_: object) -> None:
            raise InboxError("inbox", "cannot be written: disk full")

        monkeypatch.setattr(receiver.receiver.inbox, "append", fail)
        reply = receiver.post(b"x")

        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert Status.FromString(reply.body).message == "the inbox cannot be written: disk full"

    def test_whatever_goes_wrong(self, receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        """An error of ours is 503 as well, wherever it happens."""
        monkeypatch.setattr(receiver.receiver.inbox, "append", None)
        assert receiver.post(b"x").status == 503
        monkeypatch.setattr(receiver.receiver.intake, "take", None)
        assert receiver.post(b"x").status == 503

    def test_stopped_while_sending(
        self, start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is half sent when the service stops is 503, and keeps nobody from stopping."""
        monkeypatch.setattr(http_server, "_GRACE_S", 0.1)
        receiver = start()
        address = ("127.0.0.1", receiver.receiver.http_port)
        with socket.create_connection(address) as half:
            half.sendall(b"POST /v1/traces HTTP/1.1\r\ncontent-length: 9\r\n")
            half.sendall(b"content-type: application/json\r\n\r\nx")
            receiver.post(b"", path="/livez", method="GET")
            receiver.stop()

            assert half.recv(1_000).startswith(b"HTTP/1.1 503")

    def test_stopping(self, receiver: Running) -> None:
        """While it stops it is alive, not ready, and refuses for now."""
        receiver.receiver.intake.is_stopping = True

        assert receiver.post(b"", path="/livez", method="GET").status == 200
        assert receiver.post(b"", path="/readyz", method="GET").status == 503
        assert receiver.post(b"x").status == 503

    def test_disk_and_readiness(self, receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        """While the disk cannot be written it is not ready."""
        monkeypatch.setattr(type(receiver.receiver.inbox), "is_writable", False)

        assert receiver.post(b"", path="/readyz", method="GET").body == b"not ready\n"

    def test_ready(self, receiver: Running) -> None:
        """It is ready as soon as it takes requests."""
        assert receiver.post(b"", path="/readyz", method="GET").body == b"ready\n"


class TestGunzip:
    @given(st.lists(st.binary(max_size=2_000), min_size=1, max_size=4), st.integers(-5, 5))
    def test_limit(self, parts: list[bytes], slack: int) -> None:
        """Members are joined; more than the limit never comes out."""
        whole = b"".join(parts)
        packed = b"".join(map(gzip.compress, parts))
        limit = max(0, len(whole) + slack)
        if len(whole) <= limit:
            assert gunzip(packed, limit) == whole
        else:
            with pytest.raises(OverflowError):
                gunzip(packed, limit)
