"""Prometheus: it reads what the service and the collector show, and takes the alarms as they are written."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec
import pytest
import yaml
from collector_harness import ROOT, Chain, Sink, find_port
from peer_application import send_by_grpc
from peer_harness import CertServe, Program, fetch, fetch_json, wait_for
from peer_programs import get_program

if TYPE_CHECKING:
    from pathlib import Path

OPERATIONS: Final = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
COLLECTOR: Final = (ROOT / "docs" / "collector.md").read_text(encoding="utf-8")


def list_alarms() -> dict[str, str]:
    """Return the expressions in the table of alarms, by what they say."""
    table = OPERATIONS.partition("## Alarms")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| `([^`]*)`", table, re.MULTILINE)
    return {name: expression.replace("\\|", "|") for name, expression in rows}


def list_rules() -> list[dict[str, Any]]:
    """Return the alarms as Prometheus' rules: those of the table, and the one that is written as one."""
    (written,) = re.findall(r"```yaml\n(\s*- alert: .*?)```", COLLECTOR, re.DOTALL)
    own: list[dict[str, Any]] = yaml.safe_load(written)
    return [*own, *({"alert": name, "expr": text} for name, text in list_alarms().items())]


def run_promtool(*arguments: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Have promtool look at something."""
    command = [str(get_program("prometheus").with_name("promtool")), *arguments]
    return subprocess.run(command, input=text, capture_output=True, timeout=60, check=False)


class Prometheus:
    """Debian's Prometheus, which asks everybody once a second."""

    def __init__(self, folder: Path, targets: dict[str, str]) -> None:
        self.endpoint = f"127.0.0.1:{find_port()}"
        rules = folder / "rules.yaml"
        rules.write_bytes(
            msgspec.json.encode({"groups": [{"name": "cert", "rules": list_rules()}]})
        )
        settings = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [target]}]}
                for job, target in targets.items()
            ],
        }
        config = folder / "prometheus.yaml"
        config.write_bytes(msgspec.json.encode(settings))  # JSON is YAML
        self.program = Program(
            [
                get_program("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'series'}",
                f"--web.listen-address={self.endpoint}",
            ],
            log=folder / "prometheus.log",
            ready=f"http://{self.endpoint}/-/ready",
        )

    def ask(self, expression: str) -> dict[frozenset[tuple[str, str]], float]:
        """Return the series that an expression gives now, by their labels."""
        answer = fetch_json(f"http://{self.endpoint}/api/v1/query?query={quote(expression)}")
        assert answer["status"] == "success"
        return {
            frozenset(series["metric"].items()): float(series["value"][1])
            for series in answer["data"]["result"]
        }

    def wait_for_value(self, expression: str, value: float) -> None:
        """Return when an expression gives one series with this value."""
        wait_for(
            lambda: list(self.ask(expression).values()) == [value], what=f"{expression} = {value}"
        )


class TestScrape:
    def test_service_and_collector(self, tmp_path: Path, service: CertServe) -> None:
        """PromQL gives what was received, recorded and exported."""
        (tmp_path / "collector").mkdir()
        port = find_port()
        own = {"CERT_COLLECTOR_METRICS_PORT": str(port)}
        with (
            Sink() as backend,
            Chain(tmp_path / "collector", service, backend, environment=own) as chain,
        ):
            service.start(scorer={"enabled": False})
            chain.collector.start()
            targets = {"cert": service.metrics, "otelcol": f"127.0.0.1:{port}"}
            prometheus = Prometheus(tmp_path, targets)
            with prometheus.program:
                for _ in range(3):
                    send_by_grpc(chain.collector.endpoint)
                service.wait_for_records(3)

                prometheus.wait_for_value("sum(up)", 2)
                outcome = frozenset({("status", "skipped"), ("reason", "no_scorer")})
                wait_for(
                    lambda: (
                        prometheus.ask("sum by (status, reason) (cert_records_total)")
                        == {outcome: 3}
                    ),
                    what="three records in Prometheus",
                )
                prometheus.wait_for_value(
                    'sum(cert_receiver_requests_total{outcome="accepted"}) > bool 0', 1
                )
                prometheus.wait_for_value("sum(cert_receiver_request_seconds_count) > bool 0", 1)
                # Three spans told of a model; the filter kept the others from the service.
                prometheus.wait_for_value(
                    'sum(otelcol_exporter_sent_spans{exporter="otlp_grpc/cert"})', 3
                )
                prometheus.wait_for_value(
                    'sum(otelcol_exporter_sent_spans{exporter="otlp_grpc/backend-traces"})', 6
                )
                assert_alarms_work(prometheus)

    def test_an_alarm_is_raised(self, tmp_path: Path, service: CertServe) -> None:
        """The first request that is refused for good raises the alarm for it, and no other."""
        service.start(scorer={"enabled": False})
        prometheus = Prometheus(tmp_path, {"cert": service.metrics})
        with prometheus.program:
            prometheus.wait_for_value("sum(up)", 1)
            with pytest.raises(OSError, match="404"):
                fetch(f"http://{service.http}/v1/metrics", body=b"{}")
            raised = wait_for(lambda: list_raised(prometheus), what="an alarm")

        assert raised == ["data is lost at the sender"]


def assert_alarms_work(prometheus: Prometheus) -> None:
    """Insist that each alarm is evaluated, from series that there are, and that none is raised."""
    rules = wait_for(lambda: list_evaluated(prometheus), what="rules that were evaluated")
    assert {rule["name"]: rule["health"] for rule in rules} == {
        rule["alert"]: "ok" for rule in list_rules()
    }
    assert list_raised(prometheus) == []
    for rule in list_rules():
        for series in re.findall(r"\b(?:cert|otelcol)_\w+(?:\{[^}]*\})?", rule["expr"]):
            assert prometheus.ask(series), series


def list_evaluated(prometheus: Prometheus) -> list[dict[str, Any]]:
    """Return the rules, once all were evaluated."""
    (group,) = fetch_json(f"http://{prometheus.endpoint}/api/v1/rules")["data"]["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules if all(rule["health"] != "unknown" for rule in rules) else []


def list_raised(prometheus: Prometheus) -> list[str]:
    """Return the alarms that are raised now."""
    return [rule["name"] for rule in list_evaluated(prometheus) if rule["alerts"]]


class TestPromtool:
    def test_metrics(self, service: CertServe) -> None:
        """`promtool check metrics` has nothing to say about what the service shows."""
        service.start(scorer={"enabled": False})
        send_by_grpc(service.endpoint)
        service.wait_for_records(1)

        done = run_promtool("check", "metrics", text=fetch(f"http://{service.metrics}/metrics"))

        assert (done.returncode, done.stderr) == (0, b"")

    def test_configuration(self, tmp_path: Path) -> None:
        """`promtool check config` takes the one of the documentation."""
        (written,) = re.findall(r"```yaml\n# prometheus.yml\n(.*?)```", COLLECTOR, re.DOTALL)
        config = tmp_path / "prometheus.yml"
        config.write_text(written, encoding="utf-8")

        done = run_promtool("check", "config", str(config))

        assert done.returncode == 0, done.stderr

    def test_rules(self, tmp_path: Path) -> None:
        """`promtool check rules` takes every alarm of the documentation."""
        rules = tmp_path / "rules.yaml"
        rules.write_bytes(
            msgspec.json.encode({"groups": [{"name": "cert", "rules": list_rules()}]})
        )

        done = run_promtool("check", "rules", str(rules))

        assert done.returncode == 0, done.stderr
        assert len(list_alarms()) >= 8
