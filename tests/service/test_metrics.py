"""docs/metrics.md and what is emitted: the same names, types and labels."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry
from tests.service.spans import make_call

from cert_otel import semconv
from cert_otel.records import Trajectory
from cert_otel.service import failpoints, prometheus
from cert_otel.service.inbox import Inbox
from cert_otel.service.metrics import Metrics
from cert_otel.service.receiver.counters import OUTCOMES, Counters, InboxCollector

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"
ROW = re.compile(r"^\| `(cert_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)


def list_emitted(directory: Path) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield name, type and labels of every metric of the service."""
    metrics, counters = Metrics(), Counters()
    for registry in (metrics.registry, counters.registry):
        collectors: Any = registry._collector_to_names
        for collector in collectors:
            (family,) = collector.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield name, family.type, tuple(collector._labelnames)
    with Inbox.open(directory, cap_bytes=1 << 24) as inbox:
        for family in InboxCollector(inbox).collect():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield name, family.type, ()


def count_in_a_process(directory: Path, name: str) -> str:
    """Start a process of this name, count one duplicate, and return what all of them counted."""
    program = (
        "import sys; from cert_otel.service import prometheus; prometheus.name_process(sys.argv[1]);"
        "from cert_otel.service.metrics import Metrics; Metrics().duplicates.inc();"
        "from prometheus_client import CollectorRegistry, generate_latest;"
        "from prometheus_client.multiprocess import MultiProcessCollector;"
        "all = CollectorRegistry(); MultiProcessCollector(all);"
        "print(generate_latest(all).decode())"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, name],
        env={**os.environ, prometheus.DIRECTORY: str(directory)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return found.stdout


class TestNames:
    def test_the_page_has_what_is_emitted(self, tmp_path: Path) -> None:
        """Every metric is on the page, with its type and labels, and no other is."""
        described = {
            (name, kind, tuple(re.findall(r"`(\w+)`", labels)))
            for name, kind, labels in ROW.findall((DOCS / "metrics.md").read_text())
        }

        assert described == set(list_emitted(tmp_path))

    def test_what_is_declared_is_emitted(self, tmp_path: Path) -> None:
        """A metric is declared once, with type and labels, and emitted as it is declared."""
        declared = semconv.list_prometheus()

        assert {(one.name, one.kind, one.labels) for one in declared} == set(list_emitted(tmp_path))
        assert len({one.name for one in declared}) == len(declared)

    def test_units_are_in_names(self) -> None:
        """Whoever reads a name knows the unit."""
        for one in semconv.list_prometheus():
            assert one.name.removesuffix("_total").endswith(one.unit)
            assert one.description

    def test_failpoints_are_documented(self) -> None:
        """Every point is on the page."""
        text = (DOCS / "service.md").read_text()

        assert [point for point in failpoints.POINTS if f"`{point}`" not in text] == []


class TestProcesses:
    def test_a_process_that_starts_again_counts_on(self, tmp_path: Path) -> None:
        """Figures of a process outlive it, and its successor needs no files of its own."""
        for name in ("scorer-0", "scorer-0", "scorer-1"):
            shown = count_in_a_process(tmp_path, name)

        assert "cert_duplicates_total 3.0" in shown
        files = {path.name for path in tmp_path.glob("counter_*.db")}
        assert files == {"counter_scorer-0.db", "counter_scorer-1.db"}


class TestCounting:
    def test_a_scored_record(self) -> None:
        """What the scoring model measured is in the histograms, and a gate in the checks."""
        registry = CollectorRegistry()
        metrics = Metrics(registry)
        found = Trajectory(perplexity=3.0, entropy_mean=0.4, flags=("surprise_rate",))

        metrics.count_record(make_call(1, score_status="scored", trajectory=found))

        sample = registry.get_sample_value
        assert sample("cert_hamiltonian_perplexity_sum") == 3.0
        assert sample("cert_hamiltonian_entropy_sum") == 0.4
        assert sample("cert_hamiltonian_quality_checks_total", {"result": "fail"}) == 1
        labels = {"service": "scorer", "status": "scored"}
        assert sample("cert_requests_total", labels) == 1

    def test_outcomes_of_the_receiver(self) -> None:
        """Each is there at zero: Prometheus sees no increase in a series that begins with one."""
        sample = Counters().registry.get_sample_value

        assert {
            sample("cert_receiver_requests_total", {"protocol": protocol, "outcome": outcome})
            for protocol in ("grpc", "http")
            for outcome in OUTCOMES
        } == {0}

    def test_an_error(self) -> None:
        """An error has its type and severity."""
        registry = CollectorRegistry()
        Metrics(registry).count_record(
            make_call(1, score_status="error", score_reason="ValueError")
        )

        labels = {"service": "scorer", "error_type": "ValueError", "severity": "high"}
        assert registry.get_sample_value("cert_request_errors_total", labels) == 1
