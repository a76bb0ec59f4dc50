"""Every configuration that is shipped is one that a collector takes."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Final

import pytest
from collector_harness import COLLECTOR, CONFIGURATION, EXAMPLES, STOCK

if TYPE_CHECKING:
    from pathlib import Path

ENDS: Final = dict.fromkeys(
    ("CERT_SCORER", "CERT_SCORER_2", "BACKEND_TRACES", "BACKEND_LOGS", "BACKEND_METRICS"),
    "127.0.0.1:4317",
)
COMPLETE: Final = frozenset({"kafka-consumer.yaml"})
"""Examples that are not laid over otel-collector.yaml."""
OURS: Final = frozenset({"inline.yaml", "compliance-first.yaml"})
"""Examples that need our components."""
UPSTREAM: Final = frozenset({"kafka-producer.yaml", "kafka-consumer.yaml", "tail-sampling.yaml"})
"""Examples that need what cert-otelcol does not have."""
NAMES: Final = sorted(path.name for path in EXAMPLES.glob("*.yaml"))
CASES: Final = [
    *((COLLECTOR, name) for name in ["", *NAMES] if name not in UPSTREAM),
    *((STOCK, name) for name in ["", *NAMES] if STOCK.exists() and name not in OURS),
]
"""Collector and example; without a name, otel-collector.yaml alone."""


def list_files(name: str) -> list[Path]:
    """Return the files that make up a configuration."""
    example = [EXAMPLES / name] if name else []
    return example if name in COMPLETE else [CONFIGURATION, *example]


def run_validate(
    collector: Path, name: str, ends: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Have a collector look at a configuration."""
    flags = [part for path in list_files(name) for part in ("--config", str(path))]
    return subprocess.run(
        [collector, "validate", *flags],
        env={**os.environ, **ends},
        capture_output=True,
        text=True,
        check=False,
    )


class TestConfigurations:
    @pytest.mark.parametrize(
        ("collector", "name"), CASES, ids=lambda case: getattr(case, "name", case) or "alone"
    )
    def test_are_valid(self, collector: Path, name: str) -> None:
        """`validate` finds nothing."""
        done = run_validate(collector, name, ENDS)

        assert done.returncode == 0, done.stderr

    def test_name_the_end_that_is_missing(self) -> None:
        """Without an end there is no start, and the message says where."""
        done = run_validate(COLLECTOR, "", ENDS | {"CERT_SCORER": ""})

        assert done.returncode != 0
        assert "otlp_grpc/cert" in done.stderr
