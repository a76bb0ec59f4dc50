"""telemetrygen, the generator of opentelemetry-collector-contrib: into the service, and through the collector."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Final

from collector_harness import Chain, Sink, find_port
from peer_application import CALL
from peer_harness import CertServe, read_counts, wait_for
from peer_programs import get_program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TRACES: Final = 5
SPANS: Final = 2 * TRACES
"""It makes two spans a trace."""


def generate(endpoint: str, *options: str, attributes: Mapping[str, object] | None = None) -> None:
    """Have it send its traces to HOST:PORT and wait until it has."""
    command = [
        str(get_program("telemetrygen")),
        *("traces", "--otlp-endpoint", endpoint, "--otlp-insecure"),
        *("--traces", str(TRACES), "--rate", "0", *options),
    ]
    for name, value in (attributes or {}).items():
        command += ["--telemetry-attributes", f"{name}={json.dumps(value)}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


class TestIntoTheService:
    def test_what_tells_of_no_model(self, service: CertServe) -> None:
        """Its spans by either protocol are counted, and are no records."""
        service.start(scorer={"enabled": False})

        generate(service.endpoint)
        generate(service.http, "--otlp-http")

        wait_for(
            lambda: read_counts(service, "cert_passed_total", "reason") == {"no_model": 2 * SPANS},
            what="the count of spans without a model",
        )
        assert service.read_records() == []

    def test_what_tells_of_a_model(self, service: CertServe) -> None:
        """With the attributes of a model call each of them is scored."""
        service.start()

        generate(service.endpoint, attributes=CALL)
        records = service.wait_for_records(SPANS)

        assert {one.score_status for one in records} == {"scored"}
        assert len({(one.trace_id, one.span_id) for one in records}) == SPANS
        wait_for(
            lambda: read_counts(service, "cert_records_total", "status") == {"scored": SPANS},
            what="the count of scored records",
        )


class TestThroughTheCollector:
    def test_both(self, tmp_path: Path, service: CertServe) -> None:
        """The backend has all spans; the service has those that tell of a model."""
        http = f"127.0.0.1:{find_port()}"
        (tmp_path / "collector").mkdir()
        with (
            Sink() as backend,
            Chain(
                tmp_path / "collector", service, backend, environment={"CERT_OTLP_HTTP": http}
            ) as chain,
        ):
            service.start(scorer={"enabled": False})
            chain.collector.start()
            generate(http, "--otlp-http")
            generate(chain.collector.endpoint, attributes=CALL)
            records = service.wait_for_records(SPANS)
            wait_for(lambda: len(backend.list_ids()) >= 2 * SPANS, what="all spans at the backend")

        assert len(set(backend.list_ids())) == len(backend.list_ids()) == 2 * SPANS
        assert {(one.score_status, one.score_reason) for one in records} == {
            ("skipped", "no_scorer")
        }
        assert len(records) == SPANS
        assert read_counts(service, "cert_passed_total", "reason") == {}
