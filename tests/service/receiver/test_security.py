"""Who may not send is refused, what is hostile does no harm, and the service lives on."""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import shutil
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import msgspec
import pytest
from tests.service.conftest import PROTOBUF, Authority, Running, make_traces

from cert_otel.errors import ConfigError
from cert_otel.service.receiver import http_server
from cert_otel.service.security import ContextReloader, Tokens, make_ssl_context
from cert_otel.service.settings import Security, Tls

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = (("authorization", "Bearer secret"),)
RNG_SEED = 7


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def make_tls(authority: Authority, *, clients: bool = False, days: int = 10) -> dict[str, str]:
    """Return the section of a server whose certificate is valid for so long."""
    server = authority.issue("server", days=days)
    section = {"cert_file": str(server.cert_file), "key_file": str(server.key_file)}
    return section | ({"client_ca_file": str(authority.cert_file)} if clients else {})


def trust(authority: Authority, **client: Any) -> grpc.ChannelCredentials:
    """Return what a client needs to talk to that server."""
    return grpc.ssl_channel_credentials(authority.cert_file.read_bytes(), **client)


def identify(authority: Authority, name: str, *, days: int = 10) -> dict[str, bytes]:
    """Return a client's own certificate."""
    issued = authority.issue(name, days=days)
    return {
        "private_key": issued.key_file.read_bytes(),
        "certificate_chain": issued.cert_file.read_bytes(),
    }


def refuse(running: Running, body: bytes = b"x", **options: Any) -> grpc.StatusCode:
    """Send, and return what it was refused with."""
    with pytest.raises(grpc.RpcError) as refused:
        running.export(body, **options)
    code: grpc.StatusCode = refused.value.code()
    return code


def connect(running: Running, authority: Authority, **client: str) -> bytes:
    """Send one request by HTTPS and return the answer's first line."""
    context = ssl.create_default_context(cafile=str(authority.cert_file))
    if client:
        context.load_cert_chain(client["cert_file"], client["key_file"])
    with (
        socket.create_connection(("localhost", running.receiver.http_port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        secure.sendall(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        return receive_end(secure).partition(b"\r\n")[0]


class TestTokens:
    @pytest.mark.parametrize(
        "metadata",
        [
            (),
            (("authorization", "Bearer wrong"),),
            (("authorization", "secret"),),
            (("authorization", "Basic secret"),),
            (("authorization", "Bearer "),),
        ],
    )
    def test_refused(
        self, start: Callable[..., Running], metadata: tuple[tuple[str, str], ...]
    ) -> None:
        """Without a token, or with a wrong one, nothing is taken by either protocol."""
        running = start(security={"tokens": ["secret"]})
        headers = {**PROTOBUF, **dict(metadata)}

        assert refuse(running, metadata=metadata) == grpc.StatusCode.UNAUTHENTICATED
        assert running.post(b"x", headers=headers).status == 401
        assert running.post(b"", path="/metrics", port=running.receiver.metrics_port).status == 401
        assert running.read() == []

    def test_taken(self, start: Callable[..., Running]) -> None:
        """Any of the tokens opens both protocols."""
        running = start(security={"tokens": ["other", "secret"]})
        running.export(b"x", metadata=TOKEN)
        running.post(b"y", headers={**PROTOBUF, "authorization": "bearer secret"})

        assert running.read_bodies() == [b"x", b"y"]

    def test_file(self, tmp_path: Path) -> None:
        """Tokens of a file are one a line, and those of a changed file hold from then on."""
        path = tmp_path / "tokens"
        path.write_text("first\n\nsecond\n", encoding="utf-8")
        tokens = Tokens(Security(tokens=("fixed",), tokens_file=str(path)))
        assert all(tokens.accept(f"Bearer {token}") for token in ("fixed", "first", "second"))
        path.write_text("third-token\n", encoding="utf-8")

        assert tokens.accept("Bearer third-token")
        assert tokens.accept("Bearer fixed")
        assert not tokens.accept("Bearer first")

    def test_broken_file(self, tmp_path: Path) -> None:
        """A file that cannot be used is an error at the start, and changes nothing later."""
        path = tmp_path / "tokens"
        settings = Security(tokens_file=str(path))
        with pytest.raises(ConfigError, match=r"security\.tokens_file: cannot be read"):
            Tokens(settings)
        path.write_text("\n", encoding="utf-8")
        with pytest.raises(ConfigError, match="holds no token"):
            Tokens(settings)
        path.write_text("good", encoding="utf-8")
        tokens = Tokens(settings)
        path.unlink()

        assert tokens.accept("Bearer good")


class TestTls:
    def test_both_protocols(self, start: Callable[..., Running], authority: Authority) -> None:
        """With a certificate both ports speak TLS."""
        running = start(security={"tls": make_tls(authority)})
        running.export(b"x", credentials=trust(authority))

        assert connect(running, authority) == b"HTTP/1.1 200 OK"
        assert running.read_bodies() == [b"x"]

    def test_plaintext(self, start: Callable[..., Running], authority: Authority) -> None:
        """Plaintext to a TLS port is refused, and harms nobody else."""
        running = start(security={"tls": make_tls(authority)})

        assert refuse(running) == grpc.StatusCode.UNAVAILABLE
        with socket.create_connection(("127.0.0.1", running.receiver.http_port)) as plain:
            plain.sendall(b"POST /v1/traces HTTP/1.1\r\n\r\n")
            assert b"200" not in plain.recv(100)
        running.export(b"x", credentials=trust(authority))
        assert running.read_bodies() == [b"x"]

    def test_expired_server(self, start: Callable[..., Running], authority: Authority) -> None:
        """Clients do not talk to a server whose certificate has expired."""
        running = start(security={"tls": make_tls(authority, days=-1)})

        assert refuse(running, credentials=trust(authority)) == grpc.StatusCode.UNAVAILABLE
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            connect(running, authority)

    def test_clients(
        self, start: Callable[..., Running], authority: Authority, tmp_path: Path
    ) -> None:
        """With client certificates asked for: ours is taken; none, an expired and a foreign one are not."""
        running = start(security={"tls": make_tls(authority, clients=True)})
        (tmp_path / "foreign").mkdir()
        foreign = Authority(tmp_path / "foreign", "foreign")
        good = identify(authority, "client")
        running.export(b"x", credentials=trust(authority, **good))
        for client in ({}, identify(authority, "late", days=-1), identify(foreign, "stranger")):
            code = refuse(running, credentials=trust(authority, **client))
            assert code == grpc.StatusCode.UNAVAILABLE

        files = authority.issue("web")
        named = {"cert_file": str(files.cert_file), "key_file": str(files.key_file)}
        assert connect(running, authority, **named) == b"HTTP/1.1 200 OK"
        # In TLS 1.3 a client learns of it when it reads: nothing comes.
        assert connect(running, authority) == b""
        assert running.read_bodies() == [b"x"]

    def test_reload(self, start: Callable[..., Running], authority: Authority) -> None:
        """A renewed certificate is used for new connections, without a restart."""
        section = make_tls(authority, days=-1)
        running = start(security={"tls": section})
        assert refuse(running, credentials=trust(authority)) == grpc.StatusCode.UNAVAILABLE
        renewed = authority.issue("renewed")
        shutil.copy(renewed.key_file, section["key_file"])
        shutil.copy(renewed.cert_file, section["cert_file"])
        assert running.receiver._reloader is not None
        running.receiver._reloader.look()

        running.export(b"x", credentials=trust(authority))
        assert connect(running, authority) == b"HTTP/1.1 200 OK"

    def test_broken_reload(self, authority: Authority) -> None:
        """A renewed file that cannot be used changes nothing."""
        tls = msgspec.convert(make_tls(authority), Tls)
        reloader = ContextReloader(tls, make_ssl_context(tls))
        Path(tls.cert_file).write_text("no certificate", encoding="utf-8")
        reloader.look()

        with pytest.raises(ConfigError, match=r"security\.tls: .*server.crt"):
            make_ssl_context(tls)


class TestBombs:
    """A little that unpacks to very much."""

    @pytest.mark.parametrize("protocol", ["grpc", "http"])
    def test_refused(self, start: Callable[..., Running], protocol: str) -> None:
        """It is refused without being unpacked to its end."""
        running = start(receiver={"max_message_mib": 1}, inbox={"cap_bytes": 8 * 2**20})
        bomb = bytes(300 * 2**20)
        if protocol == "grpc":
            code = refuse(running, bomb, compression=grpc.Compression.Gzip)
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        else:
            packed = gzip.compress(gzip.compress(bomb, 1), 1)
            nested = {**PROTOBUF, "content-encoding": "gzip"}
            assert running.post(gzip.compress(bomb, 1), headers=nested).status == 413
            assert running.post(packed, headers=nested).status in {200, 413}

        running.export(b"alive")
        assert running.read_bodies()[-1] == b"alive"


class TestLimit:
    def test_one_byte_more(self, receiver: Running) -> None:
        """64 MiB and a byte are refused by both protocols; the service goes on."""
        body = bytes(64 * 2**20 + 1)

        assert refuse(receiver, body) == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert receiver.post(body).status == 413
        assert receiver.post(b"x").status == 200
        assert receiver.read_bodies() == [b"x"]


class TestSlowSenders:
    """Who sends a byte now and then keeps no connection for long."""

    def test_headers(self, receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
        """Headers that do not come end the connection."""
        monkeypatch.setattr(http_server, "_HEADER_PATIENCE_S", 0.2)
        for start_of_request in (b"", b"POST /v1/traces HTTP/1.1\r\nx: "):
            with socket.create_connection(("127.0.0.1", receiver.receiver.http_port)) as slow:
                slow.settimeout(10)
                slow.sendall(start_of_request)
                assert receive_end(slow) == b""

    def test_body(self, start: Callable[..., Running]) -> None:
        """A body that does not come is answered with 503: a collector sends it again."""
        running = start(receiver={"request_timeout_s": 0.2})
        with socket.create_connection(("127.0.0.1", running.receiver.http_port)) as slow:
            slow.settimeout(10)
            slow.sendall(
                b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf\r\n"
                b"content-length: 100\r\n\r\nx"
            )
            assert receive_end(slow).startswith(b"HTTP/1.1 503")

        assert 'outcome="incomplete",protocol="http"} 1.0' in running.scrape()

    def test_endless_headers(self, receiver: Running) -> None:
        """Headers beyond 32 kB end the connection."""
        with socket.create_connection(("127.0.0.1", receiver.receiver.http_port)) as endless:
            endless.settimeout(10)
            endless.sendall(b"GET / HTTP/1.1\r\n")
            with contextlib.suppress(ConnectionError):
                endless.sendall((b"x: " + b"y" * 1_000 + b"\r\n") * 200)
            assert receive_end(endless) == b""

        assert receiver.post(b"x").status == 200

    def test_many(self, receiver: Running) -> None:
        """A hundred of them keep nobody else from sending."""
        address = ("127.0.0.1", receiver.receiver.http_port)
        slow = [socket.create_connection(address) for _ in range(100)]
        for each in slow:
            each.sendall(b"POST /v1/traces HTTP/1.1\r\n")

        assert receiver.post(b"x").status == 200
        for each in slow:
            each.close()


class TestFuzz:
    def test_malformed(self, receiver: Running) -> None:
        """A thousand damaged requests are answered OK and kept, to be put aside by the reader."""
        draw = random.Random(RNG_SEED)  # noqa: S311 - damage, not secrets
        whole = make_traces(3, size=30)
        sent = []
        for number in range(1_000):
            body = bytearray(whole[: draw.randrange(1, len(whole))])
            for _ in range(draw.randrange(4)):
                body[draw.randrange(len(body))] = draw.randrange(256)
            sent.append(bytes(body))
            if number % 10:
                assert receiver.post(sent[-1]).status == 200
            else:
                receiver.export(sent[-1])

        assert receiver.read_bodies() == sent

    def test_no_http(self, receiver: Running) -> None:
        """Random bytes on either port end the connection and nothing else."""
        for port in (receiver.receiver.http_port, receiver.receiver.grpc_port):
            with socket.create_connection(("127.0.0.1", port)) as wild:
                wild.settimeout(15)
                wild.sendall(os.urandom(2_000))
                receive_end(wild)

        receiver.export(b"x")
        assert receiver.post(b"y").status == 200


def receive_end(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes."""
    received = b""
    try:
        while chunk := connection.recv(10_000):
            received += chunk
    except (ConnectionError, ssl.SSLError):
        pass
    return received
