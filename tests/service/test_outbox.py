"""The outbox: results reach backends at least once, each with an id that tells copies."""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import grpc
import msgspec
import pytest
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import CollectorRegistry
from tests.service.spans import make_call, make_payload
from tests.service.test_worker import Picky, Service

from cert_otel import semconv
from cert_otel.errors import InputError
from cert_otel.journal import decode_line, join_evaluations, read_journal
from cert_otel.records import Evaluation, EvaluationRecord, Record, Trajectory
from cert_otel.service import failpoints
from cert_otel.service.judging import GuardedJudge
from cert_otel.service.metrics import Metrics
from cert_otel.service.outbox import senders, totals
from cert_otel.service.outbox.cursor import Cursor, Progress
from cert_otel.service.outbox.delivery import Delivery, make_destinations
from cert_otel.service.outbox.messages import make_events, make_spans
from cert_otel.service.outbox.phoenix import (
    PATIENCE_S,
    RETRY_S,
    PhoenixDestination,
    PhoenixSender,
)
from cert_otel.service.outbox.results import list_results
from cert_otel.service.outbox.senders import RejectedError, UnavailableError
from cert_otel.service.seen import Seen
from cert_otel.service.selection import select
from cert_otel.service.settings import Deliver
from cert_otel.service.trail import Position, find_end
from cert_otel.wire.otlp_proto import read_logs, read_traces
from cert_otel.wire.otlp_write import encode_line as encode_otlp
from cert_otel.wire.reading import read_batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cert_otel.service.outbox.delivery import Sourced
    from cert_otel.service.outbox.results import Result

if TYPE_CHECKING:
    Handler = grpc.GenericRpcHandler[Any, Any]
else:  # generic in the stubs only
    Handler = grpc.GenericRpcHandler

METHODS: dict[str, Any] = {
    senders.EVENTS: ExportLogsServiceRequest,
    senders.SPANS: ExportTraceServiceRequest,
    senders.METRICS: ExportMetricsServiceRequest,
}


class Backend(Handler):
    """An OTLP/gRPC backend on loopback that keeps what it takes."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.refusal: grpc.StatusCode | None = None
        self.headers: dict[str, str | bytes] = {}

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Take a request of any of the three signals."""
        kind = METHODS[handler_call_details.method]
        self.headers = dict(handler_call_details.invocation_metadata)

        def take(request: Any, context: grpc.ServicerContext) -> bytes:
            if self.refusal is not None:
                context.abort(self.refusal, "refused")
            self.taken.append(request)
            return b""

        return grpc.unary_unary_rpc_method_handler(take, kind.FromString)


@contextmanager
def serve(backend: Backend, port: int = 0, *, max_bytes: int = 4 * 2**20) -> Iterator[int]:
    """Serve a backend on loopback."""
    options = [("grpc.max_receive_message_length", max_bytes)]
    server = grpc.server(ThreadPoolExecutor(2), handlers=[backend], options=options)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield bound
    finally:
        server.stop(None).wait()


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Return a service with three judged spans and one that failed."""
    service = Service(tmp_path)
    service.receive(make_payload([make_call(number) for number in range(4)]))
    service.work(GuardedJudge(Picky()))
    return service


def make_delivery(service: Service, settings: Deliver, **options: Any) -> Delivery:
    """Return the one delivery of these settings."""
    seen = Seen(service.seen)
    (destination,) = make_destinations(settings, seen.find_resource)
    cursor = Cursor(service.trail / "outbox" / f"{destination.name}.json")
    service.registry = CollectorRegistry()
    metrics = Metrics(service.registry)
    return Delivery(service.trail, destination, cursor, metrics=metrics, **options)


def read_attributes(pairs: Any) -> dict[str, Any]:
    """Return attributes as plain values."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


class TestEvents:
    def test_an_event_for_each_judgement(self, service: Service) -> None:
        """Each carries the ids of the judged span, its resource, and what was found."""
        backend = Backend()
        with serve(backend) as port:
            settings = Deliver(
                to=("event",), endpoint=f"http://127.0.0.1:{port}", headers={"X-Key": "k"}
            )
            delivery = make_delivery(service, settings)
            assert delivery.deliver_next() is True
            assert delivery.deliver_next() is False

        (request,) = backend.taken
        (logs,) = request.resource_logs
        (scoped,) = logs.scope_logs
        assert read_attributes(logs.resource.attributes) == {"service.name": "support"}
        assert scoped.scope.name == semconv.Scope.SCORER
        assert {event.event_name for event in scoped.log_records} == {"gen_ai.evaluation.result"}
        found = [read_attributes(event.attributes) for event in scoped.log_records]
        assert sorted(
            (event.span_id.hex()[-1], one["gen_ai.evaluation.name"])
            for event, one in zip(scoped.log_records, found, strict=True)
        ) == [
            *((digit, name) for digit in "123" for name in ("confidence", "praise")),
            ("4", "scoring"),
        ]
        assert len({one["log.record.uid"] for one in found}) == len(found)
        failed = next(one for one in found if one["gen_ai.evaluation.name"] == "scoring")
        assert failed["error.type"] == "ZeroDivisionError"
        assert "gen_ai.evaluation.score.value" not in failed
        assert backend.headers["x-key"] == "k"

    def test_more_than_a_message_may_have(self, service: Service) -> None:
        """What is too large for the backend goes in halves; a single record that is, is given up."""
        backend = Backend()
        with serve(backend, max_bytes=800) as port:
            settings = Deliver(to=("event",), endpoint=f"http://127.0.0.1:{port}")
            delivery = make_delivery(service, settings)
            assert delivery.deliver_next() is True
            assert delivery.deliver_next() is False

        records = [request.resource_logs[0].scope_logs[0].log_records for request in backend.taken]
        assert len(records) > 1
        assert len({event.span_id for events in records for event in events}) == 4

    def test_what_was_skipped_is_no_event(self) -> None:
        """A call that nobody judged has no result."""
        skipped = make_call(1, score_status="skipped", score_reason="shed", confidence=0.4)

        assert list_results(skipped, None) == []

    def test_a_scoring_model_is_one_result(self) -> None:
        """Its perplexity is the score; its other figures and gates are attributes."""
        found = Trajectory(perplexity=3.0, entropy_mean=0.4, tokens=7, flags=("entropy",))
        record = make_call(1, score_status="scored", trajectory=found, scorer="m")

        (result,) = list_results(record, {"host.name": "a"})

        assert (result.name, result.score, result.label) == ("perplexity", 3.0, "fail")
        assert result.attributes == {
            "cert.scorer.model": "m",
            "cert.trajectory.perplexity": 3.0,
            "cert.trajectory.entropy_mean": 0.4,
            "cert.trajectory.tokens": 7,
            "cert.trajectory.flags": ["entropy"],
        }
        assert result.resource == {"host.name": "a"}

    def test_answers_are_quoted_only_where_content_is_captured(self) -> None:
        """An explanation holds text of the answer, so it follows the content setting."""
        from cert_otel.records import Evidence  # noqa: PLC0415 - only this test

        evidence = (Evidence(start=6, end=7, kind="number"),)
        judged = Evaluation(name="grounding", score=0.1, evidence=evidence)
        record = make_call(1, score_status="scored", evaluations=[judged])

        (quiet,) = list_results(record, None, quoting=False)
        (quoting,) = list_results(record, None, quoting=True)

        assert quiet.explanation is None
        assert '"3"' in (quoting.explanation or "")


class TestSpans:
    def test_a_span_below_the_judged_one(self, service: Service) -> None:
        """It has a nanosecond, the scope by which it is never taken in, and an id of its content."""
        backend = Backend()
        with serve(backend) as port:
            settings = Deliver(to=("span",), traces_endpoint=f"http://127.0.0.1:{port}")
            make_delivery(service, settings).deliver_next()

        (request,) = backend.taken
        (scoped,) = request.resource_spans[0].scope_spans
        spans = list(scoped.spans)
        assert {span.name for span in spans} == {
            "evaluate praise",
            "evaluate confidence",
            "evaluate scoring",
        }
        # Jaeger puts a warning on a span that ends when it begins.
        assert {span.end_time_unix_nano - span.start_time_unix_nano for span in spans} == {1}
        assert {span.parent_span_id.hex() for span in spans} == {
            f"{number:016x}" for number in range(1, 5)
        }
        assert len({span.span_id for span in spans}) == len(spans)

    def test_it_is_never_taken_in_again(self) -> None:
        """What comes back through the collector is recognised by its scope."""
        record = make_call(1, score_status="scored", confidence=0.9, passed=True)
        body = make_spans(list_results(record, None)).SerializeToString()

        found = select(read_traces(body), record.timestamp)

        assert (found.spans, found.own) == ([], 1)


class Phoenix:
    """Answers as Arize Phoenix does: what is about a span that it does not have is not stored."""

    def __init__(self) -> None:
        self.unknown: set[str] = set()
        self.paths: set[str] = set()
        self.refusal: int | None = None
        self.stored: dict[str, Any] = {}
        """By identifier."""
        self.requests = 0

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, str]:
        """Take annotations, or say why not."""
        self.requests += 1
        self.paths.add(path)
        if self.refusal is not None:
            return self.refusal, "no"
        missing = self.unknown & {one["span_id"] for one in body["data"]}
        if missing:
            return 404, f"Spans with IDs {', '.join(missing)} do not exist."
        self.stored |= {one["identifier"]: one for one in body["data"]}
        return 200, ""

    def list_spans(self) -> set[str]:
        """Return the last digit of each span that has an annotation."""
        return {one["span_id"][-1] for one in self.stored.values()}


@contextmanager
def serve_phoenix(phoenix: Phoenix) -> Iterator[str]:
    """Serve it on loopback; yield its address."""

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["content-length"])
            status, text = phoenix.answer(self.path, msgspec.json.decode(self.rfile.read(size)))
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


LATE = f"{2:016x}"
"""Span of the second record of the service."""


class TestPhoenix:
    def make(
        self, service: Service, phoenix_url: str, clock: list[float], **options: Any
    ) -> Delivery:
        """Return a delivery to Phoenix at a time that the test sets."""
        destination = PhoenixDestination(
            PhoenixSender(phoenix_url), lambda _: None, clock_s=lambda: clock[0], **options
        )
        cursor = Cursor(service.trail / "outbox" / "phoenix.json")
        service.registry = CollectorRegistry()
        return Delivery(service.trail, destination, cursor, metrics=Metrics(service.registry))

    def test_an_annotation_for_each_judgement(self, service: Service) -> None:
        """Phoenix gets the span's id, and an identifier by which a copy replaces the first."""
        phoenix = Phoenix()
        with serve_phoenix(phoenix) as url:
            make_delivery(service, Deliver(to=("phoenix",), phoenix_endpoint=url)).deliver_next()

        # Without `sync` it answers before it has stored anything.
        assert phoenix.paths == {"/v1/span_annotations?sync=true"}
        praise = next(one for one in phoenix.stored.values() if one["name"] == "praise")
        assert praise["result"] == {"score": 0.9}
        assert len(praise["span_id"]) == 16
        assert len(phoenix.stored) == 7

    def test_a_span_that_comes_later(self, service: Service) -> None:
        """Scores of a span that is not there wait, alone, and hold the cursor until it comes."""
        phoenix, clock = Phoenix(), [100.0]
        phoenix.unknown = {LATE}
        with serve_phoenix(phoenix) as url:
            delivery = self.make(service, url, clock)
            assert delivery.deliver_next() is True
            assert phoenix.list_spans() == {"1", "3", "4"}
            assert Cursor(service.trail / "outbox" / "phoenix.json").progress == Progress()

            phoenix.unknown.clear()
            clock[0] += RETRY_S
            assert delivery.deliver_next() is False

        assert phoenix.list_spans() == {"1", "2", "3", "4"}
        moved = Cursor(service.trail / "outbox" / "phoenix.json").progress.position
        assert moved == find_end(service.trail)

    def test_a_restart_while_it_waits(self, service: Service) -> None:
        """What waited when the process died is sent again, and nothing is there twice."""
        phoenix, clock = Phoenix(), [100.0]
        phoenix.unknown = {LATE}
        with serve_phoenix(phoenix) as url:
            self.make(service, url, clock).deliver_next()
            phoenix.unknown.clear()
            self.make(service, url, clock).deliver_next()

        assert phoenix.list_spans() == {"1", "2", "3", "4"}
        assert len(phoenix.stored) == 7

    def test_a_span_that_never_comes(self, service: Service) -> None:
        """After some minutes its scores are given up and counted, and the cursor moves on."""
        phoenix, clock = Phoenix(), [100.0]
        phoenix.unknown = {LATE}
        with serve_phoenix(phoenix) as url:
            delivery = self.make(service, url, clock)
            delivery.deliver_next()
            clock[0] += PATIENCE_S
            delivery.deliver_next()

        failures = service.count(
            "cert_outbox_failures_total", destination="phoenix", error_type="unknown_span"
        )
        assert failures == 2
        moved = Cursor(service.trail / "outbox" / "phoenix.json").progress.position
        assert moved == find_end(service.trail)

    def test_not_too_many_wait(self, service: Service) -> None:
        """Beyond the limit the oldest are given up and counted."""
        phoenix = Phoenix()
        phoenix.unknown = {f"{number:016x}" for number in range(1, 5)}
        with serve_phoenix(phoenix) as url:
            self.make(service, url, [100.0], max_waiting=3).deliver_next()

        failures = service.count(
            "cert_outbox_failures_total", destination="phoenix", error_type="unknown_span"
        )
        assert failures == 7 - 3

    def test_what_waits_is_offered_now_and_then(self, service: Service) -> None:
        """Phoenix is not asked in vain at every look into the trail."""
        phoenix, clock = Phoenix(), [100.0]
        phoenix.unknown = {LATE}
        with serve_phoenix(phoenix) as url:
            delivery = self.make(service, url, clock)
            delivery.deliver_next()
            asked = phoenix.requests
            for _ in range(5):
                delivery.deliver_next()
            assert phoenix.requests == asked
            clock[0] += RETRY_S
            delivery.deliver_next()

            assert phoenix.requests == asked + 1

    @pytest.mark.parametrize(
        ("status", "error"),
        [(404, UnavailableError), (500, UnavailableError), (401, UnavailableError)],
    )
    def test_not_taken(self, service: Service, status: int, error: type[Exception]) -> None:
        """Whatever else is answered, the cursor stands still; so for a page that is no Phoenix."""
        phoenix = Phoenix()
        phoenix.refusal = status
        with serve_phoenix(phoenix) as url, pytest.raises(error, match=f"HTTP {status}"):
            self.make(service, url, [0.0]).deliver_next()

        assert Cursor(service.trail / "outbox" / "phoenix.json").progress == Progress()

    def test_what_is_refused_for_good_waits_no_more(self, service: Service) -> None:
        """It is given up, and holds nothing up."""
        phoenix, clock = Phoenix(), [100.0]
        phoenix.unknown = {LATE}
        with serve_phoenix(phoenix) as url:
            delivery = self.make(service, url, clock)
            delivery.deliver_next()
            phoenix.refusal = 422
            clock[0] += RETRY_S
            delivery.deliver_next()

        moved = Cursor(service.trail / "outbox" / "phoenix.json").progress.position
        assert moved == find_end(service.trail)
        assert phoenix.list_spans() == {"1", "3", "4"}


class TestMetrics:
    def test_sums_over_the_whole_trail(self, service: Service) -> None:
        """Counts are cumulative, and a restart begins nothing anew."""
        backend = Backend()
        with serve(backend) as port:
            settings = Deliver(metrics=True, endpoint=f"http://127.0.0.1:{port}")
            make_delivery(service, settings).deliver_next()
            service.receive(make_payload([make_call(7)]))
            service.work()
            make_delivery(service, settings).deliver_next()

        points = [
            {
                read_attributes(point.attributes)["cert.score.status"]: point.as_int
                for point in request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points
            }
            for request in backend.taken
        ]
        assert points == [{"scored": 3, "error": 1}, {"scored": 4, "error": 1}]
        starts = {
            point.start_time_unix_nano
            for request in backend.taken
            for point in request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points
        }
        assert len(starts) == 1

    def test_perplexities_are_a_histogram(self) -> None:
        """Each is in the bucket of its size; what is exactly a bound is in the lower one."""
        records = [
            make_call(n, trajectory=Trajectory(perplexity=value))
            for n, value in enumerate((1.2, 1.5, 60.0, 5000.0))
        ]

        request = totals.make_metrics(totals.add_records({}, records), start_ns=1, now_ns=2)

        histogram = request.resource_metrics[0].scope_metrics[0].metrics[1].histogram
        (point,) = histogram.data_points
        counts = dict(zip([*totals.BOUNDS, None], point.bucket_counts, strict=True))
        assert {bound: count for bound, count in counts.items() if count} == {
            1.5: 2,
            100.0: 1,
            None: 1,
        }
        assert (point.count, point.sum) == (4, 5062.7)


class Scripted:
    """A destination that answers as it is told."""

    name = "scripted"

    def __init__(self, refused: str | None = None, kind: type[Exception] | None = None) -> None:
        self.refused = refused
        self.kind = kind
        self.sent: list[str] = []
        self.calls = 0

    def send(self, records: Sequence[Sourced], progress: Progress) -> dict[str, list[float]]:
        """Take records, or refuse them for one that is among them."""
        self.calls += 1
        ids = [record.span_id or "" for record, _ in records]
        if self.kind is not None and (self.refused is None or self.refused in ids):
            raise self.kind(self.name, "no")
        self.sent += ids
        return progress.totals

    def settle(self) -> tuple[Position | None, int]:
        """Return that nothing waits."""
        return None, 0


class TestDelivery:
    def make(self, service: Service, destination: Scripted) -> Delivery:
        """Return a delivery to a scripted destination."""
        cursor = Cursor(service.trail / "outbox" / "scripted.json")
        service.registry = CollectorRegistry()
        return Delivery(service.trail, destination, cursor, metrics=Metrics(service.registry))

    def test_a_backend_that_is_down_loses_nothing(self, service: Service) -> None:
        """The cursor stands still, over restarts too, and all is sent when it is back."""
        down = Scripted(kind=UnavailableError)
        for _ in range(3):
            with pytest.raises(UnavailableError):
                self.make(service, down).deliver_next()
        up = Scripted()

        assert self.make(service, up).deliver_next() is True

        assert sorted(up.sent) == [f"{number:016x}" for number in range(1, 5)]
        assert self.make(service, Scripted()).deliver_next() is False

    def test_what_is_refused_for_good_holds_nothing_up(self, service: Service) -> None:
        """The record that a backend calls wrong is left out and counted; the others arrive."""
        destination = Scripted(refused=f"{3:016x}", kind=RejectedError)
        delivery = self.make(service, destination)

        assert delivery.deliver_next() is True

        assert sorted(destination.sent) == [f"{number:016x}" for number in (1, 2, 4)]
        failures = service.count(
            "cert_outbox_failures_total", destination="scripted", error_type="no"
        )
        assert failures == 3

    def test_a_record_of_which_nothing_can_be_made(self, service: Service) -> None:
        """Whatever is wrong with one record, the others arrive, and it is counted by its type."""
        destination = Scripted(refused=f"{3:016x}", kind=ValueError)

        assert self.make(service, destination).deliver_next() is True

        assert sorted(destination.sent) == [f"{number:016x}" for number in (1, 2, 4)]
        failures = service.count(
            "cert_outbox_failures_total", destination="scripted", error_type="ValueError"
        )
        assert failures == 3

    def test_an_error_that_nobody_expected(self, service: Service) -> None:
        """It is said, and the thread goes on: what follows is sent."""
        destination = Scripted(kind=RuntimeError)
        delivery = Delivery(
            service.trail,
            destination,
            Cursor(service.trail / "outbox" / "scripted.json"),
            metrics=Metrics(CollectorRegistry()),
            pause_s=0.01,
        )
        delivery.start()
        while destination.calls < 2:
            time.sleep(0.01)
        destination.kind = None
        while len(set(destination.sent)) < 4:
            time.sleep(0.01)
        delivery.stop()

        assert set(destination.sent) == {f"{number:016x}" for number in range(1, 5)}

    def test_killed_before_the_cursor_moved(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was sent and not noted is sent again, with the same ids."""
        first, second = Scripted(), Scripted()
        monkeypatch.setenv(failpoints.VARIABLE, "after_delivery:raise")
        with pytest.raises(OSError, match="no space left"):
            self.make(service, first).deliver_next()
        monkeypatch.delenv(failpoints.VARIABLE)

        self.make(service, second).deliver_next()

        assert second.sent == first.sent

    def test_each_destination_has_its_own_cursor(self, service: Service) -> None:
        """One that is down holds up no other."""
        backend = Backend()
        with serve(backend) as port:
            up = f"http://127.0.0.1:{port}"
            make_delivery(service, Deliver(to=("event",), endpoint=up)).deliver_next()
        gone = Deliver(to=("span",), endpoint=up)

        with pytest.raises(UnavailableError, match="UNAVAILABLE"):
            make_delivery(service, gone).deliver_next()

        assert len(backend.taken) == 1

    def test_a_thread_delivers_what_comes(self, service: Service) -> None:
        """It sends while records arrive, and says how much is waiting."""
        backend = Backend()
        arrived = threading.Event()
        original = backend.taken

        class Noting(list[Any]):
            def append(self, item: Any) -> None:
                original.append(item)
                arrived.set()

        backend.taken = Noting()
        with serve(backend) as port:
            settings = Deliver(to=("event",), endpoint=f"http://127.0.0.1:{port}")
            delivery = make_delivery(service, settings)
            delivery.start()
            assert arrived.wait(20)
            delivery.stop()

        assert len(original) == 1

    def test_a_damaged_cursor_says_what_to_do(self, tmp_path: Path) -> None:
        """A cursor that cannot be read is no reason to guess."""
        (tmp_path / "event.json").write_text("{")

        with pytest.raises(InputError, match="delete it to send everything again"):
            Cursor(tmp_path / "event.json")

    def test_the_cursor_is_replaced_whole(self, tmp_path: Path) -> None:
        """What was moved to is what is found again."""
        cursor = Cursor(tmp_path / "new" / "event.json")
        cursor.move(Progress(Position(5, 17), {"a": [1.0]}))

        assert Cursor(tmp_path / "new" / "event.json").progress == cursor.progress
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["event.json"]

    def test_only_records_are_sent(self, service: Service) -> None:
        """Lines that are no record of a span are passed over."""
        (segment,) = service.trail.glob("seg-*.jsonl")
        lines = segment.read_bytes()
        segment.write_bytes(b'{"kind":"heartbeat"}\n' + lines)
        destination = Scripted()

        self.make(service, destination).deliver_next()

        records = [decode_line(line) for line in lines.splitlines()]
        assert destination.sent == [one.span_id for one in records if isinstance(one, Record)]


class TestReadBack:
    """What was sent, in a file of any exporter of the collector's."""

    SCORES: ClassVar[dict[str, Any]] = {
        "score_status": "scored",
        "scorer": "m",
        "scorer_revision": "r",
        "trajectory": Trajectory(perplexity=3.0, energy_mean=0.5, steps=2, flags=("entropy",)),
        "confidence": 0.4,
        "passed": False,
        "evaluations": [Evaluation(name="grounding", score=0.2, label="fail")],
    }

    def read(self, kind: str, results: list[Result]) -> list[EvaluationRecord]:
        """Return what a reader makes of messages."""
        if kind == "event":
            batch = read_logs(make_events(results, now_ns=1).SerializeToString())
        else:
            batch = read_traces(make_spans(results).SerializeToString())
        reading = read_batch(batch)
        assert reading.records == []
        return reading.results

    @pytest.mark.parametrize("kind", ["event", "span"])
    def test_the_scores_are_those_that_were_sent(self, kind: str) -> None:
        """Several messages about one span are one result, which a reader joins to its record."""
        calls = [make_call(number, **self.SCORES) for number in (1, 2)]
        sent = [result for call in calls for result in list_results(call, None)]

        found = self.read(kind, sent)

        assert len(sent) == 6
        assert join_evaluations([make_call(number) for number in (1, 2)], found) == calls

    @pytest.mark.parametrize("kind", ["event", "span"])
    def test_an_error(self, kind: str) -> None:
        """That nothing could be judged is a result as well."""
        call = make_call(1, score_status="error", score_reason="ValueError", scorer="m")

        (found,) = self.read(kind, list_results(call, None))

        assert (found.score_status, found.score_reason) == ("error", "ValueError")

    def test_results_of_others(self) -> None:
        """Whose scale is not known is not taken for a score."""
        (result,) = list_results(make_call(1, score_status="scored", confidence=0.5), None)

        assert self.read("event", [result]) == []

    def test_a_journal_of_spans_and_events(self, tmp_path: Path) -> None:
        """Lines of a collector's file exporter, spans and events apart, are one journal."""
        call = make_call(1, **self.SCORES)
        events = make_events(list_results(call, None), now_ns=1)
        path = tmp_path / "otlp.jsonl"
        path.write_bytes(encode_otlp(make_call(1)) + _to_otlp_json(events).encode() + b"\n")

        (record,) = read_journal([path]).records

        assert (record.trajectory, record.confidence) == (call.trajectory, 0.4)
        assert record.score_status == "scored"


def _to_otlp_json(message: Any) -> str:
    """Encode as OTLP does: ids are hexadecimal, where protobuf's JSON has base64."""
    text = MessageToJson(message, indent=None)
    for scoped in message.resource_logs[0].scope_logs:
        for log in scoped.log_records:
            for id_ in (log.trace_id, log.span_id):
                text = text.replace(b64encode(id_).decode(), id_.hex())
    return text
