"""The outbox: results reach backends at least once, each with an id that tells copies."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import grpc
import msgspec
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import CollectorRegistry
from tests.service.spans import make_call, make_payload
from tests.service.test_worker import Picky, Service

from cert_otel import semconv
from cert_otel.errors import InputError
from cert_otel.journal import decode_line
from cert_otel.records import Evaluation, Record, Trajectory
from cert_otel.service import failpoints
from cert_otel.service.judging import GuardedJudge
from cert_otel.service.metrics import Metrics
from cert_otel.service.outbox import senders, totals
from cert_otel.service.outbox.cursor import Cursor, Progress
from cert_otel.service.outbox.delivery import Delivery, make_destinations
from cert_otel.service.outbox.messages import make_spans
from cert_otel.service.outbox.results import list_results
from cert_otel.service.outbox.senders import RejectedError, UnavailableError
from cert_otel.service.seen import Seen
from cert_otel.service.selection import select
from cert_otel.service.settings import Deliver
from cert_otel.service.trail import Position
from cert_otel.wire.otlp_proto import read_traces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cert_otel.service.outbox.delivery import Sourced

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
    seen = Seen(service.directory / "seen.db")
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
        """It has no length, the scope by which it is never taken in, and an id of its own content."""
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
        assert all(span.start_time_unix_nano == span.end_time_unix_nano for span in spans)
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


class TestPhoenix:
    def test_an_annotation_for_each_judgement(self, service: Service) -> None:
        """Phoenix gets the span's id, and an identifier by which a copy replaces the first."""
        bodies: list[Any] = []

        class Page(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                bodies.append((self.path, msgspec.json.decode(self.rfile.read(size))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            endpoint = f"http://127.0.0.1:{server.server_port}"
            delivery = make_delivery(service, Deliver(to=("phoenix",), phoenix_endpoint=endpoint))
            delivery.deliver_next()
            server.shutdown()

        ((path, body),) = bodies
        assert path == "/v1/span_annotations"
        praise = next(one for one in body["data"] if one["name"] == "praise")
        assert praise["result"] == {"score": 0.9}
        assert len(praise["span_id"]) == 16
        assert len({one["identifier"] for one in body["data"]}) == len(body["data"])


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

    def send(self, records: Sequence[Sourced], progress: Progress) -> dict[str, list[float]]:
        """Take records, or refuse them for one that is among them."""
        ids = [record.span_id or "" for record, _ in records]
        if self.kind is not None and (self.refused is None or self.refused in ids):
            raise self.kind(self.name, "no")
        self.sent += ids
        return progress.totals


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
