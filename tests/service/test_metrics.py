"""docs/metrics.md and what is emitted: the same names, types and labels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry
from tests.service.spans import make_call

from cert_otel import semconv
from cert_otel.records import Trajectory
from cert_otel.service import failpoints
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


class TestNames:
    def test_the_page_has_what_is_emitted(self, tmp_path: Path) -> None:
        """Every metric is on the page, with its type and labels, and no other is."""
        described = {
            (name, kind, tuple(re.findall(r"`(\w+)`", labels)))
            for name, kind, labels in ROW.findall((DOCS / "metrics.md").read_text())
        }

        assert described == set(list_emitted(tmp_path))

    def test_every_name_of_the_vocabulary_is_emitted(self, tmp_path: Path) -> None:
        """A name that nobody emits is a promise that nobody keeps."""
        named = {
            value.name
            for value in vars(semconv.Prometheus).values()
            if isinstance(value, semconv.PrometheusName)
        }

        assert named <= {name for name, _, _ in list_emitted(tmp_path)}

    def test_failpoints_are_documented(self) -> None:
        """Every point is on the page."""
        text = (DOCS / "service.md").read_text()

        assert [point for point in failpoints.POINTS if f"`{point}`" not in text] == []


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
