"""otel-collector.yaml end to end: what goes where, and what survives."""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING

import grpc
import pytest
from collector_harness import LOGS, METRICS, Chain, Sink, list_spans, wait_until
from mixed_spans import make_marked, make_mixed, read_peers
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cert_otel.wire.otlp_json import read_line
from cert_otel.wire.reading import read_batch


def list_all(requests: Iterable[ExportTraceServiceRequest]) -> list[tuple[bytes, bytes]]:
    """Return id and content of each span that is sent."""
    return [pair for request in requests for pair in list_spans(request)]


def wait_for_spans(sink: Sink, ids: set[bytes]) -> None:
    """Wait until a sink has them all."""
    wait_until(lambda: ids <= set(sink.list_ids()), what=f"{len(ids)} spans at a sink")


def send_until_refused(chain: Chain) -> tuple[set[bytes], grpc.StatusCode | None]:
    """Return the ids of the spans that were accepted, and why the next ones were not."""
    accepted: set[bytes] = set()
    for number in range(100):
        (request,) = make_mixed(256, batch=256, start=number * 256)
        try:
            chain.send(request)
        except grpc.RpcError as refused:
            return accepted, refused.code()
        accepted |= {key for key, _ in list_spans(request)}
    return accepted, None


class TestFanOut:
    def test_backend_has_all_unchanged_and_once(self, chain: Chain) -> None:
        """The user's backend receives what it received before, byte for byte, without copies."""
        assert isinstance(chain.scorer, Sink)
        requests = make_mixed(20_000)
        sent = list_all(requests)

        chain.send(*requests)
        wait_for_spans(chain.scorer, {key for key, _ in sent})
        wait_for_spans(chain.backend, {key for key, _ in sent})

        assert Counter(chain.backend.list_spans()) == Counter(sent)
        assert Counter(chain.scorer.list_spans()) == Counter(sent)

    def test_scorer_has_what_tells_of_a_model(self, chain: Chain) -> None:
        """The filter lets every mark of the readers pass, and nothing else."""
        assert isinstance(chain.scorer, Sink)
        request, models = make_marked()
        last = make_mixed(1, start=10_000)

        chain.send(request, *last)
        wait_for_spans(chain.scorer, models | {key for key, _ in list_all(last)})

        assert set(chain.scorer.list_ids()) == models | {key for key, _ in list_all(last)}
        wait_for_spans(chain.backend, {key for key, _ in list_spans(request)})

    def test_every_peer_reaches_the_scorer(self, chain: Chain) -> None:
        """Golden payloads of each instrumentation pass as they were recorded."""
        assert isinstance(chain.scorer, Sink)
        sent = list_all(read_peers())

        chain.send(*read_peers())
        wait_for_spans(chain.scorer, {key for key, _ in sent})

        assert Counter(chain.scorer.list_spans()) == Counter(sent)


class TestOutages:
    def test_scorer_away(self, chain: Chain) -> None:
        """While the scorer is away the backend notices nothing; afterwards the scorer has all."""
        assert isinstance(chain.scorer, Sink)
        requests = make_mixed(1000)
        ids = {key for key, _ in list_all(requests)}

        chain.scorer.stop()
        chain.send(*requests)
        wait_for_spans(chain.backend, ids)
        chain.scorer.start()
        wait_for_spans(chain.scorer, ids)

        assert len(chain.backend.list_ids()) == len(ids)

    def test_collector_killed_while_the_scorer_is_away(self, chain: Chain) -> None:
        """What the collector acknowledged before it was killed reaches both ends."""
        assert isinstance(chain.scorer, Sink)
        requests = make_mixed(1000)
        ids = {key for key, _ in list_all(requests)}

        chain.scorer.stop()
        chain.send(*requests)
        chain.collector.kill()
        chain.scorer.start()
        chain.collector.start()

        wait_for_spans(chain.scorer, ids)
        wait_for_spans(chain.backend, ids)

    def test_collector_stopped_while_the_scorer_is_away(self, chain: Chain) -> None:
        """An orderly stop in an outage loses nothing either."""
        assert isinstance(chain.scorer, Sink)
        requests = make_mixed(500)

        chain.scorer.stop()
        chain.send(*requests)
        chain.collector.stop()
        chain.scorer.start()
        chain.collector.start()

        wait_for_spans(chain.scorer, {key for key, _ in list_all(requests)})

    def test_both_killed_again_and_again(self, chain: Chain) -> None:
        """Kills of both between and during requests lose nothing that was acknowledged."""
        assert isinstance(chain.scorer, Sink)
        ids: set[bytes] = set()
        for number in range(4):
            requests = make_mixed(200, start=number * 200)
            chain.send(*requests)
            ids |= {key for key, _ in list_all(requests)}
            chain.scorer.stop()
            chain.collector.kill()
            chain.collector.start()
            chain.scorer.start()

        wait_for_spans(chain.scorer, ids)
        wait_for_spans(chain.backend, ids)


class TestFullQueue:
    def test_compliance_first_refuses(self, tmp_path: Path) -> None:
        """Where the queue to the scorer is full, the application is told, and nothing is lost."""
        full = {"CERT_QUEUE_BYTES": "4000000"}
        with (
            Sink() as scorer,
            Sink() as backend,
            Chain(tmp_path, scorer, backend, environment=full) as chain,
        ):
            scorer.stop()
            chain.collector.start()
            accepted, code = send_until_refused(chain)
            scorer.start()

            assert code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
            wait_for_spans(scorer, accepted)

    def test_primary_first_drops_from_our_branch(self, tmp_path: Path) -> None:
        """The variant refuses nothing: the backend has all, once, and the scorer what had room."""
        full = {"CERT_QUEUE_BYTES": "4000000"}
        with (
            Sink() as scorer,
            Sink() as backend,
            Chain(
                tmp_path, scorer, backend, overlays=["primary-first.yaml"], environment=full
            ) as chain,
        ):
            scorer.stop()
            chain.collector.start()
            requests = make_mixed(8000, batch=256)

            chain.send(*requests)

            ids = {key for key, _ in list_all(requests)}
            wait_for_spans(backend, ids)
            assert len(backend.list_ids()) == len(ids)


class TestResults:
    def test_come_back(self, chain: Chain) -> None:
        """Log events and metrics of the service reach the backends."""
        logs, metrics = ExportLogsServiceRequest(), ExportMetricsServiceRequest()
        record = logs.resource_logs.add().scope_logs.add().log_records.add()
        record.event_name = "gen_ai.evaluation.result"
        record.trace_id, record.span_id = b"t" * 16, b"s" * 8
        metric = (
            metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="cert_requests")
        )
        metric.gauge.data_points.add(as_int=1)

        chain.send_results(logs)
        chain.send_results(metrics)

        (logged,) = chain.backend.list_requests(LOGS)
        (measured,) = chain.backend.list_requests(METRICS)
        (event,) = (
            ExportLogsServiceRequest.FromString(logged).resource_logs[0].scope_logs[0].log_records
        )
        assert (event.event_name, event.trace_id, event.span_id) == (
            record.event_name,
            record.trace_id,
            record.span_id,
        )
        assert b"cert_requests" in measured

    def test_are_refused_while_the_backend_is_away(self, chain: Chain) -> None:
        """An acknowledgement to the service means that the backend has them."""
        logs = ExportLogsServiceRequest()
        logs.resource_logs.add().scope_logs.add().log_records.add(event_name="e")
        chain.backend.stop()

        with pytest.raises(grpc.RpcError) as refused:
            chain.send_results(logs)

        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        chain.backend.start()


class TestComplianceFirst:
    def test_spans_are_on_disk_when_acknowledged(self, tmp_path: Path) -> None:
        """Certjsonl has written them by then, as lines that the readers read."""
        with (
            Sink() as scorer,
            Sink() as backend,
            Chain(tmp_path, scorer, backend, overlays=["compliance-first.yaml"]) as chain,
        ):
            chain.collector.start()
            requests = make_mixed(300)
            chain.send(*requests)
            chain.collector.kill()
            lines = (tmp_path / "spans.jsonl").read_bytes().splitlines()
            chain.collector.start()

        readings = [read_batch(read_line(line)) for line in lines]
        found = {f"{record.trace_id}{record.span_id}" for one in readings for record in one.records}
        assert found == {key.hex() for key, _ in list_all(requests)}
        assert not any(one.problems for one in readings)


class TestFolder:
    def test_a_lost_queue_starts_anew(self, chain: Chain) -> None:
        """A collector whose queue was deleted while it was stopped starts with an empty one."""
        chain.collector.stop()
        shutil.rmtree(chain.folder / "queue")
        chain.collector.start()
        requests = make_mixed(10)

        chain.send(*requests)

        assert isinstance(chain.scorer, Sink)
        wait_for_spans(chain.scorer, {key for key, _ in list_all(requests)})
