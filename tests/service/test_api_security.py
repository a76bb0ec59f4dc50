"""What stands beside OTLP is as closed as the receiver: the JSON API and the scorer RPC."""

from __future__ import annotations

import gzip
import shutil
import socket
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.service.conftest import Authority
from tests.service.receiver.test_security import make_tls, receive_end
from tests.service.test_api import Answering, Offering, make_settings
from tests.service.test_worker import Praise

from cert_otel.service.judging import Judges
from cert_otel.service.proto import scorer_pb2 as pb
from cert_otel.service.proto.scorer_pb2_grpc import ScorerStub
from cert_otel.service.receiver import http_server
from cert_otel.service.settings import Grpc, Http, Receiver, Security, Tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ASK = b"POST /v1/score HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory with a short name: that of a socket may have 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="cert-") as directory:
        yield Path(directory)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def offer(place: Path) -> Iterator[Callable[..., Offering]]:
    """Start a receiver with everything beside it, and a scorer that praises."""
    running: list[Offering] = []
    answering: list[Answering] = []

    def run(**changes: Any) -> Offering:
        settings = make_settings(place, **changes)
        running.append(Offering(settings))
        answering.append(Answering(settings, Judges(Praise(), Praise())))
        return running[-1]

    yield run
    for scorer in answering:
        scorer.stop()
    for each in running:
        each.stop()


def secure(section: dict[str, str]) -> Security:
    """Return the settings of a section."""
    return Security(tls=Tls(**section))


def get(port: int, context: ssl.SSLContext) -> bytes:
    """Ask for `/livez` by HTTPS; return the answer's first line."""
    with (
        socket.create_connection(("localhost", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        secured.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        return receive_end(secured).partition(b"\r\n")[0]


def trust(authority: Authority) -> ssl.SSLContext:
    """Return what a client needs to talk to servers of this authority."""
    return ssl.create_default_context(cafile=str(authority.cert_file))


class TestTls:
    def test_reload(self, offer: Callable[..., Offering], authority: Authority) -> None:
        """The API takes a renewed certificate as the receiver does, without a restart."""
        section = make_tls(authority, days=-1)
        running = offer(security=secure(section))
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            get(running.api_port, trust(authority))
        renewed = authority.issue("renewed")
        shutil.copy(renewed.key_file, section["key_file"])
        shutil.copy(renewed.cert_file, section["cert_file"])
        assert running.receiver._reloader is not None
        running.receiver._reloader.look()

        assert get(running.api_port, trust(authority)) == b"HTTP/1.1 200 OK"

    def test_plaintext(self, offer: Callable[..., Offering], authority: Authority) -> None:
        """Plaintext to the API's TLS port is refused, and harms nobody else."""
        running = offer(security=secure(make_tls(authority)))
        with socket.create_connection(("127.0.0.1", running.api_port)) as plain:
            plain.settimeout(10)
            plain.sendall(ASK + b"\r\n")
            assert b"HTTP/1.1 2" not in receive_end(plain)

        assert get(running.api_port, trust(authority)) == b"HTTP/1.1 200 OK"

    def test_clients(self, offer: Callable[..., Offering], authority: Authority) -> None:
        """Where client certificates are asked for, none and an expired one are refused."""
        running = offer(security=secure(make_tls(authority, clients=True)))
        good, late = trust(authority), trust(authority)
        for context, days in ((good, 10), (late, -1)):
            issued = authority.issue(f"client{days}", days=days)
            context.load_cert_chain(issued.cert_file, issued.key_file)

        assert get(running.api_port, good) == b"HTTP/1.1 200 OK"
        # In TLS 1.3 a client learns of it when it reads: nothing comes.
        assert get(running.api_port, late) == get(running.api_port, trust(authority)) == b""


class TestTokens:
    @pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),)])
    def test_the_rpc(
        self, offer: Callable[..., Offering], metadata: tuple[tuple[str, str], ...]
    ) -> None:
        """No method of the RPC answers without a token, and nothing is taken."""
        running = offer(security=Security(tokens=("secret",)))
        codes = []
        with grpc.insecure_channel(f"127.0.0.1:{running.receiver.grpc_port}") as channel:
            stub = ScorerStub(channel)
            for ask in (
                lambda: stub.Submit(pb.SubmitRequest(otlp_traces=b""), metadata=metadata),
                lambda: stub.Describe(pb.DescribeRequest(), metadata=metadata),
                lambda: next(iter(stub.Results(pb.ResultsRequest(), metadata=metadata))),
            ):
                with pytest.raises(grpc.RpcError) as refused:
                    ask()
                codes.append(refused.value.code())
            known = (("authorization", "Bearer secret"),)
            assert stub.Describe(pb.DescribeRequest(), metadata=known).model == "praise+praise"

        assert codes == [grpc.StatusCode.UNAUTHENTICATED] * 3
        assert running.read() == []


class TestLimits:
    def test_a_bomb(self, offer: Callable[..., Offering]) -> None:
        """What is packed is not unpacked: the API takes plain JSON."""
        running = offer()
        bomb = gzip.compress(bytes(100 * 2**20), 1)
        headers = {"content-encoding": "gzip"}
        status, _, answer = running.ask("POST", "/v1/score", bomb[:500_000], **headers)

        assert (status, answer["error"]) == (422, "InvalidInput")
        assert running.request("/v1/score", {"completion": "Paris."})[0] == 200

    def test_one_byte_more(self, offer: Callable[..., Offering]) -> None:
        """A byte over the limit is refused by the API and the RPC, and nothing is taken."""
        running = offer()
        body = b'"' + b"x" * 2**20
        status, _, answer = running.ask("POST", "/v1/score", body)
        whole = b"\x1a\xfd\xff\x3f" + bytes(2**20 - 3)  # one unknown field
        with grpc.insecure_channel(f"127.0.0.1:{running.receiver.grpc_port}") as channel:
            stub = ScorerStub(channel)
            with pytest.raises(grpc.RpcError) as refused:
                stub.Submit(pb.SubmitRequest(otlp_traces=whole, wait=Duration(seconds=1)))

        assert (status, answer["error"]) == (413, "TooLarge")
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert running.read() == []

    def test_a_path_is_no_place(self, offer: Callable[..., Offering], place: Path) -> None:
        """Names that a sender chooses lead nowhere on the disk."""
        running = offer()
        tenant = (("cert-tenant", "../../../escaped"),)
        running.export(b"\x0a\x00", metadata=tenant)
        statuses = [running.ask("GET", path)[0] for path in ("/../etc/passwd", "/%2e%2e/%2e%2e/x")]

        assert [row.payload.tenant for row in running.read()] == ["../../../escaped"]
        assert statuses == [404, 404]
        assert list(place.parent.glob("*escaped*")) == []


class TestSlowSenders:
    def test_a_body_that_does_not_come(self, offer: Callable[..., Offering]) -> None:
        """It is answered with 408, and the connection ends."""
        any_port = "127.0.0.1:0"
        running = offer(
            receiver=Receiver(
                grpc=Grpc(endpoint=any_port), http=Http(endpoint=any_port), request_timeout_s=0.2
            )
        )
        with socket.create_connection(("127.0.0.1", running.api_port)) as slow:
            slow.settimeout(10)
            slow.sendall(ASK + b"content-length: 100\r\n\r\n{")
            assert receive_end(slow).startswith(b"HTTP/1.1 408")

        assert running.request("/v1/score", {"completion": "Paris."})[0] == 200

    def test_headers_that_do_not_come(
        self, offer: Callable[..., Offering], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They end the connection."""
        monkeypatch.setattr(http_server, "_HEADER_PATIENCE_S", 0.2)
        running = offer()
        with socket.create_connection(("127.0.0.1", running.api_port)) as slow:
            slow.settimeout(10)
            slow.sendall(ASK)
            assert receive_end(slow) == b""

    def test_one_that_goes_away(self, offer: Callable[..., Offering]) -> None:
        """A client that is gone before its body was sent is asked about nothing."""
        running = offer()
        with socket.create_connection(("127.0.0.1", running.api_port)) as gone:
            gone.sendall(ASK + b"content-length: 100\r\n\r\n{")

        assert running.request("/v1/score", {"completion": "Paris."})[0] == 200
