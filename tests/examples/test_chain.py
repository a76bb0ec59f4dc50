"""The whole demonstration, with the collector that `make collector` builds."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from chain import COLLECTOR, ROOT, Programs
from run import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PROMETHEUS = shutil.which("prometheus")
METRICS = "is not here (`apt-get install prometheus`)"
if PROMETHEUS:
    METRICS = "Prometheus  sum by (exporter) (otelcol_exporter_sent_spans)"


class TestChain:
    def test_runs_from_end_to_end(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Application, collector, service, backend, Prometheus where it is, and `cert`."""
        code = main(tmp_path / "demo", Programs(ROOT / COLLECTOR, PROMETHEUS))

        output = capfd.readouterr()
        assert code == 0, output
        assert "FAILED" not in output.out
        assert "59 spans received\n" in output.out
        assert "59 records: 51 scored, 8 skipped" in output.out
        assert METRICS in output.out
        assert "$0.01468 for 58 calls" in output.out
        assert "51 of 58 calls scored" in output.out
        assert "51 were done before" in output.out
        assert "not for production" in output.out
        assert "[[1641]]" in output.out
        assert "5 of 5 answers that were changed failed" in output.out
