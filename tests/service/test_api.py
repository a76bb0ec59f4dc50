"""The JSON API and the scorer RPC: scores for who asks, in a receiver of their own."""

from __future__ import annotations

import http.client
import json
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import hypothesis
import pytest
import schemathesis
from google.protobuf.duration_pb2 import Duration
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.service.conftest import Running
from tests.service.spans import make_call, make_payload
from tests.service.test_worker import Picky, Praise, Service
from wire_mutations import damage_bytes, load_messages

from cert_otel.service import places
from cert_otel.service.direct import DirectServer
from cert_otel.service.endpoints import Endpoints
from cert_otel.service.judging import GuardedJudge, Judges
from cert_otel.service.proto import scorer_pb2 as pb
from cert_otel.service.proto.scorer_pb2_grpc import ScorerStub
from cert_otel.service.receiver import Receiver
from cert_otel.service.settings import (
    Api,
    Grpc,
    Http,
    Inbox,
    Metrics,
    Scorer,
    Security,
    Settings,
    Trail,
)
from cert_otel.service.settings import Receiver as ReceiverSettings
from cert_otel.wire.otlp_proto import read_traces

if TYPE_CHECKING:
    from collections.abc import Iterator


class Offering(Running):
    """A receiver with all that stands beside OTLP, and a worker's socket."""

    async def _start(self) -> Receiver:
        self.extension = Endpoints(self.settings)
        receiver = Receiver(self.settings, extension=self.extension)
        return await receiver.start()

    @property
    def api_port(self) -> int:
        """Port of the JSON API."""
        port: int = self.receiver._servers[-1].port
        return port

    def request(self, path: str, body: Any, **headers: str) -> tuple[int, dict[str, Any], Any]:
        """Ask; return status, headers and the answer."""
        return self.ask("POST", path, json.dumps(body).encode(), **headers)

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, Any], Any]:
        """Ask anything."""
        connection = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=30)
        named = {"content-type": "application/json"} | headers
        connection.request(method, path, body, named)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        kind = response.headers.get_content_type()
        decoded = json.loads(content) if kind == "application/json" else content.decode()
        return response.status, dict(response.headers), decoded


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory with a short name: that of a socket may have 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="cert-") as directory:
        yield Path(directory)


def make_settings(place: Path, **changes: Any) -> Settings:
    """Return settings of a service in a directory, on ports that the system chooses."""
    any_port = "127.0.0.1:0"
    fields: dict[str, Any] = {
        "receiver": ReceiverSettings(
            grpc=Grpc(endpoint=any_port), http=Http(endpoint=any_port), max_message_mib=1
        ),
        "api": Api(endpoint=any_port),
        "metrics": Metrics(enabled=False),
        "inbox": Inbox(path=str(place / "inbox")),
        "trail": Trail(path=str(place / "trail")),
        "scorer": Scorer(max_text_chars=10_000),
    }
    return Settings(**(fields | changes))


class Answering:
    """A worker's socket with judges behind it."""

    def __init__(self, settings: Settings, judges: Judges | None) -> None:
        self.server = DirectServer(places.get_socket(settings))
        self.stopping = threading.Event()
        if judges is not None:
            self.server.start(judges)
        self.thread = threading.Thread(target=self._answer)
        self.thread.start()

    def _answer(self) -> None:
        while not self.stopping.is_set():
            self.server.answer_all(wait_s=0.02)

    def stop(self) -> None:
        """Close the socket."""
        self.stopping.set()
        self.thread.join()
        self.server.close()


@pytest.fixture
def offering(place: Path) -> Iterator[Offering]:
    """Return a receiver with a scorer that praises."""
    settings = make_settings(place)
    running = Offering(settings)
    answering = Answering(settings, Judges(Praise(), Praise()))
    yield running
    answering.stop()
    running.stop()


class TestScore:
    def test_a_text_is_scored(self, offering: Offering) -> None:
        """What the worker finds is answered."""
        status, _, answer = offering.request(
            "/v1/score", {"completion": "Paris.", "prompt": "Where?"}
        )

        assert status == 200
        assert answer == {
            "status": "scored",
            "reason": None,
            "trajectory": None,
            "scorer": "praise",
            "revision": "1",
        }

    def test_nothing_is_recorded(self, offering: Offering, place: Path) -> None:
        """Asking leaves neither a payload nor a record."""
        offering.request("/v1/score", {"completion": "Paris."})

        assert offering.read() == []
        assert not list(place.glob("trail/*"))

    def test_a_text_that_fails(self, place: Path) -> None:
        """An error of high severity is a 500 that names the type alone."""
        settings = make_settings(place)
        running = Offering(settings)
        answering = Answering(settings, Judges(scoring=GuardedJudge(Picky())))
        status, _, answer = running.request("/v1/score", {"completion": "It is 5."})
        other, _, disabled = running.request("/v1/evaluate", {"answer": "It is 4."})
        answering.stop()
        running.stop()

        assert (status, answer["error"], answer["severity"]) == (500, "ZeroDivisionError", "high")
        assert (other, disabled["error"]) == (422, "Disabled")

    def test_without_a_worker(self, place: Path) -> None:
        """Nobody to ask is critical: 503, and when to try again."""
        running = Offering(make_settings(place))
        status, headers, answer = running.request("/v1/score", {"completion": "Paris."})
        ready, _, _ = running.ask("GET", "/readyz")
        live, _, _ = running.ask("GET", "/livez")
        running.stop()

        assert (status, answer["error"], answer["severity"]) == (503, "NoScorer", "critical")
        assert int(headers["retry-after"]) > 0
        assert (ready, live) == (503, 200)

    def test_while_the_model_loads(self, place: Path) -> None:
        """A worker that is not ready says so."""
        settings = make_settings(place)
        running = Offering(settings)
        answering = Answering(settings, None)
        status, _, answer = running.request("/v1/score", {"completion": "Paris."})
        ready, _, _ = running.ask("GET", "/readyz")
        answering.stop()
        running.stop()

        assert (status, answer["error"], ready) == (503, "ModelNotLoaded", 503)

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"{}", 422),
            (b'{"completion": ""}', 422),
            (b'{"completion": "a", "surprise": 1}', 422),
            (b'{"completion": "\\ud800"}', 422),
            (b"[" * 100_000, 422),
            (b"no JSON", 422),
            (b'{"completion": "%s"}' % (b"x" * 20_000), 413),
            (b'{"completion": "%s"}' % (b"x" * 2_000_000), 413),
        ],
    )
    def test_what_cannot_be_scored(self, offering: Offering, body: bytes, status: int) -> None:
        """Bad requests are refused with a reason, and the service answers the next one."""
        found, _, answer = offering.ask("POST", "/v1/score", body)

        assert (found, answer["severity"]) == (status, "low")
        assert offering.request("/v1/score", {"completion": "Paris."})[0] == 200

    def test_a_body_of_unknown_length(self, offering: Offering) -> None:
        """A limit that nobody announced holds as well."""
        connection = http.client.HTTPConnection("127.0.0.1", offering.api_port, timeout=30)
        chunks = (b"x" * 65_536 for _ in range(40))
        headers = {"content-type": "application/json"}
        connection.request("POST", "/v1/score", chunks, headers, encode_chunked=True)

        assert connection.getresponse().status == 413
        connection.close()


class TestEvaluate:
    @pytest.mark.parametrize("context", ["It is Paris.", ["It is Paris.", {"text": "b"}]])
    def test_an_answer_is_judged(self, offering: Offering, context: Any) -> None:
        """Confidence, threshold and each evaluation are answered; a text is a context of one."""
        body = {"answer": "Paris.", "question": "Where?", "context": context}
        status, _, answer = offering.request("/v1/evaluate", body)

        assert (status, answer["confidence"], answer["passed"]) == (200, 0.9, True)
        assert [one["name"] for one in answer["evaluations"]] == ["praise"]


class TestTokens:
    def test_a_token_is_needed(self, place: Path) -> None:
        """Without a token, or with a wrong one, only probes are answered."""
        settings = make_settings(place, security=Security(tokens=("secret",)))
        running = Offering(settings)
        answering = Answering(settings, Judges(Praise(), Praise()))
        body = {"completion": "Paris."}
        statuses = [
            running.request("/v1/score", body)[0],
            running.request("/v1/score", body, authorization="Bearer wrong")[0],
            running.request("/v1/score", body, authorization="Bearer secret")[0],
            running.ask("GET", "/livez")[0],
            running.ask("GET", "/readyz")[0],
        ]
        answering.stop()
        running.stop()

        assert statuses == [401, 401, 200, 200, 200]


class TestSchema:
    def test_whatever_the_schema_allows(self, offering: Offering) -> None:
        """Every answer is one that /openapi.json promises, and no request breaks the service."""
        schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{offering.api_port}/openapi.json")

        asked = 0
        for found in schema.get_all_operations():
            operation: Any = found.ok()  # type: ignore[union-attr] # the schema is ours
            _check(operation.as_strategy())
            asked += 1

        assert asked == 4


def _check(cases: Any) -> None:
    @hypothesis.given(case=cases)
    @hypothesis.settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def check(case: Any) -> None:
        case.call_and_validate(
            checks=[
                not_a_server_error,
                status_code_conformance,
                content_type_conformance,
                response_schema_conformance,
            ]
        )

    check()


def _is_read(request: pb.SubmitRequest) -> bool:
    try:
        read_traces(request.otlp_traces)
    except ValueError:
        return False
    return True


class TestRpc:
    @pytest.fixture
    def stub(self, offering: Offering) -> Iterator[ScorerStub]:
        """Return a client of the scorer RPC."""
        with grpc.insecure_channel(f"127.0.0.1:{offering.receiver.grpc_port}") as channel:
            yield ScorerStub(channel)

    def test_submit_and_wait(self, stub: ScorerStub, place: Path) -> None:
        """Scores that are there within the wait are answered with their spans."""
        body = make_payload([make_call(1), make_call(2)]).body
        stopping = threading.Event()

        def work() -> None:
            with Service(place).start() as worker:
                while not stopping.wait(0.02):
                    worker.work()

        thread = threading.Thread(target=work)
        thread.start()
        response = stub.Submit(pb.SubmitRequest(otlp_traces=body, wait=Duration(seconds=20)))
        stopping.set()
        thread.join()

        assert sorted(score.span_id.hex() for score in response.scores) == [
            f"{2:016x}",
            f"{3:016x}",
        ]
        (score, _) = response.scores
        assert score.status == pb.STATUS_SCORED
        assert {one.name: one.score for one in score.evaluations} == {
            "praise": 0.9,
            "confidence": 0.9,
        }
        assert not score.HasField("perplexity")
        assert (response.deferred, response.skipped, response.inbox_token) == (0, 0, "1")

    def test_what_was_scored_before(self, stub: ScorerStub, place: Path) -> None:
        """A span that was submitted before is answered with what is known, and recorded once."""
        body = make_payload([make_call(1), make_call(2, output_data=None)]).body
        stub.Submit(pb.SubmitRequest(otlp_traces=body))
        service = Service(place)
        service.work()

        response = stub.Submit(pb.SubmitRequest(otlp_traces=body, wait=Duration(seconds=20)))

        statuses = {score.span_id.hex()[-1]: score.status for score in response.scores}
        assert statuses == {"2": pb.STATUS_SCORED, "3": pb.STATUS_SKIPPED}
        assert (response.deferred, response.skipped) == (0, 1)
        service.work()
        assert len(service.read()) == 2

    def test_what_came_another_way_and_is_not_scored_yet(
        self, stub: ScorerStub, offering: Offering, place: Path
    ) -> None:
        """Whoever submits a copy waits for the record of the first, wherever that came."""
        body = make_payload([make_call(1)]).body
        offering.export(body)
        asked = stub.Submit.future(
            pb.SubmitRequest(otlp_traces=body, wait=Duration(seconds=20)), timeout=30
        )
        with Service(place).start() as worker:
            while not asked.done():
                worker.work()
                time.sleep(0.02)

        (score,) = asked.result().scores
        assert score.status == pb.STATUS_SCORED

    def test_a_wait_that_is_too_short(self, stub: ScorerStub, offering: Offering) -> None:
        """What is not scored in time is deferred, and in the inbox all the same."""
        body = make_payload([make_call(1)]).body

        request = pb.SubmitRequest(otlp_traces=body, wait=Duration(nanos=50_000_000))
        response = stub.Submit(request)

        assert (list(response.scores), response.deferred) == ([], 1)
        assert [row.payload.body for row in offering.read()] == [body]

    def test_accept_only(self, stub: ScorerStub) -> None:
        """Without a wait the answer comes as soon as the spans are on disk."""
        response = stub.Submit(pb.SubmitRequest(otlp_traces=make_payload([make_call(1)]).body))

        assert (response.deferred, response.inbox_token) == (1, "1")

    def test_what_is_no_otlp(self, stub: ScorerStub, offering: Offering) -> None:
        """Only here undecodable bytes are refused: who submits waits for an answer to them."""
        with pytest.raises(grpc.RpcError) as caught:
            stub.Submit(pb.SubmitRequest(otlp_traces=b"\xff\xff"))

        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert offering.read() == []

    def test_damaged_payloads(self, stub: ScorerStub) -> None:
        """Whatever is submitted is taken or refused as unreadable, and the service lives on."""
        chance = random.Random(3)  # noqa: S311 - damage, not secrets
        codes = set()
        for message in load_messages():
            for _ in range(10):
                request = pb.SubmitRequest(otlp_traces=damage_bytes(chance, message))
                code = stub.Submit.with_call(request)[1].code() if _is_read(request) else None
                if code is None:
                    with pytest.raises(grpc.RpcError) as caught:
                        stub.Submit(request)
                    code = caught.value.code()
                codes.add(code)

        assert codes == {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}

    def test_results_go_on_where_they_were(self, stub: ScorerStub, place: Path) -> None:
        """A token is a place in the trail: nothing is skipped, nothing comes twice."""
        service = Service(place)
        # The receiver holds the inbox: what it takes is what there is.
        stub.Submit(
            pb.SubmitRequest(otlp_traces=make_payload([make_call(n) for n in range(5)]).body)
        )
        service.work()

        first = next(iter(stub.Results(pb.ResultsRequest(max_batch=2))))
        rest = next(iter(stub.Results(pb.ResultsRequest(resume_token=first.resume_token))))

        (segment,) = service.trail.glob("seg-*.jsonl")
        assert [*first.jsonl, *rest.jsonl] == segment.read_bytes().splitlines()
        assert len(first.jsonl) == 2

    @pytest.mark.parametrize("token", ["tomorrow", "1", "1:-7", "-1:0", "1:2,3:4", "1:2:3"])
    def test_a_token_that_is_none(self, stub: ScorerStub, token: str) -> None:
        """A token that nobody gave is refused."""
        with pytest.raises(grpc.RpcError) as caught:
            next(iter(stub.Results(pb.ResultsRequest(resume_token=token))))

        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    def test_describe(self, stub: ScorerStub) -> None:
        """Who scores, what is taken, and which records come back."""
        response = stub.Describe(pb.DescribeRequest())

        assert (response.model, response.revision) == ("praise+praise", "1+1")
        assert (response.max_message_bytes, list(response.record_versions)) == (1 << 20, [1])
